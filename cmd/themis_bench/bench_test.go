package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
)

var silent = output{io.Discard, io.Discard}

// recallWith runs the subcommand recall.
func recallWith(t *testing.T, args ...string) error {
	t.Helper()
	flags := flag.NewFlagSet("recall", flag.ContinueOnError)
	do := setupRecall(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return do(t.Context(), silent)
}

// TestRecallInProcess runs the subcommand on files that gen wrote and reads its
// JSON.
func TestRecallInProcess(t *testing.T) {
	dir := t.TempDir()
	prefix, result := filepath.Join(dir, "set"), filepath.Join(dir, "result.json")
	err := run(t.Context(), []string{"gen", "-n", "2000", "-nq", "50", "-dim", "16", "-k", "20", "-metric", "l2", "-out", prefix}, silent)
	if err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), []string{"recall", "-base", prefix + "_base.fvecs", "-queries", prefix + "_query.fvecs", "-truth", prefix + "_groundtruth.ivecs",
		"-metric", "l2", "-ef", "200", "-clients", "1,3", "-time", "1ms", "-json", result}, silent)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if r.Vectors != 2000 || r.Queries != 50 || r.Dimension != 16 || r.Metric != "l2" || r.K != 10 || len(r.Points) != 2 {
		t.Fatalf("got %+v", r)
	}
	for _, p := range r.Points {
		if p.Recall < 0.98 || p.Recall > 1 || p.Searches < 50 || p.QPS <= 0 || p.P50Ms > p.P99Ms || p.P50Ms <= 0 {
			t.Errorf("got %+v", p)
		}
	}
}

// TestTruthIsExact compares the computed neighbours with a plain sort.
func TestTruthIsExact(t *testing.T) {
	for _, metric := range []string{"cosine", "l2", "dot"} {
		f := workloadFlags{metric: metric, n: 300, nq: 20, synthetic: dataset.Synthetic{Dim: 9, Clusters: 4, Seed: 7}}
		w, err := f.load(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		for q, got := range w.truth {
			ids := make([]int32, w.base.Len())
			for i := range ids {
				ids[i] = int32(i)
			}
			slices.SortFunc(ids, func(a, b int32) int {
				if plainDistance(w, q, a) < plainDistance(w, q, b) {
					return -1
				}
				return 1
			})
			if !slices.Equal(got, ids[:5]) {
				t.Fatalf("%s, query %d: got %v, want %v", metric, q, got, ids[:5])
			}
		}
	}
}

func plainDistance(w *workload, query int, id int32) float64 {
	var ab, aa, bb, l2 float64
	a, b := w.queries.Row(query), w.base.Row(int(id))
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb, l2 = ab+x*y, aa+x*x, bb+y*y, l2+(x-y)*(x-y)
	}
	switch w.metric {
	case vecindex.Cosine:
		return 1 - ab/math.Sqrt(aa*bb)
	case vecindex.L2:
		return l2
	default:
		return -ab
	}
}

