package engine_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
)

var (
	filterEntities = flag.Int("filter.entities", 100_000, "entities of BenchmarkFilter")
	filterDir      = flag.String("filter.dir", "", "folder that BenchmarkFilter keeps its database in, for the next run")
)

// BenchmarkFilter turns filters into sets of ids: warm is the time when the same
// was asked for before, cold-ms the time of the first.
func BenchmarkFilter(b *testing.B) {
	db := filterDB(b)
	for _, filter := range []string{
		`{"column":"half","op":"eq","value":1}`,
		`{"column":"tenth","op":"eq","value":3}`,
		`{"column":"hundredth","op":"eq","value":7}`,
		`{"column":"tenth","op":"in","value":[1,2,3]}`,
		`{"column":"day","op":"between","value":[100,200]}`,
		`{"and":[{"column":"half","op":"eq","value":1},{"column":"tenth","op":"eq","value":3}]}`,
		`{"or":[{"column":"hundredth","op":"eq","value":7},{"column":"day","op":"lt","value":30}]}`,
		`{"column":"tenth","op":"ne","value":3}`,
		`{"and":[{"column":"hundredth","op":"nin","value":[1,2,3]},{"column":"tenth","op":"eq","value":4}]}`,
	} {
		b.Run(filter, func(b *testing.B) {
			expr, err := query.ParseFilter(nil, []byte(filter))
			if err != nil {
				b.Fatal(err)
			}
			find := func() int {
				n, err := engine.CountMatching(b.Context(), db, "f", expr)
				if err != nil {
					b.Fatal(err)
				}
				return n
			}
			started := time.Now()
			n := find()
			cold := time.Since(started)
			for b.Loop() {
				find()
			}
			b.ReportMetric(float64(cold.Microseconds())/1000, "cold-ms")
			b.ReportMetric(float64(n), "ids")
		})
	}
}

func filterDB(b *testing.B) *engine.Engine {
	dir := *filterDir
	if dir == "" {
		dir = b.TempDir()
	}
	opts := testkit.Options(dir)
	opts.Storage.MemtableSizeMB, opts.Storage.BlockCacheSizeMB = 64, 256
	db, err := engine.Open(b.Context(), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	if tables, err := db.Tables(b.Context()); err != nil || len(tables) > 0 {
		return db
	}
	for column, typ := range map[string]schema.IndexType{
		"half": schema.Equality, "tenth": schema.Equality, "hundredth": schema.Equality, "day": schema.Range,
	} {
		job, err := db.CreateIndex(b.Context(), schema.IndexDef{Table: "f", Columns: []string{column}, Type: typ})
		if err == nil {
			err = job.Wait(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; i < *filterEntities; {
		var ops []engine.Op
		for ; len(ops) < 2000 && i < *filterEntities; i++ {
			at := uint64(i) * 0x9E3779B97F4A7C15 >> 32
			ops = append(ops, testkit.Put(fmt.Sprintf("f:%d", i), fmt.Sprintf(`{"half":%d,"tenth":%d,"hundredth":%d,"day":%d,"name":"entity number %d"}`,
				at%2, at/2%10, at/20%100, at/2000%365, i)))
		}
		if _, err := db.Apply(b.Context(), ops, true); err != nil {
			b.Fatal(err)
		}
	}
	return db
}
