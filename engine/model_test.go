package engine_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/vecindex"
)

var (
	modelOps  = flag.Int("model.ops", 10_000, "operations of TestModel")
	modelSeed = flag.Uint64("model.seed", 0, "seed of TestModel; 0 draws one")
)

// model is what the database must be equal to: a map.
type model struct {
	t   *testing.T
	r   *rand.Rand
	db  *testkit.DB
	now time.Time
	// docs and versions are of live entities; an entity with "ttl" at or before
	// now isn't live.
	docs     map[string]map[string]any
	versions map[string]uint64
	indexes  map[string]schema.IndexDef
}

// TestModel carries out random operations on a database and on a map and
// compares all that can be asked. Restarts, index changes and expiry are among
// the operations.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with -model.seed=%d)", seed, seed)
	m := &model{
		t: t, r: rand.New(rand.NewPCG(seed, 0)),
		now:      time.Unix(1_700_000_000, 0),
		docs:     map[string]map[string]any{},
		versions: map[string]uint64{},
		indexes:  map[string]schema.IndexDef{},
	}
	opts := testkit.Options(t.TempDir())
	opts.Now = func() time.Time { return m.now }
	opts.Query.ParallelThreshold, opts.Query.BatchSize = 20, 7
	m.db = testkit.OpenWith(t, opts)
	engine.KeepFewTerms(m.db.Engine)
	for _, def := range modelIndexes() {
		m.toggleIndex(def)
	}
	ops := *modelOps
	if testing.Short() {
		ops /= 10
	}
	for i := range ops {
		m.step()
		if t.Failed() {
			t.Fatalf("failed at operation %d of seed %d", i, seed)
		}
	}
	m.compareAll()
}

func modelIndexes() []schema.IndexDef {
	def := func(typ schema.IndexType, columns ...string) schema.IndexDef {
		return schema.IndexDef{Table: "t", Columns: columns, Type: typ}
	}
	unique := def(schema.Equality, "u")
	unique.Unique = true
	vector := def(schema.Vector, "v")
	vector.Vector = &schema.VectorConfig{Metric: "l2", Dimension: 3}
	return []schema.IndexDef{
		def(schema.TTL, "ttl"), unique, vector,
		def(schema.Equality, "a"), def(schema.Range, "b"), def(schema.Sparse, "s"),
		def(schema.Composite, "a", "b"), def(schema.Geo, "loc"), def(schema.Range, "n.x"),
	}
}

func (m *model) step() {
	switch n := m.r.IntN(1000); {
	case n < 550:
		m.write()
	case n < 600:
		m.batch()
	case n < 750:
		m.query()
	case n < 850:
		m.search()
	case n < 940:
		m.get()
	case n < 960:
		m.scroll()
	case n < 970:
		m.toggleIndex(modelIndexes()[3+m.r.IntN(6)])
	case n < 975:
		m.rebuild()
	case n < 985:
		m.now = m.now.Add(time.Duration(m.r.IntN(5)) * time.Second)
		m.expire()
	case n < 988:
		m.deleteWhere()
	case n < 990:
		// With a negative interval this run's changes are in no checkpoint, and the next
		// start finds them in the oplog.
		interval := []time.Duration{-1, time.Millisecond, 50 * time.Millisecond}[m.r.IntN(3)]
		m.db.SetOptions(func(o *engine.Options) { o.Vector.CheckpointInterval = interval })
		m.db.Reopen()
	default:
		m.stale()
	}
}

func (m *model) expire() {
	for key, doc := range m.docs {
		if at, ok := doc["ttl"].(float64); ok && at <= float64(m.now.Unix()) {
			m.remove(key)
		}
	}
}

func (m *model) remove(key string) {
	delete(m.docs, key)
	delete(m.versions, key)
}

func (m *model) key() string { return fmt.Sprintf("k%d", m.r.IntN(150)) }

func (m *model) doc() map[string]any {
	doc := testkit.RandomDoc(m.r)
	if m.r.IntN(3) > 0 {
		doc["v"] = []any{float64(m.r.IntN(20)), float64(m.r.IntN(20)), float64(m.r.IntN(20))}
	}
	if m.r.IntN(4) == 0 {
		doc["u"] = float64(m.r.IntN(60))
	}
	if m.r.IntN(8) == 0 {
		doc["ttl"] = float64(m.now.Unix() + int64(m.r.IntN(20)) - 2)
	}
	return doc
}

