package kernels_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
)

var rebuild = flag.Bool("kernels.rebuild", false, "compile the kernels with nvcc and compare the images with those in the source")

// TestImages: the embedded images were made of these sources. Without nvcc that is what
// the file beside them says.
func TestImages(t *testing.T) {
	made, err := fs.ReadFile(kernels.Images(), "made")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{} // digests by name
	for line := range strings.Lines(string(made)) {
		if digest, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			listed[name] = digest
		}
	}
	compare := func(files fs.FS, names ...string) {
		for _, name := range names {
			content, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != listed[name] {
				t.Errorf("%s isn't the one that the images were made with: run go tool task gpu:kernels", name)
			}
			delete(listed, name)
		}
	}
	names, err := fs.Glob(kernels.Sources(), "*.cu*")
	if err != nil {
		t.Fatal(err)
	}
	compare(kernels.Sources(), append(names, "abi.h")...)
	compare(kernels.Images(), "sm_80.ptx", "sm_90.cubin")
	if len(listed) > 0 {
		t.Errorf("the images were made of files that aren't there any more: %v", listed)
	}
	if *rebuild {
		build := exec.Command("../../build/kernels.sh", "--check")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			t.Error(err)
		}
	}
}

// TestImageFor: every generation that there are kernels for gets an image with all of them.
func TestImageFor(t *testing.T) {
	want := map[[2]int]string{{8, 0}: "ptx sm_80", {8, 9}: "ptx sm_80", {9, 0}: "sm_90", {10, 0}: "ptx sm_80", {12, 1}: "ptx sm_80"}
	for device, name := range want {
		image, err := kernels.ImageFor(device[0], device[1])
		if err != nil || image.Name != name {
			t.Fatalf("devices of %v get %q, %v; want %q", device, image.Name, err, name)
		}
		if name == "sm_90" != bytes.HasPrefix(image.Data, []byte("\x7fELF")) {
			t.Errorf("%s begins with %q", name, image.Data[:4])
		}
		for _, scan := range allScans() {
			if !bytes.Contains(image.Data, []byte(scan.Kernel())) {
				t.Errorf("%s has no %s", name, scan.Kernel())
			}
		}
		if name != "sm_90" && image.Data[len(image.Data)-1] != 0 {
			t.Error("PTX has no end")
		}
	}
	if _, err := kernels.ImageFor(7, 5); err == nil {
		t.Error("there are kernels for 7.5")
	}
}
