package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeData runs the subcommand data and returns what it printed.
func makeData(t *testing.T, args ...string) string {
	t.Helper()
	var printed bytes.Buffer
	if err := run(t.Context(), append([]string{"data"}, args...), output{&printed, &printed}); err != nil {
		t.Fatal(err)
	}
	return printed.String()
}

// TestData makes a small set, finds it there the second time, and makes it anew
// when another size is asked for.
func TestData(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ most, want string }{{"400", "made in"}, {"400", "there already"}, {"300", "made in"}} {
		printed := makeData(t, "-dir", dir, "-only", "s128", "-most", c.most)
		if !strings.HasPrefix(printed, "s128 ") || !strings.Contains(printed, c.want) || !strings.Contains(printed, "local intrinsic dimension ") {
			t.Errorf("with %s vectors: %s", c.most, printed)
		}
	}
	w, err := openBenchSet(dir, "s128", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w.base.Len() != 300 || w.queries.Len() != 30 || len(w.truth) != 30 || len(w.truth[0]) != benchNeighbours || w.metric.String() != "l2" {
		t.Errorf("%d vectors, %d queries, %d answers under %v", w.base.Len(), w.queries.Len(), len(w.truth), w.metric)
	}
	for _, args := range [][]string{{"-only", "s1"}, {"-only", "words", "-words", filepath.Join(dir, "none.json")}} {
		if err := run(t.Context(), append([]string{"data", "-dir", dir}, args...), silent); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// TestDataOfWords: queries are held out evenly, signs count, and what has no
// direction is left out.
func TestDataOfWords(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wink.json")
	text := `{"dimensions":2,"vectors":{"nothing":[0,0,0,0]`
	for i := range 44 {
		text += fmt.Sprintf(`,"%d,":[%d,1,1,%d]`, i, i, i+1)
	}
	if err := os.WriteFile(file, []byte(text+"}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	makeData(t, "-dir", dir, "-only", "words", "-words", file, "-most", "40")
	w, err := openBenchSet(dir, "words", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w.base.Len() != 40 || w.queries.Len() != 4 || w.queries.Row(0)[0] != 10 || w.queries.Row(3)[0] != 43 || w.base.Row(39)[0] != 42 {
		t.Errorf("%d vectors, queries %v", w.base.Len(), w.queries.Data)
	}
	if err := run(t.Context(), []string{"data", "-dir", dir, "-only", "words", "-words", file, "-most", "41"}, silent); err == nil {
		t.Error("45 vectors were made of 44")
	}
}
