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

// TestAptInstall holds that build/cuda.sh adds to the sources where apt knows the
// toolkit's name and has none of it, and installs it afterwards; with an apt that only
// notes what it is told.
func TestAptInstall(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("installing needs root")
	}
	dir := t.TempDir()
	release, sources, told := filepath.Join(dir, "os-release"), filepath.Join(dir, "sources.list"), filepath.Join(dir, "told")
	write(t, release, []byte("ID=debian\nVERSION_CODENAME=bookworm\n"))
	write(t, sources, []byte("deb http://deb.test/debian bookworm main\n"))
	for name, script := range map[string]string{
		"apt-get": `echo "$@" >>"$APT_ETC/told"`,
		"apt-cache": `candidate='(none)'
grep -q non-free "$APT_ETC/sources.list" && candidate=11.8.89~11.8.0-5
printf '%s:\n  Installed: (none)\n  Candidate: %s\n  Version table:\n' "$2" "$candidate"`,
	} {
		write(t, filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"))
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(root+"/build/cuda.sh", "--install")
	// No program links with CUDA where there is no compiler.
	cmd.Env = append(os.Environ(), "APT_ETC="+dir, "OS_RELEASE="+release, "TMPDIR="+dir, "CC=false", "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := string(mustRead(t, sources)); got != "deb http://deb.test/debian bookworm main contrib non-free\n" {
		t.Errorf("the sources: %s", got)
	}
	const want = "update\nupdate\ninstall -y --no-install-recommends nvidia-cuda-toolkit\n"
	if got := string(mustRead(t, told)); got != want {
		t.Errorf("apt was told %q, want %q", got, want)
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
