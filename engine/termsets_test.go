package engine_test

import (
	"context"
	"fmt"
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
)

func parseFilter(t testing.TB, text string) *query.Expr {
	t.Helper()
	e, err := query.ParseFilter(nil, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// termFilters are answered by bitmaps, alone and combined, and one by documents.
var termFilters = []string{
	`{"column":"a","op":"eq","value":1}`,
	`{"column":"a","op":"in","value":[0,2,3]}`,
	`{"column":"b","op":"between","value":[10,40]}`,
	`{"column":"b","op":"gte","value":90}`,
	`{"column":"tags","op":"eq","value":"x"}`,
	`{"and":[{"column":"a","op":"eq","value":2},{"column":"b","op":"lt","value":60}]}`,
	`{"or":[{"column":"a","op":"eq","value":3},{"column":"tags","op":"eq","value":"y"}]}`,
	`{"column":"a","op":"ne","value":1}`,
	`{"column":"tags","op":"exists","value":false}`,
	`{"and":[{"column":"tags","op":"nin","value":["x","z"]},{"column":"a","op":"lte","value":2}]}`,
	`{"not":{"or":[{"column":"a","op":"eq","value":0},{"column":"b","op":"gt","value":20}]}}`,
	`{"and":[{"column":"a","op":"eq","value":1},{"column":"c","op":"eq","value":1}]}`,
}

func termIndexes(db *testkit.DB) {
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"b"}, Type: schema.Range})
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"tags"}, Type: schema.Equality})
}

func termOp(r *rand.Rand, keys int) engine.Op {
	key := fmt.Sprintf("t:%d", r.IntN(keys))
	if r.IntN(5) == 0 {
		return engine.Op{Kind: engine.OpDelete, Key: testkit.Key(key)}
	}
	doc := map[string]any{"a": r.IntN(4), "b": r.IntN(100), "c": r.IntN(2)}
	var tags []any
	for range r.IntN(4) {
		tags = append(tags, string(rune('x'+r.IntN(3))))
	}
	if len(tags) > 0 {
		doc["tags"] = tags
	}
	if r.IntN(10) == 0 {
		doc["ttl"] = time.Now().Unix() + int64(r.IntN(3)-1)*3600
	}
	return testkit.Put(key, doc)
}

// TestFiltersInMemory holds what filters find through the bitmaps in memory against
// a look at every entity, on new and on old snapshots, while writers change what
// they find: with room for all, and with so little that bitmaps and changes are
// thrown away all the time; with entities that expire and without.
func TestFiltersInMemory(t *testing.T) {
	for name, bytes := range map[string]int64{"room": 0, "narrow": 16 << 10, "none": -1} {
		t.Run(name, func(t *testing.T) { testFiltersInMemory(t, bytes, false) })
	}
	t.Run("expiring", func(t *testing.T) { testFiltersInMemory(t, 0, true) })
}

func testFiltersInMemory(t *testing.T, bytes int64, ttl bool) {
	opts := testkit.Options(t.TempDir())
	opts.Query.FilterCacheBytes = bytes
	db := testkit.OpenWith(t, opts)
	termIndexes(db)
	if ttl {
		db.Index(schema.IndexDef{Table: "t", Columns: []string{"ttl"}, Type: schema.TTL})
	}
	const keys, writers, readers, leastEvictions = 600, 2, 3, 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rounds := 120
	if testing.Short() {
		rounds = 40
	}
	engine.KeepFewTerms(db.Engine)
	fill := rand.New(rand.NewPCG(seed, 1000))
	var first []engine.Op
	for range 2 * keys {
		first = append(first, termOp(fill, keys))
	}
	if _, err := db.Apply(t.Context(), first, false); err != nil {
		t.Fatal(err)
	}
	var filters []*query.Expr
	for _, text := range termFilters {
		filters = append(filters, parseFilter(t, text))
	}
	var reading, all sync.WaitGroup
	var stop atomic.Bool
	for w := range writers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for !stop.Load() {
				ops := make([]engine.Op, 1+r.IntN(20))
				for i := range ops {
					ops[i] = termOp(r, keys)
				}
				if _, err := db.Apply(context.Background(), ops, false); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range readers {
		reading.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(100+n)))
			states := []*engine.State{engine.Pin(db.Engine)}
			// With little room on until enough was thrown away, which is a matter of how
			// writers and readers come to run.
			narrow := func() bool { return bytes > 0 && engine.TermSets(db.Engine).Evictions < leastEvictions }
			for round := 0; round < rounds || narrow() && round < 50*rounds; round++ {
				if r.IntN(2) == 0 {
					states = append(states, engine.Pin(db.Engine))
				}
				if len(states) > 4 {
					states[0].Release()
					states = states[1:]
				}
				at := r.IntN(len(filters))
				compareMatching(t, states[r.IntN(len(states))], filters[at])
			}
			for _, s := range states {
				s.Release()
			}
		})
	}
	reading.Wait()
	stop.Store(true)
	all.Wait()
	stats := engine.TermSets(db.Engine)
	t.Logf("%+v", stats)
	limit := bytes
	if limit == 0 {
		limit = 64 << 20
	}
	switch {
	case bytes < 0 && stats != engine.TermSetStats{}:
		t.Error("bitmaps are kept that are not to be")
	case bytes >= 0 && stats.Bytes > limit:
		t.Errorf("%d bytes are kept, more than %d", stats.Bytes, limit)
	case bytes == 0 && (stats.Hits < stats.Misses || stats.Evictions > 0):
		t.Error("bitmaps were not kept")
	case bytes > 0 && stats.Evictions < leastEvictions:
		t.Error("nothing was evicted: the test has lost its force")
	}
}

