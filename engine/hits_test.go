package engine_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/vecindex"
)

// TestKeysOfHits has the answers of searches for keys, which remember whose the
// vectors are, agree with a model while few entities come, change and go, so that
// their ids are used again and again.
func TestKeysOfHits(t *testing.T) {
	db := testkit.Open(t)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}})
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	vectors := map[string][]float32{}
	for i := range 1500 {
		pk := fmt.Sprint(r.IntN(12))
		key := testkit.Key("t:" + pk)
		vector := []float32{float32(r.IntN(30)), float32(r.IntN(30))}
		have := vectors[pk] != nil
		switch {
		case have && r.IntN(3) == 0:
			db.Delete("t:" + pk)
			delete(vectors, pk)
		case have && r.IntN(2) == 0: // only what is beside the vector
			db.Do(engine.Op{Kind: engine.OpPatch, Key: key, Doc: fmt.Appendf(nil, `{"i":%d}`, i)})
		default:
			db.Put("t:"+pk, map[string]any{"v": []any{vector[0], vector[1]}, "i": i})
			vectors[pk] = vector
		}
		query := []float32{float32(r.IntN(30)), float32(r.IntN(30))}
		compareKeys(t, db, vectors, query, 1+r.IntN(8))
		if t.Failed() {
			t.Fatalf("after operation %d of seed %d", i, seed)
		}
	}
}

// compareKeys searches with one and with two queries at once.
func compareKeys(t *testing.T, db *testkit.DB, vectors map[string][]float32, query []float32, k int) {
	t.Helper()
	var want []float32
	for _, v := range vectors {
		want = append(want, vecindex.L2.Distance(query, v))
	}
	slices.Sort(want)
	want = want[:min(k, len(want))]
	for _, queries := range [][][]float32{{query}, {query, query}} {
		results, err := db.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: queries, K: k, Return: engine.ReturnKeys})
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			var have []float32
			for _, h := range result.Hits {
				have = append(have, h.Distance)
				if v := vectors[h.Key.PK]; v == nil || vecindex.L2.Distance(query, v) != h.Distance || h.Doc != nil {
					t.Errorf("the hit %s at %v; its vector is %v", h.Key, h.Distance, v)
				}
			}
			if !slices.Equal(have, want) || !slices.IsSortedFunc(have, cmp.Compare[float32]) {
				t.Errorf("distances %v, want %v", have, want)
			}
		}
	}
}

// groupedEntity is an entity whose group a filter asks for.
type groupedEntity struct {
	group  int
	vector [2]float32
}

// groupedModel is what a table of them holds.
type groupedModel struct {
	db       *testkit.DB
	r        *rand.Rand
	entities map[string]groupedEntity
	filters  [2]*query.Expr
}

func newGroupedModel(t *testing.T, opts engine.Options, seed uint64) *groupedModel {
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2", Dimension: 2}})
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"g"}, Type: schema.Equality})
	m := &groupedModel{db: db, r: rand.New(rand.NewPCG(seed, 0)), entities: map[string]groupedEntity{}}
	for g := range m.filters {
		m.filters[g] = parseFilter(t, fmt.Sprintf(`{"column":"g","op":"eq","value":%d}`, g))
	}
	return m
}

// write changes one entity, and returns the key of one that it deleted.
func (m *groupedModel) write() (deleted string) {
	pk := fmt.Sprint(m.r.IntN(10))
	e, have := m.entities[pk]
	switch {
	case have && m.r.IntN(3) == 0:
		m.db.Delete("t:" + pk)
		delete(m.entities, pk)
		return pk
	case have && m.r.IntN(2) == 0: // only what is beside the vector
		e.group = 1 - e.group
		m.db.Do(engine.Op{Kind: engine.OpPatch, Key: testkit.Key("t:" + pk), Doc: fmt.Appendf(nil, `{"g":%d}`, e.group)})
	default:
		e = groupedEntity{m.r.IntN(2), [2]float32{float32(m.r.IntN(30)), float32(m.r.IntN(30))}}
		m.db.Put("t:"+pk, map[string]any{"v": []any{e.vector[0], e.vector[1]}, "g": e.group})
	}
	m.entities[pk] = e
	return ""
}

// request asks for all keys of a group.
func (m *groupedModel) request(group int) engine.SearchRequest {
	return engine.SearchRequest{
		Table: "t", Vectors: [][]float32{{float32(m.r.IntN(30)), float32(m.r.IntN(30))}}, K: 20, Return: engine.ReturnKeys, Filter: m.filters[group],
	}
}

