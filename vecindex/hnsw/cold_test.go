//go:build !race

package hnsw

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
)

// TestUnreadableFile cuts the file of the vectors short while they are in use, which the
// system treats as it does a page that the disk can't read: with a signal. Searches say
// the same as before, from what the database has; vectors that can't be written are
// refused; what hasn't been linked is linked; and nothing ends the process.
//
// It isn't for the race detector, under which the file isn't mapped.
func TestUnreadableFile(t *testing.T) {
	const n, dim = 3000, 40
	c := newClusters(11, dim, 20)
	vectors := make([][]float32, n)
	var mu sync.Mutex // the log is written by several
	var logged bytes.Buffer
	o := Options{
		Quantization: vecindex.Int8, Dimension: dim, M: 8, EfConstruction: 60, Dir: t.TempDir(),
		Restore: func(dst []float32, id uint32, _ uint64) ([]float32, bool) { return append(dst, vectors[id]...), true },
		Logger:  slog.New(slog.NewTextHandler(lockedWriter{&mu, &logged}, nil)),
	}
	x, oracle := open(t, o), newFlat(t, vecindex.Cosine, dim)
	allow := &bitmap.Set{}
	for id := range uint32(n) {
		vectors[id] = c.vector()
		put(t, x, id, vectors[id])
		put(t, oracle, id, vectors[id])
		if id%3 == 0 {
			allow.Add(id)
		}
	}
	drain(t, x)
	qs := queries(c, 30, 10, 100)
	before := make([][]vecindex.Hit, len(qs))
	for i, q := range qs {
		before[i], _ = search(t, x, q)
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, coldPrefix+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	// Whole pages: what is behind the end in the last one would read as zeros.
	if err := os.Truncate(files[0], int64(n*dim*4/2/os.Getpagesize()*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for i, q := range qs {
		if got, _ := search(t, x, q); !slices.Equal(got, before[i]) {
			t.Errorf("query %d: got %v, had %v", i, got, before[i])
		}
		q.Allow = allow
		if i%2 == 0 {
			q.Exact = true
		}
		got, _ := search(t, x, q)
		if want, _ := search(t, oracle, q); !slices.Equal(got, want) {
			t.Errorf("query %d with a filter: got %v, want %v", i, got, want)
		}
	}
	if err := x.Put(n, 1, vectors[0]); errs.CodeOf(err) != "vector_file_failed" || x.slots.abandoned != placesTried {
		t.Errorf("a vector was put where nothing can be written: %v, %d slots were given up", err, x.slots.abandoned)
	}
	// Where the file grows it can be written again.
	for try := 0; x.Put(n, 1, vectors[0]) != nil; try++ {
		if try == 100 {
			t.Fatal("no place was found")
		}
	}
	drain(t, x)
	if err := x.Check(); err != nil {
		t.Error(err)
	}
	if live, pending, tombstones := x.population(); live != n+1 || pending != 0 || tombstones != 0 {
		t.Errorf("%d live, %d pending, %d tombstones", live, pending, tombstones)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(logged.String(), "can't be read in places") {
		t.Errorf("logged %q", logged.String())
	}
}

// TestUnreadableUnlinked: a linker whose slot can't be read takes the vector from the
// database.
func TestUnreadableUnlinked(t *testing.T) {
	const dim = 40
	c := newClusters(12, dim, 4)
	vec := c.vector()
	o := Options{Quantization: vecindex.Int8, Dimension: dim, Dir: t.TempDir(),
		Restore: func(dst []float32, _ uint32, _ uint64) ([]float32, bool) { return append(dst, vec...), true }}
	x := open(t, o)
	put(t, x, 0, vec)
	drain(t, x)
	want := slices.Clone(x.rows.of(0))
	clear(x.rows.of(0))
	if err := os.Truncate(x.slots.file, 0); err != nil {
		t.Fatal(err)
	}
	x.encodeRow(x.newScratch(), 0)
	if !slices.Equal(x.rows.of(0), want) {
		t.Error("the row isn't that of the stored vector")
	}
}

// TestTouchPassesOnPanics: only faults of the file are taken for its being unreadable.
func TestTouchPassesOnPanics(t *testing.T) {
	x := open(t, Options{Quantization: vecindex.Int8, Dimension: 8, Dir: t.TempDir()})
	for _, fn := range []func(){
		func() { panic("no") },
		func() { var p *int; *p = 1 },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a panic was lost")
				}
			}()
			x.slots.touch(fn)
		}()
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
