package checks

import (
	"debug/buildinfo"
	"debug/elf"
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
