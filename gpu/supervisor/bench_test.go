package supervisor_test

import (
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

// BenchmarkSearch measures what asking another process costs: a query of 768 dimensions
// of an empty index, one at a time and many.
func BenchmarkSearch(b *testing.B) {
	process := gputest.NewProcess(b, gputest.Faults{})
	s := supervisor.New(supervisor.Options{Command: process.Command(), SearchStall: time.Minute})
	defer s.Close()
	x := gputest.Session(b, s)
	index, err := x.CreateIndex(b.Context(), wire.IndexSpec{Dim: 768})
	if err != nil {
		b.Fatal(err)
	}
	q := wire.Search{Vector: make([]float32, 768), K: 40}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := x.Search(b.Context(), index, q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := x.Search(b.Context(), index, q); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
