package gputest_test

import (
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

func TestMain(m *testing.M) {
	if gputest.IsWorker() {
		os.Exit(gputest.Work())
	}
	goleak.VerifyTestMain(m)
}

// TestDevice: the fake device finds what is nearest, under each metric, with ties by id.
func TestDevice(t *testing.T) {
	for metric, want := range map[wire.Metric][]wire.Hit{
		wire.L2:     {{ID: 1, Distance: 1}, {ID: 4, Distance: 1}, {ID: 3, Distance: 5}},
		wire.Dot:    {{ID: 3, Distance: -3}, {ID: 1, Distance: -2}, {ID: 4, Distance: -1}},
		wire.Cosine: {{ID: 1}, {ID: 3, Distance: 0.0513167}, {ID: 4, Distance: 0.29289323}},
	} {
		d := gputest.NewDevice()
		x, err := d.NewIndex(wire.IndexSpec{Dim: 2, Metric: metric})
		if err != nil {
			t.Fatal(err)
		}
		x.Put([]uint32{1, 2, 3, 4}, []float32{2, 0, 9, 9, 3, 1, 1, 1})
		x.Put([]uint32{2}, []float32{-1, 0})
		x.Delete([]uint32{7})
		b := serve.Batch{Queries: []serve.Query{
			{Vector: []float32{2, 0}, K: 2},
			{Vector: []float32{1, 0}, K: 3, Allow: []uint64{1<<1 | 1<<3 | 1<<4 | 1<<9}},
		}}
		if err := x.Search(&b); err != nil || len(b.Queries[0].Hits) != 2 {
			t.Fatalf("%+v, %v", b, err)
		}
		got := b.Queries[1].Hits
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", metric, got, want)
		}
		if x.Len() != 4 || x.Bytes() != 32 || d.Info().MemoryUsed != 32 || d.Calls("put") != 2 {
			t.Errorf("%d vectors, %d bytes, %+v", x.Len(), x.Bytes(), d.Info())
		}
		if x.Close(); d.Info().MemoryUsed != 0 {
			t.Errorf("%+v", d.Info())
		}
	}
}

// TestLimit: what doesn't fit is out of memory, in both kinds of workers.
func TestLimit(t *testing.T) {
	for name, o := range map[string]supervisor.Options{
		"local":   {Start: (&gputest.Local{Device: func(d *gputest.Device) { d.Limit = 100 }}).Start},
		"process": {Command: gputest.NewProcess(t, gputest.Faults{}).Command(), MemoryLimit: 100},
	} {
		t.Run(name, func(t *testing.T) {
			o.Misses = 300
			s := supervisor.New(o)
			defer s.Close()
			x := gputest.Session(t, s)
			index, err := x.CreateIndex(t.Context(), wire.IndexSpec{Dim: 10})
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Put(t.Context(), index, []uint32{1, 2}, make([]float32, 20)); err != nil {
				t.Fatal(err)
			}
			var e *wire.Error
			if err := x.Put(t.Context(), index, []uint32{2, 3}, make([]float32, 20)); err == nil {
				t.Error("there is no limit")
			} else if e, _ = err.(*wire.Error); e == nil || e.Code != wire.OutOfMemory {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestLies: each lie that nobody but the database can notice gets through.
func TestLies(t *testing.T) {
	local := &gputest.Local{}
	s := supervisor.New(supervisor.Options{Start: local.Start, Misses: 300})
	defer s.Close()
	x := gputest.Session(t, s)
	index, err := x.CreateIndex(t.Context(), wire.IndexSpec{Dim: 1, Metric: wire.L2})
	if err == nil {
		err = x.Put(t.Context(), index, []uint32{0, 1, 2, 3, 4, 5}, []float32{0, 1, 2, 3, 4, 5})
	}
	if err != nil {
		t.Fatal(err)
	}
	for lie, want := range map[gputest.Lie][]wire.Hit{
		"":                     {{ID: 0}, {ID: 1, Distance: 1}, {ID: 2, Distance: 4}},
		gputest.TooFew:         {{ID: 2, Distance: 4}},
		gputest.Strangers:      {{ID: 1 << 30}, {ID: 1<<30 + 1, Distance: 1}, {ID: 1<<30 + 2, Distance: 4}},
		gputest.Farthest:       {{ID: 3}, {ID: 4, Distance: 1}, {ID: 5, Distance: 4}},
		gputest.WrongDistances: {{ID: 0}, {ID: 1, Distance: 1}, {ID: 2, Distance: 2}},
	} {
		local.Set(gputest.Faults{Lie: lie})
		a, err := x.Search(t.Context(), index, wire.Search{Vector: []float32{0}, K: 3})
		if err != nil || !slices.Equal(a.Hits, want) {
			t.Errorf("%s: %v, %v", lie, a.Hits, err)
		}
	}
}
