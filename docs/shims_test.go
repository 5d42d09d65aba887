package docs_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The programs that would change the machine itself are stood in for by the test
// binary, under their names. Each does on the sandbox what the real one does, as
// far as the documents use it, and fails on everything else.
var shims = map[string]func(*shim) error{
	"sudo": sudo, "useradd": useradd, "install": install, "chown": chown,
	"systemctl": systemctl, "journalctl": journalctl,
	"docker": docker, "kubectl": kubectl,
	"nginx": nginx, "haproxy": haproxy,
	"git": git, "go": goTool,
}

// shimRoot names the variable with the sandbox's root.
const shimRoot = "DOCS_SANDBOX"

// TestMain is the entry of the shims too.
func TestMain(m *testing.M) {
	do, ok := shims[filepath.Base(os.Args[0])]
	if !ok {
		code := m.Run()
		_ = os.RemoveAll(builtIn)
		os.Exit(code)
	}
	s := &shim{root: os.Getenv(shimRoot), name: filepath.Base(os.Args[0]), args: os.Args[1:]}
	if err := do(s); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// shim is one call of a program.
type shim struct {
	root, name string
	args       []string
}

func (s *shim) in(path string) string    { return filepath.Join(s.root, path) }
func (s *shim) state(name string) string { return s.in("/state/" + name) }

func (s *shim) unknown() error {
	return fmt.Errorf("the documents' %s doesn't know %q", s.name, s.args)
}

// isFile fails unless path is a plain file.
func isFile(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s isn't a file", path)
	}
	return err
}

// options takes the leading options off the arguments: those in flags stand
// alone, those in values have a value. Others are an error.
func (s *shim) options(flags, values []string) (map[string]string, error) {
	found := map[string]string{}
	for len(s.args) > 0 && strings.HasPrefix(s.args[0], "-") {
		name, value, joined := strings.Cut(s.args[0], "=")
		switch {
		case slices.Contains(flags, s.args[0]):
			found[name], s.args = "yes", s.args[1:]
		case slices.Contains(values, name) && joined:
			found[name], s.args = value, s.args[1:]
		case slices.Contains(values, name) && len(s.args) > 1:
			found[name], s.args = s.args[1], s.args[2:]
		default:
			return nil, s.unknown()
		}
	}
	return found, nil
}

// become replaces the shim by the real program of that name.
func (s *shim) become(args ...string) error {
	path := ""
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		candidate := filepath.Join(dir, args[0])
		if dir != s.in("/shims") && isFile(candidate) == nil {
			path = candidate
			break
		}
	}
	if path == "" {
		return fmt.Errorf("there is no %s", args[0])
	}
	return syscall.Exec(path, args, os.Environ())
}

// users are those that useradd made; root is always there.
func (s *shim) users() []string {
	content, _ := os.ReadFile(s.state("users"))
	return append(strings.Fields(string(content)), "root")
}

func (s *shim) checkOwner(owner string) error {
	user, group, _ := strings.Cut(owner, ":")
	for _, name := range []string{user, group} {
		if name != "" && !slices.Contains(s.users(), name) {
			return fmt.Errorf("there is no user %q", name)
		}
	}
	return nil
}

func sudo(s *shim) error {
	found, err := s.options(nil, []string{"-u"})
	if err != nil {
		return err
	}
	if err := s.checkOwner(found["-u"]); err != nil {
		return err
	}
	if len(s.args) == 0 {
		return s.unknown()
	}
	path, err := exec.LookPath(s.args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, s.args, os.Environ())
}

