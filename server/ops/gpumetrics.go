package ops

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
)

// gpuCollector shows the devices and the worker to Prometheus.
type gpuCollector struct {
	gpu     GPU
	worker  Worker
	devices *prometheus.Desc
	figures []deviceFigure

	wanted, up, restarts, failures *prometheus.Desc
	batches, queue, device, memory *prometheus.Desc
}

// deviceFigure is one number of each device; nil where a device doesn't report
// it.
type deviceFigure struct {
	desc *prometheus.Desc
	read func(*gpu.Device) *float64
}

func newGPUCollector(o *Options) *gpuCollector {
	figure := func(name, help string, read func(*gpu.Device) *float64) deviceFigure {
		return deviceFigure{describe(name, help, "index"), read}
	}
	bytes := func(n uint64) *float64 { f := float64(n); return &f }
	return &gpuCollector{
		gpu: o.GPU, worker: o.Worker,
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
		wanted:   describe("vccdb_gpu_worker_wanted", "1 if an index asks for a GPU."),
		up:       describe("vccdb_gpu_worker_up", "1 if the worker runs, so that a GPU can answer searches."),
		restarts: describe("vccdb_gpu_worker_restarts_total", "Starts of the worker but the first."),
		failures: describe("vccdb_gpu_worker_failures_total", "Ends of the worker that nobody asked for, by cause.", "cause"),
		batches:  describe("vccdb_gpu_batch_size", "Searches that were answered in one pass over the vectors."),
		queue:    describe("vccdb_gpu_queue_seconds", "Time that searches waited in the worker."),
		device:   describe("vccdb_gpu_device_seconds", "Time that batches took on the device."),
		memory:   describe("vccdb_gpu_worker_memory_bytes", "Memory of the device that the worker takes."),
	}
}

// Describe implements prometheus.Collector.
func (c *gpuCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.devices, c.wanted, c.up, c.restarts, c.failures, c.batches, c.queue, c.device, c.memory} {
		ch <- d
	}
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
	worker := c.worker.Status()
	c.collectWorker(ch, &worker)
}

// causes of ends of the worker are shown from the start, at 0.
var causes = []supervisor.Cause{
	supervisor.CauseStart, supervisor.CauseCrash, supervisor.CauseHang, supervisor.CauseLost, supervisor.CauseVersion, supervisor.CauseProtocol,
}

func (c *gpuCollector) collectWorker(ch chan<- prometheus.Metric, s *supervisor.Status) {
	t := &s.Totals
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(c.wanted, truth(s.State != supervisor.Off))
	gauge(c.up, truth(s.State == supervisor.Running))
	memory := 0.0
	if s.Device != nil {
		memory = float64(s.Device.MemoryUsed)
	}
	gauge(c.memory, memory)
	ch <- prometheus.MustNewConstMetric(c.restarts, prometheus.CounterValue, float64(restarts(t)))
	for _, cause := range causes {
		ch <- prometheus.MustNewConstMetric(c.failures, prometheus.CounterValue, float64(t.Failures[cause]), string(cause))
	}
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, most := range supervisor.BatchSizes {
		below += t.BatchSizes[i]
		buckets[float64(most)] = below
	}
	ch <- prometheus.MustNewConstHistogram(c.batches, t.Batches, float64(t.Searches), buckets)
	ch <- prometheus.MustNewConstSummary(c.queue, t.Searches, t.Queued.Seconds(), nil)
	ch <- prometheus.MustNewConstSummary(c.device, t.Batches, t.Device.Seconds(), nil)
}
