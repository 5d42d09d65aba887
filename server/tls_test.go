package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/auth"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	next int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.pem, _, a.key = a.sign(template)
	block, _ := pem.Decode(a.pem)
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(template *x509.Certificate) (cert, keyPEM []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.next++
	template.SerialNumber, template.Subject = big.NewInt(a.next), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := template, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), key
}

// server writes a new pair of a server into the folder.
func (a *authority) server(o *TLSOptions) {
	a.t.Helper()
	cert, key, _ := a.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.write(o.CertFile, cert)
	a.write(o.KeyFile, key)
}

func (a *authority) client() tls.Certificate {
	a.t.Helper()
	cert, key, _ := a.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func (a *authority) write(name string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func tlsFiles(t *testing.T) *TLSOptions {
	dir := t.TempDir()
	return &TLSOptions{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
}

// startTLS starts a server of the authority's; l.client trusts it.
func startTLS(t *testing.T, a *authority, files *TLSOptions, o Options) *live {
	t.Helper()
	a.server(files)
	o.TLS = files
	l := start(t, o)
	l.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: a.pool()}
	l.scheme = "https"
	return l
}

func TestTLS(t *testing.T) {
	a, key := newAuthority(t), auth.NewKey()
	l := startTLS(t, a, tlsFiles(t), Options{Keys: keysOf(t, auth.Key{Key: key, Role: auth.Admin}), MaxRequestBytes: 1 << 20})
	if status, _, body := l.do(t, "GET", "/things/a", nil, "Api-Key", key); status != 200 || body != "a" {
		t.Errorf("%d %s", status, body)
	}
	if status, _, _ := l.do(t, "GET", "/things/a", nil); status != 401 {
		t.Errorf("without a key: %d", status)
	}
	// The close over an unread body lets the client read the answer here too.
	if status, _, body := l.do(t, "POST", "/size", bytes.NewReader(make([]byte, 8<<20)), "Api-Key", key); status != 413 {
		t.Errorf("a big body: %d %s", status, body)
	}
	if status, _, body := l.do(t, "POST", "/stream", strings.NewReader(strings.Repeat("x\n", 1<<20)), "Api-Key", key, "Content-Type", "application/x-ndjson"); body != "1048576" {
		t.Errorf("a stream: %d %s", status, body)
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", l.addr, &tls.Config{RootCAs: a.pool(), MinVersion: version, MaxVersion: version})
		if err == nil {
			c.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	status, body := answer(t, l.raw(t, "GET /things/a HTTP/1.1\nHost: x\n\n"))
	if status != 400 || !strings.Contains(body, "tls_required") {
		t.Errorf("plain HTTP: %d %s", status, body)
	}
}

func TestTLSHandshakesEnd(t *testing.T) {
	l := startTLS(t, newAuthority(t), tlsFiles(t), Options{HeaderTimeout: 100 * time.Millisecond})
	for _, text := range []string{"", "\x16\x03\x01\x02\x00\x01", "\x16\x03\x01 no handshake at all\n\n"} {
		if rest, err := io.ReadAll(l.raw(t, text)); err != nil || bytes.Contains(rest, []byte("HTTP")) {
			t.Errorf("%q: %q %v", text, rest, err)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	a, clients, strangers := newAuthority(t), newAuthority(t), newAuthority(t)
	files := tlsFiles(t)
	files.ClientCAFile = filepath.Join(filepath.Dir(files.CertFile), "ca.pem")
	clients.write(files.ClientCAFile, clients.pem)
	l := startTLS(t, a, files, Options{})
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		in           bool
	}{
		"none": {nil, false}, "a stranger's": {[]tls.Certificate{strangers.client()}, false}, "a client's": {[]tls.Certificate{clients.client()}, true},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool(), Certificates: test.certificates}}}
		res, err := client.Get("https://" + l.addr + "/readyz")
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != test.in {
			t.Errorf("%s: %v", name, err)
		}
		client.CloseIdleConnections()
	}
}

// TestReload is about what the files hold, on a clock of its own.
func TestReload(t *testing.T) {
	a := newAuthority(t)
	files := tlsFiles(t)
	a.server(files)
	var log bytes.Buffer
	c, err := newCertificates(*files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	first := c.current()
	a.server(files)
	if c.current() != first {
		t.Error("the files are read at each handshake")
	}
	later := func() *tls.Config {
		now = now.Add(recheck)
		return c.current()
	}
	second := later()
	if second == first {
		t.Error("new files aren't used")
	}
	if later() != second {
		t.Error("the same files are loaded again")
	}
	good, err := os.ReadFile(files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "no key", string(good[:len(good)/2])} {
		log.Reset()
		a.write(files.KeyFile, []byte(broken))
		for range 2 { // it is tried once
			if later() != second {
				t.Errorf("%q is used", broken)
			}
		}
		if strings.Count(log.String(), "previous ones stay in use") != 1 {
			t.Errorf("%q is logged as %s", broken, &log)
		}
	}
	log.Reset()
	os.Remove(files.KeyFile)
	for range 2 {
		if later() != second {
			t.Error("there is no file, and another pair")
		}
	}
	if strings.Count(log.String(), "previous ones stay in use") != 1 {
		t.Errorf("a file that is gone is logged as %s", &log)
	}
	a.server(files)
	if third := later(); third == second {
		t.Error("it doesn't recover")
	}
	if err := (&TLSOptions{CertFile: files.CertFile, KeyFile: filepath.Join(t.TempDir(), "none")}).Validate(); err == nil {
		t.Error("a missing file is valid")
	}
	if err := (&TLSOptions{CertFile: files.CertFile, KeyFile: files.KeyFile, ClientCAFile: files.KeyFile}).Validate(); err == nil {
		t.Error("an authority without a certificate is valid")
	}
	if err := files.Validate(); err != nil {
		t.Error(err)
	}
}

// TestReloadDropsNothing swaps certificates under load, over connections that
// stay and over new ones.
func TestReloadDropsNothing(t *testing.T) {
	a := newAuthority(t)
	files := tlsFiles(t)
	l := startTLS(t, a, files, Options{})
	l.do(t, "GET", "/readyz", nil) // it has read the first pair
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered atomic.Int64
	var mu sync.Mutex
	serials := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 4 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}, DisableKeepAlives: i%2 == 0}}
		wg.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				res, err := client.Get("https://" + l.addr + "/things/a")
				if err != nil {
					t.Errorf("dropped: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(body) != "a" {
					t.Errorf("cut: %q %v", body, err)
					return
				}
				mu.Lock()
				serials[res.TLS.PeerCertificates[0].SerialNumber.String()] = true
				mu.Unlock()
				answered.Add(1)
			}
		})
	}
	for range 3 { // until each new pair was seen
		mu.Lock()
		before := len(serials)
		mu.Unlock()
		a.server(files)
		eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(serials) > before || t.Failed()
		})
	}
	cancel()
	wg.Wait()
	if answered.Load() < 100 {
		t.Errorf("only %d answers", answered.Load())
	}
}

// TestTooManyConnectionsWithTLS holds that the refusal is no plain text.
func TestTooManyConnectionsWithTLS(t *testing.T) {
	l := startTLS(t, newAuthority(t), tlsFiles(t), Options{MaxConnections: 1})
	if status, _, _ := l.do(t, "GET", "/readyz", nil); status != 200 {
		t.Fatal(status)
	}
	c := l.raw(t, "")
	if rest, err := bufio.NewReader(c).ReadByte(); err != io.EOF {
		t.Errorf("%q %v", rest, err)
	}
}
