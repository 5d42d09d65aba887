package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// report is one recall measurement, printed as a table and written as JSON.
type report struct {
	Time    time.Time `json:"time"`
	Command string    `json:"command"`
	Machine machine   `json:"machine"`
	// Dataset, Vectors, Dimension, Metric and Queries describe the workload.
	Dataset   string `json:"dataset"`
	Vectors   int    `json:"vectors"`
	Dimension int    `json:"dimension"`
	Metric    string `json:"metric"`
	Queries   int    `json:"queries"`
	// Target is "in-process" or the server's URL, Index what it built.
	Target string `json:"target"`
	Index  string `json:"index"`
	K      int    `json:"k"`
	// LoadSeconds runs from the first vector sent to the last one linked.
	LoadSeconds float64 `json:"load_seconds"`
	Points      []point `json:"points"`
}

type machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
	OS    string `json:"os"`
}

func thisMachine() machine {
	return machine{
		CPU:   cpuid.CPU.BrandName,
		Cores: runtime.GOMAXPROCS(0),
		Go:    runtime.Version(),
		OS:    runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// table writes the report as a Markdown table, which reads well in a terminal too.
func (r *report) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d vectors of dimension %d, %s; %d queries\n", r.Dataset, r.Vectors, r.Dimension, r.Metric, r.Queries)
	fmt.Fprintf(&b, "%s: %s; loaded and linked in %.1f s, %.0f vectors/s\n", r.Target, r.Index, r.LoadSeconds, float64(r.Vectors)/r.LoadSeconds)
	fmt.Fprintf(&b, "%s, %d cores, %s\n\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Go)
	fmt.Fprintf(&b, "| clients |   ef | recall@%-3d |      QPS | mean ms |  p50 ms |  p99 ms |\n", r.K)
	fmt.Fprint(&b, "|--------:|-----:|-----------:|---------:|--------:|--------:|--------:|\n")
	for _, p := range r.Points {
		fmt.Fprintf(&b, "| %7d | %4d | %10.4f | %8.0f | %7.3f | %7.3f | %7.3f |\n",
			p.Clients, p.Ef, p.Recall, p.QPS, p.MeanMs, p.P50Ms, p.P99Ms)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
