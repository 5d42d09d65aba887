package lint

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestNoRegistryHosts holds that no file says where packages come from: that is
// for each machine's own settings. The hosts are in pieces here, so that this
// file passes too.
func TestNoRegistryHosts(t *testing.T) {
	hosts := [][]byte{
		[]byte("proxy.golang" + ".org"), []byte("sum.golang" + ".org"), []byte("registry.npmjs" + ".org"),
		[]byte("deb.debian" + ".org"), []byte("archive.ubuntu" + ".com"), []byte("index.docker" + ".io"),
	}
	files := 0
	err := filepath.WalkDir(sourceRoot, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "data", "dist", "node_modules"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		files++
		content, err := os.ReadFile(name)
		for _, host := range hosts {
			if bytes.Contains(content, host) {
				t.Errorf("%s names the host %s", name, host)
			}
		}
		return err
	})
	if err != nil || files < 20 {
		t.Fatalf("%d files read: %v", files, err)
	}
}

// TestTasks holds that every task explains itself, and that the documents name
// only tasks that exist.
func TestTasks(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(sourceRoot, "Taskfile.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tasks map[string]struct {
			Desc     string
			Internal bool
		}
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	for name, task := range file.Tasks {
		if task.Desc == "" && !task.Internal {
			t.Errorf("Taskfile.yml: the task %s has no desc", name)
		}
	}
	documents, err := filepath.Glob(filepath.Join(sourceRoot, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile(`go tool task ([a-z][a-z:]*)`)
	for _, document := range append(documents, filepath.Join(sourceRoot, "README.md"), filepath.Join(sourceRoot, ".ci", "run")) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mention.FindAllSubmatch(text, -1) {
			if _, ok := file.Tasks[string(m[1])]; !ok {
				t.Errorf("%s names the task %s, which Taskfile.yml doesn't have", document, m[1])
			}
		}
	}
}

// TestToolsDontRaiseVersions holds that building in the workspace, where the
// tools' requirements count too, and building the main module alone take the
// same code: the tools ask for no newer version of a module that both use.
func TestToolsDontRaiseVersions(t *testing.T) {
	product := requirements(t, "go.mod")
	for module, version := range requirements(t, "build/tools/go.mod") {
		if own, shared := product[module]; shared && newer(version, own) {
			t.Errorf("build/tools/go.mod requires %s %s, go.mod %s: raise the latter", module, version, own)
		}
	}
}

func requirements(t *testing.T, name string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(sourceRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*(\S+/\S+) (v\S+)`).FindAllStringSubmatch(string(content), -1) {
		versions[m[1]] = m[2]
	}
	if len(versions) < 5 {
		t.Fatalf("%s: only %d requirements were read", name, len(versions))
	}
	return versions
}

// newer compares versions without their pre-release parts, which is enough to
// notice a difference worth a look.
func newer(a, b string) bool {
	digits := regexp.MustCompile(`\d+`)
	numbers := func(v string) []string { return digits.FindAllString(strings.SplitN(v, "-", 2)[0], -1) }
	return slices.CompareFunc(numbers(a), numbers(b), func(x, y string) int {
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	}) > 0
}
