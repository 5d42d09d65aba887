package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAptSources holds that build/cuda.sh adds what has CUDA to the system's own
// sources, in either format, to no others, and once.
func TestAptSources(t *testing.T) {
	tool(t, "awk")
	dir := t.TempDir()
	release := filepath.Join(dir, "os-release")
	write(t, release, []byte("ID=debian\nVERSION_CODENAME=bookworm\n"))
	if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string][2]string{
		"sources.list": {`# what the system is made of
deb http://deb.test/debian bookworm main  # here
deb [arch=amd64 signed-by=/keys/a] http://deb.test/debian bookworm-updates main contrib
deb-src http://deb.test/debian bookworm main
deb http://security.test/debian bookworm-security main contrib non-free non-free-firmware
deb http://other.test/apt cloud-bookworm main
`, `# what the system is made of
deb http://deb.test/debian bookworm main contrib non-free  # here
deb [arch=amd64 signed-by=/keys/a] http://deb.test/debian bookworm-updates main contrib non-free
deb-src http://deb.test/debian bookworm main
deb http://security.test/debian bookworm-security main contrib non-free non-free-firmware
deb http://other.test/apt cloud-bookworm main
`},
		"sources.list.d/debian.sources": {`Types: deb
# a comment
URIs: http://deb.test/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://other.test/node
Suites: nodistro
Components: main
`, `Types: deb
# a comment
URIs: http://deb.test/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware contrib non-free
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://other.test/node
Suites: nodistro
Components: main
`},
		"sources.list.d/other.list": {"deb http://other.test/apt stable-pgdg main\n", "deb http://other.test/apt stable-pgdg main\n"},
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), []byte(content[0]))
	}
	if os.Getuid() != 0 {
		t.Skip("changing apt's sources needs root")
	}
	for range 2 {
		cmd := exec.Command(root+"/build/cuda.sh", "--sources")
		cmd.Env = append(os.Environ(), "APT_ETC="+dir, "OS_RELEASE="+release)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for name, content := range files {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(got) != content[1] {
				t.Errorf("%s (%v):\n%s", name, err, got)
			}
			saved, err := os.ReadFile(filepath.Join(dir, name+".save"))
			if content[0] != content[1] && string(saved) != content[0] {
				t.Errorf("what %s was isn't kept (%v): %s", name, err, saved)
			}
			if content[0] == content[1] && err == nil {
				t.Errorf("%s was rewritten", name)
			}
		}
	}
	if strings.Contains(string(mustRead(t, root+"/build/cuda.sh")), "http") {
		t.Error("build/cuda.sh names a host")
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
