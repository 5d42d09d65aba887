package serve_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// TestIdle: a query isn't kept waiting while a stream is idle, so each is a batch.
func TestIdle(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{}, g.before, func(c *client) {
		for range 5 {
			id, sent := c.ask(7.2), time.Now()
			synctest.Wait()
			a := c.found(id)
			if !c.answer(id).at.Equal(sent) || a.BatchSize != 1 || !a.First || a.Queued != 0 || len(a.Hits) != 1 || a.Hits[0].ID != 7 {
				t.Errorf("%+v", a)
			}
		}
		g.shut()
		c.askAndWait(1)
		c.askAndWait(2) // the other stream's
		if got := g.sizes(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 1, 1}) {
			t.Errorf("batches of %v", got)
		}
		g.open()
	})
}

// TestBusy: what comes while all streams are busy is one batch, each query with its own
// k and filter, in the order of arrival; exact ones have a batch of their own.
func TestBusy(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{LatencyCap: time.Hour}, g.before, func(c *client) {
		filter, _ := wire.View[uint64](c.mem, 64<<10, 2)
		filter[0], filter[1] = 1<<50|1<<3, 1
		g.shut()
		c.askAndWait(0)
		c.askAndWait(0)
		var ids []uint64
		for i := range 9 {
			ids = append(ids, c.ask(float32(i), func(q *wire.Query) { q.K = 1 + i }))
			time.Sleep(time.Millisecond)
		}
		filtered := c.ask(0, func(q *wire.Query) {
			q.K, q.Filtered, q.AllowOffset, q.AllowWords = 5, true, 64<<10, 2
		})
		precise := c.ask(3, exact)
		synctest.Wait()
		g.pass <- struct{}{} // one stream is free
		synctest.Wait()
		if got := g.sizes(); !slices.Equal(got, []int{1, 1, 10}) || g.batches[2].Exact {
			t.Errorf("batches of %v", got)
		}
		g.open()
		synctest.Wait()
		if got := g.sizes(); !slices.Equal(got, []int{1, 1, 10, 1}) || !g.batches[3].Exact {
			t.Errorf("batches of %v", got)
		}
		firsts := 0
		for i, id := range ids {
			a := c.found(id)
			if a.BatchSize != 10 || len(a.Hits) != 1+i || a.Hits[0].ID != uint32(i) || a.Queued != time.Duration(9-i)*time.Millisecond {
				t.Errorf("query %d: %+v", i, a)
			}
			if a.First {
				firsts++
			}
		}
		a := c.found(filtered)
		if len(a.Hits) != 3 || a.Hits[0].ID != 3 || a.Hits[1].ID != 50 || a.Hits[2].ID != 64 || firsts != 1 {
			t.Errorf("%+v, %d first answers", a, firsts)
		}
		c.found(precise)
	})
}

// TestLimits: a batch has MaxBatch queries at most, and 16 before anything was measured.
func TestLimits(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{MaxBatch: 30, Streams: 1, MaxWaiting: 100}, g.before, func(c *client) {
		g.shut()
		c.ask(0)
		synctest.Wait()
		var ids []uint64
		for range 102 {
			ids = append(ids, c.ask(0))
		}
		synctest.Wait()
		if c.refused(ids[100]) != wire.Busy || c.refused(ids[101]) != wire.Busy {
			t.Error("more than MaxWaiting wait")
		}
		g.open()
		synctest.Wait()
		if got := g.sizes(); !slices.Equal(got, []int{1, 30, 30, 30, 10}) {
			t.Errorf("batches of %v", got)
		}
		for _, id := range ids[:100] {
			c.found(id)
		}
		// The other kind hasn't been measured.
		g.shut()
		c.ask(0)
		synctest.Wait()
		for range 20 {
			c.ask(0, exact)
		}
		synctest.Wait()
		g.open()
		synctest.Wait()
		if got := g.sizes()[5:]; !slices.Equal(got, []int{1, 16, 4}) {
			t.Errorf("batches of %v", got)
		}
	})
}

