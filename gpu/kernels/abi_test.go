package kernels_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// TestLayout compares every struct with what the compiler made of abi.h, and the kernels that
// are launched with those there are.
func TestLayout(t *testing.T) {
	d := newDevice(t, 0)
	layout, err := d.launcher.Layout()
	if err != nil {
		t.Fatal(err)
	}
	var mine strings.Builder
	for _, s := range []any{
		kernels.Segment{}, kernels.Query{}, kernels.ScanArgs{}, kernels.SelectArgs{}, kernels.RerankArgs{}, kernels.Rotation{},
		kernels.EncodeArgs{}, kernels.EncodeQueriesArgs{}, kernels.EraseArgs{},
	} {
		describe(&mine, reflect.TypeOf(s))
	}
	theirs, names, _ := strings.Cut(layout, "kernel ")
	if strings.ReplaceAll(theirs, "_", "") != mine.String() {
		t.Errorf("abi.h:\n%s\nabi.go:\n%s", theirs, mine.String())
	}
	if kernels.SegmentBytes != reflect.TypeFor[kernels.Segment]().Size() || kernels.QueryBytes != reflect.TypeFor[kernels.Query]().Size() {
		t.Error("the sizes of what lies in arrays are others")
	}
	var launched []string
	for _, s := range allScans() {
		launched = append(launched, s.Kernel())
	}
	launched = append(launched, "select_nearest", "rerank", "encode", "encode_queries", "erase")
	there := strings.Fields(strings.ReplaceAll("kernel "+names, "kernel ", ""))
	slices.Sort(launched)
	slices.Sort(there)
	if !slices.Equal(launched, there) {
		t.Errorf("there are kernels %v, launched are %v", there, launched)
	}
}

// describe writes what host.cpp says of a struct: without padding, as Append has it.
func describe(b *strings.Builder, s reflect.Type) {
	fields, size := "", 0
	for f := range s.Fields() {
		fields += fmt.Sprintf(".%s %d %d\n", strings.ToLower(f.Name), size, f.Type.Size())
		size += int(f.Type.Size())
	}
	fmt.Fprintf(b, "%s %d\n%s", s.Name(), size, fields)
}

// TestKeys: the order of keys is that of distances, then ids.
func TestKeys(t *testing.T) {
	inf := float32(math.Inf(1))
	distances := []float32{-inf, -math.MaxFloat32, -1.5, -1, -math.SmallestNonzeroFloat32, 0, math.SmallestNonzeroFloat32, 1, 1.0000001, 3e38, inf}
	var keys []uint64
	for _, d := range distances {
		for _, id := range []uint32{0, 1, 1 << 31, kernels.None - 1} {
			keys = append(keys, kernels.Key(d, id))
			if gotD, gotID := kernels.SplitKey(kernels.Key(d, id)); gotD != d || gotID != id {
				t.Errorf("the key of %v, %d is that of %v, %d", d, id, gotD, gotID)
			}
		}
	}
	if !slices.IsSorted(keys) {
		t.Errorf("%x isn't sorted", keys)
	}
	if kernels.Key(float32(math.Copysign(0, -1)), 7) != kernels.Key(0, 7) {
		t.Error("zero has two keys")
	}
}

// TestLaunches: no launch asks for more than the smallest device has, and every scan is
// that of some number of queries.
func TestLaunches(t *testing.T) {
	for _, code := range []kernels.Code{kernels.S8, kernels.BF16, kernels.F32} {
		used := map[kernels.Scan]bool{}
		for n := 1; n <= 300; n++ {
			s := kernels.ScanFor(code, n)
			used[s] = true
			l := s.Launch(kernels.RowBytes(code, kernels.MaxDim), n, 1000, 132)
			if l.Shared > s.MaxShared() || l.Shared > 99<<10 {
				t.Errorf("%s has %d bytes of shared memory", l.Kernel, l.Shared)
			}
			if l.Grid[0]*s.Queries < n || (l.Grid[0]-1)*s.Queries >= n || l.Grid[1] < 1 || l.Grid[1] > 65535 {
				t.Errorf("%s for %d queries has the grid %v", l.Kernel, n, l.Grid)
			}
		}
		if len(used) != len(kernels.Scans(code)) {
			t.Errorf("only %d scans of %d are used", len(used), len(kernels.Scans(code)))
		}
	}
}