// op draws one operation and what the model says of it: a code, "" for success,
// and the effect.
func (m *model) op() engine.Op {
	op := engine.Op{Key: engine.Key{Table: "t", PK: m.key()}}
	switch n := m.r.IntN(10); {
	case n < 6:
		op.Kind, op.Doc = engine.OpPut, testkit.JSON(m.doc())
		op.IfAbsent = m.r.IntN(10) == 0
	case n < 8:
		patch := m.doc()
		for _, c := range []string{"a", "v", "u", "ttl"} {
			if m.r.IntN(8) == 0 {
				patch[c] = nil
			}
		}
		op.Kind, op.Doc = engine.OpPatch, testkit.JSON(patch)
	default:
		op.Kind = engine.OpDelete
	}
	if m.r.IntN(6) == 0 {
		v := m.versions[op.Key.PK] + uint64(m.r.IntN(2))
		op.IfVersion = &v
	}
	return op
}

// expect applies op to the model and returns the error code it must give.
func (m *model) expect(op engine.Op) string {
	pk := op.Key.PK
	old, exists := m.docs[pk]
	switch {
	case op.IfAbsent && exists:
		return "entity_exists"
	case op.IfVersion != nil && (!exists || m.versions[pk] != *op.IfVersion):
		return "version_mismatch"
	case op.Kind != engine.OpPut && !exists:
		return "entity_not_found"
	case op.Kind == engine.OpDelete:
		m.remove(pk)
		return ""
	}
	var doc map[string]any
	if err := json.Unmarshal(op.Doc, &doc); err != nil {
		m.t.Fatal(err)
	}
	if op.Kind == engine.OpPatch {
		doc = mergePatch(old, doc)
	}
	if u, ok := doc["u"]; ok && u != nil {
		for other, d := range m.docs {
			if other != pk && d["u"] == u {
				return "duplicate_value"
			}
		}
	}
	m.docs[pk] = doc
	m.versions[pk]++
	m.expire()
	return ""
}

// mergePatch is RFC 7396 on decoded documents.
func mergePatch(old, patch map[string]any) map[string]any {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range patch {
		sub, isObject := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isObject:
			before, _ := out[k].(map[string]any)
			out[k] = mergePatch(before, sub)
		default:
			out[k] = v
		}
	}
	return out
}

func (m *model) write() {
	op := m.op()
	results, err := m.db.Apply(m.t.Context(), []engine.Op{op}, false)
	if err != nil {
		m.t.Fatalf("apply: %v", err)
	}
	m.compareOp(op, results[0])
}

func (m *model) compareOp(op engine.Op, result engine.OpResult) {
	m.t.Helper()
	_, existed := m.docs[op.Key.PK]
	want := m.expect(op)
	if have := code(result.Err); have != want {
		m.t.Fatalf("op %d on %s %s (if version %v): code %q (%v), want %q", op.Kind, op.Key, op.Doc, op.IfVersion, have, result.Err, want)
	}
	if want == "" && op.Kind == engine.OpPut && result.Created == existed {
		m.t.Fatalf("put %s: created %v, existed before %v", op.Key, result.Created, existed)
	}
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return errs.CodeOf(err)
}

// batch carries out several ops, sometimes on the same keys. Ops that follow a
// refused unique value on their key share its fate, which the map doesn't
// model, so batches leave "u" alone.
func (m *model) batch() {
	ops := make([]engine.Op, 1+m.r.IntN(8))
	for i := range ops {
		ops[i] = m.op()
		if ops[i].Doc != nil {
			var doc map[string]any
			_ = json.Unmarshal(ops[i].Doc, &doc)
			delete(doc, "u")
			ops[i].Doc = testkit.JSON(doc)
		}
	}
	atomic := m.r.IntN(2) == 0
	docs, versions := maps.Clone(m.docs), maps.Clone(m.versions)
	results, err := m.db.Apply(m.t.Context(), ops, atomic)
	if err == nil {
		for i, op := range ops {
			// expire() inside must not see an op's effect before the batch is over:
			// an entity written as expired is overwritten as absent either way.
			m.compareOp(op, results[i])
		}
		return
	}
	if !atomic {
		m.t.Fatalf("batch: %v", err)
	}
	failed := false
	for _, op := range ops {
		failed = failed || m.expect(op) != ""
	}
	if !failed {
		m.t.Fatalf("an atomic batch failed without a reason: %v", err)
	}
	m.docs, m.versions = docs, versions
}