// TestLatencyCap: where each query costs a millisecond, batches stay below the cap;
// where only the batch does, they grow.
func TestLatencyCap(t *testing.T) {
	for name, cost := range map[string]func(n int) time.Duration{
		"queries": func(n int) time.Duration { return time.Duration(n) * time.Millisecond },
		"batch":   func(int) time.Duration { return 5 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			g := &gates{}
			before := func(call gputest.Call) {
				g.before(call)
				if call.Op == "search" {
					time.Sleep(cost(len(call.Batch.Queries)))
				}
			}
			run(t, serve.Options{Streams: 1, LatencyCap: 20 * time.Millisecond, MaxBatch: 512}, before, func(c *client) {
				for range 1000 {
					c.ask(0)
				}
				time.Sleep(5 * time.Second)
				sizes := g.sizes()
				largest := slices.Max(sizes)
				if name == "queries" && (largest < 16 || largest > 20) {
					t.Errorf("batches of %v", sizes)
				}
				if name == "batch" && largest < 300 {
					t.Errorf("batches of %v", sizes)
				}
			})
		})
	}
}

// TestPriorities: background queries wait for the others, but not for ever, and leave
// one stream alone.
func TestPriorities(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{MaxBatch: 1}, g.before, func(c *client) {
		g.shut()
		for range 5 {
			c.ask(1, background)
		}
		synctest.Wait()
		if got := g.sizes(); len(got) != 1 {
			t.Fatalf("%d background batches", len(got))
		}
		for range 20 {
			c.ask(0)
		}
		synctest.Wait()
		if got := g.sizes(); len(got) != 2 {
			t.Fatalf("%d batches on two streams", len(got))
		}
		for range 23 { // always one passes, and another one begins
			g.pass <- struct{}{}
			synctest.Wait()
		}
		var order strings.Builder
		for _, b := range g.batches {
			order.WriteString(map[float32]string{0: "f", 1: "b"}[b.Queries[0].Vector[0]])
		}
		if got := order.String(); strings.Count(got[:16], "b") < 2 || strings.Count(got[:16], "b") > 3 || strings.Count(got, "f") != 20 {
			t.Errorf("batches in the order %s", got)
		}
		g.open()
	})
}

// TestGivenUp: what has expired or was cancelled never reaches the device, and is
// answered so; what is on the device is answered as ever.
func TestGivenUp(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{Streams: 1}, g.before, func(c *client) {
		g.shut()
		running := c.ask(0)
		synctest.Wait()
		expired := c.askUntil(time.Second, 1)
		cancelled := c.ask(2)
		kept := c.askUntil(time.Minute, 3)
		cancel := func(id uint64) { c.write(wire.Append(nil, wire.TypeCancel, id, 0, nil)) }
		cancel(cancelled)
		cancel(running)
		cancel(999)
		synctest.Wait()
		if c.refused(cancelled) != wire.Cancelled {
			t.Error("not at once")
		}
		time.Sleep(2 * time.Second)
		g.open()
		synctest.Wait()
		if c.refused(expired) != wire.Deadline || c.found(running).Hits[0].ID != 0 || c.found(kept).Hits[0].ID != 3 {
			t.Error("wrong answers")
		}
		if got := g.sizes(); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("batches of %v", got)
		}
		cancel(kept) // it has been answered
		c.found(c.askAndWait(4))
	})
}

func (c *client) askAndWait(x float32) uint64 {
	id := c.ask(x)
	synctest.Wait()
	return id
}

