package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
)

// How the keys of the GPU reach the worker's supervisor.

// workerOptions are those of the worker, where the server's own program is at a
// path. CUDA has the worker count devices as the driver does, and nvidia-smi; left
// alone, it puts the fastest first.
func workerOptions(c *config.GPU, program string, devices *gpu.Probe, logger *slog.Logger) supervisor.Options {
	return supervisor.Options{
		Command:     []string{c.Worker(program)},
		Env:         []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID"},
		Device:      c.Device,
		MemoryLimit: int64(c.MemoryLimitMB) << 20,
		MaxBatch:    c.MaxBatch,
		LatencyCap:  time.Duration(c.LatencyCapMs) * time.Millisecond,
		Logger:      logger.With(logging.Component, "gpu"),
		Available:   func(ctx context.Context) string { return devices.Unavailable(ctx, c.Device) },
	}
}

// describeDevice tells --validate about a device.
func describeDevice(index int) (name, reason string) {
	devices := gpu.New(gpu.Options{})
	defer devices.Close()
	s := devices.Status(context.Background())
	if reason := s.Unavailable(index); reason != "" {
		return "", reason
	}
	return s.Device(index).Name, ""
}
