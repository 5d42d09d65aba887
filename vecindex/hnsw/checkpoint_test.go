package hnsw

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/checkpoint"
)

// journal is a database in small: what every id has, and which id each change was of.
type journal struct {
	t       testing.TB
	options Options
	folder  *checkpoint.Folder

	// changing is shared by changes and held by who wants none to be under way.
	changing sync.RWMutex
	mu       sync.Mutex
	changes  []uint32 // ids, from sequence 1 on
	stored   map[uint32]entry
}

type entry struct {
	stamp  uint64
	vector []float32
}

func newJournal(t testing.TB, o Options) *journal {
	o.Dir = t.TempDir()
	j := &journal{t: t, options: o, stored: map[uint32]entry{}}
	j.options.Restore = func(dst []float32, id uint32, stamp uint64) ([]float32, bool) {
		j.mu.Lock()
		defer j.mu.Unlock()
		e := j.stored[id]
		return append(dst, e.vector...), e.stamp == stamp
	}
	j.openFolder()
	return j
}

func (j *journal) openFolder() {
	j.t.Helper()
	var err error
	if j.folder, err = checkpoint.Open(j.options.Dir, "test"); err != nil {
		j.t.Fatal(err)
	}
}

// change puts a vector, or deletes what there is if it is nil. Calls for one id don't
// overlap.
func (j *journal) change(x *Index, id uint32, vector []float32) {
	j.changing.RLock()
	defer j.changing.RUnlock()
	j.mu.Lock()
	j.changes = append(j.changes, id)
	stamp := uint64(len(j.changes))
	if vector == nil {
		delete(j.stored, id)
	} else {
		j.stored[id] = entry{stamp, vector}
	}
	j.mu.Unlock()
	if vector == nil {
		x.Delete(id)
	} else if err := x.Put(id, stamp, vector); err != nil {
		j.t.Error(err)
	}
}

func (j *journal) sequence() uint64 {
	j.changing.Lock()
	defer j.changing.Unlock()
	return uint64(len(j.changes))
}

func (j *journal) save(x *Index) {
	j.t.Helper()
	_, err := x.Save(context.Background(), j.folder, j.sequence(), func() (uint64, error) { return j.sequence(), nil })
	if err != nil {
		j.t.Error(err)
	}
}

// load makes an index of the checkpoints and makes it good. Without one it is filled.
func (j *journal) load() (*Index, Loaded) {
	j.t.Helper()
	x, loaded, err := Load(context.Background(), j.options, j.folder)
	if err != nil {
		j.t.Fatal(err)
	}
	repair := slices.Collect(maps.Keys(j.stored))
	switch {
	case x == nil:
		if x, err = New(j.options); err != nil {
			j.t.Fatal(err)
		}
	case loaded.Whole:
		changed := append(slices.Clone(j.changes[loaded.Epoch.Sequence:]), loaded.Doubtful...)
		repair = slices.Compact(slices.Sorted(slices.Values(changed)))
	default:
		for id := range uint32(2000) { // more than the tests have
			if _, ok := j.stored[id]; !ok {
				x.Delete(id)
			}
		}
	}
	for _, id := range repair {
		e, ok := j.stored[id]
		if stamp, has := x.Stamp(id); ok && (!has || stamp != e.stamp) {
			if err := x.Put(id, e.stamp, e.vector); err != nil {
				j.t.Fatal(err)
			}
		} else if !ok {
			x.Delete(id)
		}
	}
	return x, loaded
}

// check holds an index against what is stored.
func (j *journal) check(x *Index) {
	j.t.Helper()
	if err := x.Check(); err != nil {
		j.t.Error(err)
	}
	if x.Len() != len(j.stored) {
		j.t.Errorf("%d vectors, %d are stored", x.Len(), len(j.stored))
	}
	hits := map[uint32]vecindex.Hit{}
	if len(j.stored) == 0 {
		return
	}
	query := slices.Collect(maps.Values(j.stored))[0].vector
	for _, exact := range []bool{true, false} {
		found, _ := search(j.t, x, vecindex.Query{Vector: query, K: max(1, len(j.stored)), Ef: 2 * len(j.stored), Exact: exact})
		for _, h := range found {
			e, ok := j.stored[h.ID]
			if want := j.options.Metric.Distance(query, e.vector); !ok || h.Stamp != e.stamp || h.Distance > want+1e-3 || h.Distance < want-1e-3 {
				j.t.Fatalf("hit %+v, stored is %v with stamp %d at distance %g", h, ok, e.stamp, want)
			}
			hits[h.ID] = h
		}
		if len(found) != len(j.stored) {
			j.t.Errorf("%d hits of %d vectors, exact: %v", len(found), len(j.stored), exact)
		}
	}
}

