package offheap_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

func TestGrow(t *testing.T) {
	const n = 300_000
	a, err := offheap.Reserve[uint32](n)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if a.Len() != 0 || a.Bytes() != 0 || a.Cap() < n {
		t.Errorf("new: %d elements, %d bytes, capacity %d", a.Len(), a.Bytes(), a.Cap())
	}
	if err := a.Grow(1); err != nil {
		t.Fatal(err)
	}
	first := a.At(0)
	for i := range uint32(n) {
		if err := a.Grow(int(i) + 1); err != nil {
			t.Fatal(err)
		}
		if *a.At(i) != 0 {
			t.Fatalf("element %d is %d at first", i, *a.At(i))
		}
		*a.At(i) = i
	}
	if a.At(0) != first {
		t.Error("the elements moved")
	}
	for i, v := range a.Slice(1000, n-1000) {
		if int(v) != 1000+i {
			t.Fatalf("element %d is %d", 1000+i, v)
		}
	}
	if a.Len() < n || a.Bytes() < 4*n || a.Bytes() > 8*n {
		t.Errorf("%d elements and %d bytes after growing to %d", a.Len(), a.Bytes(), n)
	}
	if all := a.All(); len(all) != a.Cap() || all[n-1] != n-1 {
		t.Errorf("all: %d of %d", len(all), a.Cap())
	}
}

func TestFull(t *testing.T) {
	a, err := offheap.Reserve[float32](10)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if err := a.Grow(a.Cap()); err != nil {
		t.Errorf("to capacity: %v", err)
	}
	if err := a.Grow(a.Cap() + 1); errs.CodeOf(err) != "vector_index_full" {
		t.Errorf("beyond capacity: %v", err)
	}
	*a.At(uint32(a.Cap() - 1)) = 7
}

// TestHuge grows past the size from which huge pages are asked for.
func TestHuge(t *testing.T) {
	const n = 12 << 20 / 8 * 2 // 24 MiB, and more than a race build has
	a, err := offheap.Reserve[uint64](n)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	for i := 0; i < min(n, a.Cap()); i += 1000 {
		if err := a.Grow(i + 1); err != nil {
			t.Fatal(err)
		}
		*a.At(uint32(i)) = uint64(i)
	}
	for i := 0; i < min(n, a.Cap()); i += 1000 {
		if *a.At(uint32(i)) != uint64(i) {
			t.Fatalf("element %d is %d", i, *a.At(uint32(i)))
		}
	}
}

// TestUseWhileGrowing: elements are used by others while the array grows.
func TestUseWhileGrowing(t *testing.T) {
	const n = 200_000
	a, err := offheap.Reserve[uint64](n)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if err := a.Grow(8); err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for u := range uint32(4) {
		users.Go(func() {
			for range 20_000 {
				*a.At(u)++
			}
		})
	}
	for i := 8; i <= n; i += 50 {
		if err := a.Grow(i); err != nil {
			t.Fatal(err)
		}
	}
	users.Wait()
	for u := range uint32(4) {
		if *a.At(u) != 20_000 {
			t.Errorf("element %d is %d", u, *a.At(u))
		}
	}
}

// TestFile: an array that is a file has what it was given when it is opened again,
// whether it was freed before or only synced, and grows beyond it.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "array")
	const n = 200_000
	a, err := offheap.ReserveFile[uint32](path, 4*n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(n) {
		if err := a.Grow(int(i) + 1); err != nil {
			t.Fatal(err)
		}
		if *a.At(i) != 0 {
			t.Fatalf("element %d is %d at first", i, *a.At(i))
		}
		*a.At(i) = i + 1
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	check := func(change uint32) {
		t.Helper()
		b, err := offheap.ReserveFile[uint32](path, 4*n)
		if err != nil {
			t.Fatal(err)
		}
		if b.Len() != 0 || b.Bytes() != 0 {
			t.Errorf("opened: %d elements, %d bytes", b.Len(), b.Bytes())
		}
		if err := b.Grow(2 * n); err != nil {
			t.Fatal(err)
		}
		for i := range uint32(n) {
			if *b.At(i) != i+change {
				t.Fatalf("element %d is %d", i, *b.At(i))
			}
			*b.At(i)++
		}
		if *b.At(2*n - 1) != 0 {
			t.Errorf("beyond the end: %d", *b.At(2*n - 1))
		}
		if err := b.Free(); err != nil {
			t.Fatal(err)
		}
	}
	check(1)
	check(2)
	if err := a.Free(); err != nil {
		t.Error(err)
	}
}

// TestNoFile: a file that can't be had is refused by name.
func TestNoFile(t *testing.T) {
	if _, err := offheap.ReserveFile[byte](t.TempDir(), 10); errs.CodeOf(err) != "vector_file_failed" {
		t.Error(err)
	}
	var g offheap.Group
	offheap.ReserveFileIn[byte](&g, filepath.Join(t.TempDir(), "a"), 10)
	if err := g.Err(); err != nil {
		t.Error(err)
	}
	offheap.ReserveFileIn[byte](&g, t.TempDir(), 10)
	if errs.CodeOf(g.Err()) != "vector_file_failed" {
		t.Error(g.Err())
	}
	if err := g.Free(); err != nil {
		t.Error(err)
	}
}

func TestGroup(t *testing.T) {
	var g offheap.Group
	a, b := offheap.ReserveIn[uint32](&g, 10), offheap.ReserveIn[uint8](&g, 10)
	if err := g.Err(); err != nil {
		t.Fatal(err)
	}
	if err := a.Grow(10); err != nil {
		t.Error(err)
	}
	if err := b.Grow(10); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := g.Free(); err != nil {
			t.Error(err)
		}
	}
	if a.Cap() != 0 || b.Len() != 0 {
		t.Error("a freed array has elements")
	}
}
