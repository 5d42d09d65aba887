package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
)

// soakTable is filled and dropped.
const soakTable = "themis_soak"

// soakGroups is how many values the field group has: a filter on one of them
// allows 1 % of the entities.
const soakGroups = 100

// soakK is how many neighbours the filtered searches ask for.
const soakK = 10

// A soak fails when the server's memory beyond its vector indexes grows by more
// than this between a quarter of the inserts, when caches and memtables are
// full, and the end. What remains is Go's heap, which may double between two
// collections, and RocksDB's per-file metadata.
const soakGrowthBytes = 256 << 20

type soakFlags struct {
	server    serverFlags
	n         int
	synthetic dataset.Synthetic
	searches  int
	json      string
	keep      bool
}

func setupSoak(flags *flag.FlagSet) func(context.Context, output) error {
	var f soakFlags
	f.server.register(flags, "data/soak")
	flags.IntVar(&f.n, "n", 1_000_000, "number of entities")
	registerSynthetic(flags, &f.synthetic)
	flags.IntVar(&f.searches, "searches", 100, "filtered searches to compare with the exact answer")
	flags.StringVar(&f.json, "json", "", "file for the samples as JSON")
	flags.BoolVar(&f.keep, "keep", false, "keep the table "+soakTable)
	return f.run
}

// soak is one run under way.
type soak struct {
	output
	client        *client
	pid           int
	base, queries dataset.Matrix
	samples       []memorySample
}

// memorySample is the server's memory after so many inserts, in bytes.
type memorySample struct {
	Inserted int     `json:"inserted"`
	Seconds  float64 `json:"seconds"`
	// Resident is all of the process's memory but mapped files, Index what the
	// vector index says it takes, Rest the difference.
	Resident int64 `json:"resident_bytes"`
	Index    int64 `json:"vector_index_bytes"`
	Rest     int64 `json:"rest_bytes"`
}

func (f *soakFlags) run(ctx context.Context, out output) error {
	if f.server.start == "" {
		return errors.New("say with -start where themis_server is: the soak watches the memory of a server of its own")
	}
	// A small block cache, so that it is full early and what grows later shows.
	c, started, err := f.server.connect(ctx, 1, "THEMIS_STORAGE_BLOCK_CACHE_SIZE_MB=64", "THEMIS_STORAGE_MEMTABLE_SIZE_MB=64")
	if err != nil {
		return err
	}
	if started == nil {
		return fmt.Errorf("a server runs at %s already; choose another -port", c.base)
	}
	s := &soak{output: out, client: c, pid: started.cmd.Process.Pid}
	s.base, s.queries = f.synthetic.Make(f.n, f.searches)
	err = s.all(ctx, f)
	return errors.Join(err, started.stop())
}

func (s *soak) all(ctx context.Context, f *soakFlags) error {
	t := &overHTTP{s.client, soakTable}
	if err := t.drop(ctx); err != nil {
		return err
	}
	if err := s.insert(ctx); err != nil {
		return err
	}
	s.print()
	if f.json != "" {
		if err := writeFile(f.json, func(w io.Writer) error { return json.NewEncoder(w).Encode(s.samples) }); err != nil {
			return err
		}
	}
	err := errors.Join(s.judge(), s.compare(ctx))
	if !f.keep {
		err = errors.Join(err, t.drop(ctx))
	}
	return err
}

// insert creates the indexes and inserts all entities, with a sample of the
// memory at every twentieth of the way.
func (s *soak) insert(ctx context.Context) error {
	for _, index := range []indexSpec{
		{Column: "embedding", Type: "vector", Config: &vectorConfig{Dimension: s.base.Dim, Metric: "cosine"}},
		{Column: "group", Type: "equality"},
		{Column: "weight", Type: "range"},
		{Column: "name", Type: "equality"},
	} {
		index.Table = soakTable
		if err := s.client.createIndex(ctx, index); err != nil {
			return err
		}
	}
	begin, n := time.Now(), s.base.Len()
	every := max(n/20, 1)
	bar := newProgress(s.progress, "inserting", n)
	err := s.client.load(ctx, n, s.line, func(done int) error {
		bar.at(done)
		if done/every <= len(s.samples) {
			return nil
		}
		return s.sample(ctx, done, time.Since(begin))
	})
	bar.end()
	if err != nil {
		return err
	}
	if err := s.client.waitLinked(ctx, soakTable); err != nil {
		return err
	}
	return s.sample(ctx, n, time.Since(begin))
}

func (s *soak) line(dst []byte, i int) []byte {
	dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":{"group":%d,"weight":%g,"name":"entity %d","embedding":`,
		soakTable, i, i%soakGroups, float64(i)/4, i)
	return append(appendVector(dst, s.base.Row(i)), '}', '}')
}

