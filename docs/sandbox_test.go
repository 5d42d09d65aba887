package docs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sandbox is the machine that a document's commands run on: a folder that stands
// for the root of the file system, a work folder that stands for the unpacked
// release, programs of its own for what would change the real machine (shims),
// and free ports in place of those that the document names.
type sandbox struct {
	t          *testing.T
	root, work string
	ports      map[string]string
	environ    []string
	groups     []int // the process groups of the steps
	vars       []string
}

// systemPaths are the paths that stand below the sandbox's root. A path counts
// where it doesn't go on from something else, as in an URL.
var systemPaths = regexp.MustCompile(`(^|[^\w./~$}-])(/(?:etc|var|opt|srv|mnt|usr/local)\b)`)

// newSandbox fills the work folder with the release: the programs and deploy/,
// and makes the shims. Ports are those of the document.
func newSandbox(t *testing.T, ports ...string) *sandbox {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("the documents' commands need %s; install it with: go tool task deps", tool)
		}
	}
	s := &sandbox{t: t, root: t.TempDir(), ports: map[string]string{}}
	s.work = filepath.Join(s.root, "home", "vccdb")
	for _, dir := range []string{s.work, s.in("/shims"), s.in("/state"), s.in("/usr/local/bin"), s.in("/etc/systemd/system"), s.in("/var/lib"), s.in("/var/log"), s.in("/var/backups"), s.in("/opt")} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	for _, port := range ports {
		s.ports[port] = freePort(t)
	}
	self, err := os.Executable()
	must(t, err)
	for name := range shims {
		must(t, os.Symlink(self, filepath.Join(s.in("/shims"), name)))
	}
	// curl says what the server answered, for the check that no command meets an
	// error that the document doesn't show.
	must(t, os.WriteFile(s.in("/home/.curlrc"), []byte("write-out = \"%{stderr}"+statusMark+"%{http_code}\\n\"\nno-progress-meter\n"), 0o600))
	s.environ = []string{
		"PATH=" + strings.Join([]string{s.in("/shims"), s.in("/usr/local/bin"), os.Getenv("PATH")}, ":"),
		"HOME=" + s.in("/home"), "USER=operator", "LANG=C.UTF-8", "TMPDIR=" + s.in("/state"),
		shimRoot + "=" + s.root,
	}
	t.Cleanup(s.stopAll)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freePort is a port that nothing listens on. It isn't one of those that systems
// give to connections by themselves: until the server takes it, another test's
// connection could have it.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		port := strconv.Itoa(18000 + rand.IntN(12000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			must(t, l.Close())
			return port
		}
	}
}

// in is where a path of the document really is.
func (s *sandbox) in(path string) string { return filepath.Join(s.root, path) }

// toSandbox rewrites paths and ports of a text, toDocument does the opposite.
func (s *sandbox) toSandbox(text string) string {
	text = systemPaths.ReplaceAllString(text, "${1}"+s.root+"${2}")
	for port, real := range s.ports {
		text = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllString(text, real)
	}
	return text
}

func (s *sandbox) toDocument(text string) string {
	text = strings.ReplaceAll(text, s.root, "")
	for port, real := range s.ports {
		text = strings.ReplaceAll(text, real, port)
	}
	return text
}

// copyTree copies a folder of the repository, with paths and ports rewritten.
func (s *sandbox) copyTree(from, to string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, name)
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, []byte(s.toSandbox(string(content))), info.Mode().Perm())
	}))
}

// statusMark precedes the HTTP status in what curl writes to standard error.
const statusMark = "themis-docs-http-status "

var statusLine = regexp.MustCompile(`(?m)^` + statusMark + `(\d+)\n`)

// assignment is a variable that a block sets and later ones may use.
var assignment = regexp.MustCompile(`(?m)^(?:export )?([A-Z][A-Z0-9_]*)=`)

// stepTimeout is far more than any step takes.
const stepTimeout = 60 * time.Second

// run carries a step out as a shell that stops at the first failing command, and
// returns what it wrote. Variables and the folder go on to the next step.
func (s *sandbox) run(st *step) (stdout, stderr string, err error) {
	s.t.Helper()
	cwd, vars := s.in("/state/cwd"), s.in("/state/vars")
	for _, m := range assignment.FindAllStringSubmatch(st.text, -1) {
		if !slices.Contains(s.vars, m[1]) {
			s.vars = append(s.vars, m[1])
		}
	}
	script := "set -eu\n[ ! -f " + cwd + " ] || cd \"$(cat " + cwd + ")\"\n[ ! -f " + vars + " ] || . " + vars + "\n" +
		s.toSandbox(st.text) + "\npwd >" + cwd + "\n: >" + vars + "\n"
	for _, name := range s.vars {
		script += "declare -p " + name + " 2>/dev/null >>" + vars + " || :\n"
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = s.work, s.environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Files, not pipes: what goes on in the background must not be waited for.
	outFile, errFile := s.create("stdout"), s.create("stderr")
	defer outFile.Close()
	defer errFile.Close()
	cmd.Stdout, cmd.Stderr = outFile, errFile
	must(s.t, cmd.Start())
	s.groups = append(s.groups, cmd.Process.Pid)
	late := time.AfterFunc(stepTimeout, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	if !late.Stop() {
		err = errors.Join(err, fmt.Errorf("it did not end within %s", stepTimeout))
	}
	return s.toDocument(s.read(outFile)), s.toDocument(s.read(errFile)), err
}

func (s *sandbox) create(name string) *os.File {
	f, err := os.CreateTemp(s.in("/state"), name)
	must(s.t, err)
	return f
}

func (s *sandbox) read(f *os.File) string {
	content, err := os.ReadFile(f.Name())
	must(s.t, err)
	return string(content)
}

// check runs a step and holds it against the document. It reports whether the
// steps that build on it make sense.
func (s *sandbox) check(st *step) bool {
	s.t.Helper()
	started := time.Now()
	stdout, stderr, err := s.run(st)
	statuses := statusLine.FindAllStringSubmatch(stderr, -1)
	stderr = statusLine.ReplaceAllString(stderr, "")
	if testing.Verbose() {
		s.t.Logf("%s (%s)\n%s--- output\n%s--- errors\n%s", st, time.Since(started).Round(time.Millisecond), st.text, stdout, stderr)
	}
	fail := func(why string) {
		s.t.Errorf("%s (%s): %s\n--- commands\n%s--- output\n%s--- errors\n%s", st, st.section, why, st.text, stdout, stderr)
	}
	if err != nil {
		fail(err.Error())
		return false
	}
	if st.answer != nil {
		if differs := matches(st.answer, stdout); differs != "" {
			fail(differs + "\n--- the document shows\n" + st.answer.text)
		}
		return true
	}
	for _, status := range statuses {
		if status[1] >= "400" {
			fail("the server answered " + status[1] + ", which the document doesn't show")
		}
	}
	return true
}

// stopAll ends whatever the steps and the shims left running.
func (s *sandbox) stopAll() {
	pids, _ := filepath.Glob(s.in("/state/*.pid"))
	for _, name := range pids {
		if content, err := os.ReadFile(name); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
				s.groups = append(s.groups, pid)
			}
		}
	}
	for _, group := range s.groups {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
	// A killed process may still be busy with its files for a moment.
	for range 100 {
		if !slices.ContainsFunc(s.groups, func(group int) bool { return syscall.Kill(-group, 0) == nil }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
