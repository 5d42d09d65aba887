package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGPUGuide holds that gpu.md has every word for why an engine answered, every key, and
// the kernels' names.
func TestGPUGuide(t *testing.T) {
	guide, err := os.ReadFile("gpu.md")
	must(t, err)
	for _, source := range []struct {
		file, pattern string
		least         int
		before, after string
	}{
		{"vecindex/device/reason.go", `\bReason\w+:\s+"([a-z_]+)"`, 15, "`", "`"},
		{"server/config/keys.go", `path: "(gpu\.\w+)"`, 6, "| `", "` |"},
		{"gpu/kernels/kernels.go", `Launch\{"(\w+)"`, 5, "`", "`"},
		{"cmd/themis_gpu/main.go", `Var\(&f\.(?:rows|dims|batches|codes|k|python|json|quick|cases), "(\w+)"`, 9, "--", ""},
	} {
		content, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(source.file)))
		must(t, err)
		found := regexp.MustCompile(source.pattern).FindAllStringSubmatch(string(content), -1)
		if len(found) < source.least {
			t.Errorf("%s has only %d", source.file, len(found))
		}
		for _, m := range found {
			if word := source.before + m[1] + source.after; !strings.Contains(string(guide), word) {
				t.Errorf("gpu.md lacks %s", word)
			}
		}
	}
}
