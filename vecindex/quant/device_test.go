package quant

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// deviceFloats puts floats into an emulated device's memory.
func deviceFloats(t *testing.T, l *hostrun.Launcher, values ...float32) kernels.Ptr {
	t.Helper()
	content, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Alloc(int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	s.CopyIn(p, content)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDeviceEncode: the GPU's kernel makes the codes and scales of this package, to the bit, if it
// is given the same rotation.
func TestDeviceEncode(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing here runs beside anything else, for the race detector to see")
	}
	l, err := hostrun.New(hostrun.Options{})
	if errors.Is(err, hostrun.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rng := rand.New(rand.NewPCG(41, 0))
	for _, shape := range [][2]int{{1, 1}, {7, 7}, {20, 32}, {100, 100}, {300, 300}, {512, 512}} {
		c, err := NewPaddedInt8(vecindex.L2, shape[0], shape[1], 3, simd.Auto)
		if err != nil {
			t.Fatal(err)
		}
		checkDeviceEncode(t, l, c, rng)
	}
}

func checkDeviceEncode(t *testing.T, l *hostrun.Launcher, c *Int8, rng *rand.Rand) {
	const n = 5
	dim, padded := c.Dim(), c.Padded()
	vectors := make([]float32, n*dim) // the last is zero
	for i := range vectors[:(n-1)*dim] {
		vectors[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()))
	}
	rowBytes, stride := kernels.RowBytes(kernels.S8, padded), kernels.VectorStride(dim)
	args := kernels.EncodeQueriesArgs{
		Input: deviceFloats(t, l, vectors...), Vectors: deviceFloats(t, l, make([]float32, n*stride)...),
		Codes: deviceFloats(t, l, make([]float32, n*rowBytes/4)...), Queries: deviceFloats(t, l, make([]float32, n*kernels.QueryBytes/4)...),
		Rotation: kernels.Rotation{Factors: deviceFloats(t, l, slices.Concat(c.rotation.factors[:]...)...), Padded: uint32(padded), Block: uint32(c.rotation.block)},
		Dim:      uint32(dim), RowBytes: uint32(rowBytes), Stride: uint32(stride), Metric: kernels.Metric(c.metric), Code: kernels.S8, Count: n,
	}
	if c.rotation.turns != nil {
		args.Rotation.Turns = deviceFloats(t, l, c.rotation.turns...)
	}
	launch := kernels.LaunchEncodeQueries(n, padded)
	s, err := l.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	codes, queries, row := make([]byte, n*rowBytes), make([]byte, n*kernels.QueryBytes), make([]byte, c.Stride())
	s.Launch(launch.Kernel, launch.Grid, launch.Block, launch.Shared, kernels.Append(nil, args))
	s.CopyOut(codes, args.Codes)
	s.CopyOut(queries, args.Queries)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.Encode(row, vectors[i*dim:][:dim])
		scale, _ := simd.ReadInt8Tail(row)
		if got := codes[i*rowBytes:][:padded]; !slices.Equal(got, row[:padded]) {
			t.Errorf("%d dimensions, vector %d: codes %v, want %v", dim, i, got[:min(padded, 8)], row[:min(padded, 8)])
		}
		if got := kernels.ReadQuery(queries[i*kernels.QueryBytes:]).Scale; got != scale {
			t.Errorf("%d dimensions, vector %d: scale %v, want %v", dim, i, got, scale)
		}
	}
}
