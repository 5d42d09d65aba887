package gpu

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// readDevices asks the library for everything. It stays initialized from one
// reading to the next, because that can take a second, and is given up when it
// can't even count the devices.
func readDevices(l Library, initialized bool) (Status, bool) {
	if !initialized {
		if r := l.Init(); r != nvml.SUCCESS {
			return Status{Reason: missing(r)}, false
		}
	}
	count, r := l.DeviceGetCount()
	if r != nvml.SUCCESS {
		l.Shutdown()
		return Status{Reason: "the NVIDIA driver can't list its devices: " + r.Error()}, false
	}
	var s Status
	if version, r := l.SystemGetDriverVersion(); r == nvml.SUCCESS {
		s.DriverVersion = version
	}
	var failed []string
	for i := range count {
		d, err := readDevice(l, i)
		if err != nil {
			failed = append(failed, err.Error())
			continue
		}
		s.Devices = append(s.Devices, d)
	}
	s.Reason = strings.Join(failed, "; ")
	if count == 0 {
		s.Reason = "the NVIDIA driver has no devices"
	}
	return s, true
}

// missing says in words why the library can't be used.
func missing(r nvml.Return) string {
	switch r {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return "no NVIDIA driver is installed (libnvidia-ml.so.1 was not found)"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the NVIDIA driver is installed but not loaded"
	}
	return "the NVIDIA driver can't be used: " + r.Error()
}

// readDevice fails only without a name or memory; the rest is optional.
func readDevice(l Library, index int) (Device, error) {
	handle, r := l.DeviceGetHandleByIndex(index)
	if r != nvml.SUCCESS {
		return Device{}, fmt.Errorf("device %d: %w", index, r)
	}
	name, r := handle.GetName()
	if r != nvml.SUCCESS {
		return Device{}, fmt.Errorf("device %d: its name: %w", index, r)
	}
	memory, r := handle.GetMemoryInfo()
	if r != nvml.SUCCESS {
		return Device{}, fmt.Errorf("device %d: its memory: %w", index, r)
	}
	d := Device{Index: index, Name: name, MemoryTotalBytes: memory.Total, MemoryUsedBytes: memory.Used}
	if uuid, r := handle.GetUUID(); r == nvml.SUCCESS {
		d.UUID = uuid
	}
	if major, minor, r := handle.GetCudaComputeCapability(); r == nvml.SUCCESS {
		d.ComputeCapability = fmt.Sprintf("%d.%d", major, minor)
	}
	if use, r := handle.GetUtilizationRates(); r == nvml.SUCCESS {
		d.UtilizationPercent = figure(float64(use.Gpu))
	}
	if degrees, r := handle.GetTemperature(nvml.TEMPERATURE_GPU); r == nvml.SUCCESS {
		d.TemperatureCelsius = figure(float64(degrees))
	}
	if milliwatts, r := handle.GetPowerUsage(); r == nvml.SUCCESS {
		d.PowerWatts = figure(float64(milliwatts) / 1000)
	}
	if running, r := handle.GetComputeRunningProcesses(); r == nvml.SUCCESS {
		d.Processes = processes(running)
	}
	return d, nil
}

// processes are those that run kernels, oldest number first. The driver says that
// it doesn't know a process' memory by a number of which all bits are set.
func processes(running []nvml.ProcessInfo) []Process {
	list := []Process{}
	for _, p := range running {
		process := Process{PID: int(p.Pid)}
		if p.UsedGpuMemory != ^uint64(0) {
			process.MemoryBytes = &p.UsedGpuMemory
		}
		list = append(list, process)
	}
	slices.SortFunc(list, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	return list
}

func figure(v float64) *float64 { return &v }
