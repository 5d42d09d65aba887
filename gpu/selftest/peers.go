package selftest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Peer is what a library of Python does on the same device.
type Peer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// What large matrices are multiplied at; 0 if it wasn't measured. An operation is a
	// multiplication or an addition.
	Int8 float64 `json:"int8_operations_per_second"`
	BF16 float64 `json:"bf16_operations_per_second"`
	FP16 float64 `json:"fp16_operations_per_second"`
	// Timings are those of a multiplication with 16-bit numbers and the K largest of
	// each row, which is what a search without an index is there.
	Timings []PeerTiming `json:"timings"`
}

// PeerTiming is one shape.
type PeerTiming struct {
	Rows   int     `json:"rows"`
	Dim    int     `json:"dim"`
	Batch  int     `json:"batch"`
	Micros float64 `json:"micros"`
}

// rate is the multiplication that a scan of codes is held against: the same numbers, or
// others of the same size.
func (p *Peer) rate(codes string) float64 {
	if codes == "int8" {
		return p.Int8
	}
	return max(p.BF16, p.FP16)
}

// at is the time of a shape; 0 if there is none.
func (p *Peer) at(rows, dim, batch int) float64 {
	for _, t := range p.Timings {
		if t.Rows == rows && t.Dim == dim && t.Batch == batch {
			return t.Micros
		}
	}
	return 0
}

//go:embed peers.py
var peersProgram string

// peersTimeout is how long all of Python's measurements may take.
const peersTimeout = 15 * time.Minute

// job is what the program reads.
type job struct {
	K       int      `json:"k"`
	Shapes  [][3]int `json:"shapes"`
	Seconds float64  `json:"seconds"`
	// Side is that of the square matrices that rates are measured with.
	Side int `json:"side"`
}

// peers runs Python, if it is there. Without it, or without a library, the report says
// so: that is no failure.
func (t *test) peers(ctx context.Context) {
	if t.o.Python == "none" {
		t.report.PeerReason = "it wasn't asked for"
		return
	}
	python, err := exec.LookPath(t.o.Python)
	if err != nil {
		t.report.PeerReason = "there is no " + t.o.Python
		return
	}
	j := job{K: t.o.K, Seconds: t.o.For.Seconds(), Side: 8192}
	seen := map[[3]int]bool{}
	for _, timing := range t.report.Timings {
		if s := [3]int{timing.Rows, timing.Dim, timing.Batch}; !seen[s] {
			seen[s] = true
			j.Shapes = append(j.Shapes, s)
		}
	}
	if err := t.python(ctx, python, j); err != nil {
		t.report.PeerReason = err.Error()
	}
	t.say("matrix multiplication of a library: %s", t.peerLine())
}

func (t *test) peerLine() string {
	if p := t.report.Peer; p != nil {
		return fmt.Sprintf("%s %s, int8 %.0f TOPS, bf16 %.0f TFLOPS", p.Name, p.Version, p.Int8/1e12, max(p.BF16, p.FP16)/1e12)
	}
	return t.report.PeerReason
}

// python runs the program and reads what it says.
func (t *test) python(ctx context.Context, python string, j job) error {
	ctx, cancel := context.WithTimeout(ctx, peersTimeout)
	defer cancel()
	in, err := json.Marshal(j)
	if err != nil {
		return err
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, python, "-c", peersProgram)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("python ended with %w: %s", err, lines[len(lines)-1])
	}
	var answer struct {
		Peer
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return fmt.Errorf("python said what isn't JSON: %w", err)
	}
	if answer.Reason != "" {
		return fmt.Errorf("%s", answer.Reason)
	}
	t.report.Peer = &answer.Peer
	return nil
}
