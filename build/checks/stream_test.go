package checks

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freePort is a port that nobody listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestStreamThroughProxy runs nginx with the snippet in front of a server: an
// event arrives while the stream is open.
func TestStreamThroughProxy(t *testing.T) {
	nginx := tool(t, "nginx")
	s := startServer(t)
	dir, front := t.TempDir(), freePort(t)
	file := nginxConfig(t, dir, "127.0.0.1:8765", strings.TrimPrefix(s.url, "http://"),
		"listen 80;", fmt.Sprintf("listen 127.0.0.1:%d;", freePort(t)), "listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", front))
	proxy := exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", file)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = proxy.Process.Signal(syscall.SIGTERM)
		_ = proxy.Wait() // its status tells nothing more
	}()
	client := tlsClient(t, dir+"/themis.crt")
	defer client.CloseIdleConnections()
	base := fmt.Sprintf("https://127.0.0.1:%d", front)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res := untilAnswer(ctx, t, client, base+"/changefeed/stream")
	defer res.Body.Close()

	// The answer's head came without an event; now one comes, and the stream goes on.
	s.want(201, "PUT", "/entities/books:dune", `{"year":1965}`)
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "books:dune") {
			return
		}
	}
	t.Errorf("the event did not come: %v", lines.Err())
}

func tlsClient(t *testing.T, certificate string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "themis.example.com"}}}
}

// untilAnswer asks until the proxy listens.
func untilAnswer(ctx context.Context, t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err == nil && res.StatusCode == http.StatusOK {
			return res
		}
		if err == nil {
			res.Body.Close()
			t.Fatalf("%s: %d", url, res.StatusCode)
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
