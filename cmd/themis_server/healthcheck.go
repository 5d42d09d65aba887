package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/vccdb/vccdb/server/config"
)

// healthTimeout is below the 5 s that supervisors usually give a probe.
const healthTimeout = 4 * time.Second

// healthcheck asks a running server for its /readyz, for images and machines
// without another client. The error is nil if it is ready.
//
// With tls_ca the server wants to see a certificate. The check shows the server's
// own, and if that isn't taken, it is content that a server with the right
// certificate answers.
func healthcheck(ctx context.Context, c *config.Server, stdout io.Writer) error {
	if c.Port == 0 {
		return errors.New("server.port is 0, so the port isn't known; set server.port")
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	client, scheme, err := healthClient(c)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	url := scheme + "://" + net.JoinHostPort(loopbackOf(c.Host), strconv.Itoa(c.Port)) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if c.TLSCA != "" && isRemoteAlert(err) {
		fmt.Fprintln(stdout, "alive; whether it is ready can't be asked without a client certificate")
		return nil
	}
	if err != nil {
		return fmt.Errorf("the server doesn't answer: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("the server doesn't answer in full: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", body)
	}
	fmt.Fprintln(stdout, "ready")
	return nil
}

// healthClient makes a client that takes the server's own certificate and no
// other: its names needn't include the loopback address.
func healthClient(c *config.Server) (client *http.Client, scheme string, err error) {
	if !c.EnableTLS {
		return &http.Client{Transport: &http.Transport{}}, "http", nil
	}
	own, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, "", fmt.Errorf("the certificate can't be read: %w", err)
	}
	settings := &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, own.Certificate[0]) {
				return errors.New("the server shows another certificate than that in server.tls_cert")
			}
			return nil
		},
		// Whatever authorities the server names: if it doesn't take this one, no other
		// is there.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}, "https", nil
}

// isRemoteAlert reports whether the server broke off the handshake.
func isRemoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// loopbackOf is where this machine reaches a server that listens on host.
func loopbackOf(host string) string {
	ip := net.ParseIP(host)
	switch {
	case ip == nil || !ip.IsUnspecified():
		return host
	case ip.To4() != nil:
		return "127.0.0.1"
	}
	return "::1"
}