// TestUpdatesWait: updates that wait can be cancelled and expire, too; only so many
// may wait.
func TestUpdatesWait(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{}, g.before, func(c *client) {
		g.shut()
		c.ask(0)
		synctest.Wait()
		c.put(0, []uint32{500}, []float32{-5, 0}) // waits for the search
		synctest.Wait()
		cancelled := c.put(8192, []uint32{501}, []float32{-6, 0})
		expired := c.send(wire.TypeStats, time.Second, nil)
		c.write(wire.Append(nil, wire.TypeCancel, cancelled, 0, nil))
		var last uint64
		for range 300 {
			last = c.send(wire.TypeStats, 0, nil)
		}
		time.Sleep(2 * time.Second)
		if c.refused(last) != wire.Busy {
			t.Error("any number of updates may wait")
		}
		g.open()
		synctest.Wait()
		if c.refused(cancelled) != wire.Cancelled || c.refused(expired) != wire.Deadline {
			t.Error("wrong answers")
		}
		if a := c.found(c.askAndWait(-9)); a.Hits[0].ID != 500 {
			t.Errorf("%+v", a)
		}
	})
}

// TestUpdatesTakeTurns: searches get their turns between updates that have no end, and
// updates theirs between searches that have none. The fake device panics if they overlap.
func TestUpdatesTakeTurns(t *testing.T) {
	var put atomic.Int32
	before := func(call gputest.Call) {
		if call.Op == "put" {
			put.Add(1)
		}
		time.Sleep(time.Millisecond)
	}
	run(t, serve.Options{}, before, func(c *client) {
		put.Store(0)
		var asked []uint64
		for i := range 50 {
			c.put(uint64(i)*64, []uint32{7}, []float32{7, 0})
			asked = append(asked, c.ask(7))
			if i%5 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		for range 30 {
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		searched := 0
		for _, id := range asked {
			if c.answer(id).t != 0 {
				searched++
			}
		}
		if n := put.Load(); searched < 50 || n < 15 || n >= 50 {
			t.Errorf("after a while %d searches and %d puts are done", searched, n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for id := range c.last {
			if c.answer(id+1).t == 0 {
				t.Errorf("request %d has no answer", id+1)
			}
		}
	})
}

// TestIndexes: indexes are made and dropped; what waits for one that is dropped is
// answered; state describes them.
func TestIndexes(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{Streams: 1}, g.before, func(c *client) {
		second := c.send(wire.TypeCreate, 0, wire.Create{Spec: wire.IndexSpec{Dim: 3}})
		bad := c.send(wire.TypeCreate, 0, wire.Create{Spec: wire.IndexSpec{Dim: 3, Metric: 9}})
		state := c.send(wire.TypeStats, 0, nil)
		synctest.Wait()
		if m, err := wire.DecodeIndexRef(c.answer(second).payload); err != nil || m.Index != 2 || c.refused(bad) != wire.Invalid {
			t.Errorf("%+v, %v", m, err)
		}
		if m, err := wire.DecodeState(c.answer(state).payload); err != nil || len(m.Indexes) != 2 ||
			m.Indexes[0] != (wire.IndexStats{Index: 1, Rows: 100, Bytes: 800}) || m.Device.MemoryUsed != 800 {
			t.Errorf("%+v, %v", m, err)
		}
		g.shut()
		running := c.ask(0)
		synctest.Wait()
		waiting := c.ask(1)
		wrong := c.ask(1, func(q *wire.Query) { q.Index = 2 })
		drop := c.send(wire.TypeDrop, 0, wire.IndexRef{Index: 1})
		again := c.send(wire.TypeDrop, 0, wire.IndexRef{Index: 1})
		late := c.put(0, []uint32{1}, []float32{1, 1})
		synctest.Wait()
		g.pass <- struct{}{}
		synctest.Wait()
		g.open()
		synctest.Wait()
		c.found(running)
		// A drop takes its turn as every update does: one batch may begin first.
		if got := c.answer(waiting); got.t != wire.TypeAnswer && c.refused(waiting) != wire.NoIndex {
			t.Errorf("%+v", got)
		}
		if c.refused(wrong) != wire.Invalid || c.answer(drop).t != wire.TypeDone || c.answer(again).t != wire.TypeDone || c.refused(late) != wire.NoIndex {
			t.Error("wrong answers")
		}
		if id := c.askAndWait(1); c.refused(id) != wire.NoIndex {
			t.Error("the index is still there")
		}
	})
}

// TestInvalid: requests about what isn't there, or isn't in the shared memory, are
// answered, and nothing is read.
func TestInvalid(t *testing.T) {
	run(t, serve.Options{}, nil, func(c *client) {
		outside := uint64(len(c.mem))
		ids, _ := wire.View[uint32](c.mem, 0, 3)
		copy(ids, []uint32{1, 3, 3})
		for i, id := range []uint64{
			c.ask(0, func(q *wire.Query) { q.Filtered, q.AllowOffset, q.AllowWords = true, outside-64, 9 }),
			c.ask(0, func(q *wire.Query) { q.Filtered, q.AllowOffset, q.AllowWords = true, 8, 1 }),
			c.ask(0, func(q *wire.Query) { q.Vector = []float32{1} }),
			c.send(wire.TypePut, 0, wire.Rows{Index: 1, Count: 1, IDs: outside}),
			c.send(wire.TypePut, 0, wire.Rows{Index: 1, Count: 2, Vectors: outside - 8}),
			c.send(wire.TypePut, 0, wire.Rows{Index: 1, Count: math.MaxUint32}),
			c.send(wire.TypePut, 0, wire.Rows{Index: 1, Count: 3, Vectors: 64}),
			c.send(wire.TypeDelete, 0, wire.Rows{Index: 1, Count: 3}),
		} {
			synctest.Wait()
			if got := c.refused(id); got != wire.Invalid {
				t.Errorf("%d: %v", i, got)
			}
		}
		if a := c.found(c.askAndWait(3)); a.Hits[0].ID != 3 || c.device.Calls("search") != 1 || c.device.Calls("put") != 1 {
			t.Errorf("%+v", a)
		}
	})
}

// TestPing: pings are answered at once, whatever the device does, and tell how long it
// has been at it.
func TestPing(t *testing.T) {
	g := &gates{}
	run(t, serve.Options{}, g.before, func(c *client) {
		ask := func(search, update time.Duration) {
			t.Helper()
			id := c.send(wire.TypePing, 0, nil)
			synctest.Wait()
			if m, err := wire.DecodePong(c.answer(id).payload); err != nil || m != (wire.Pong{SearchBusy: search, UpdateBusy: update}) {
				t.Errorf("%+v, %v", m, err)
			}
		}
		ask(0, 0)
		g.shut()
		c.ask(0)
		synctest.Wait()
		time.Sleep(time.Second)
		c.ask(0)
		c.put(0, []uint32{1}, []float32{1, 1}) // waits for the searches: not on the device
		synctest.Wait()
		time.Sleep(time.Second)
		ask(2*time.Second, 0)
		g.open()
		synctest.Wait()
		ask(0, 0)
	})
}

// TestHuge: hits beyond every bound aren't sent.
func TestHuge(t *testing.T) {
	liar := func(call gputest.Call) {
		if call.Op == "search" {
			call.Batch.Queries[0].K = 3000
		}
	}
	run(t, serve.Options{}, liar, func(c *client) {
		var ids []uint32
		for i := range 2100 {
			ids = append(ids, uint32(1000+i))
		}
		for at := 0; at < len(ids); at += 700 {
			c.put(0, ids[at:at+700], make([]float32, 700*dim))
			synctest.Wait()
		}
		if c.refused(c.askAndWait(0)) != wire.Failed {
			t.Error("answered")
		}
	})
}

// TestEnds: what Run returns, and the status its process has, for each way to end.
func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		frames [][]byte
		status int
	}{
		"garbage":        {[][]byte{[]byte(strings.Repeat("x", 100))}, 5},
		"a worker":       {[][]byte{wire.Append(nil, wire.TypePong, 1, 0, wire.Pong{})}, 5},
		"hello again":    {[][]byte{wire.Append(nil, wire.TypeHello, 1, 0, wire.Hello{Version: 1})}, 5},
		"a bad query":    {[][]byte{wire.Append(nil, wire.TypeQuery, 1, 0, wire.Query{Vector: []float32{1}})}, 5},
		"a bad ping":     {[][]byte{wire.Append(nil, wire.TypePing, 1, 0, wire.IndexRef{})}, 5},
		"a bad update":   {[][]byte{wire.Append(nil, wire.TypeStats, 1, 0, wire.IndexRef{})}, 5},
		"half a frame":   {[][]byte{{1, 2, 3}}, 0},
		"an id twice":    {[][]byte{wire.Append(nil, wire.TypeStats, 9, 0, nil), wire.Append(nil, wire.TypeStats, 9, 0, nil)}, 5},
		"lost":           {[][]byte{wire.Append(nil, wire.TypeCreate, 9, 0, wire.Create{Spec: wire.IndexSpec{Dim: 1}})}, 3},
		"nothing at all": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				device := &losing{Device: gputest.NewDevice(), gate: make(chan struct{})}
				var o serve.Options
				o.Open = func() (serve.Device, error) { return device, nil }
				client := connect(t, o, nil)
				client.hello(wire.Version, uint64(len(client.mem)))
				go client.read()
				for _, frame := range c.frames {
					client.conn.Write(frame)
				}
				synctest.Wait()
				close(device.gate)
				synctest.Wait()
				client.conn.Close()
				if err := <-client.ended; serve.ExitStatus(err) != c.status {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// losing is a device that is lost by the first index, and whose description waits for a
// gate after the first time.
type losing struct {
	*gputest.Device
	asked atomic.Int32
	gate  chan struct{}
}

func (d *losing) Info() wire.DeviceInfo {
	if d.asked.Add(1) > 1 {
		<-d.gate
	}
	return d.Device.Info()
}

func (d *losing) NewIndex(wire.IndexSpec) (serve.Index, error) {
	return nil, wire.Errorf(wire.Lost, "gone")
}

// TestGreetings: a server of another version hears of ours; a device that can't be
// opened is named.
func TestGreetings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, serve.Options{}, nil)
		c.hello(wire.Version+1, uint64(len(c.mem)))
		if w, err := wire.DecodeWelcome(c.welcome.Payload); err != nil || w.Version != wire.Version {
			t.Errorf("%+v, %v", w, err)
		}
		if err := <-c.ended; serve.ExitStatus(err) != 4 {
			t.Errorf("%v", err)
		}

		c = connect(t, serve.Options{}, nil)
		go c.hello(wire.Version, 5)
		if err := <-c.ended; serve.ExitStatus(err) != 5 {
			t.Errorf("%v", err)
		}
		c.conn.Close()

		c = connect(t, serve.Options{Open: func() (serve.Device, error) { return nil, errors.New("no such device") }}, nil)
		c.hello(wire.Version, uint64(len(c.mem)))
		if e, err := wire.DecodeError(c.welcome.Payload); err != nil || e.Text != "no such device" || e.Code != wire.Failed {
			t.Errorf("%+v, %v", e, err)
		}
		if err := <-c.ended; serve.ExitStatus(err) != 1 {
			t.Errorf("%v", err)
		}
	})
}

// TestHungAtTheEnd: a call that never returns doesn't keep the worker.
func TestHungAtTheEnd(t *testing.T) {
	g := &gates{}
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, serve.Options{Grace: time.Second}, g.before)
		c.hello(wire.Version, uint64(len(c.mem)))
		go c.read()
		c.send(wire.TypeCreate, 0, wire.Create{Spec: wire.IndexSpec{Dim: dim}})
		synctest.Wait()
		g.shut()
		c.ask(0)
		synctest.Wait()
		c.conn.Close()
		began := time.Now()
		if err := <-c.ended; err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		g.open()
	})
}
