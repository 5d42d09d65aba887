package storage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/storage/keys"
)

// model is what a Store should hold, in maps.
type model struct {
	entities map[scoped]string
	pks      map[pkKey]uint32
	terms    map[entry]struct{}
	vectors  map[scoped]vector
	meta     map[string]string
	counters map[string]int64
	oplog    []Op // the op with sequence n is oplog[n-1]
	trimmed  Seq
}

type scoped struct{ scope, id uint32 }

type pkKey struct {
	table uint32
	pk    string
}

type entry struct {
	index uint32
	term  string
	id    uint32
}

type vector struct {
	stamp uint64
	bytes string
}

func newModel() *model {
	return &model{
		entities: map[scoped]string{}, pks: map[pkKey]uint32{}, terms: map[entry]struct{}{},
		vectors: map[scoped]vector{}, meta: map[string]string{}, counters: map[string]int64{},
	}
}

func (m *model) clone() *model {
	c := *m
	c.entities, c.pks, c.terms = maps.Clone(m.entities), maps.Clone(m.pks), maps.Clone(m.terms)
	c.vectors, c.meta, c.counters = maps.Clone(m.vectors), maps.Clone(m.meta), maps.Clone(m.counters)
	c.oplog = slices.Clone(m.oplog)
	return &c
}

// The model's worlds are small so that operations meet.
const (
	modelTables  = 3
	modelIndexes = 3
	modelIDs     = 40
)

func modelPK(id uint32) string { return fmt.Sprintf("pk%d", id) }

// modelTerms are prefix-free, and cover the awkward bytes.
var modelTerms = func() [][]byte {
	terms := [][]byte{keys.AppendNull(nil), keys.AppendBool(nil, true), keys.AppendObject(nil)}
	for _, s := range []string{"", "a", "a\x00", "a\x00b", "ab", "\xff\xff"} {
		terms = append(terms, keys.AppendString(nil, s))
	}
	for _, v := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		terms = append(terms, keys.AppendInt(nil, v))
	}
	return terms
}()

// randomOp adds one random operation to the batch and to the model.
func (m *model) randomOp(rng *rand.Rand, b *Batch) {
	table, index := rng.Uint32N(modelTables), rng.Uint32N(modelIndexes)
	if rng.IntN(8) == 0 {
		table, index = math.MaxUint32, math.MaxUint32 // the last scope there can be
	}
	id, stamp := rng.Uint32N(modelIDs), rng.Uint64()
	if rng.IntN(20) == 0 {
		id = math.MaxUint32
	}
	term := modelTerms[rng.IntN(len(modelTerms))]
	key := fmt.Sprintf("key%d", rng.IntN(5))
	switch n := rng.IntN(100); {
	case n < 25:
		record := strings.Repeat("r", rng.IntN(500))
		b.PutEntity(table, id, modelPK(id), stamp, []byte(record))
		m.entities[scoped{table, id}] = record
		m.pks[pkKey{table, modelPK(id)}] = id
		m.oplog = append(m.oplog, Op{OpPut, table, id, modelPK(id), stamp})
	case n < 35:
		b.DeleteEntity(table, id, modelPK(id), stamp, nil)
		delete(m.entities, scoped{table, id})
		delete(m.pks, pkKey{table, modelPK(id)})
		m.oplog = append(m.oplog, Op{OpDelete, table, id, modelPK(id), stamp})
	case n < 55:
		b.PutTerm(index, term, id)
		m.terms[entry{index, string(term), id}] = struct{}{}
	case n < 63:
		b.DeleteTerm(index, term, id)
		delete(m.terms, entry{index, string(term), id})
	case n < 75:
		vec := []float32{rng.Float32(), float32(rng.NormFloat64())}
		b.PutVector(index, id, stamp, vec)
		m.vectors[scoped{index, id}] = vector{stamp, string(floatBytes(vec))}
	case n < 80:
		b.DeleteVector(index, id)
		delete(m.vectors, scoped{index, id})
	case n < 85:
		b.PutMeta(key, []byte(modelPK(id)))
		m.meta[key] = modelPK(id)
	case n < 87:
		b.DeleteMeta(key)
		delete(m.meta, key)
	case n < 96:
		delta := rng.Int64N(11) - 5
		b.AddCounter(key, delta)
		m.counters[key] += delta
	case n < 98:
		b.ResetCounter(key)
		m.counters[key] = 0
	case n < 99:
		b.DropTable(table, stamp, "")
		maps.DeleteFunc(m.entities, func(k scoped, _ string) bool { return k.scope == table })
		maps.DeleteFunc(m.pks, func(k pkKey, _ uint32) bool { return k.table == table })
		m.oplog = append(m.oplog, Op{Kind: OpDropTable, Table: table, Stamp: stamp})
	default:
		b.DropIndex(index)
		maps.DeleteFunc(m.terms, func(k entry, _ struct{}) bool { return k.index == index })
		maps.DeleteFunc(m.vectors, func(k scoped, _ vector) bool { return k.scope == index })
	}
}

