package checks

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// validate lets the server check a configuration with the data elsewhere.
func validate(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range regexp.MustCompile(`"(/[^"]*)"`).FindAllSubmatch(content, -1) {
		if !bytes.HasPrefix(path[1], []byte(dataRoot+"/")) && !bytes.HasPrefix(path[1], []byte("/etc/vccdb/")) {
			t.Errorf("%s names %s, which is neither data nor configuration", file, path[1])
		}
	}
	moved := filepath.Join(t.TempDir(), "themis.json")
	write(t, moved, bytes.ReplaceAll(content, []byte(dataRoot), []byte(t.TempDir())))
	out := succeeds(t, serverProgram, "--config", moved, "--validate", "--set", "server.port=0")
	if !strings.Contains(out, "✓ Config file valid") || strings.Contains(out, "✗") {
		t.Errorf("%s", out)
	}
}

func TestConfiguration(t *testing.T) {
	validate(t, filepath.Join(deploy, "themis.json"))
	if !bytes.Contains(read(t, "themis.json"), fmt.Appendf(nil, `"port": %d`, port)) {
		t.Error("themis.json has another port than everything else")
	}
}

// directives are a unit's settings, by section and name.
func directives(t *testing.T, name string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(read(t, name))) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Errorf("%s: %q", name, line)
		default:
			found[section+"."+key] = append(found[section+"."+key], value)
		}
	}
	return found
}

// TestUnits holds that the units have what the deployment guide promises.
func TestUnits(t *testing.T) {
	unit := directives(t, "systemd/themis.service")
	for key, want := range map[string]string{
		"Service.NoNewPrivileges": "true", "Service.PrivateTmp": "true", "Service.ProtectSystem": "strict", "Service.ProtectHome": "true",
		"Service.ReadWritePaths": dataRoot, "Service.LimitNOFILE": "65536", "Service.User": "vccdb", "Service.Type": "notify", "Service.WatchdogSec": "60",
		"Service.ExecStart": program + " --config " + config, "Service.ExecReload": "/bin/kill -HUP $MAINPID",
		"Install.WantedBy": "multi-user.target",
	} {
		if got := unit[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	backup := directives(t, "systemd/themis-backup.service")
	if got := backup["Service.ExecStart"]; len(got) != 1 || filepath.Base(got[0]) != "themis-backup.sh" {
		t.Errorf("ExecStart = %q", got)
	}
	if got := backup["Service.Environment"]; len(got) != 3 || got[0] != fmt.Sprintf("THEMIS_URL=http://127.0.0.1:%d", port) || got[2] != "KEEP_DAYS=7" {
		t.Errorf("Environment = %q", got)
	}
}

// TestSystemd lets systemd check the units; unknown directives are warnings to
// it, and errors here.
func TestSystemd(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	dir := t.TempDir()
	// The programs aren't installed here.
	script, err := filepath.Abs(filepath.Join(deploy, "backup/themis-backup.sh"))
	if err != nil {
		t.Fatal(err)
	}
	installed := strings.NewReplacer(program, serverProgram, "/usr/local/bin/themis-backup.sh", script)
	files := []string{"themis.service", "themis-backup.service", "themis-backup.timer"}
	args := []string{"verify", "--recursive-errors=no", "--man=no"}
	for _, file := range files {
		target := filepath.Join(dir, file)
		write(t, target, []byte(installed.Replace(string(read(t, "systemd/"+file)))))
		args = append(args, target)
	}
	out := succeeds(t, analyze, args...)
	for line := range strings.Lines(out) {
		if strings.Contains(line, dir) {
			t.Errorf("%s", line)
		}
	}
	if _, timer, ok := strings.Cut(string(read(t, "systemd/themis-backup.timer")), "OnCalendar="); ok {
		succeeds(t, analyze, "calendar", strings.TrimSpace(strings.SplitN(timer, "\n", 2)[0]))
	}
}

// certificate writes a certificate and its key for the proxies.
func certificate(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"themis.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if cert == key {
		write(t, cert, append(certPEM, keyPEM...))
		return
	}
	write(t, cert, certPEM)
	write(t, key, keyPEM)
}

// TestProxies holds that all three name the server's address and replace what
// clients say of theirs.
func TestProxies(t *testing.T) {
	for name, forwarded := range map[string]string{
		"nginx.conf":  "proxy_set_header X-Forwarded-For $remote_addr;",
		"haproxy.cfg": "http-request set-header X-Forwarded-For %[src]",
		"web.config":  `<set name="HTTP_X_FORWARDED_FOR" value="{REMOTE_ADDR}" />`,
	} {
		content := string(read(t, "proxy/"+name))
		if !strings.Contains(content, fmt.Sprintf("127.0.0.1:%d", port)) || !strings.Contains(content, forwarded) {
			t.Errorf("%s lacks the server's address or %s", name, forwarded)
		}
	}
	decoder := xml.NewDecoder(bytes.NewReader(read(t, "proxy/web.config")))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// nginxConfig makes a whole configuration of the snippet, which listens on a port
// without TLS and asks the server at address.
func nginxConfig(t *testing.T, dir string, replace ...string) string {
	t.Helper()
	certificate(t, dir+"/themis.crt", dir+"/themis.key")
	snippet := strings.NewReplacer(append(replace, "/etc/nginx/tls", dir)...).Replace(string(read(t, "proxy/nginx.conf")))
	write(t, dir+"/snippet.conf", []byte(snippet))
	main := fmt.Sprintf("daemon off; pid %[1]s/pid; error_log stderr; events {} http { access_log off;"+
		" client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;"+
		" include %[1]s/snippet.conf; }", dir)
	write(t, dir+"/nginx.conf", []byte(main))
	return dir + "/nginx.conf"
}

func TestNginx(t *testing.T) {
	nginx := tool(t, "nginx")
	dir := t.TempDir()
	out := succeeds(t, nginx, "-t", "-p", dir, "-e", "stderr", "-c", nginxConfig(t, dir))
	if strings.Contains(out, "[warn]") {
		t.Errorf("%s", out)
	}
}

func TestHAProxy(t *testing.T) {
	haproxy := tool(t, "haproxy")
	dir := t.TempDir()
	certificate(t, dir+"/themis.pem", dir+"/themis.pem")
	write(t, dir+"/haproxy.cfg", bytes.ReplaceAll(read(t, "proxy/haproxy.cfg"), []byte("/etc/haproxy/tls"), []byte(dir)))
	out, err := exec.Command(haproxy, "-c", "-f", dir+"/haproxy.cfg").CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("[WARNING]")) {
		t.Errorf("%v: %s", err, out)
	}
}