// search writes between the look at the filter and that at the index. All that is
// found must be of the group in the state before, with the vector it had there, and
// nothing that wasn't deleted since may lack.
func (m *groupedModel) search(t *testing.T, writes int) {
	t.Helper()
	group := m.r.IntN(2)
	req := m.request(group)
	before, gone := maps.Clone(m.entities), map[string]bool{}
	results, err := engine.SearchAfter(t.Context(), m.db.Engine, req, func() {
		for range writes {
			gone[m.write()] = true
			for g := range m.filters { // now the owners of what is new are known
				m.search(t, 0)
				if _, err := m.db.Search(t.Context(), m.request(g)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, h := range results[0].Hits {
		e, ok := before[h.Key.PK]
		if !ok || e.group != group || h.Distance != vecindex.L2.Distance(req.Vectors[0], e.vector[:]) || found[h.Key.PK] {
			t.Errorf("%d writes since: the hit %s at %v of group %d; it was %+v", writes, h.Key, h.Distance, group, e)
		}
		found[h.Key.PK] = true
	}
	for pk, e := range before {
		if e.group == group && !found[pk] && !gone[pk] {
			t.Errorf("%d writes since: %s is missing, which is %+v", writes, pk, e)
		}
	}
}

// TestFilteredKeysAreOfOneState has entities written and ids used again between the
// filter and the index of one search, while others learn whose the new vectors are:
// with bitmaps in memory for the filter and without.
func TestFilteredKeysAreOfOneState(t *testing.T) {
	for name, bytes := range map[string]int64{"bitmaps": 0, "none": -1} {
		t.Run(name, func(t *testing.T) {
			opts := testkit.Options(t.TempDir())
			opts.Query.FilterCacheBytes = bytes
			const seed = 11
			m := newGroupedModel(t, opts, seed)
			engine.KeepFewTerms(m.db.Engine)
			for i := range 400 {
				m.write()
				if m.search(t, m.r.IntN(4)); t.Failed() {
					t.Fatalf("in round %d of seed %d", i, seed)
				}
			}
		})
	}
}

// TestFilteredKeysWaitForTheIndex: a filter may see a write that the index has not been
// told of yet. The owner that is known of the vector there doesn't count then.
func TestFilteredKeysWaitForTheIndex(t *testing.T) {
	m := newGroupedModel(t, testkit.Options(t.TempDir()), 1)
	db, r := m.db, m.request(0)
	r.Vectors = [][]float32{{0, 0}}
	db.Put("t:a", map[string]any{"v": []any{1, 0}, "g": 0})
	for range 2 {
		if _, err := db.Search(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	old := db.GetDoc("t:a")
	release, err := engine.HoldIndex(db.Engine, "t")
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() { db.Put("t:a", map[string]any{"v": []any{2, 0}, "g": 0}) })
	for db.GetDoc("t:a") == old {
		time.Sleep(time.Millisecond)
	}
	answers := make(chan float32, 1)
	both.Go(func() {
		results, err := db.Search(context.Background(), r)
		if err != nil || len(results[0].Hits) != 1 {
			t.Errorf("%v, %v", results, err)
			close(answers)
			return
		}
		answers <- results[0].Hits[0].Distance
	})
	select {
	case d, ok := <-answers:
		if ok && d != 4 {
			t.Errorf("the distance is %v", d)
		}
		release()
	case <-time.After(20 * time.Millisecond):
		release()
		if d := <-answers; d != 4 {
			t.Errorf("the distance is %v", d)
		}
	}
	both.Wait()
}

// pairs are entities of which one of two is in group 1, at any time: each write moves
// that from one to the other. The numbers in their vectors say which write they are of.
type pairs struct {
	db    *testkit.DB
	n     int
	last  atomic.Int32
	wrote sync.Map // the number of a vector: whose it is and the group it came with
}

type pairedVector struct {
	pk    string
	group int
}

func (p *pairs) put(pk string, group int) engine.Op {
	number := p.last.Add(1)
	p.wrote.Store(number, pairedVector{pk, group})
	return testkit.Put("t:"+pk, map[string]any{"v": []any{number, 0}, "g": group})
}

// swap makes the other one of a pair that in group 1: of pairs 0, 3, ... only the group
// changes, of 1, 4, ... the vectors too, and of 2, 5, ... one is deleted and the other made.
func (p *pairs) swap(pair, side int) []engine.Op {
	on, off := fmt.Sprintf("%d-%d", pair, side), fmt.Sprintf("%d-%d", pair, 1-side)
	patch := func(pk string, group int) engine.Op {
		return engine.Op{Kind: engine.OpPatch, Key: testkit.Key("t:" + pk), Doc: fmt.Appendf(nil, `{"g":%d}`, group)}
	}
	switch pair % 3 {
	case 0:
		return []engine.Op{patch(on, 1), patch(off, 0)}
	case 1:
		return []engine.Op{p.put(off, 0), p.put(on, 1)}
	default:
		return []engine.Op{{Kind: engine.OpDelete, Key: testkit.Key("t:" + off)}, p.put(on, 1)}
	}
}

// check looks at the keys of group 1: of a pair whose entities stay it is one, with a
// vector that this one had, and when it had it was in that group.
func (p *pairs) check(t *testing.T, filter *query.Expr) {
	results, err := p.db.Search(context.Background(), engine.SearchRequest{
		Table: "t", Vectors: [][]float32{{0, 0}}, K: 2 * p.n, Return: engine.ReturnKeys, Filter: filter,
	})
	if err != nil {
		t.Error(err)
		return
	}
	found := make([]int, p.n)
	for _, h := range results[0].Hits {
		var pair, side int
		if _, err := fmt.Sscanf(h.Key.PK, "%d-%d", &pair, &side); err != nil {
			t.Error(err)
			return
		}
		found[pair]++
		number := int32(math.Round(math.Sqrt(float64(h.Distance))))
		wrote, _ := p.wrote.Load(number)
		if v, _ := wrote.(pairedVector); v.pk != h.Key.PK || pair%3 != 0 && v.group != 1 {
			t.Errorf("the hit %s has the vector %d, which was %+v", h.Key.PK, number, v)
		}
	}
	for pair, n := range found {
		if n != 1 && (pair%3 != 2 || n > 1) {
			t.Errorf("%d of the pair %d are found", n, pair)
		}
	}
}

// TestFilteredKeysBesideWriters: each answer is of one state while writers move what
// the filter asks for from entity to entity, with ids used again at once.
func TestFilteredKeysBesideWriters(t *testing.T) {
	m := newGroupedModel(t, testkit.Options(t.TempDir()), 1)
	engine.KeepFewTerms(m.db.Engine)
	p := &pairs{db: m.db, n: 24}
	for pair := range p.n {
		m.db.Do(p.put(fmt.Sprintf("%d-0", pair), 1))
		if pair%3 != 2 {
			m.db.Do(p.put(fmt.Sprintf("%d-1", pair), 0))
		}
	}
	rounds := 300
	if testing.Short() {
		rounds = 100
	}
	var writing, reading sync.WaitGroup
	var written atomic.Bool
	for w := range 2 {
		writing.Go(func() { // each writer has pairs of its own
			r := rand.New(rand.NewPCG(5, uint64(w)))
			side := make([]int, p.n)
			for range rounds {
				pair := 2*r.IntN(p.n/2) + w
				side[pair] = 1 - side[pair]
				if _, err := m.db.Apply(context.Background(), p.swap(pair, side[pair]), true); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		reading.Go(func() {
			for !written.Load() && !t.Failed() {
				p.check(t, m.filters[1])
			}
		})
	}
	writing.Wait()
	written.Store(true)
	reading.Wait()
	p.check(t, m.filters[1])
}

// TestNoRoomNoHit: an entity whose new vector there was no room for isn't found by its
// old one, which it no longer has.
func TestNoRoomNoHit(t *testing.T) {
	m := newGroupedModel(t, testkit.Options(t.TempDir()), 1)
	m.db.Put("t:a", map[string]any{"v": []any{1, 0}, "g": 0})
	m.db.Put("t:b", map[string]any{"v": []any{3, 0}, "g": 0})
	find := func() (pks []string) {
		t.Helper()
		results, err := m.db.Search(t.Context(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{0, 0}}, Return: engine.ReturnKeys})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range results[0].Hits {
			pks = append(pks, h.Key.PK)
		}
		return pks
	}
	if have := find(); !slices.Equal(have, []string{"a", "b"}) {
		t.Fatal(have)
	}
	room, err := engine.FillIndex(m.db.Engine, "t")
	if err != nil {
		t.Fatal(err)
	}
	m.db.Put("t:a", map[string]any{"v": []any{5, 0}, "g": 0})
	if have := find(); !slices.Equal(have, []string{"b"}) {
		t.Errorf("%v are found", have)
	}
	room()
	m.db.Put("t:a", map[string]any{"v": []any{6, 0}, "g": 0})
	if have := find(); !slices.Equal(have, []string{"b", "a"}) {
		t.Errorf("%v are found", have)
	}
}
