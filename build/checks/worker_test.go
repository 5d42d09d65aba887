package checks

import (
	"debug/buildinfo"
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cuda are the names of what only the GPU's worker may have in it.
var cuda = []string{"gorgonia.org/cu", "libcuda"}

// TestServerWithoutCUDA holds that the server neither has CUDA in it nor asks for it.
func TestServerWithoutCUDA(t *testing.T) {
	info, err := buildinfo.ReadFile(serverProgram)
	if err != nil {
		t.Fatal(err)
	}
	parts := libraries(t, serverProgram)
	for _, dep := range info.Deps {
		parts = append(parts, dep.Path)
	}
	for _, part := range parts {
		for _, name := range cuda {
			if strings.HasPrefix(part, name) {
				t.Errorf("the server has %s", part)
			}
		}
	}
}

func libraries(t *testing.T, program string) []string {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	needed, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	return needed
}

// TestWorker builds the GPU's worker, where CUDA is: it needs the driver and the C
// library, and nothing of the toolkit.
func TestWorker(t *testing.T) {
	if testing.Short() || exec.Command(root+"/build/cuda.sh", "--present").Run() != nil {
		t.Skip("CUDA's header isn't here; build/cuda.sh installs it")
	}
	dir := t.TempDir()
	build := exec.Command("build/cuda.sh", dir)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, library := range libraries(t, filepath.Join(dir, "themis_gpu")) {
		if library != "libcuda.so.1" && !strings.HasPrefix(library, "libc.so.") && !strings.HasPrefix(library, "ld-linux") {
			t.Errorf("the worker needs %s", library)
		}
	}
}