func TestWorkloadOfWords(t *testing.T) {
	f := workloadFlags{metric: "cosine", words: true, nq: 30}
	w, err := f.load(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	if w.base.Len() != 19_000 || w.queries.Len() != 30 || len(w.truth) != 30 || w.base.Dim != 100 {
		t.Errorf("%d vectors, %d queries, %d answers", w.base.Len(), w.queries.Len(), len(w.truth))
	}
}

func TestBadFlags(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short.ivecs")
	err := writeFile(short, func(w io.Writer) error { return dataset.WriteIvecs(w, [][]int32{{1, 2}}) })
	if err != nil {
		t.Fatal(err)
	}
	small := []string{"-n", "50", "-nq", "1", "-dim", "4", "-k", "2"}
	for want, args := range map[string][]string{
		"-metric is":           {"-metric", "hamming"},
		"-ef is":               {"-ef", "16,x"},
		"-clients is":          {"-clients", "0"},
		"at least k=60":        append(small, "-k", "60"),
		"no such file":         {"-base", filepath.Join(dir, "missing")},
		"only 2 neighbours":    append(small, "-k", "3", "-truth", short),
		"for 1 of 2 queries":   append(small, "-nq", "2", "-truth", short),
		"names vector 2, and ": append(small, "-n", "2", "-truth", short),
	} {
		err := recallWith(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
	for _, args := range [][]string{{}, {"nonsense"}, {"recall", "-nonsense"}, {"recall", "argument"}} {
		if err := run(t.Context(), args, silent); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// answers is a target with fixed answers.
type answers [][]uint32

func (a answers) nearest(_ context.Context, query []float32, _, ef int) ([]uint32, error) {
	if ef == 0 {
		return nil, errors.New("no answer")
	}
	return a[int(query[0])], nil
}

func TestMeasurementCountsEachQueryOnce(t *testing.T) {
	w := &workload{
		queries: dataset.Matrix{Dim: 1, Data: []float32{0, 1, 2, 3}},
		truth:   [][]int32{{5, 6, 9}, {1, 2, 9}, {1, 2, 9}, {7, 8, 9}},
	}
	// Of the two nearest, both, one, none and one too many in the wrong order.
	found := answers{{6, 5}, {2, 3}, {9, 4}, {8, 1, 7}}
	for clients := range 3 {
		p, err := measurement{k: 2, ef: 1, clients: clients + 1, atLeast: 5 * time.Millisecond}.run(t.Context(), found, w)
		if err != nil {
			t.Fatal(err)
		}
		if p.Recall != 2.5/4 || p.Searches <= 4 {
			t.Errorf("%d clients: recall %v of %d searches, want %v", clients+1, p.Recall, p.Searches, 2.5/4)
		}
	}
	if _, err := (measurement{k: 2, clients: 2}).run(t.Context(), found, w); err == nil {
		t.Error("a failed search is no error")
	}
}

func TestQuantile(t *testing.T) {
	var list []time.Duration
	for i := range 200 {
		list = append(list, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0.5: 100, 0.99: 198, 1: 200, 0: 1} {
		if got := quantile(list, q); got != want {
			t.Errorf("quantile %v of 1..200 is %d, want %d", q, got, want)
		}
	}
	if got := quantile(list[:1], 0.99); got != 1 {
		t.Errorf("quantile of one value is %d", got)
	}
}

func TestReportTable(t *testing.T) {
	r := report{
		Dataset: "set", Vectors: 1000, Dimension: 8, Metric: "l2", Queries: 10, Target: "in-process", Index: "hnsw", K: 10, LoadSeconds: 2,
		Machine: machine{CPU: "a processor", Cores: 2, Go: "go1.26"},
		Points:  []point{{Ef: 64, Clients: 8, Recall: 0.98765, QPS: 12345.6, MeanMs: 0.5, P50Ms: 0.4, P99Ms: 1.25}},
	}
	var b bytes.Buffer
	if err := r.table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"set: 1000 vectors of dimension 8, l2; 10 queries", "500 vectors/s", "| recall@10  |",
		fmt.Sprintf("| %7d | %4d | %10.4f | %8.0f | %7.3f | %7.3f | %7.3f |", 8, 64, 0.98765, 12345.6, 0.5, 0.4, 1.25)} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestProgressLine(t *testing.T) {
	p := newProgress(io.Discard, "loading", 200)
	p.done = 50
	if line := p.line(); !strings.HasPrefix(line, "loading   [#######.......................]  25 %  50 of 200, ") {
		t.Errorf("got %q", line)
	}
}

func TestMakeWords(t *testing.T) {
	dir := t.TempDir()
	from, out := filepath.Join(dir, "wink.json"), filepath.Join(dir, "words.bin")
	const file = `{"dimensions":2,"vectors":{"the":[1,-0.5,1,0],",":[1,1,1,1],"cat":[0,2,2,2]}}`
	if err := os.WriteFile(from, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := makeWords(from, out, 2); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	words, err := take(dataset.ReadWords(f), 0)
	if err != nil || len(words) != 2 || words[1].Text != "cat" || words[1].Vector[1] != 2 {
		t.Errorf("got %v, %v", words, err)
	}
	if err := makeWords(from, out, 3); err == nil {
		t.Error("three words were made of two")
	}
}
