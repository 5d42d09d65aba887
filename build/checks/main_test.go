package checks

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// root is the source tree, deploy what is checked.
const (
	root   = "../.."
	deploy = root + "/deploy"
)

// The defaults that files outside of the server repeat.
const (
	port     = 8765
	dataRoot = "/var/lib/vccdb"
	config   = "/etc/vccdb/themis.json"
	program  = "/usr/local/bin/themis_server"
	jobName  = "themis"
)

// serverProgram is the server under test.
var serverProgram string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "themis-checks")
	if err == nil {
		serverProgram = filepath.Join(dir, "themis_server")
		// With the tag that all tests have, so that what they compiled is used.
		build := exec.Command("go", "build", "-tags", "invariants", "-o", serverProgram, "./cmd/themis_server")
		build.Dir, build.Env, build.Stderr = root, append(os.Environ(), "GOWORK="), os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the server can't be built:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// read returns a file of deploy.
func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// tool returns the path of a program, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("CHECKS_REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed; go tool task check:deploy installs it", name)
	return ""
}

// succeeds runs a program and fails the test with what it said.
func succeeds(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