func floatBytes(vec []float32) (b []byte) {
	for _, x := range vec {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// TestModel runs a random history of batches, snapshots, drops, trims, flushes,
// compactions and reopens against maps, and compares every kind of read.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	o := testOptions(t)
	o.Durability = DurabilityNone // for half of the commits
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	m := newModel()
	var snap *Snapshot
	var frozen *model
	var b Batch
	for step := range 1200 {
		b.Reset()
		for range rng.IntN(20) {
			m.randomOp(rng, &b)
		}
		seq, err := s.Commit(&b, CommitOptions{Sync: rng.IntN(2) == 0})
		if err != nil || seq != Seq(len(m.oplog)) {
			t.Fatalf("step %d: sequence %d, %v; want %d", step, seq, err, len(m.oplog))
		}
		m.checkPoints(t, rng, s.Latest())
		m.checkRange(t, rng, s.Latest())
		switch rng.IntN(100) {
		case 0:
			must(t, s.Flush())
		case 1:
			must(t, s.Compact(t.Context()))
		case 2:
			if snap == nil {
				snap, frozen = s.NewSnapshot(), m.clone()
			}
		case 3:
			if snap != nil {
				frozen.checkAll(t, &snap.Reader)
				snap.Release()
				snap = nil
			}
		case 4:
			upTo := Seq(rng.IntN(len(m.oplog) + 2))
			must(t, s.TrimOplog(upTo))
			m.trimmed = max(m.trimmed, min(upTo, Seq(len(m.oplog))))
		case 5:
			if snap != nil {
				snap.Release()
				snap = nil
			}
			must(t, s.Close())
			if s, err = Open(o); err != nil {
				t.Fatal(err)
			}
		case 6:
			m.checkAll(t, s.Latest())
			m.checkStore(t, s)
		}
	}
	m.checkAll(t, s.Latest())
	m.checkStore(t, s)
	must(t, s.VerifyChecksums())
	if snap != nil {
		frozen.checkAll(t, &snap.Reader)
		snap.Release()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkPoints looks random rows up.
func (m *model) checkPoints(t *testing.T, rng *rand.Rand, r *Reader) {
	t.Helper()
	scope := rng.Uint32N(modelTables)
	ids := make([]uint32, rng.IntN(10))
	pks := make([]string, len(ids))
	for i := range ids {
		ids[i] = rng.Uint32N(modelIDs)
		pks[i] = modelPK(ids[i])
	}
	got, found := make([]uint32, len(ids)), make([]bool, len(ids))
	must(t, r.LookupIDs(scope, pks, got, found))
	for i, pk := range pks {
		if want, ok := m.pks[pkKey{scope, pk}]; found[i] != ok || got[i] != want {
			t.Fatalf("the id of %s is %d (%v), want %d (%v)", pk, got[i], found[i], want, ok)
		}
	}
	must(t, r.Entities(scope, ids, func(i int, record []byte) error {
		if want, ok := m.entities[scoped{scope, ids[i]}]; ok != (record != nil) || string(record) != want {
			t.Fatalf("entity %d is %q (nil %v), want %q (%v)", ids[i], record, record == nil, want, ok)
		}
		return nil
	}))
	must(t, r.Vectors(scope, ids, func(i int, stamp uint64, vec []byte) error {
		want, ok := m.vectors[scoped{scope, ids[i]}]
		if ok != (vec != nil) || (vector{stamp, string(vec)} != want) {
			t.Fatalf("vector %d is %x at %d, want %x at %d", ids[i], vec, stamp, want.bytes, want.stamp)
		}
		return nil
	}))
}

// checkRange scans and counts one random range of terms.
func (m *model) checkRange(t *testing.T, rng *rand.Rand, r *Reader) {
	t.Helper()
	pick := func() []byte {
		if rng.IntN(3) == 0 {
			return nil
		}
		return modelTerms[rng.IntN(len(modelTerms))]
	}
	index := rng.Uint32N(modelIndexes)
	tr := TermRange{Lo: pick(), Hi: pick(), Reverse: rng.IntN(2) == 0, After: pick(), AfterID: rng.Uint32N(modelIDs)}
	want := m.entries(index, tr)
	limit := rng.IntN(30) + 1
	var got []entry
	must(t, r.ScanTerms(t.Context(), index, tr, func(term []byte, id uint32) (bool, error) {
		got = append(got, entry{index, string(term), id})
		return len(got) < limit, nil
	}))
	if !slices.Equal(got, want[:min(limit, len(want))]) {
		t.Fatalf("%+v gives\n%v, want\n%v", tr, got, want)
	}
	n, exact, err := r.CountTerms(t.Context(), index, tr, limit)
	if err != nil || exact != (len(want) <= limit) || exact && n != len(want) || n < min(limit, len(want)) {
		t.Fatalf("%+v counts %d (exact %v), %v; want %d, limit %d", tr, n, exact, err, len(want), limit)
	}
}

func (m *model) entries(index uint32, tr TermRange) (list []entry) {
	after := entry{index, string(tr.After), tr.AfterID}
	for e := range m.terms {
		in := e.index == index &&
			(tr.Lo == nil || e.term >= string(tr.Lo)) &&
			(tr.Hi == nil || e.term < string(tr.Hi)) &&
			(tr.After == nil || !tr.Reverse && e.compare(after) > 0 || tr.Reverse && e.compare(after) < 0)
		if in {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, entry.compare)
	if tr.Reverse {
		slices.Reverse(list)
	}
	return list
}

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.index, o.index), strings.Compare(e.term, o.term), cmp.Compare(e.id, o.id))
}

// checkAll compares everything a Reader shows.
func (m *model) checkAll(t *testing.T, r *Reader) {
	t.Helper()
	if seq, err := r.Seq(); err != nil || seq != Seq(len(m.oplog)) {
		t.Fatalf("sequence %d, %v; want %d", seq, err, len(m.oplog))
	}
	for _, scope := range []uint32{0, 1, 2, math.MaxUint32} {
		m.checkScope(t, r, scope)
	}
}

func (m *model) checkScope(t *testing.T, r *Reader, scope uint32) {
	t.Helper()
	ctx, from := context.Background(), uint32(7)
	records, last := map[scoped]string{}, int64(-1)
	must(t, r.ScanEntities(ctx, scope, 0, func(id uint32, record []byte) (bool, error) {
		if int64(id) <= last {
			t.Fatalf("id %d follows %d", id, last)
		}
		last = int64(id)
		records[scoped{scope, id}] = string(record)
		return true, nil
	}))
	want := maps.Clone(m.entities)
	maps.DeleteFunc(want, func(k scoped, _ string) bool { return k.scope != scope })
	if !maps.Equal(records, want) {
		t.Fatalf("table %d holds %d entities, want %d", scope, len(records), len(want))
	}
	if id, ok, err := r.LastID(scope); err != nil || ok != (last >= 0) || ok && int64(id) != last {
		t.Fatalf("the last id of table %d is %d (%v), %v; want %d", scope, id, ok, err, last)
	}
	pks := map[pkKey]uint32{}
	must(t, r.ScanPKs(ctx, scope, "pk1", func(pk string, id uint32) (bool, error) {
		pks[pkKey{scope, pk}] = id
		return true, nil
	}))
	wantPKs := maps.Clone(m.pks)
	maps.DeleteFunc(wantPKs, func(k pkKey, _ uint32) bool { return k.table != scope || !strings.HasPrefix(k.pk, "pk1") })
	if !maps.Equal(pks, wantPKs) {
		t.Fatalf("table %d holds %d primary keys with the prefix, want %d", scope, len(pks), len(wantPKs))
	}
	vectors := map[scoped]vector{}
	must(t, r.ScanVectors(ctx, scope, from, func(id uint32, stamp uint64, vec []byte) (bool, error) {
		vectors[scoped{scope, id}] = vector{stamp, string(vec)}
		return true, nil
	}))
	wantVectors := maps.Clone(m.vectors)
	maps.DeleteFunc(wantVectors, func(k scoped, _ vector) bool { return k.scope != scope || k.id < from })
	if !maps.Equal(vectors, wantVectors) {
		t.Fatalf("index %d holds %d vectors from id %d, want %d", scope, len(vectors), from, len(wantVectors))
	}
	m.checkTerms(t, r, scope)
}

// checkTerms compares an index's entries, and its samples with its entries.
func (m *model) checkTerms(t *testing.T, r *Reader, index uint32) {
	t.Helper()
	var got []entry
	samples := [sampleLevels + 1]int{}
	must(t, r.ScanTerms(t.Context(), index, TermRange{}, func(term []byte, id uint32) (bool, error) {
		got = append(got, entry{index, string(term), id})
		for level := sampleLevel(keys.AppendTerm(nil, index, term, id)); level > 0; level-- {
			samples[level]++
		}
		return true, nil
	}))
	if want := m.entries(index, TermRange{}); !slices.Equal(got, want) {
		t.Fatalf("index %d holds %d entries, want %d", index, len(got), len(want))
	}
	for level := 1; level <= sampleLevels; level++ {
		bounds := TermRange{}.bounds(keys.AppendSamples(nil, index, level))
		n, err := r.view.Count(t.Context(), familySamples, bounds, math.MaxInt32)
		if err != nil || n != samples[level] {
			t.Fatalf("index %d has %d samples on level %d, %v; want %d", index, n, level, err, samples[level])
		}
	}
}

// checkStore compares what isn't under a Reader.
func (m *model) checkStore(t *testing.T, s *Store) {
	t.Helper()
	for key, want := range m.counters {
		if got := s.Counter(key); got != want {
			t.Fatalf("counter %s is %d, want %d", key, got, want)
		}
	}
	meta := map[string]string{}
	must(t, s.ScanMeta("k", func(key string, value []byte) error {
		meta[key] = string(bytes.Clone(value))
		return nil
	}))
	if !maps.Equal(meta, m.meta) {
		t.Fatalf("the catalog holds %v, want %v", meta, m.meta)
	}
	next := m.trimmed
	must(t, s.ReadOplog(t.Context(), m.trimmed, func(seq Seq, op Op) (bool, error) {
		if next++; seq != next || op != m.oplog[seq-1] {
			t.Fatalf("the oplog has %+v at %d, want %+v at %d", op, seq, m.oplog[next-1], next)
		}
		return true, nil
	}))
	if next != Seq(len(m.oplog)) {
		t.Fatalf("the oplog ends at %d, want %d", next, len(m.oplog))
	}
}
