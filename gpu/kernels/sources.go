package kernels

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
)

//go:embed cuda
var cuda embed.FS

// Sources are the C++ files. kernels.cu is what nvcc compiles, host.cpp the same for a
// CPU, with a program around it.
func Sources() fs.FS {
	sub, err := fs.Sub(cuda, "cuda")
	if err != nil {
		panic("kernels: no sources: " + err.Error()) // they are embedded
	}
	return sub
}

// digest is that of what a compiler for devices reads.
func digest() string {
	sources := Sources()
	names, _ := fs.Glob(sources, "*.cu*") // sorted; the pattern is fine
	h := sha256.New()
	for _, name := range append(names, "abi.h") {
		content, err := fs.ReadFile(sources, name)
		if err != nil {
			panic("kernels: " + err.Error()) // it is embedded
		}
		h.Write([]byte(name + "\x00"))
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil))
}
