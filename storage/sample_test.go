package storage

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/storage/keys"
)

// maxEstimateError is how far an estimate may be off: the planner compares
// magnitudes. A thousand entries have 16 samples, whose error is about 25 %.
const maxEstimateError = 2.0

// TestCountTermsEstimates counts ranges of differently distributed indexes, in
// memtables, in files and in both, against the truth.
func TestCountTermsEstimates(t *testing.T) {
	const rows, limit = 30_000, 1000
	rng := rand.New(rand.NewPCG(1, 2))
	indexes := []func(id uint32) []byte{
		func(uint32) []byte { return keys.AppendInt(nil, 7) },
		func(id uint32) []byte { return keys.AppendInt(nil, int64(id)) },
		func(uint32) []byte { return keys.AppendFloat(nil, rng.ExpFloat64()) },
		func(uint32) []byte { return keys.AppendInt(nil, int64(math.Exp(rng.Float64()*10))) },
		func(uint32) []byte { return keys.AppendString(nil, fmt.Sprintf("category-%d", rng.IntN(5))) },
		func(uint32) []byte { return keys.AppendString(nil, fmt.Sprintf("user-%d@example.org", rng.IntN(rows))) },
	}
	o := testOptions(t)
	o.MemtableSizeMB = 64
	s := open(t, o)
	all := make([][][]byte, len(indexes))
	write := func(from, to uint32) {
		var b Batch
		for index, term := range indexes {
			for id := from; id < to; id++ {
				all[index] = append(all[index], term(id))
				b.PutTerm(uint32(index), all[index][len(all[index])-1], id)
			}
		}
		commit(t, s, &b)
	}
	check := func(state string) {
		for index, terms := range all {
			for range 20 {
				lo, hi := terms[rng.IntN(len(terms))], terms[rng.IntN(len(terms))]
				if string(lo) > string(hi) {
					lo, hi = hi, lo
				}
				hi = keys.PrefixEnd(hi)
				want := 0
				for _, term := range terms {
					if string(term) >= string(lo) && string(term) < string(hi) {
						want++
					}
				}
				n, exact, err := s.Latest().CountTerms(t.Context(), uint32(index), TermRange{Lo: lo, Hi: hi}, limit)
				if err != nil {
					t.Fatal(err)
				}
				if exact != (want <= limit) || exact && n != want || !exact && n < limit {
					t.Fatalf("%s, index %d: %d (exact %v), want %d", state, index, n, exact, want)
				}
				if off := float64(n) / float64(want); !exact && (off > maxEstimateError || off < 1/maxEstimateError) {
					t.Errorf("%s, index %d: estimated %d, there are %d", state, index, n, want)
				}
			}
		}
	}
	write(0, rows/2)
	check("memtable")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	check("files")
	write(rows/2, rows)
	check("both")
}