func closeIndex(t testing.TB, x *Index) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// small has few links and slots, so that rows are full and sweeps happen.
func small(q vecindex.Quantization) Options {
	return Options{Dimension: 12, Metric: vecindex.L2, Quantization: q, M: 4, EfConstruction: 30, Capacity: 1 << 15, Workers: 2}
}

// TestCheckpointModel saves and loads at any time, now and then from the older epoch.
func TestCheckpointModel(t *testing.T) {
	eachQuantization(t, func(t *testing.T, quantization vecindex.Quantization) {
		for seed := range uint64(2) {
			rng, c := rand.New(rand.NewPCG(seed, 1)), newClusters(seed, 12, 5)
			j := newJournal(t, small(quantization))
			x, _ := j.load()
			for range 12 {
				for range rng.IntN(600) {
					if id := uint32(rng.IntN(700)); rng.IntN(3) == 0 {
						j.change(x, id, nil)
					} else {
						j.change(x, id, c.vector())
					}
				}
				switch rng.IntN(5) {
				case 0:
					drain(t, x)
					j.save(x)
				case 1, 2:
					j.save(x)
				case 3:
					if epochs := j.folder.Epochs(); len(epochs) == 2 {
						if err := os.Remove(filepath.Join(j.options.Dir, fmt.Sprintf("MANIFEST-%016x", epochs[0].Epoch))); err != nil && !os.IsNotExist(err) {
							t.Fatal(err)
						}
					}
				}
				if rng.IntN(2) == 0 {
					closeIndex(t, x)
					j.openFolder()
					x, _ = j.load()
					j.check(x)
				}
			}
			drain(t, x)
			j.check(x)
			closeIndex(t, x)
		}
	})
}

