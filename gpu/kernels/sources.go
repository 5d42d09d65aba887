package kernels

import (
	"embed"
	"fmt"
	"io/fs"
)

var (
	//go:embed cuda
	sources embed.FS
	//go:embed images
	images embed.FS
)

// Sources are the C++ files. kernels.cu is what nvcc compiles, host.cpp the same for a
// CPU, with a program around it.
func Sources() fs.FS { return sub(sources, "cuda") }

// Images are what nvcc made of the sources: sm_90.cubin, sm_80.ptx, and made, which has
// the version of nvcc, and the SHA-256 of the images and of the sources that they were
// made of.
func Images() fs.FS { return sub(images, "images") }

func sub(all embed.FS, dir string) fs.FS {
	files, err := fs.Sub(all, dir)
	if err != nil {
		panic("kernels: " + err.Error()) // the folder is embedded
	}
	return files
}

// Image is code that a driver loads.
type Image struct {
	// Name says what it is: sm_90, or ptx sm_80, which the driver has to compile first.
	Name string
	// Data ends with a zero byte if it is PTX.
	Data []byte
}

// ImageFor is the code for devices of a compute capability. Below 8.0 there is none.
func ImageFor(major, minor int) (Image, error) {
	image, file, end := Image{Name: "ptx sm_80"}, "images/sm_80.ptx", "\x00"
	switch {
	case major < 8:
		return Image{}, fmt.Errorf("there are no kernels for devices of compute capability %d.%d, only from 8.0 on", major, minor)
	case major == 9: // machine code runs on all of a generation
		image, file, end = Image{Name: "sm_90"}, "images/sm_90.cubin", ""
	}
	data, err := images.ReadFile(file)
	if err != nil {
		return Image{}, err
	}
	image.Data = append(data, end...)
	return image, nil
}
