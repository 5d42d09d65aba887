// The commands of the documents are run here, in order, by a shell, against the
// real programs. A document that tells something that isn't so fails.
package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/storage/storagetest"
)

const repository = ".."

// builtIn is the folder of the programs, once they are built.
var builtIn string

// built makes the programs of the release, once.
var built = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "themis-docs"); err != nil {
		return "", err
	}
	builtIn = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/themis_server", "./cmd/vccdb-migrate")
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func programs(t *testing.T) string {
	t.Helper()
	dir, err := built()
	must(t, err)
	return dir
}

// copyPrograms puts the programs into a folder.
func copyPrograms(t *testing.T, dir string) {
	t.Helper()
	must(t, os.CopyFS(dir, os.DirFS(programs(t))))
}

// release fills the sandbox with the release's tarball.
func (s *sandbox) release() {
	s.t.Helper()
	dir := filepath.Join(s.in("/state"), "vccdb-linux-x64")
	must(s.t, os.MkdirAll(dir, 0o755))
	copyPrograms(s.t, dir)
	s.copyTree(filepath.Join(repository, "deploy"), filepath.Join(dir, "deploy"))
	out, err := exec.Command("tar", "czf", filepath.Join(s.work, "vccdb-linux-x64.tar.gz"), "-C", filepath.Dir(dir), filepath.Base(dir)).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tar: %v\n%s", err, out)
	}
}

// source makes what git clone gets: of the source, what the documents use.
func (s *sandbox) source() string {
	s.t.Helper()
	dir := s.in("/state/source")
	for _, name := range []string{"deploy", "build", "go.mod", "go.sum", "Taskfile.yml"} {
		s.copyTree(filepath.Join(repository, name), filepath.Join(dir, name))
	}
	return dir
}

// TestOperationsGuide runs docs/operations.md from top to bottom.
func TestOperationsGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and stops servers")
	}
	t.Parallel()
	s := newSandbox(t, "8765", "6060")
	s.release()
	s.source()
	old := s.in("/var/lib/vccdb/old") // what the part on migration begins with
	must(t, os.MkdirAll(old, 0o755))
	storagetest.Write(t, old, storagetest.Legacy("users:alice", `{"name":"Alice"}`, "users:bob", `{"name":"Bob"}`)...)
	configs := 0
	for _, st := range steps(t, "operations.md", func(b block) {
		if b.lang != "jsonc" {
			t.Errorf("%s: a block is sh, json, text or jsonc, not %q", &b, b.lang)
			return
		}
		configs++
		s.checkConfig(&b)
	}) {
		if !s.check(&st) {
			t.FailNow() // what follows builds on it
		}
	}
	t.Logf("%d files of configuration", configs)
}

// checkConfig holds that a configuration that the document shows is a valid one.
func (s *sandbox) checkConfig(b *block) {
	s.t.Helper()
	name := filepath.Join(s.in("/state"), "shown.json")
	must(s.t, os.WriteFile(name, []byte(s.toSandbox(b.text)), 0o600))
	cmd := exec.Command(filepath.Join(s.in("/state/vccdb-linux-x64"), "themis_server"), "--config", name, "--set", "server.port=0", "--validate")
	if out, err := cmd.CombinedOutput(); err != nil && strings.Contains(string(out), "Config file invalid") {
		s.t.Errorf("%s: %s", b, out)
	}
}

// TestReadme runs the commands of README.md, on the programs built from source.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	t.Parallel()
	s := newSandbox(t, "8765")
	bin := filepath.Join(s.source(), "bin") // go tool task build makes them
	copyPrograms(t, bin)
	// The one thing that isn't as in the document: without a configuration the
	// server takes port 8765, which may be taken here.
	s.environ = append(s.environ, "THEMIS_PORT="+s.ports["8765"])
	for _, st := range steps(t, filepath.Join(repository, "README.md"), func(block) {}) {
		if !s.check(&st) {
			t.FailNow()
		}
	}
}

// link is a link to a file of the repository.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

// TestLinks holds that the documents' links lead to files.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob("*.md")
	must(t, err)
	for _, document := range append(documents, filepath.Join(repository, "README.md")) {
		content, err := os.ReadFile(document)
		must(t, err)
		for _, m := range link.FindAllStringSubmatch(string(content), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), m[1])); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
}
