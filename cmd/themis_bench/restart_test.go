package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
)

// startRestarts is a stand-in that has a small set, under the eyes of the scenario
// restart.
func startRestarts(t *testing.T, metric vecindex.Metric) (*standIn, *restarts) {
	t.Helper()
	w := &workload{name: "set", metric: metric}
	w.base, w.queries = dataset.Manifold{Dim: 12, Seed: 6}.Make(60, 5)
	var err error
	if w.truth, err = exactNeighbours(t.Context(), w, 10); err != nil {
		t.Fatal(err)
	}
	s, c := startStandIn(t, w)
	if err := fill(t.Context(), s.index, w, silent); err != nil {
		t.Fatal(err)
	}
	f := &restartFlags{batch: 7, writers: 2, check: 20, window: 5 * time.Millisecond}
	f.k, f.ef = 10, 10
	return s, &restarts{restartFlags: f, output: silent, w: w, table: &overHTTP{c, benchTable}}
}

// TestWatchRestart: the server has what was written last, and is as fast as before
// if that was slow.
func TestWatchRestart(t *testing.T) {
	s, r := startRestarts(t, vecindex.L2)
	if err := s.index.Put(50, 0, nudged(r.w.base.Row(50), 3)); err != nil {
		t.Fatal(err)
	}
	for _, acknowledged := range [][]int{nil, {7, 50}} {
		row := restarted{QPSBefore: 1}
		if err := r.watch(t.Context(), time.Now(), 3, acknowledged, &row); err != nil {
			t.Fatal(err)
		}
		if row.Recall < 0.9 || row.FirstAnswer <= 0 || row.FullSpeed < row.FirstAnswer || row.QPS < 1 {
			t.Errorf("%+v", row)
		}
	}
	var before restarted
	if err := r.before(t.Context(), &before); err != nil || before.RecallBefore < 0.9 || before.QPSBefore <= 0 {
		t.Errorf("%+v, %v", before, err)
	}
	for _, command := range []string{"serving", "restart"} {
		if err := run(t.Context(), []string{command}, silent); err == nil || !strings.Contains(err.Error(), "-start") {
			t.Errorf("%s without a server: %v", command, err)
		}
	}
}

// TestRewrite: what is replaced is found, and what isn't there or is as it was before
// counts as lost.
func TestRewrite(t *testing.T) {
	for _, metric := range []vecindex.Metric{vecindex.L2, vecindex.Cosine} {
		s, r := startRestarts(t, metric)
		for turn := 1; turn <= 2; turn++ {
			writing := r.write(t.Context(), turn)
			if err := writing.group.Wait(); err != nil { // each entity once
				t.Fatal(err)
			}
			if err := writing.stop(); err != nil {
				t.Fatal(err)
			}
			if all := slices.Sorted(slices.Values(writing.acknowledged)); len(all) != 60 || all[0] != 0 || all[59] != 59 {
				t.Fatalf("%v", all)
			}
			r.check = 60
			var row restarted
			if err := r.checkAll(t.Context(), turn, writing.acknowledged, &row); err != nil || row.Lost+row.Missed > 0 || row.Checked != 60 {
				t.Errorf("%s: %+v, %v", metric, row, err)
			}
			s.index.Delete(40)
			for id, turn := range map[int]int{17: turn - 1, 18: turn + 1} {
				if err := s.index.Put(uint32(id), 0, nudged(r.w.base.Row(id), turn)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.index.Put(19, 0, r.w.base.Row(19)); err != nil {
				t.Fatal(err)
			}
			row = restarted{}
			if err := r.checkAll(t.Context(), turn, writing.acknowledged, &row); err != nil || row.Lost != 4 || row.Checked != 60 {
				t.Errorf("%s: %+v, %v", metric, row, err)
			}
		}
	}
}

// TestRewriteStops: writers end with the request that is under way, or when the server
// is gone.
func TestRewriteStops(t *testing.T) {
	_, r := startRestarts(t, vecindex.L2)
	writing := r.write(t.Context(), 1)
	if err := writing.stop(); err != nil || writing.refused.Load() {
		t.Error(err)
	}
	if left := len(writing.acknowledged) % r.batch; left != 0 && left != 60%r.batch {
		t.Errorf("%d acknowledged, in batches of %d", len(writing.acknowledged), r.batch)
	}
	r.table.client.base = "http://127.0.0.1:1"
	writing = r.write(t.Context(), 1)
	if writing.group.Wait(); writing.stop() == nil || !writing.refused.Load() {
		t.Error("no error without a server")
	}
}

func TestSpread(t *testing.T) {
	list := []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	for n, want := range map[int][]int{10: list, 20: list, 4: {1, 0, 9, 5}, 1: {9}} {
		if got := spread(list, n); !slices.Equal(got, want) {
			t.Errorf("%d of %v are %v, want %v", n, list, got, want)
		}
	}
	if got := spread(nil, 5); len(got) != 0 {
		t.Errorf("%v of nothing", got)
	}
}

func TestRestartTable(t *testing.T) {
	for want, rows := range map[string][]restarted{
		"| at": nil,
		"2 kills, 1 of them while the index was saved: 3 of 9 acknowledged vectors lost (1 found by an exact search only)\n" +
			"first correct answer after 0.75 s, at most 1.00; full speed after 2.50 s, at most 3.00\n": {
			{FirstAnswer: 0.5, FullSpeed: 2, Lost: 3, Checked: 5, Saving: true}, {FirstAnswer: 1, FullSpeed: 3, Checked: 4, Missed: 1}},
		"at most more than a minute": {{FirstAnswer: 0.5, Checked: 5}},
	} {
		var printed bytes.Buffer
		if err := restartTable(&printed, rows); err != nil || len(rows) > 0 && !strings.Contains(printed.String(), want) {
			t.Errorf("%v\n%s", err, printed.String())
		}
	}
}
