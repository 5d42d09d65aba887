package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
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
		id, err := strconv.Atoi(strings.TrimPrefix(o.Key, benchTable+":"))
		if err != nil {
			t.Error(err)
		}
		if err := s.index.Put(uint32(id), 0, vectorText(t, o.Entity["embedding"])); err != nil {
			t.Error(err)
		}
		s.fields[uint32(id)] = map[string]int{}
		for name, text := range o.Entity {
			if name == "embedding" {
				continue
			}
			value, err := strconv.Atoi(string(text))
			if err != nil {
				t.Error(err)
			}
			s.fields[uint32(id)][name] = value
		}
	}
	fmt.Fprintf(w, `{"results":[],"succeeded":%d,"failed":0}`, len(body.Operations))
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

// TestServe loads and searches a stand-in, in both forms of vectors; all that is
// true is found, under filters too.
func TestServe(t *testing.T) {
	w := &workload{name: "set", metric: vecindex.L2}
	w.base, w.queries = dataset.Manifold{Dim: 12, Seed: 5}.Make(250, 20)
	var err error
	if w.truth, err = exactNeighbours(t.Context(), w, 10); err != nil {
		t.Fatal(err)
	}
	for _, packed := range []bool{false, true} {
		s, c := startStandIn(t, w)
		f := servingFlags{batch: 100, loaders: 2, base64: packed, atLeast: 20 * time.Millisecond}
		f.k = 2
		r := &servingReport{Set: w.name, Vectors: w.base.Len(), Quantization: "none", Ef: 10, InProcess: inHouse{1, 0.95, 20}}
		if err := f.serve(t.Context(), c, os.Getpid(), w, []int{1, 3}, r, silent); err != nil {
			t.Fatal(err)
		}
		if s.batch != 100 || s.index.Len() != 250 || r.AcknowledgedSeconds <= 0 || r.IndexedSeconds < r.AcknowledgedSeconds || len(r.Rows) != 6 {
			t.Fatalf("%d entities in batches of %d: %+v", s.index.Len(), s.batch, r)
		}
		for i, row := range r.Rows {
			if row.Recall != 1 || row.QPS <= 0 || row.Percent != []int{100, 100, 10, 10, 1, 1}[i] || row.Clients != []int{1, 3}[i%2] || row.ClientCPUMicros <= 0 {
				t.Errorf("%+v", row)
			}
		}
		var printed bytes.Buffer
		if err := r.table(&printed); err != nil || !strings.Contains(printed.String(), "|        10 |       3 |    1.0000 |") {
			t.Errorf("%v\n%s", err, printed.String())
		}
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
