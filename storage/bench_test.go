package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vccdb/vccdb/storage/keys"
)

// fill writes n entities of 200 bytes with one number term and a 100-d vector
// each.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	record := make([]byte, 200)
	vec := make([]float32, 100)
	var batch Batch
	for id := range uint32(n) {
		binary.BigEndian.PutUint32(record, id)
		batch.PutEntity(1, id, fmt.Sprintf("pk-%08d", id), uint64(id), record)
		batch.PutTerm(2, keys.AppendInt(nil, int64(id%1000)), id)
		batch.PutVector(3, id, uint64(id), vec)
		if batch.SizeBytes() > 1<<20 || int(id) == n-1 {
			if _, err := s.Commit(&batch, CommitOptions{}); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := s.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
}

const benchRows = 200_000

func BenchmarkRead(b *testing.B) {
	o := testOptions(b)
	o.MemtableSizeMB, o.BlockCacheSizeMB = 64, 512
	s := open(b, o)
	fill(b, s, benchRows)
	r := s.Latest()
	perRow := func(b *testing.B, rows int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
	}
	for name, terms := range map[string]TermRange{"ScanTerms": {}, "ScanTermsReverse": {Reverse: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				must(b, r.ScanTerms(b.Context(), 2, terms, func([]byte, uint32) (bool, error) { n++; return true, nil }))
				if n != benchRows {
					b.Fatal(n)
				}
			}
			perRow(b, benchRows)
		})
	}
	b.Run("CountTerms", func(b *testing.B) {
		for b.Loop() {
			if n, _, err := r.CountTerms(b.Context(), 2, TermRange{}, benchRows); err != nil || n != benchRows {
				b.Fatal(n, err)
			}
		}
		perRow(b, benchRows)
	})
	b.Run("EstimateTerms", func(b *testing.B) {
		for b.Loop() {
			if _, exact, err := r.CountTerms(b.Context(), 2, TermRange{}, 100); err != nil || exact {
				b.Fatal(exact, err)
			}
		}
	})
	b.Run("ScanTermsShort", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			lo := keys.AppendInt(nil, int64(i%1000))
			n := 0
			if err := r.ScanTerms(b.Context(), 2, TermRange{Lo: lo}, func([]byte, uint32) (bool, error) { n++; return n < 10, nil }); err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("ScanVectors", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			must(b, r.ScanVectors(b.Context(), 3, 0, func(uint32, uint64, []byte) (bool, error) { n++; return true, nil }))
			if n != benchRows {
				b.Fatal(n)
			}
		}
		perRow(b, benchRows)
	})
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("Entities/%d", n), func(b *testing.B) {
			ids := make([]uint32, n)
			for i := range ids {
				ids[i] = rand.Uint32N(benchRows)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Entities(1, ids, func(_ int, record []byte) error {
					if record == nil {
						b.Fatal("absent")
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, n)
		})
		b.Run(fmt.Sprintf("LookupIDs/%d", n), func(b *testing.B) {
			pks, ids, found := make([]string, n), make([]uint32, n), make([]bool, n)
			for i := range pks {
				pks[i] = fmt.Sprintf("pk-%08d", rand.Uint32N(2*benchRows))
			}
			for b.Loop() {
				if err := r.LookupIDs(1, pks, ids, found); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, n)
		})
	}
}

// BenchmarkCommit is one small write per commit: ns/op is the time between
// commits of all committers together, wait whether a group waits for company.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct {
		mode       Durability
		committers int
		wait       time.Duration
	}{
		{DurabilitySync, 1, 0}, {DurabilitySync, 8, 0}, {DurabilitySync, 8, -1}, {DurabilitySync, 64, 0}, {DurabilitySync, 64, -1},
		{DurabilityNone, 1, 0}, {DurabilityNone, 8, 0}, {DurabilityNone, 64, 0},
	} {
		b.Run(fmt.Sprintf("%s/committers=%d/wait=%v", c.mode, c.committers, c.wait >= 0), func(b *testing.B) {
			o := testOptions(b)
			o.Durability, o.GroupCommitMax = c.mode, c.wait
			s := open(b, o)
			var id atomic.Uint32
			b.SetParallelism(c.committers)
			b.RunParallel(func(pb *testing.PB) {
				var batch Batch
				record := make([]byte, 200)
				for pb.Next() {
					n := id.Add(1)
					batch.Reset()
					batch.PutEntity(1, n, strconv.Itoa(int(n)), 1, record)
					if _, err := s.Commit(&batch, CommitOptions{}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkIngest commits batches of a thousand entities of 200 bytes, each with
// three entries and a 100-d vector, on the default options.
func BenchmarkIngest(b *testing.B) {
	s := open(b, Options{Path: b.TempDir(), CreateIfMissing: true})
	const rows = 1000
	record, vec := make([]byte, 200), make([]float32, 100)
	rng := rand.New(rand.NewPCG(1, 1))
	var batch Batch
	var term []byte
	id := uint32(0)
	for b.Loop() {
		batch.Reset()
		for range rows {
			id++
			for i := range vec {
				vec[i] = rng.Float32()
			}
			batch.PutEntity(1, id, "pk-"+strconv.Itoa(int(id)), 1, record)
			batch.PutVector(1, id, 1, vec)
			for index := range uint32(3) {
				term = keys.AppendInt(term[:0], rng.Int64N(1000))
				batch.PutTerm(2+index, term, id)
			}
			batch.AddCounter("n", 1)
		}
		commit(b, s, &batch)
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}