func useradd(s *shim) error {
	if _, err := s.options([]string{"--system", "--no-create-home", "--user-group"}, []string{"--home-dir", "--shell"}); err != nil || len(s.args) != 1 {
		return s.unknown()
	}
	if slices.Contains(s.users(), s.args[0]) {
		return fmt.Errorf("user %q already exists", s.args[0])
	}
	f, err := os.OpenFile(s.state("users"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintln(f, s.args[0])
	return f.Close()
}

// install checks the owner, which only root could give, and does the rest.
func install(s *shim) error {
	found, err := s.options([]string{"-d", "-D"}, []string{"-o", "-g", "-m"})
	if err != nil {
		return err
	}
	if err := s.checkOwner(found["-o"] + ":" + found["-g"]); err != nil {
		return err
	}
	args := []string{"install", "-m", found["-m"]}
	if found["-m"] == "" {
		args = args[:1]
	}
	for _, flag := range []string{"-d", "-D"} {
		if found[flag] != "" {
			args = append(args, flag)
		}
	}
	return s.become(append(args, s.args...)...)
}

func chown(s *shim) error {
	if _, err := s.options([]string{"-R"}, nil); err != nil || len(s.args) < 2 {
		return s.unknown()
	}
	if err := s.checkOwner(s.args[0]); err != nil {
		return err
	}
	for _, path := range s.args[1:] {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	return nil
}

func nginx(s *shim) error {
	if !slices.Equal(s.args, []string{"-t"}) && !slices.Equal(s.args, []string{"-s", "reload"}) {
		return s.unknown()
	}
	files, err := filepath.Glob(s.in("/etc/nginx/conf.d/*.conf"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("nothing is in conf.d: %w", err)
	}
	for _, file := range files {
		if err := balanced(file); err != nil {
			return err
		}
	}
	return nil
}

// balanced checks the braces and the ends of the lines of an nginx file, and that
// the files that it names are there.
func balanced(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	depth, n := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		n++
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if fields := strings.Fields(strings.TrimSuffix(line, ";")); strings.HasPrefix(fields[0], "ssl_certificate") {
			if err := isFile(fields[1]); err != nil {
				return err
			}
		}
		depth += strings.Count(line, "{") - strings.Count(line, "}")
		if !strings.ContainsAny(line[len(line)-1:], "{};") || depth < 0 {
			return fmt.Errorf("%s:%d: %q", file, n, line)
		}
	}
	if depth != 0 || n == 0 {
		return fmt.Errorf("%s: a block isn't closed", file)
	}
	return nil
}

func haproxy(s *shim) error {
	found, err := s.options([]string{"-c"}, []string{"-f"})
	if err != nil || found["-c"] == "" || len(s.args) > 0 {
		return s.unknown()
	}
	content, err := os.ReadFile(found["-f"])
	if err != nil {
		return err
	}
	if _, after, ok := strings.Cut(string(content), " crt "); ok {
		if err := isFile(strings.Fields(after)[0]); err != nil {
			return err
		}
	}
	for _, section := range []string{"\ndefaults", "\nfrontend ", "\nbackend "} {
		if !strings.Contains("\n"+string(content), section) {
			return fmt.Errorf("%s has no section%s", found["-f"], strings.TrimSpace(section))
		}
	}
	return nil
}

// git stands for a clone of the repository by the sandbox's copy.
func git(s *shim) error {
	if len(s.args) != 2 || s.args[0] != "clone" || s.args[1] != "https://github.com/vccdb/vccdb" {
		return s.unknown()
	}
	return os.CopyFS("vccdb", os.DirFS(s.state("source")))
}

// goTool knows the tasks; what they build stands in the sandbox already.
func goTool(s *shim) error {
	if len(s.args) < 3 || s.args[0] != "tool" || s.args[1] != "task" {
		return s.unknown()
	}
	content, err := os.ReadFile("Taskfile.yml")
	if err != nil {
		return err
	}
	if !strings.Contains(string(content), "\n  "+s.args[2]+":\n") {
		return fmt.Errorf("there is no task %s", s.args[2])
	}
	return nil
}

// TestShimsRefuse holds that the stand-ins fail on what the real programs fail on.
func TestShimsRefuse(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	write := func(path, content string) {
		must(t, os.MkdirAll(filepath.Dir(s.in(path)), 0o755))
		must(t, os.WriteFile(s.in(path), []byte(s.toSandbox(content)), 0o644))
	}
	write("/etc/systemd/system/dies.service", "[Service]\nType=notify\nExecStart=/usr/local/bin/absent\n")
	write("/etc/systemd/system/quits.service", "[Service]\nType=notify\nExecStart=/bin/true\n[Install]\nWantedBy=x\n")
	write("/etc/systemd/system/user.service", "[Service]\nUser=nobody-here\nExecStart=/bin/true\n")
	write("/etc/systemd/system/paths.service", "[Service]\nReadWritePaths=/var/none\nExecStart=/bin/true\n")
	write("/etc/nginx/conf.d/a.conf", "server {\n\tlisten 80\n}\n")
	write("/srv/compose.yml", "services: {a: {image: x, volumes: ['./absent:/y']}}\n")
	write("/srv/Dockerfile", "FROM x\nCOPY absent /\n")
	write("/srv/object.yaml", "apiVersion: v1\nkind: Secret\n")
	write("/etc/haproxy/haproxy.cfg", "defaults\nfrontend a\n")
	for _, command := range []string{
		"systemctl start absent", "systemctl start dies", "systemctl enable dies", "systemctl start quits", "systemctl start user",
		"systemctl start paths", "systemctl reload quits", "systemctl is-active quits", "systemctl frobnicate quits", "journalctl -u absent",
		"sudo -u nobody-here true", "sudo --badly true", "sudo absent-program", "useradd --frob x", "chown absent:absent /",
		"install -o absent a b", "install --frob a b", "nginx -t", "nginx --frob", "haproxy -c -f /etc/haproxy/haproxy.cfg",
		"docker compose -f /srv/compose.yml up -d", "docker compose -f /srv/absent.yml up", "docker build -f /srv/Dockerfile -t x /srv",
		"docker run x", "docker rm -f x", "docker frob", "kubectl apply -f /srv/object.yaml", "kubectl apply -f /srv/absent.yaml",
		"kubectl rollout status statefulset/absent", "kubectl frob x", "git clone https://example.com/x", "go build ./...", "go tool task absent",
	} {
		if _, stderr, err := s.run(&step{block: block{text: command}}); err == nil || stderr == "" {
			t.Errorf("%s: %v, %q", command, err, stderr)
		}
	}
}
