//go:build cuda

// Command themis_gpu is the GPU's worker: a process of its own that a Themis server
// starts, so that a fault of the device, of its driver or of a kernel doesn't end the
// server. It has no use of its own but --selftest, which checks and times a device.
//
// It ends at once where the CUDA driver finds no device, whatever it was asked for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/worker"
)

// Set when a release is built.
var (
	commit    = "unknown"
	buildDate = "unknown"
)

// Exit codes of --selftest, and of flags that don't make sense. A worker's are
// serve.ExitStatus's.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "themis_gpu:", err)
		fmt.Fprintln(stderr, "See themis_gpu --help.")
		return exitUsage
	case f.version:
		fmt.Fprintf(stdout, "themis_gpu (commit %s, built %s, %s %s/%s)\n", commit, buildDate, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	case f.selftest:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return selfTest(ctx, f, stdout, stderr)
	}
	return serveServer(f, stderr)
}

// open opens the device.
func (f *flags) open() (*scan.Device, error) {
	l, err := worker.Open(f.device)
	if err != nil {
		return nil, err
	}
	return scan.New(l, scan.Options{MemoryLimit: f.memoryLimit}), nil
}

// serveServer answers the server that started this process, to its end.
func serveServer(f *flags, stderr io.Writer) int {
	o, err := serve.Inherited()
	if err == nil {
		o.Open = func() (serve.Device, error) { return f.open() }
		o.MaxBatch, o.LatencyCap = f.maxBatch, f.latencyCap
		err = serve.Run(o)
	}
	if err != nil {
		fmt.Fprintln(stderr, "themis_gpu:", err)
	}
	return serve.ExitStatus(err)
}

// flags are the command line.
type flags struct {
	device            int
	memoryLimit       int64
	maxBatch          int
	latencyCap        time.Duration
	version, selftest bool
	quick             bool
	json              string
	python            string
	cases             int
	work              float64
	seed              uint64
	rows, dims        list
	batches           list
	codes             string
	k                 int
}

func parse(args []string, stdout io.Writer) (*flags, error) {
	f := &flags{}
	set := flag.NewFlagSet("themis_gpu", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.IntVar(&f.device, "device", 0, "the device, as CUDA counts them")
	set.Int64Var(&f.memoryLimit, "memory-limit", 0, "the bytes of the device's memory to use at most (what is free, less a sixteenth of all)")
	set.IntVar(&f.maxBatch, "max-batch", 0, "how many searches are answered at once")
	set.DurationVar(&f.latencyCap, "latency-cap", 0, "how long a batch may be expected to take")
	set.BoolVar(&f.version, "version", false, "print the version")
	set.BoolVar(&f.selftest, "selftest", false, "check and time the device, and exit with 0 if all is well")
	set.BoolVar(&f.quick, "quick", false, "with --selftest: fewer cases, shapes and batches")
	set.StringVar(&f.json, "json", "", "with --selftest: also write the report to this `file`")
	set.StringVar(&f.python, "python", "", "with --selftest: the `program` that may have PyTorch or CuPy (python3; none)")
	set.IntVar(&f.cases, "cases", 0, "with --selftest: how many random cases are compared with the CPU (60; -1 for none)")
	set.Float64Var(&f.work, "work", 0, "with --selftest: about how many `products` a case takes on the CPU (3e8)")
	set.Uint64Var(&f.seed, "seed", 0, "with --selftest: decides on all that is random")
	set.Var(&f.rows, "rows", "with --selftest: the `sizes` to time (100000,1000000,10000000; 0 for none)")
	set.Var(&f.dims, "dims", "with --selftest: the dimensions to time (128,768,1536)")
	set.Var(&f.batches, "batches", "with --selftest: the batches to time (1,2,4,...,4096)")
	set.StringVar(&f.codes, "codes", "", "with --selftest: int8 or bf16 (both)")
	set.IntVar(&f.k, "k", 0, "with --selftest: how many hits are asked for (10)")
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(stdout, "themis_gpu is started by a Themis server. To check and time a device: themis_gpu --selftest")
		set.SetOutput(stdout)
		set.PrintDefaults()
	}
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("there is no argument %q", set.Arg(0))
	}
	return f, err
}