func compareMatching(t *testing.T, state *engine.State, filter *query.Expr) {
	t.Helper()
	have, err := state.Matching(context.Background(), "t", filter)
	if err != nil {
		t.Error(err)
		return
	}
	want, err := state.Scanned(context.Background(), "t", filter)
	if err != nil {
		t.Error(err)
		return
	}
	if !slices.Equal(have, want) {
		t.Errorf("%s finds %d ids, and %d entities match: %v and %v", filter, len(have), len(want), have, want)
	}
}

// TestAFilterFindsWhatIsAcknowledged writes one entity at a time and asks at once.
func TestAFilterFindsWhatIsAcknowledged(t *testing.T) {
	db := testkit.Open(t)
	termIndexes(db)
	var ops []engine.Op
	for i := range 200 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), `{"a":1}`))
	}
	db.Do(ops...)
	filter := parseFilter(t, `{"column":"a","op":"eq","value":1}`)
	count := func() int {
		t.Helper()
		n, err := engine.CountMatching(t.Context(), db.Engine, "t", filter)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	count()
	count()
	for i := range 50 {
		db.Put(fmt.Sprintf("t:%d", i), `{"a":2}`)
		if n := count(); n != 199-i {
			t.Fatalf("%d ids after %d of 200 have another value", n, i+1)
		}
		db.Delete(fmt.Sprintf("t:%d", 199-i))
		db.Put(fmt.Sprintf("t:%d", 199-i), `{"a":1}`)
		if n := count(); n != 199-i {
			t.Fatalf("%d ids after an entity was deleted and made again", n)
		}
	}
	if s := engine.TermSets(db.Engine); s.Misses > 2 || s.Hits < 100 {
		t.Errorf("%+v", s)
	}
}

// TestAnIndexThatBecameReadySince asks on a snapshot of a time when the index was
// not there.
func TestAnIndexThatBecameReadySince(t *testing.T) {
	db := testkit.Open(t)
	for i := range 300 {
		db.Put(fmt.Sprintf("t:%d", i), `{"a":1}`)
	}
	before := engine.Pin(db.Engine)
	defer before.Release()
	termIndexes(db)
	filter := parseFilter(t, `{"column":"a","op":"eq","value":1}`)
	compareMatching(t, before, filter)
	after := engine.Pin(db.Engine)
	defer after.Release()
	compareMatching(t, after, filter)
	compareMatching(t, before, filter)
}

// TestBitmapsOfADroppedIndexGo also when the index is made anew.
func TestBitmapsOfADroppedIndexGo(t *testing.T) {
	db := testkit.Open(t)
	termIndexes(db)
	for i := range 300 {
		db.Put(fmt.Sprintf("t:%d", i), fmt.Sprintf(`{"a":%d}`, i%2))
	}
	filter := parseFilter(t, `{"column":"a","op":"eq","value":1}`)
	ask := func() {
		t.Helper()
		state := engine.Pin(db.Engine)
		defer state.Release()
		compareMatching(t, state, filter)
	}
	ask()
	ask()
	if s := engine.TermSets(db.Engine); s.Sets != 1 {
		t.Fatalf("%+v", s)
	}
	if err := db.DropIndex(t.Context(), "t", []string{"a"}, schema.Equality); err != nil {
		t.Fatal(err)
	}
	if s := engine.TermSets(db.Engine); s.Sets != 0 || s.Bytes != 0 {
		t.Errorf("after the drop: %+v", s)
	}
	db.Put("t:0", `{"a":1}`)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Equality})
	ask()
	ask()
}
