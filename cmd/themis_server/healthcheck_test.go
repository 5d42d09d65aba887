package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/rest"
)

// certificate writes a self-signed pair for a name that isn't the loopback's.
func certificate(t *testing.T, usages ...x509.ExtKeyUsage) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "db.example"}, DNSNames: []string{"db.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: usages, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	return cert, key
}

// readyzOnly answers /readyz as it is told to.
type readyzOnly struct{ ready bool }

func (r readyzOnly) Routes() []rest.Route {
	return []rest.Route{{Operation: openapi.Operation{Method: "GET", Path: "/readyz", Role: auth.Public}, Handle: func(c fiber.Ctx) error {
		if !r.ready {
			return errs.New(errs.Unavailable, "not_ready", "vectors are being loaded")
		}
		return c.SendString("ready")
	}}}
}

func TestHealthcheck(t *testing.T) {
	cert, key := certificate(t, x509.ExtKeyUsageServerAuth)
	both, bothKey := certificate(t, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	foreign, foreignKey := certificate(t, x509.ExtKeyUsageServerAuth)
	tests := []struct {
		name          string
		serve, config config.Server
		ready         bool
		stdout, fault string
	}{
		{name: "ready", ready: true, stdout: "ready\n"},
		{name: "not ready", fault: "vectors are being loaded"},
		{name: "any address", ready: true, config: config.Server{Host: "0.0.0.0"}, stdout: "ready\n"},
		{name: "TLS", ready: true, serve: config.Server{EnableTLS: true, TLSCert: cert, TLSKey: key}, stdout: "ready\n"},
		{name: "TLS, not ready", serve: config.Server{EnableTLS: true, TLSCert: cert, TLSKey: key}, fault: "vectors"},
		{name: "another server", ready: true, serve: config.Server{EnableTLS: true, TLSCert: foreign, TLSKey: foreignKey},
			config: config.Server{EnableTLS: true, TLSCert: cert, TLSKey: key}, fault: "another certificate"},
		{name: "own certificate is a client's", ready: true, serve: config.Server{EnableTLS: true, TLSCert: both, TLSKey: bothKey, TLSCA: both}, stdout: "ready\n"},
		{name: "own certificate is no client's", ready: true, serve: config.Server{EnableTLS: true, TLSCert: cert, TLSKey: key, TLSCA: both}, stdout: "alive; "},
		{name: "no certificate", config: config.Server{EnableTLS: true, TLSCert: cert + ".none"}, fault: "the certificate can't be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			app := server.New(server.Options{TLS: tlsOptions(&test.serve)}, readyzOnly{test.ready})
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- app.Serve(listener) }()
			if test.config.TLSCert == "" && test.config.Host == "" {
				test.config = test.serve
			}
			if test.config.Host == "" {
				test.config.Host = "127.0.0.1"
			}
			test.config.Port = listener.Addr().(*net.TCPAddr).Port
			var stdout strings.Builder
			err = healthcheck(t.Context(), &test.config, &stdout)
			if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) || !strings.HasPrefix(stdout.String(), test.stdout) {
				t.Errorf("%q, %v; want %q, %q", stdout.String(), err, test.stdout, test.fault)
			}
			if err := app.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			if err := healthcheck(t.Context(), &test.config, &stdout); err == nil {
				t.Error("a stopped server is healthy")
			}
		})
	}
	if err := healthcheck(t.Context(), &config.Server{}, io.Discard); err == nil {
		t.Error("a port that isn't known is healthy")
	}
	for host, want := range map[string]string{"::": "::1", "10.1.2.3": "10.1.2.3", "localhost": "localhost"} {
		if got := loopbackOf(host); got != want {
			t.Errorf("loopbackOf(%s) = %s, want %s", host, got, want)
		}
	}
}

// TestHashKey holds that what it prints lets the key in.
func TestHashKey(t *testing.T) {
	given := "0123456789abcdefghij"
	seen := map[string]bool{}
	for _, input := range []string{given, given + "\r\n", "", "\n"} {
		var stdout strings.Builder
		if err := hashKey(strings.NewReader(input), &stdout); err != nil {
			t.Fatal(err)
		}
		key, hash, ok := strings.Cut(strings.TrimPrefix(stdout.String(), "key:      "), "\nkey_hash: ")
		hash = strings.TrimSuffix(hash, "\n")
		keys, err := auth.NewKeys([]auth.Key{{Hash: hash, Role: auth.Admin, Name: "n"}})
		if !ok || err != nil {
			t.Fatalf("%q: %v", stdout.String(), err)
		}
		if p, found := keys.Authenticate(key); !found || p.Name != "n" || strings.HasPrefix(input, given) != (key == given) {
			t.Errorf("for %q: the key %q isn't let in", input, key)
		}
		seen[key] = true
	}
	if len(seen) != 3 {
		t.Errorf("random keys repeat: %v", seen)
	}
	for _, bad := range []string{"short", "with spaces in the middle", strings.Repeat("x", 5000)} {
		if err := hashKey(strings.NewReader(bad), io.Discard); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("for %.30q: %v", bad, err)
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if text, _ := io.ReadAll(keyInput(null)); len(text) != 0 {
		t.Errorf("a device gives %q", text)
	}
}