func (m *model) get() {
	pks := []string{m.key(), m.key(), m.key()}
	keys := make([]engine.Key, len(pks))
	for i, pk := range pks {
		keys[i] = engine.Key{Table: "t", PK: pk}
	}
	found, err := m.db.Get(m.t.Context(), keys, true)
	if err != nil {
		m.t.Fatal(err)
	}
	for i, pk := range pks {
		m.compareEntity(pk, found[i])
	}
}

func (m *model) compareEntity(pk string, e *engine.Entity) {
	m.t.Helper()
	doc, ok := m.docs[pk]
	switch {
	case !ok && e != nil:
		m.t.Errorf("%s: found %s, want none", pk, e.Doc)
	case ok && e == nil:
		m.t.Errorf("%s: not found, want %v", pk, doc)
	case ok:
		if e.Version != m.versions[pk] {
			m.t.Errorf("%s: version %d, want %d", pk, e.Version, m.versions[pk])
		}
		var have map[string]any
		if err := json.Unmarshal(e.Doc, &have); err != nil || string(testkit.JSON(have)) != string(testkit.JSON(doc)) {
			m.t.Errorf("%s: %s (%v), want %s", pk, e.Doc, err, testkit.JSON(doc))
		}
	}
}

func (m *model) scroll() {
	seen := map[string]bool{}
	for cursor := ""; ; {
		page, err := m.db.Scroll(m.t.Context(), "t", cursor, 1+m.r.IntN(40), true)
		if err != nil {
			if len(m.docs) == 0 && errs.CodeOf(err) == "table_not_found" {
				return
			}
			m.t.Fatal(err)
		}
		for _, e := range page.Entities {
			if seen[e.Key.PK] {
				m.t.Errorf("scroll lists %s twice", e.Key)
			}
			seen[e.Key.PK] = true
			m.compareEntity(e.Key.PK, &e)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != len(m.docs) {
		m.t.Errorf("scroll lists %d entities, want %d", len(seen), len(m.docs))
	}
}

func (m *model) compareAll() {
	m.scroll()
	m.db.Check()
}

// matching lists the pks that pass, sorted.
func (m *model) matching(f testkit.Filter) []string {
	var pks []string
	for pk, doc := range m.docs {
		if testkit.Matches(f, doc) {
			pks = append(pks, pk)
		}
	}
	slices.Sort(pks)
	return pks
}

func (m *model) filter() (testkit.Filter, *query.Expr) {
	f := testkit.RandomFilter(m.r, 3)
	expr, err := query.ParseFilter(nil, []byte(f.String()))
	if err != nil {
		m.t.Fatalf("%s: %v", f, err)
	}
	return f, expr
}

func (m *model) query() {
	f, expr := m.filter()
	want := m.matching(f)
	counted, err := m.db.Query(m.t.Context(), engine.QueryRequest{Table: "t", Filter: expr, Return: engine.ReturnCount})
	if err != nil {
		m.t.Fatalf("%s: %v", f, err)
	}
	if counted.Count != len(want) {
		m.t.Errorf("count of %s: %d, want %d", f, counted.Count, len(want))
	}
	var order []query.Order
	if m.r.IntN(2) == 0 {
		order = append(order, query.Order{Column: []string{"a", "b", "s", "n.x"}[m.r.IntN(4)], Desc: m.r.IntN(2) == 0})
	}
	have := m.queryPages(f, expr, order)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		m.t.Errorf("query %s ordered by %v: %v, want %v", f, order, have, want)
	}
}

// queryPages reads all pages and checks that they are in order.
func (m *model) queryPages(f testkit.Filter, expr *query.Expr, order []query.Order) []string {
	var pks []string
	var last []byte
	sorter := query.NewSorter(order)
	limit := 1 + m.r.IntN(60)
	for cursor := ""; ; {
		result, err := m.db.Query(m.t.Context(), engine.QueryRequest{Table: "t", Filter: expr, Order: order, Limit: limit, Cursor: cursor, Explain: true})
		if err != nil {
			m.t.Fatalf("%s: %v", f, err)
		}
		for _, e := range result.Entities {
			pks = append(pks, e.Key.PK)
			key, err := sorter.AppendKey(nil, e.Doc, 0)
			if err != nil {
				m.t.Fatal(err)
			}
			if key = key[:len(key)-4]; last != nil && slices.Compare(last, key) > 0 {
				m.t.Errorf("query %s isn't in the order %v at %s (plan %s)", f, order, e.Key, testkit.JSON(result.Plan))
			}
			last = key
		}
		if cursor = result.NextCursor; cursor == "" {
			return pks
		}
	}
}

// search compares an exact vector search with brute force over the model.
func (m *model) search() {
	req := engine.SearchRequest{Table: "t", Column: "v", K: 1 + m.r.IntN(12), Exact: true, Explain: true}
	q := []float32{float32(m.r.IntN(20)), float32(m.r.IntN(20)), float32(m.r.IntN(20))}
	req.Vectors = [][]float32{q}
	var f testkit.Filter
	if m.r.IntN(2) == 0 {
		f, req.Filter = m.filter()
	}
	type hit struct {
		pk       string
		distance float32
	}
	var want []hit
	for pk, doc := range m.docs {
		if list, ok := doc["v"].([]any); ok && testkit.Matches(f, doc) {
			v := []float32{float32(list[0].(float64)), float32(list[1].(float64)), float32(list[2].(float64))}
			want = append(want, hit{pk, vecindex.L2.Distance(q, v)})
		}
	}
	slices.SortFunc(want, func(a, b hit) int { return cmp.Compare(a.distance, b.distance) })
	results, err := m.db.Search(m.t.Context(), req)
	if err != nil {
		m.t.Fatal(err)
	}
	hits := results[0].Hits
	if len(hits) != min(req.K, len(want)) {
		m.t.Fatalf("search with filter %v: %d hits of %d matches at k=%d (plan %s)", f, len(hits), len(want), req.K, testkit.JSON(results[0].Plan))
	}
	for i, h := range hits {
		if h.Distance != want[i].distance {
			m.t.Errorf("search: hit %d has distance %v, want %v", i, h.Distance, want[i].distance)
		}
		m.compareEntity(h.Key.PK, &engine.Entity{Key: h.Key, Version: m.versions[h.Key.PK], Doc: withVector(m, h)})
	}
}

// withVector is the hit's document with the vector that the answer left out.
func withVector(m *model, h engine.SearchHit) []byte {
	doc, err := schema.MergePatch(h.Doc, testkit.JSON(map[string]any{"v": m.docs[h.Key.PK]["v"]}))
	if err != nil {
		m.t.Fatal(err)
	}
	return doc
}

func (m *model) toggleIndex(def schema.IndexDef) {
	name := fmt.Sprint(def.Columns, def.Type)
	if _, ok := m.indexes[name]; ok {
		if err := m.db.DropIndex(m.t.Context(), "t", def.Columns, def.Type); err != nil {
			m.t.Fatalf("drop %s: %v", name, err)
		}
		delete(m.indexes, name)
		return
	}
	m.db.Index(def)
	m.indexes[name] = def
}

func (m *model) rebuild() {
	job, err := m.db.Reindex(m.t.Context(), "t")
	if err == nil {
		err = job.Wait(m.t.Context())
	}
	if err != nil {
		m.t.Fatalf("reindex: %v", err)
	}
}

func (m *model) deleteWhere() {
	f, expr := m.filter()
	want := m.matching(f)
	n, err := m.db.DeleteWhere(m.t.Context(), "t", expr)
	if err != nil || n != len(want) {
		m.t.Fatalf("delete where %s: %d (%v), want %d", f, n, err, len(want))
	}
	for _, pk := range want {
		m.remove(pk)
	}
}

// stale checks that a vector overwritten or deleted a moment ago isn't found.
func (m *model) stale() {
	n := m.r.IntN(150)
	pk := fmt.Sprintf("k%d", n)
	op := testkit.Put("t:"+pk, map[string]any{"v": []any{100 + float64(n), 100.0, 100.0}})
	results, err := m.db.Apply(m.t.Context(), []engine.Op{op}, false)
	if err != nil {
		m.t.Fatal(err)
	}
	m.compareOp(op, results[0])
	found, err := m.db.Search(m.t.Context(), engine.SearchRequest{Table: "t", Vectors: [][]float32{{100 + float32(n), 100, 100}}, K: 1})
	if err != nil || len(found[0].Hits) != 1 || found[0].Hits[0].Key.PK != pk {
		m.t.Fatalf("a vector written a moment ago isn't found: %+v %v", found, err)
	}
}
