package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// workerName is that of the program which runs on a device.
const workerName = "themis_gpu"

// Worker is the path of the program that runs on the device, where the server's
// own program is at a path.
func (g *GPU) Worker(program string) string {
	if g.WorkerPath != "" {
		return g.WorkerPath
	}
	return filepath.Join(filepath.Dir(program), workerName)
}

// checkGPU tries out what searches on a GPU need, if they are wanted.
func (c *Config) checkGPU(m Machine) []finding {
	if !c.VectorIndex.UseGPU {
		return nil
	}
	return []finding{c.GPU.checkDevice(m), c.GPU.checkWorker(m)}
}

func (g *GPU) checkDevice(m Machine) finding {
	name, reason := "", "this machine has none"
	if m.Device != nil {
		name, reason = m.Device(g.Device)
	}
	if reason != "" {
		return finding{fmt.Sprintf("GPU %d not usable: %s", g.Device, reason),
			"until it is, the CPU answers all searches: see to the driver, or set gpu.device, or vector_index.use_gpu to false"}
	}
	return finding{line: fmt.Sprintf("GPU %d usable: %s", g.Device, name)}
}

func (g *GPU) checkWorker(m Machine) finding {
	path := g.Worker(m.Program)
	info, err := os.Stat(path)
	why := ""
	switch {
	case err != nil:
		why = fmt.Sprintf(" (%v)", unwrapped(err))
	case !info.Mode().IsRegular():
		why = " (it is no file)"
	case info.Mode()&0o111 == 0:
		why = " (nobody may execute it)"
	default:
		return finding{line: "GPU worker found: " + path}
	}
	return finding{"GPU worker not found: " + path + why,
		"until it is there, the CPU answers all searches: put " + workerName + " beside the server's program, or set gpu.worker_path"}
}

// unwrapped is an error without the path that it is about.
func unwrapped(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
