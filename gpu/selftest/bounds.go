package selftest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Bound is one promise of the GPU engine.
type Bound struct {
	Name string `json:"name"`
	// Want is the least value, Got what was measured, of the shape that is the worst.
	Want  float64 `json:"want"`
	Got   float64 `json:"got"`
	Where string  `json:"where"`
	// Measured is false where the shape or the peer wasn't there.
	Measured bool `json:"measured"`
	Holds    bool `json:"holds"`
}

const (
	// wantRecall is against the float32 search of the same device.
	wantRecall = 0.999
	// wantCopy is the share of a copy's bandwidth that a scan for few queries has,
	// where the codes are more than any cache holds (fromMemory bytes).
	wantCopy   = 0.70
	fromMemory = 512 << 20
	fewQueries = 32
	// wantMatmul is the share of a library's matrix multiplication at manyQueries.
	wantMatmul  = 0.25
	manyQueries = 1024
)

// wantRates are queries per second by the size of batches, over 1,000,000 vectors of
// 768 dimensions with int8 codes, on an H100.
var wantRates = map[int]float64{1: 1800, 32: 60_000, 1024: 200_000}

// bounds compares what was measured with what is promised.
func bounds(r *Report) []Bound {
	recall := Bound{Name: "recall@k of codes against float32", Want: wantRecall}
	copies := Bound{Name: fmt.Sprintf("scan for 1 to %d queries, share of the copy's bandwidth", fewQueries), Want: wantCopy}
	matmul := Bound{Name: fmt.Sprintf("scan for %d queries, share of the matrix multiplication", manyQueries), Want: wantMatmul}
	rates := map[int]*Bound{}
	all := []*Bound{&recall, &copies, &matmul}
	for _, batch := range []int{1, 32, 1024} {
		b := &Bound{Name: fmt.Sprintf("queries per second, 1,000,000 x 768 int8, batches of %d", batch), Want: wantRates[batch]}
		rates[batch] = b
		all = append(all, b)
	}
	for i := range r.Timings {
		t := &r.Timings[i]
		if t.Recall > 0 {
			recall.worst(t.Recall, t)
		}
		if t.Batch <= fewQueries && t.ShareOfCopy > 0 && t.codeBytes >= fromMemory {
			copies.worst(t.ShareOfCopy, t)
		}
		if r.Peer != nil && t.Batch == manyQueries && t.OperationsPerSecond > 0 && r.Peer.rate(t.Codes) > 0 && t.codeBytes >= fromMemory {
			matmul.worst(t.OperationsPerSecond/r.Peer.rate(t.Codes), t)
		}
		if b := rates[t.Batch]; b != nil && t.Rows == 1_000_000 && t.Dim == 768 && t.Codes == "int8" {
			b.worst(t.QueriesPerSecond, t)
		}
	}
	out := make([]Bound, len(all))
	for i, b := range all {
		b.Holds = b.Measured && b.Got >= b.Want
		out[i] = *b
	}
	return out
}

// worst keeps the smallest value.
func (b *Bound) worst(got float64, t *Timing) {
	if !b.Measured || got < b.Got {
		b.Got, b.Where, b.Measured = got, fmt.Sprintf("%d x %d %s, batch %d", t.Rows, t.Dim, t.Codes, t.Batch), true
	}
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(out io.Writer) error {
	var w strings.Builder
	fmt.Fprintf(&w, "%s, compute capability %d.%d, driver %s, kernels %s, %.1f GB of memory, up to %.1f GB of it for this\n",
		r.Device.Name, r.Device.ComputeMajor, r.Device.ComputeMinor, r.Device.Driver, r.Device.Kernels,
		float64(r.Device.MemoryTotal)/1e9, float64(r.Device.MemoryLimit)/1e9)
	fmt.Fprintf(&w, "%d searches compared with the CPU's: %d failures\n", r.Cases, len(r.Failures))
	for _, f := range r.Failures {
		fmt.Fprintf(&w, "  %s\n", f)
	}
	if r.CopyBytesPerSecond > 0 {
		fmt.Fprintf(&w, "copy on the device: %.0f GB/s, read and written\n", r.CopyBytesPerSecond/1e9)
	}
	if r.Peer == nil {
		fmt.Fprintf(&w, "no peer: %s\n", r.PeerReason)
	} else {
		fmt.Fprintf(&w, "peer: %s %s, int8 %.0f TOPS, bf16 %.0f TFLOPS\n", r.Peer.Name, r.Peer.Version, r.Peer.Int8/1e12, max(r.Peer.BF16, r.Peer.FP16)/1e12)
	}
	r.timingTable(&w)
	for _, s := range r.Skipped {
		fmt.Fprintf(&w, "left out: %s\n", s)
	}
	for _, b := range r.Bounds {
		fmt.Fprintf(&w, "%s %s: %s\n", b.sign(), b.Name, b.value())
	}
	_, err := io.WriteString(out, w.String())
	return err
}

func (b Bound) sign() string {
	switch {
	case !b.Measured:
		return "-"
	case b.Holds:
		return "✓"
	}
	return "✗"
}

func (b Bound) value() string {
	if !b.Measured {
		return fmt.Sprintf("not measured, %s wanted", short(b.Want))
	}
	return fmt.Sprintf("%s of %s wanted (%s)", short(b.Got), short(b.Want), b.Where)
}

// short writes a share or a rate.
func short(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func (r *Report) timingTable(out io.Writer) {
	if len(r.Timings) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "rows\tdim\tcodes\tbatch\tsearch us\tqueries/s\tscan us\tGB/s\tof copy\tT ops/s\trecall\tpeer us\t")
	for _, t := range r.Timings {
		peer, recall := "", ""
		if r.Peer != nil && r.Peer.at(t.Rows, t.Dim, t.Batch) > 0 {
			peer = fmt.Sprintf("%.0f", r.Peer.at(t.Rows, t.Dim, t.Batch))
		}
		if t.Recall > 0 {
			recall = fmt.Sprintf("%.4f", t.Recall)
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f %%\t%.1f\t%s\t%s\t\n", t.Rows, t.Dim, t.Codes, t.Batch,
			t.SearchMicros, t.QueriesPerSecond, t.ScanMicros, t.BytesPerSecond/1e9, 100*t.ShareOfCopy, t.OperationsPerSecond/1e12, recall, peer)
	}
	w.Flush()
}
