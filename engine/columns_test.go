package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

func TestSampleColumns(t *testing.T) {
	db := testkit.Open(t)
	var ops []engine.Op
	for i := range 3000 {
		doc := map[string]any{"n": i, "v": []float32{1, 2, 3}}
		if i%2 == 0 {
			doc["half"] = "yes"
		}
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), doc))
	}
	db.Do(ops...)
	for i := range 1000 {
		db.Delete(fmt.Sprintf("t:%d", 3*i))
	}
	for _, n := range []int{0, 1, 7, 100, 1999, 2000, 5000} {
		sample, err := db.SampleColumns(t.Context(), "t", n)
		if err != nil {
			t.Fatal(err)
		}
		want := min(n, 2000)
		if n == 0 {
			want = 500
		}
		// The last run may end early where entities were deleted.
		if sample.Sampled > want || sample.Sampled < want*9/10 || sample.Total != 2000 {
			t.Errorf("%d: sampled %d of %d", n, sample.Sampled, sample.Total)
		}
		for _, c := range sample.Columns {
			switch {
			case c.Path == "n" && (c.Entities != sample.Sampled || c.Distinct != sample.Sampled):
				t.Errorf("%d: an entity was read twice: %+v", n, c)
			case c.Path == "half" && n == 2000 && c.Entities != 1000, c.Path == "v" && c.Dimension != 3:
				t.Errorf("%d: %+v", n, c)
			}
		}
	}
	if _, err := db.SampleColumns(t.Context(), "t", -1); errs.CodeOf(err) != "invalid_sample" {
		t.Errorf("a negative sample: %v", err)
	}
	if _, err := db.SampleColumns(t.Context(), "u", 1); errs.CodeOf(err) != "table_not_found" {
		t.Errorf("no table: %v", err)
	}
}

// Large entities don't make a sample large.
func TestSampleColumnsOfLargeEntities(t *testing.T) {
	db := testkit.Open(t)
	text := strings.Repeat("x", 1<<20)
	for i := range 40 {
		db.Put(fmt.Sprintf("t:%d", i), `{"text":"`+text+`"}`)
	}
	for _, n := range []int{30, 500} {
		sample, err := db.SampleColumns(t.Context(), "t", n)
		if err != nil {
			t.Fatal(err)
		}
		if sample.Sampled < 10 || sample.Sampled > 20 || sample.Total != 40 {
			t.Errorf("%d: sampled %d of %d", n, sample.Sampled, sample.Total)
		}
	}
}
