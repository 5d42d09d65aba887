package vecindex

import "github.com/vccdb/vccdb/vecindex/simd"

// Kernels names the instruction sets that this machine has and distances can be
// computed with, best first; the first is used.
func Kernels() []string {
	var names []string
	for _, level := range simd.Levels() {
		names = append(names, level.String())
	}
	return names
}
