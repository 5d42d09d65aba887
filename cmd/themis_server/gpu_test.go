package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
)

// TestWorkerOptions holds what the keys of the GPU make of the worker and of the
// engine.
func TestWorkerOptions(t *testing.T) {
	logger, _, err := logging.New(logging.Options{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	devices := gpu.New(gpu.Options{})
	defer devices.Close()
	load := func(set ...string) *config.Config {
		c, err := config.Load(config.Source{Set: set})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := load()
	o, db := workerOptions(&c.GPU, "/usr/local/bin/themis_server", devices, logger), engineOptions(c, logger).GPU
	if !reflect.DeepEqual(o.Command, []string{"/usr/local/bin/themis_gpu"}) || !reflect.DeepEqual(o.Env, []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID"}) ||
		o.Device != 0 || o.MemoryLimit != 0 || o.MaxBatch != 1024 || o.LatencyCap != 20*time.Millisecond || db.Auto || db.Codes != "int8" {
		t.Errorf("without settings: %+v %+v", o, db)
	}
	c = load("vector_index.use_gpu=true", "gpu.device=200", "gpu.memory_limit_mb=3", "gpu.codes=bf16", "gpu.max_batch=7", "gpu.latency_cap_ms=5", "gpu.worker_path=/opt/worker")
	o, db = workerOptions(&c.GPU, "/usr/local/bin/themis_server", devices, logger), engineOptions(c, logger).GPU
	if !reflect.DeepEqual(o.Command, []string{"/opt/worker"}) || o.Device != 200 || o.MemoryLimit != 3<<20 || o.MaxBatch != 7 || o.LatencyCap != 5*time.Millisecond ||
		!db.Auto || db.Codes != "bf16" {
		t.Errorf("with settings: %+v %+v", o, db)
	}
	// No machine has so many devices: it is told of this one, or of all.
	if reason := o.Available(t.Context()); reason == "" || strings.Contains(reason, "device 0 ") {
		t.Errorf("device 200 is there: %q", reason)
	}
}
