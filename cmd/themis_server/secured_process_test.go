package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/auth"
)

// selfSigned writes a certificate and its key into the folder.
func selfSigned(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

// TestSecuredProcess runs the program with everything of security set in its
// environment.
func TestSecuredProcess(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := selfSigned(t, dir)
	key, audit := auth.NewKey(), filepath.Join(dir, "audit.log")
	p := startProcess(t, filepath.Join(dir, "data"),
		"THEMIS_SERVER_ENABLE_AUTH=true", `THEMIS_SERVER_API_KEYS=[{"key_hash":"`+auth.HashKey(key)+`","role":"readwrite","name":"app"}]`,
		"THEMIS_SERVER_ENABLE_TLS=true", "THEMIS_SERVER_TLS_CERT="+certFile, "THEMIS_SERVER_TLS_KEY="+keyFile,
		"THEMIS_SERVER_RATE_LIMIT_PER_KEY=1", "THEMIS_SERVER_RATE_LIMIT_BURST=2",
		"THEMIS_SERVER_TRUSTED_PROXIES=127.0.0.1", "THEMIS_LOGGING_AUDIT_FILE="+audit, "THEMIS_LOG_LEVEL=debug")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	call := func(method, path, key string) int {
		req, err := http.NewRequest(method, strings.Replace(p.base, "http:", "https:", 1)+path, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Api-Key", key)
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	for _, test := range []struct {
		method, path, key string
		want              int
	}{
		{"PUT", "/entities/t:1", key, 201}, {"PUT", "/entities/t:1", "wrong-wrong-wrong-wrong", 401}, {"POST", "/config", key, 403}, {"GET", "/livez", "", 200},
	} {
		if status := call(test.method, test.path, test.key); status != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, status, test.want)
		}
	}
	limited := false
	for range 100 { // a slow machine gives the key its second's token now and then
		limited = limited || call("PUT", "/entities/t:2", key) == 429
	}
	if !limited {
		t.Error("the rate isn't limited")
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	log := p.end()
	written, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"status":201,"outcome":"ok"`, `"status":401,"outcome":"denied"`, `"status":403,"outcome":"denied"`, `"status":429,"outcome":"denied"`, `"remote":"203.0.113.9"`, `"principal":"app"`} {
		if !strings.Contains(string(written), want) {
			t.Errorf("no %s in the audit log: %.2000s", want, written)
		}
	}
	if strings.Contains(log+string(written), key) {
		t.Error("the key is in a log")
	}
	if code, _, stderr := command(t, "--set", "storage.rocksdb_path="+filepath.Join(dir, "other"), "--set", "server.enable_tls=true",
		"--set", "server.tls_cert="+keyFile, "--set", "server.tls_key="+keyFile); code != 1 || !strings.Contains(stderr, "can't be used") {
		t.Errorf("a key for a certificate: %d %s", code, stderr)
	}
}
