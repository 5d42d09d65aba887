package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/bitmap"
	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
)

// standIn answers as a server would, from an exact index.
type standIn struct {
	mu     sync.Mutex
	index  *flat.Index
	fields map[uint32]map[string]int
	batch  int // the largest number of entities that came at once
	// singles is how many came alone.
	singles int
}

// vectorText reads a vector in either form.
func vectorText(t *testing.T, text json.RawMessage) []float32 {
	var v []float32
	if json.Unmarshal(text, &v) == nil {
		return v
	}
	var packed struct{ B64 string }
	if err := json.Unmarshal(text, &packed); err != nil {
		t.Error(err)
	}
	raw, err := base64.StdEncoding.DecodeString(packed.B64)
	if err != nil {
		t.Error(err)
	}
	for ; len(raw) >= 4; raw = raw[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return v
}

func startStandIn(t *testing.T, w *workload) (*standIn, *client) {
	t.Helper()
	index, err := flat.New(w.metric, w.base.Dim, flat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { index.Close() })
	s := &standIn{index: index, fields: map[uint32]map[string]int{}}
	c := serve(t, map[string]http.HandlerFunc{
		"DELETE /tables/{table}":  text(200, "{}"),
		"POST /index/create":      text(201, "{}"),
		"GET /vector/index/stats": text(200, `{"indexes":[{"pending":0}]}`),
		"POST /entities/batch":    func(w http.ResponseWriter, r *http.Request) { s.put(t, w, r) },
		"PUT /entities/{key}":     func(w http.ResponseWriter, r *http.Request) { s.putOne(t, w, r) },
		"GET /entities/{key}":     text(200, `{"small":1}`),
		"POST /vector/search":     func(w http.ResponseWriter, r *http.Request) { s.search(t, w, r) },
	})
	return s, c
}

func (s *standIn) put(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var body struct {
		Operations []struct {
			Key    string
			Entity map[string]json.RawMessage
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch = max(s.batch, len(body.Operations))
	for _, o := range body.Operations {
		s.take(t, o.Key, o.Entity)
	}
	fmt.Fprintf(w, `{"results":[],"succeeded":%d,"failed":0}`, len(body.Operations))
}

func (s *standIn) putOne(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var entity map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&entity); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.singles++
	if key := r.PathValue("key"); key != benchTable+":small" {
		s.take(t, key, entity)
	}
	fmt.Fprint(w, "{}")
}

// take puts an entity in.
func (s *standIn) take(t *testing.T, key string, entity map[string]json.RawMessage) {
	id, err := strconv.Atoi(strings.TrimPrefix(key, benchTable+":"))
	if err != nil {
		t.Error(err)
	}
	if err := s.index.Put(uint32(id), 0, vectorText(t, entity["embedding"])); err != nil {
		t.Error(err)
	}
	s.fields[uint32(id)] = map[string]int{}
	for name, text := range entity {
		if name == "embedding" {
			continue
		}
		if s.fields[uint32(id)][name], err = strconv.Atoi(string(text)); err != nil {
			t.Error(err)
		}
	}
}

func (s *standIn) search(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var q struct {
		K          int
		Vector     json.RawMessage
		Predicates []predicate
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	query := vecindex.Query{Vector: vectorText(t, q.Vector), K: q.K}
	if len(q.Predicates) > 0 {
		query.Allow = &bitmap.Set{}
		for id, fields := range s.fields {
			if strconv.Itoa(fields[q.Predicates[0].Column]) == string(q.Predicates[0].Value) {
				query.Allow.Add(id)
			}
		}
	}
	hits, _, err := s.index.Search(r.Context(), query, nil)
	if err != nil {
		t.Error(err)
	}
	var results []map[string]any
	for _, h := range hits {
		results = append(results, map[string]any{"pk": strconv.Itoa(int(h.ID)), "distance": h.Distance})
	}
	json.NewEncoder(w).Encode(map[string]any{"results": results})
}

// TestServe loads and searches a stand-in, in both forms of vectors, and an index in
// this process; all that is true is found, under filters too.
func TestServe(t *testing.T) {
	w := &workload{name: "set", metric: vecindex.L2}
	w.base, w.queries = dataset.Manifold{Dim: 12, Seed: 5}.Make(250, 20)
	var err error
	if w.truth, err = exactNeighbours(t.Context(), w, 10); err != nil {
		t.Fatal(err)
	}
	for _, packed := range []bool{false, true} {
		stand, c := startStandIn(t, w)
		f := servingFlags{batch: 100, loaders: 2, base64: packed, recall: 0.9, atLeast: 20 * time.Millisecond, rounds: 2, phase: 20 * time.Millisecond, besideRounds: 2}
		f.k, f.dir = 2, t.TempDir()
		r := &servingReport{Set: w.name, Vectors: w.base.Len(), Quantization: "none", Clients: 3}
		index, remove, err := f.inHouse(t.Context(), w, r, silent)
		if err != nil {
			t.Fatal(err)
		}
		s := &served{&overHTTP{c, benchTable}, os.Getpid(), w, index.index, []int{1, 3}}
		if err := errors.Join(f.serve(t.Context(), s, r, silent), remove()); err != nil {
			t.Fatal(err)
		}
		if stand.batch != 100 || stand.index.Len() != 250 || r.AcknowledgedSeconds <= 0 || r.IndexedSeconds < r.AcknowledgedSeconds || r.IngestClientCPUSeconds <= 0 || r.PrepareCPUSeconds <= 0 {
			t.Fatalf("%d entities in batches of %d: %+v", stand.index.Len(), stand.batch, r)
		}
		if r.Ef == 0 || r.InProcess.Recall < 0.9 || r.InProcess.CPUMicros <= 0 || r.InProcess.BuildSeconds <= 0 || r.InProcess.BuildCPUSeconds <= 0 || len(r.Rows) != 6 {
			t.Fatalf("%+v", r)
		}
		for i, row := range r.Rows {
			if row.Recall != 1 || row.QPS <= 0 || row.Percent != []int{100, 100, 10, 10, 1, 1}[i] || row.Clients != []int{1, 3}[i%2] || row.ClientCPUMicros <= 0 ||
				row.InProcessRecall < 0.9 || row.InProcessMicros <= 0 || row.BusyMicros <= 0 || row.Searches < 40 {
				t.Errorf("%+v", row)
			}
		}
		checkBeside(t, r.Beside, stand.singles)
		var printed bytes.Buffer
		if err := r.table(&printed); err != nil || !strings.Contains(printed.String(), "|        10 |       3 |    1.0000 |") ||
			!strings.Contains(printed.String(), "| search  | puts    |") {
			t.Errorf("%v\n%s", err, printed.String())
		}
	}
}

// checkBeside: readers were measured alone and beside both kinds of writers.
func checkBeside(t *testing.T, rows []besideRow, singles int) {
	t.Helper()
	if len(rows) != 5 || singles < 2 {
		t.Fatalf("%d entities came alone: %+v", singles, rows)
	}
	for i, row := range rows {
		alone := i == 0 || i == 3
		if row.QPS <= 0 || row.P99Ms < row.P50Ms || row.P50Ms <= 0 || (row.Writers == "") != alone || (row.P99Times == 0) != alone {
			t.Errorf("%+v", row)
		}
		if rounds := len(row.P99Rounds); rounds != 2 && i > 0 || rounds != 4 && i == 0 {
			t.Errorf("%+v", row)
		}
	}
}

// TestRewriters: each time round an entity gets another vector than it has.
func TestRewriters(t *testing.T) {
	w := &workload{}
	w.base, w.queries = dataset.Manifold{Dim: 3, Seed: 5}.Make(7, 1)
	var f servingFlags
	r := f.newRewriters(&served{overHTTP: &overHTTP{newClient("", "", 1), benchTable}, w: w})
	for id := range 7 {
		now := w.base.Row(id)
		for turn := id; turn < 7*5; turn += 7 {
			var entity struct {
				Tenth     int
				Embedding []float32
			}
			if err := json.Unmarshal(r.entity(nil, turn), &entity); err != nil || entity.Tenth != id || slices.Equal(entity.Embedding, now) {
				t.Errorf("entity %d in turn %d: %+v after %v, %v", id, turn, entity, now, err)
			}
			now = entity.Embedding
		}
	}
}

// TestWritersThatAreRefused: what ended the writers is the error, not that the readers
// were ended for it.
func TestWritersThatAreRefused(t *testing.T) {
	c := serve(t, map[string]http.HandlerFunc{
		"POST /entities/batch": text(507, `{"status":507,"code":"storage_full","detail":"the disk is full"}`),
		"GET /entities/{key}":  text(200, `{}`),
	})
	w := &workload{}
	w.base, w.queries = dataset.Manifold{Dim: 3, Seed: 5}.Make(7, 2)
	w.truth = [][]int32{{0}, {0}}
	f := servingFlags{batch: 3, loaders: 2}
	s := &served{overHTTP: &overHTTP{c, benchTable}, w: w}
	small, err := c.newAskers(func(int, []byte) error { return nil })
	if err := errors.Join(err, small.prepare(c, "GET", "/entities/t:small", nil)); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.act(t.Context(), scene{"get", "batches"}, measurement{1, 1, 1, 10 * time.Second}, readers{askers: small}, f.newRewriters(s))
	var e *apiError
	if !errors.As(err, &e) || e.Code != "storage_full" {
		t.Errorf("got %v", err)
	}
}

// TestMedianRow: all figures are medians, but the searches, which are counted.
func TestMedianRow(t *testing.T) {
	row := medianRow([]servingRow{
		{Percent: 10, point: point{Ef: 3, QPS: 5, P99Ms: 7, Searches: 2}, ServerCPUMicros: 9, InProcessMicros: 3},
		{Percent: 10, point: point{Ef: 3, QPS: 1, P99Ms: 9, Searches: 3}, ServerCPUMicros: 1, InProcessMicros: 4},
		{Percent: 10, point: point{Ef: 3, QPS: 3, P99Ms: 8, Searches: 4}, ServerCPUMicros: 2, InProcessMicros: 5},
	})
	if want := (servingRow{Percent: 10, point: point{Ef: 3, QPS: 3, P99Ms: 8, Searches: 9}, ServerCPUMicros: 2, InProcessMicros: 4}); row != want {
		t.Errorf("got %+v, want %+v", row, want)
	}
}

// TestBatchRefused: an entity that isn't taken ends the load.
func TestBatchRefused(t *testing.T) {
	for _, answer := range []string{
		`{"results":[{"key":"t:0","status":400,"error":{"code":"bad","detail":"no"}}],"succeeded":0,"failed":1}`,
		`{"results":[],"succeeded":0}`, `[]`,
	} {
		c := serve(t, map[string]http.HandlerFunc{"POST /entities/batch": text(200, answer)})
		if err := c.putBatch(t.Context(), 0, 1, func(dst []byte, _ int) []byte { return append(dst, "{}"...) }); err == nil {
			t.Errorf("%s: no error", answer)
		}
	}
}

func TestProcessorTime(t *testing.T) {
	before, err := processorTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own, err := processTime()
	if err != nil {
		t.Fatal(err)
	}
	for now := own; now < own+50*time.Millisecond; {
		if now, err = processTime(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := processorTime(os.Getpid())
	if err != nil || after-before < 20*time.Millisecond {
		t.Errorf("50 ms of work count as %v, %v", after-before, err)
	}
	if _, err := processorTime(-1); err == nil {
		t.Error("there is no such process")
	}
	if _, err := residentMemory(-1); err == nil {
		t.Error("there is no such process")
	}
}
