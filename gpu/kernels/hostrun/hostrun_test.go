package hostrun_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/wire"
)

func start(t *testing.T, o hostrun.Options) (*hostrun.Launcher, scan.Stream) {
	t.Helper()
	l, err := hostrun.New(o)
	if errors.Is(err, hostrun.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := l.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

func alloc(t *testing.T, l scan.Launcher, bytes int64) scan.Ptr {
	t.Helper()
	p, err := l.Alloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCopies: what is copied in comes out, in the order of the queue.
func TestCopies(t *testing.T) {
	l, s := start(t, hostrun.Options{})
	p, q := alloc(t, l, 100), alloc(t, l, 10000)
	in, out := []byte("what comes in"), make([]byte, 13)
	s.Fill(q, 'x', 10000)
	s.CopyIn(p+87, in)
	s.Copy(q+3, p+87, 4)
	s.CopyOut(out, q)
	if err := s.Sync(); err != nil || string(out) != "xxxwhatxxxxxx" {
		t.Fatalf("%q, %v", out, err)
	}
	l.Free(p)
	l.Free(q)
	if n := l.InUse(); n != 0 {
		t.Errorf("%d allocations are left", n)
	}
}

// TestMemoryEnds: there is as much as was asked for, all of it after everything was freed.
func TestMemoryEnds(t *testing.T) {
	l, _ := start(t, hostrun.Options{Memory: 1 << 20})
	for range 3 {
		var held []scan.Ptr
		for {
			p, err := l.Alloc(int64(10000 + 5000*(len(held)%3)))
			if err != nil {
				var e *wire.Error
				if !errors.As(err, &e) || e.Code != wire.OutOfMemory {
					t.Fatal(err)
				}
				break
			}
			held = append(held, p)
		}
		if len(held) < 40 {
			t.Fatalf("only %d allocations", len(held))
		}
		for i, p := range held { // the odd ones, then those between
			if i%2 == 1 {
				l.Free(p)
			}
		}
		for i, p := range held {
			if i%2 == 0 {
				l.Free(p)
			}
		}
	}
	if free := l.Info().MemoryFree; free != 1<<20-4096 {
		t.Errorf("%d bytes are free", free)
	}
}

// TestFaults: each way to be wrong is an error, and the device is lost after it.
func TestFaults(t *testing.T) {
	erase := func(ids, count int) func(l *hostrun.Launcher, s scan.Stream) {
		return func(l *hostrun.Launcher, s scan.Stream) {
			p, rows := alloc(t, l, int64(4*ids)), alloc(t, l, 64)
			s.Fill(p, 0, int64(4*ids))
			s.Fill(rows, 0xFF, 64)
			launch := kernels.LaunchErase(count)
			s.Launch(launch.Kernel, launch.Grid, launch.Block, launch.Shared,
				kernels.Append(nil, kernels.EraseArgs{IDs: p, RowOf: rows, RowOfIDs: 16, Count: uint32(count)}))
		}
	}
	cases := []struct {
		name, says string
		do         func(l *hostrun.Launcher, s scan.Stream)
	}{
		{"behind the end", "erase, block (2, 0), thread 8: an access", erase(520, 522)},
		{"after free", "out of bounds", func(l *hostrun.Launcher, s scan.Stream) {
			p := alloc(t, l, 4)
			l.Free(p)
			s.Launch("erase", [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, kernels.Append(nil, kernels.EraseArgs{IDs: p, Count: 1}))
		}},
		{"not aligned", "isn't aligned", func(l *hostrun.Launcher, s scan.Stream) {
			p := alloc(t, l, 1<<16)
			s.Fill(p, 0, 1<<16)
			s.CopyIn(p, kernels.Append(nil, kernels.Segment{Codes: p + 1032, Factors: p, IDs: p}))
			s.Launch("scan_s8_b1", [3]int{1, 1, 1}, [3]int{256, 1, 1}, 64, kernels.Append(nil, kernels.ScanArgs{
				Segments: p, Queries: p + 4096, Codes: p + 4096, Rows: 5, RowBytes: 64, NumQueries: 1, Count: 1, Tiles: 1, TileStep: 1}))
		}},
		{"too little shared memory", "out of bounds", func(l *hostrun.Launcher, s scan.Stream) {
			p := alloc(t, l, 1<<16)
			s.Fill(p, 0, 1<<16)
			s.Launch("scan_s8_b1", [3]int{1, 1, 1}, [3]int{256, 1, 1}, 48, kernels.Append(nil, kernels.ScanArgs{
				Segments: p, Queries: p + 4096, Codes: p + 4096, Rows: 5, RowBytes: 64, NumQueries: 1, Count: 1, Tiles: 1, TileStep: 1}))
		}},
		{"another kernel", "no kernel", func(_ *hostrun.Launcher, s scan.Stream) {
			s.Launch("scan", [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, nil)
		}},
		{"another structure", "another structure", func(_ *hostrun.Launcher, s scan.Stream) {
			s.Launch("erase", [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, make([]byte, 40))
		}},
		{"a copy", "out of bounds", func(l *hostrun.Launcher, s scan.Stream) { s.CopyIn(alloc(t, l, 10)+1, make([]byte, 10)) }},
		{"a free", "to be freed", func(l *hostrun.Launcher, _ scan.Stream) { l.Free(alloc(t, l, 10) + 1) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, s := start(t, hostrun.Options{})
			if c.name != "a free" {
				s.Fill(alloc(t, l, 8), 1, 8)
			}
			c.do(l, s)
			err := s.Sync()
			_, again := l.NewStream()
			if err == nil {
				err = again
			}
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != wire.Lost || !strings.Contains(e.Text, c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if again == nil {
				t.Error("the device goes on")
			}
		})
	}
}

// TestQueuedWork: nothing is done before Sync.
func TestQueuedWork(t *testing.T) {
	l, s := start(t, hostrun.Options{})
	p, src, out := alloc(t, l, 8), []byte{1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 8)
	s.CopyIn(p, src)
	s.CopyOut(out, p)
	binary.LittleEndian.PutUint64(src, 42)
	if out[0] != 0 {
		t.Error("work was done before Sync")
	}
	if err := s.Sync(); err != nil || out[0] != 42 {
		t.Errorf("%v, %v", out, err)
	}
}

// TestStreamsTogether: streams of several goroutines, and memory that comes and goes
// beside them.
func TestStreamsTogether(t *testing.T) {
	l, _ := start(t, hostrun.Options{})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			s, err := l.NewStream()
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 20 {
				p, err := l.Alloc(1000)
				if err != nil {
					t.Error(err)
					return
				}
				row := make([]byte, 1000)
				launch := kernels.LaunchErase(1)
				s.Fill(p, 0, 4)
				s.Fill(p+4, byte(16*g+i), 996)
				s.Launch(launch.Kernel, launch.Grid, launch.Block, launch.Shared, kernels.Append(nil, kernels.EraseArgs{IDs: p, Count: 1})) // no id has a row
				s.CopyOut(row, p)
				if err := s.Sync(); err != nil || row[0] != 0 || row[999] != byte(16*g+i) {
					t.Errorf("%v, %d", err, row[999])
				}
				l.Free(p)
			}
		})
	}
	all.Wait()
	if n := l.InUse(); n != 0 {
		t.Errorf("%d allocations are left", n)
	}
}
