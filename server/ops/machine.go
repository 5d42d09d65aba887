package ops

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// machineCollector shows what the database stands on: the build, and the space
// of the file system that its data are on.
type machineCollector struct {
	dataPath           string
	info               prometheus.Metric
	diskSize, diskFree *prometheus.Desc
}

func newMachineCollector(o *Options) *machineCollector {
	info := describe("vccdb_build_info", "Which build runs; always 1.", "version", "commit", "go")
	return &machineCollector{
		dataPath: o.DataPath,
		info:     prometheus.MustNewConstMetric(info, prometheus.GaugeValue, 1, o.Build.Version, o.Build.Commit, runtime.Version()),
		diskSize: describe("vccdb_disk_size_bytes", "Size of the file system of the data."),
		diskFree: describe("vccdb_disk_free_bytes", "Free space there that the server may use."),
	}
}

// Describe implements prometheus.Collector.
func (c *machineCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.info.Desc()
	ch <- c.diskSize
	ch <- c.diskFree
}

// Collect implements prometheus.Collector.
func (c *machineCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- c.info
	if c.dataPath == "" {
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(c.dataPath, &fs); err != nil {
		ch <- prometheus.NewInvalidMetric(c.diskFree, err)
		return
	}
	block := float64(fs.Bsize)
	ch <- prometheus.MustNewConstMetric(c.diskSize, prometheus.GaugeValue, float64(fs.Blocks)*block)
	ch <- prometheus.MustNewConstMetric(c.diskFree, prometheus.GaugeValue, float64(fs.Bavail)*block)
}
