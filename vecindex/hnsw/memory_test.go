package hnsw

import (
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/vecindex"
)

// TestMemory: the parts are all arrays there are, and what an index will take is
// foreseen.
func TestMemory(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		for _, quantization := range quantizations {
			t.Run(quantization.String()+" "+map[bool]string{true: "in memory", false: "in a file"}[dir == ""], func(t *testing.T) {
				testMemory(t, quantization, dir)
			})
		}
	}
}

func testMemory(t *testing.T, quantization vecindex.Quantization, dir string) {
	x, err := New(Options{Dimension: 40, Metric: vecindex.L2, Quantization: quantization, Dir: dir, M: 4, EfConstruction: 10, Capacity: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	vec := make([]float32, 40)
	steps := 0
	for id := range uint32(6000 / raceFactor) {
		for i := range vec {
			vec[i] = rng.Float32()
		}
		before, foreseen := x.Usage(), x.MemoryWith(1)
		if err := x.Put(id, 1, vec); err != nil {
			t.Fatal(err)
		}
		after := x.Usage()
		switch hot := after.Bytes - after.Cold; {
		case hot > foreseen:
			t.Fatalf("with vector %d it takes %d bytes, and %d were foreseen", id, hot, foreseen)
		case after.Bytes != before.Bytes:
			steps++
		}
	}
	if err := x.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if steps == 0 {
		t.Error("it never grew")
	}
	usage, sum := x.Usage(), int64(0)
	parts := x.Stats().Bytes
	for _, bytes := range parts {
		sum += bytes
	}
	if arrays := x.slots.arrays.Bytes() + x.graph.arrays.Bytes(); sum != usage.Bytes || sum != arrays {
		t.Errorf("the parts %v are %d bytes, Usage says %d, and the arrays have %d", parts, sum, usage.Bytes, arrays)
	}
	if file := dir != "" && quantization != vecindex.Unquantized; (parts["cold_vectors"] > 0) != file || (parts["vectors"] > 0) == file || usage.Cold != parts["cold_vectors"] {
		t.Errorf("parts %v, %d of them cold", parts, usage.Cold)
	}
	if (parts["codes"] > 0) != (quantization != vecindex.Unquantized) || (parts["neighbours"] > 0) != (quantization == vecindex.FastScan) {
		t.Errorf("parts %v", parts)
	}
	if x.MemoryWith(0) != usage.Bytes-usage.Cold || x.MemoryWith(20_000) < 3*x.MemoryWith(0)/2 {
		t.Errorf("%d bytes now, %d with 0 more, %d with 20,000 more", usage.Bytes-usage.Cold, x.MemoryWith(0), x.MemoryWith(20_000))
	}
}