// TestCheckpointWhileChanging saves while several change and search, and loads what
// was saved at each of those times.
func TestCheckpointWhileChanging(t *testing.T) {
	eachQuantization(t, func(t *testing.T, quantization vecindex.Quantization) {
		j := newJournal(t, small(quantization))
		x, _ := j.load()
		for round := range uint64(3) {
			stop := make(chan struct{})
			var changing sync.WaitGroup
			for worker := range uint32(3) {
				changing.Go(func() {
					rng, c := rand.New(rand.NewPCG(round, uint64(worker))), newClusters(round*8+uint64(worker), 12, 5)
					for {
						select {
						case <-stop:
							return
						default:
						}
						if id := uint32(rng.IntN(300))*3 + worker; rng.IntN(3) == 0 {
							j.change(x, id, nil)
						} else {
							j.change(x, id, c.vector())
						}
						if err := x.Admit(context.Background()); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 3 {
				j.save(x)
			}
			close(stop)
			changing.Wait()
			closeIndex(t, x)
			j.openFolder()
			var loaded Loaded
			x, loaded = j.load()
			if loaded.Epoch == nil || !loaded.Whole {
				t.Errorf("loaded %+v", loaded)
			}
			j.check(x)
			drain(t, x)
			j.check(x)
		}
		closeIndex(t, x)
	})
}

// TestCheckpointKeepsGraph: what was linked needn't be linked again, and finds as well
// as before.
func TestCheckpointKeepsGraph(t *testing.T) {
	eachQuantization(t, func(t *testing.T, quantization vecindex.Quantization) {
		const n, dim = 1500, 16
		c := newClusters(5, dim, 10)
		j := newJournal(t, Options{Dimension: dim, Quantization: quantization, M: 8, EfConstruction: 60})
		x, _ := j.load()
		for id := range uint32(n) {
			j.change(x, id, c.vector())
		}
		drain(t, x)
		j.save(x)
		before := x.Stats()
		queries := make([]vecindex.Query, 50)
		var want [][]vecindex.Hit
		for i := range queries {
			queries[i] = vecindex.Query{Vector: c.vector(), K: 10, Ef: 20}
			hits, _ := search(t, x, queries[i])
			want = append(want, hits)
		}
		closeIndex(t, x)
		j.openFolder()
		x, loaded := j.load()
		if loaded.Dropped+loaded.Relinked != 0 || x.Usage().Pending != 0 {
			t.Errorf("loaded %+v, %d are pending", loaded, x.Usage().Pending)
		}
		if after := x.Stats(); !slices.Equal(after.Levels, before.Levels) || !slices.Equal(after.DegreeHistogram, before.DegreeHistogram) {
			t.Errorf("the graph was %v %v and is %v %v", before.Levels, before.DegreeHistogram, after.Levels, after.DegreeHistogram)
		}
		await(t, "the neighbours' codes", func() bool { n := x.graph.neighbours; return n == nil || n.ready.Load() })
		same := 0
		for i := range queries {
			if hits, _ := search(t, x, queries[i]); slices.Equal(hits, want[i]) {
				same++
			}
		}
		if same < len(queries)*9/10 { // the entry may be another one
			t.Errorf("%d of %d queries find the same", same, len(queries))
		}
		if _, err := x.Save(context.Background(), j.folder, j.sequence(), func() (uint64, error) { return 0, errors.New("no") }); err == nil {
			t.Error("a checkpoint that can't be finished was saved")
		}
		saved, err := x.Save(context.Background(), j.folder, j.sequence(), func() (uint64, error) { return j.sequence(), nil })
		if err != nil || saved.Blocks > 1 { // the pending
			t.Errorf("nothing changed, but %d blocks were saved: %v", saved.Blocks, err)
		}
		closeIndex(t, x)
	})
}

// TestCheckpointDamage does things to the files: what is loaded is right all the same.
func TestCheckpointDamage(t *testing.T) {
	eachQuantization(t, func(t *testing.T, quantization vecindex.Quantization) {
		rng, c := rand.New(rand.NewPCG(9, 9)), newClusters(9, 12, 5)
		j := newJournal(t, small(quantization))
		x, _ := j.load()
		for round := range 24 {
			for range 60 {
				j.change(x, uint32(rng.IntN(500)), c.vector())
			}
			for range 1 + rng.IntN(2) {
				j.save(x)
			}
			j.change(x, uint32(rng.IntN(500)), nil)
			closeIndex(t, x)
			for range rng.IntN(3) {
				damageFile(t, rng, j.options.Dir)
			}
			j.openFolder()
			x, _ = j.load()
			if j.check(x); t.Failed() {
				t.Fatalf("round %d", round)
			}
		}
		closeIndex(t, x)
	})
}

// damageFile changes a byte of a file, cuts it, or removes it.
func damageFile(t *testing.T, rng *rand.Rand, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		return
	}
	name := filepath.Join(dir, entries[rng.IntN(len(entries))].Name())
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case len(b) == 0 || rng.IntN(6) == 0:
		err = os.Remove(name)
	case rng.IntN(6) == 0:
		err = os.Truncate(name, rng.Int64N(int64(len(b))))
	default:
		// Where there is something: the most of a file of vectors is zeros.
		for at := rng.IntN(len(b)); ; at = (at + 1) % len(b) {
			if b[at] != 0 {
				b[at] ^= 1 << rng.IntN(8)
				break
			}
		}
		err = os.WriteFile(name, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointOfAnother: an epoch of an index with other parameters isn't loaded.
func TestCheckpointOfAnother(t *testing.T) {
	j := newJournal(t, small(vecindex.Int8))
	x, _ := j.load()
	j.change(x, 1, newClusters(1, 12, 1).vector())
	j.save(x)
	closeIndex(t, x)
	for name, change := range map[string]func(*Options){
		"metric":       func(o *Options) { o.Metric = vecindex.Cosine },
		"dimension":    func(o *Options) { o.Dimension = 13 },
		"m":            func(o *Options) { o.M = 5 },
		"quantization": func(o *Options) { o.Quantization = vecindex.Unquantized },
		"folder":       func(o *Options) { o.Dir = "" },
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(j.options.Dir)); err != nil {
			t.Fatal(err)
		}
		folder, err := checkpoint.Open(dir, "test")
		if err != nil {
			t.Fatal(err)
		}
		o := j.options
		o.Dir = dir
		change(&o)
		other, loaded, err := Load(context.Background(), o, folder)
		if err != nil || other != nil || len(loaded.Findings) != 1 || len(folder.Epochs()) != 0 {
			t.Errorf("%s: %v, %+v", name, err, loaded)
		}
	}
}

// TestSaveAndClose: an index that is closed doesn't wait for a checkpoint.
func TestSaveAndClose(t *testing.T) {
	j := newJournal(t, small(vecindex.Int8))
	x, _ := j.load()
	c := newClusters(1, 12, 1)
	for id := range uint32(200) {
		j.change(x, id, c.vector())
	}
	saving := make(chan error)
	go func() {
		_, err := x.Save(context.Background(), j.folder, j.sequence(), func() (uint64, error) {
			go x.Close()
			<-x.stop
			return j.sequence(), nil
		})
		saving <- err
	}()
	if err := <-saving; err == nil {
		t.Error("a closed index was saved")
	}
	closeIndex(t, x)
	if _, err := x.Save(context.Background(), j.folder, 1, nil); err == nil {
		t.Error("a closed index was saved")
	}
}

// event is a change of a history: a put, or a deletion if there is no vector.
type event struct {
	id     uint32
	vector []float32
}

// someHistory puts n vectors, and replaces or deletes half as many.
func someHistory(c *clusters, rng *rand.Rand, n int) []event {
	events := make([]event, 0, n*3/2)
	for i := range cap(events) {
		switch {
		case i < n:
			events = append(events, event{uint32(i), c.vector()})
		case rng.IntN(3) == 0:
			events = append(events, event{uint32(rng.IntN(n)), nil})
		default:
			events = append(events, event{uint32(rng.IntN(n)), c.vector()})
		}
	}
	return events
}

// play makes the changes, and with restarts saves and loads in between at any time.
func (j *journal) play(events []event, rng *rand.Rand, restarts bool) *Index {
	x, _ := j.load()
	for i, e := range events {
		j.change(x, e.id, e.vector)
		if restarts && rng.IntN(len(events)/6) == 0 {
			j.save(x)
		}
		if restarts && (rng.IntN(len(events)/5) == 0 || i == len(events)/2) {
			closeIndex(j.t, x)
			j.openFolder()
			x, _ = j.load()
		}
	}
	drain(j.t, x)
	j.check(x)
	return x
}

// TestHistories gives one history to indexes of every quantization, with one linker and
// with several, with restarts at any time and without. Exact searches answer alike, and
// of one quantization the others find as much, within a point.
func TestHistories(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("TestCheckpointWhileChanging is for the race detector")
	}
	const n, dim, k = 4000, 16, 10
	c, rng := newClusters(77, dim, 20), rand.New(rand.NewPCG(7, 7))
	// In which order things are linked is chance; with so many queries that is a tenth of
	// a point.
	queries := make([][]float32, 1000)
	for i := range queries {
		queries[i] = c.vector()
	}
	events := someHistory(c, rng, n)
	var exact [][]vecindex.Hit
	eachQuantization(t, func(t *testing.T, quantization vecindex.Quantization) {
		var recalls []float64
		for variant := range 4 {
			workers, restarts := 1+variant/2*2, variant%2 == 1
			j := newJournal(t, Options{Dimension: dim, Metric: vecindex.L2, Quantization: quantization, M: 8, EfConstruction: 80, Workers: workers})
			x := j.play(events, rng, restarts)
			found := 0
			for i, q := range queries {
				hits, _ := search(t, x, vecindex.Query{Vector: q, K: k, Exact: true})
				if len(exact) < len(queries) {
					exact = append(exact, hits)
				} else if !slices.Equal(hits, exact[i]) {
					t.Fatalf("%d linkers, restarts %v: query %d finds %v, not %v", workers, restarts, i, hits, exact[i])
				}
				near, _ := search(t, x, vecindex.Query{Vector: q, K: k, Ef: 56})
				for _, h := range near {
					if slices.ContainsFunc(exact[i], func(e vecindex.Hit) bool { return e.ID == h.ID }) {
						found++
					}
				}
			}
			recalls = append(recalls, float64(found)/float64(k*len(queries)))
			closeIndex(t, x)
		}
		if slices.Max(recalls)-slices.Min(recalls) > 0.01 {
			t.Errorf("recall depends on the history: %.4f", recalls)
		}
	})
}

// TestCopyUnordered copies every length, also ones that no word fits in.
func TestCopyUnordered(t *testing.T) {
	for n := range 40 {
		src, dst := make([]byte, n), make([]byte, n)
		for i := range src {
			src[i] = byte(i + 1)
		}
		copyUnordered(dst, src)
		if !slices.Equal(dst, src) {
			t.Errorf("%v became %v", src, dst)
		}
	}
}