func (s *soak) sample(ctx context.Context, inserted int, elapsed time.Duration) error {
	resident, err := residentMemory(s.pid)
	if err != nil {
		return err
	}
	index, err := s.client.vectorStats(ctx, soakTable)
	if err != nil {
		return err
	}
	m := memorySample{Inserted: inserted, Seconds: elapsed.Seconds(), Resident: resident.Anonymous, Index: index.bytes()}
	m.Rest = m.Resident - m.Index
	s.samples = append(s.samples, m)
	return nil
}

func (s *soak) print() {
	fmt.Fprint(s.results, "\n|  inserted | seconds | inserts/s | resident MiB | vector index MiB | rest MiB |\n")
	fmt.Fprint(s.results, "|----------:|--------:|----------:|-------------:|-----------------:|---------:|\n")
	last := memorySample{}
	for _, m := range s.samples {
		rate := float64(m.Inserted-last.Inserted) / (m.Seconds - last.Seconds)
		fmt.Fprintf(s.results, "| %9d | %7.1f | %9.0f | %12d | %16d | %8d |\n",
			m.Inserted, m.Seconds, rate, m.Resident>>20, m.Index>>20, m.Rest>>20)
		last = m
	}
}

// judge compares the memory beyond the index at the end with that after a
// quarter of the inserts.
func (s *soak) judge() error {
	early := s.samples[len(s.samples)/4]
	growth := s.samples[len(s.samples)-1].Rest - early.Rest
	fmt.Fprintf(s.results, "\nFrom %d inserts to the end, memory beyond the vector index grew by %d MiB; %d are allowed.\n",
		early.Inserted, growth>>20, soakGrowthBytes>>20)
	if growth > soakGrowthBytes {
		return errors.New("the server's memory grew with the number of inserts")
	}
	return nil
}

// compare searches within one group each, where the answer has to be the exact
// one, and within half of all entities, where it says how much of it is.
func (s *soak) compare(ctx context.Context) error {
	half := float64(s.base.Len()/2) / 4
	narrow, wide, n := 0, 0, s.queries.Len()
	for i := range n {
		group := i % soakGroups
		hits, err := s.filteredHits(ctx, i, predicate{Column: "group", Value: fmt.Appendf(nil, "%d", group)},
			func(id int) bool { return id%soakGroups == group })
		if err != nil {
			return err
		}
		narrow += hits
		hits, err = s.filteredHits(ctx, i, predicate{Column: "weight", Op: "lt", Value: fmt.Appendf(nil, "%g", half)},
			func(id int) bool { return float64(id)/4 < half })
		if err != nil {
			return err
		}
		wide += hits
	}
	fmt.Fprintf(s.results, "Recall@10 of %d filtered searches: %.4f where the filter allows 1 %%, %.4f where it allows 50 %%.\n", n, float64(narrow)/float64(n*soakK), float64(wide)/float64(n*soakK))
	if narrow < n*soakK {
		return errors.New("a search with a narrow filter did not give the exact answer")
	}
	return nil
}

// filteredHits searches with a filter and returns how much of the exact answer
// came. An answer that the filter doesn't allow is an error.
func (s *soak) filteredHits(ctx context.Context, query int, filter predicate, allows func(id int) bool) (int, error) {
	answer, err := call[searchAnswer](ctx, s.client, "POST", "/vector/search", searchRequest{
		Table: soakTable, Column: "embedding", Vector: s.queries.Row(query), K: soakK, Return: "keys", Predicates: []predicate{filter}})
	if err != nil {
		return 0, err
	}
	limit := s.kthDistance(query, soakK, allows)
	seen := map[int]bool{}
	for _, r := range answer.Results {
		id, err := strconv.Atoi(r.PK)
		if err != nil || !allows(id) {
			return 0, fmt.Errorf("query %d answered with %q, which its filter doesn't allow", query, r.PK)
		}
		if s.distance(query, id) <= limit {
			seen[id] = true
		}
	}
	return len(seen), nil
}

// kthDistance is the k-th smallest distance among the allowed vectors, and a
// little more for the rounding of float32.
func (s *soak) kthDistance(query, k int, allows func(id int) bool) float64 {
	var all []float64
	for id := range s.base.Len() {
		if allows(id) {
			all = append(all, s.distance(query, id))
		}
	}
	slices.Sort(all)
	return all[k-1] + 1e-6
}

// distance is the cosine distance, independent of the server's own code.
func (s *soak) distance(query, id int) float64 {
	var ab, aa, bb float64
	a, b := s.queries.Row(query), s.base.Row(id)
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return 1 - ab/math.Sqrt(aa*bb)
}
