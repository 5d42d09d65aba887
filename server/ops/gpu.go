package ops

import (
	"cmp"
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vccdb/vccdb/gpu"
)

// GPU tells which devices there are; *gpu.Probe is one.
type GPU interface {
	Status(context.Context) gpu.Status
}

// noGPU is a machine whose devices nobody asked for.
type noGPU struct{}

func (noGPU) Status(context.Context) gpu.Status {
	return gpu.Status{Reason: "this server doesn't look for devices"}
}

// GPUStats say whether searches use a GPU, and which devices there are.
type GPUStats struct {
	Enabled bool `json:"enabled"`
	// Reason says why it isn't enabled.
	Reason  string       `json:"reason,omitempty"`
	Devices []gpu.Device `json:"devices"`
}

func gpuStats(s gpu.Status) GPUStats {
	return GPUStats{
		Reason:  cmp.Or(s.Reason, "searches don't use the GPU: vector_index.use_gpu is not available yet"),
		Devices: append([]gpu.Device{}, s.Devices...),
	}
}

// gpuCollector shows the devices to Prometheus.
type gpuCollector struct {
	gpu     GPU
	devices *prometheus.Desc
	figures []deviceFigure
}

// deviceFigure is one number of each device; nil where a device doesn't report
// it.
type deviceFigure struct {
	desc *prometheus.Desc
	read func(*gpu.Device) *float64
}

func newGPUCollector(devices GPU) *gpuCollector {
	figure := func(name, help string, read func(*gpu.Device) *float64) deviceFigure {
		return deviceFigure{describe(name, help, "index"), read}
	}
	bytes := func(n uint64) *float64 { f := float64(n); return &f }
	return &gpuCollector{
		gpu:     devices,
		devices: describe("vccdb_gpu_devices", "NVIDIA devices that the driver lists."),
		figures: []deviceFigure{
			figure("vccdb_gpu_memory_total_bytes", "Memory of the device.",
				func(d *gpu.Device) *float64 { return bytes(d.MemoryTotalBytes) }),
			figure("vccdb_gpu_memory_used_bytes", "Memory of the device that is in use, by any process.",
				func(d *gpu.Device) *float64 { return bytes(d.MemoryUsedBytes) }),
			figure("vccdb_gpu_utilization_percent", "Share of the time in which a kernel runs.",
				func(d *gpu.Device) *float64 { return d.UtilizationPercent }),
			figure("vccdb_gpu_temperature_celsius", "Temperature of the chip.",
				func(d *gpu.Device) *float64 { return d.TemperatureCelsius }),
			figure("vccdb_gpu_power_watts", "Power that the device draws.",
				func(d *gpu.Device) *float64 { return d.PowerWatts }),
		},
	}
}

// Describe implements prometheus.Collector.
func (c *gpuCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.devices
	for _, f := range c.figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector. Prometheus gives no context here; the
// probe has a limit of its own.
func (c *gpuCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.gpu.Status(context.Background())
	ch <- prometheus.MustNewConstMetric(c.devices, prometheus.GaugeValue, float64(len(s.Devices)))
	for i := range s.Devices {
		d := &s.Devices[i]
		for _, f := range c.figures {
			if v := f.read(d); v != nil {
				ch <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, *v, strconv.Itoa(d.Index))
			}
		}
	}
}
