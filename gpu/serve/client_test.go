package serve_test

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dim = 2

// client is a server that does what a test says, of a worker with a fake device.
type client struct {
	t      *testing.T
	conn   net.Conn
	device *gputest.Device
	mem    []byte
	last   uint64
	// ended has what Run returned.
	ended   chan error
	welcome wire.Frame
	mu      struct {
		sync.Mutex
		answers map[uint64]answer
		twice   []uint64
	}
}

// answer is a frame from the worker.
type answer struct {
	t       wire.Type
	payload []byte
	at      time.Time
}

// run calls f in a bubble with a client whose worker has an l2 index 1 with the vectors
// (i, 0) under the ids i below 100.
func run(t *testing.T, o serve.Options, before func(gputest.Call), f func(c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, o, before)
		c.hello(wire.Version, uint64(len(c.mem)))
		if c.welcome.Type != wire.TypeWelcome {
			t.Fatalf("welcomed with %v", c.welcome.Type)
		}
		go c.read()
		created := c.send(wire.TypeCreate, 0, wire.Create{Spec: wire.IndexSpec{Dim: dim, Metric: wire.L2}})
		var ids []uint32
		var vectors []float32
		for i := range 100 {
			ids, vectors = append(ids, uint32(i)), append(vectors, float32(i), 0)
		}
		put := c.put(0, ids, vectors)
		time.Sleep(time.Second)
		synctest.Wait()
		if c.answer(created).t != wire.TypeCreated || c.answer(put).t != wire.TypeDone {
			t.Fatalf("%+v, %+v", c.answer(created), c.answer(put))
		}
		f(c)
		c.conn.Close()
		if err := <-c.ended; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
		if len(c.mu.twice) > 0 {
			t.Errorf("answered twice: %v", c.mu.twice)
		}
	})
}

// connect starts a worker.
func connect(t *testing.T, o serve.Options, before func(gputest.Call)) *client {
	ours, theirs := net.Pipe()
	c := &client{t: t, conn: ours, device: gputest.NewDevice(), mem: wire.NewLocalArena(0).Memory(), ended: make(chan error, 1)}
	c.device.Before = before
	c.mu.answers = map[uint64]answer{}
	o.Conn, o.Arena = theirs, c.mem
	if o.Open == nil {
		o.Open = func() (serve.Device, error) { return c.device, nil }
	}
	go func() { c.ended <- serve.Run(o) }()
	return c
}

func (c *client) hello(version uint32, size uint64) {
	c.conn.Write(wire.Append(nil, wire.TypeHello, 0, 0, wire.Hello{Version: version, ArenaBytes: size}))
	c.welcome, _ = wire.NewReader(c.conn).Next()
}

func (c *client) read() {
	r := wire.NewReader(c.conn)
	for {
		f, err := r.Next()
		if err != nil {
			return
		}
		c.mu.Lock()
		if _, twice := c.mu.answers[f.ID]; twice {
			c.mu.twice = append(c.mu.twice, f.ID)
		}
		c.mu.answers[f.ID] = answer{f.Type, append([]byte(nil), f.Payload...), time.Now()}
		c.mu.Unlock()
	}
}

// send sends a request.
func (c *client) send(t wire.Type, deadline time.Duration, m wire.Message) uint64 {
	c.last++
	c.write(wire.Append(nil, t, c.last, deadline, m))
	return c.last
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Errorf("sending: %v", err)
	}
}

// put puts rows, which lie at offset of the shared memory.
func (c *client) put(offset uint64, ids []uint32, vectors []float32) uint64 {
	to, _ := wire.View[uint32](c.mem, offset, uint64(len(ids)))
	copy(to, ids)
	toVectors, _ := wire.View[float32](c.mem, offset+4096, uint64(len(vectors)))
	copy(toVectors, vectors)
	return c.send(wire.TypePut, 0, wire.Rows{Index: 1, Count: uint32(len(ids)), IDs: offset, Vectors: offset + 4096})
}

// ask sends a query for what is nearest to (x, 0).
func (c *client) ask(x float32, change ...func(*wire.Query)) uint64 {
	return c.askUntil(0, x, change...)
}

func (c *client) askUntil(deadline time.Duration, x float32, change ...func(*wire.Query)) uint64 {
	q := wire.Query{Index: 1, K: 1, Vector: []float32{x, 0}}
	for _, f := range change {
		f(&q)
	}
	return c.send(wire.TypeQuery, deadline, q)
}

func background(q *wire.Query) { q.Background = true }
func exact(q *wire.Query)      { q.Exact = true }

// answer is what a request was answered with so far.
func (c *client) answer(id uint64) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.answers[id]
}

// found is a search's answer.
func (c *client) found(id uint64) wire.Answer {
	c.t.Helper()
	a := c.answer(id)
	m, err := wire.DecodeAnswer(a.payload)
	if a.t != wire.TypeAnswer || err != nil {
		c.t.Errorf("request %d: %v %q, %v", id, a.t, a.payload, err)
	}
	return m
}

// refused is a request's error.
func (c *client) refused(id uint64) wire.Code {
	c.t.Helper()
	a := c.answer(id)
	e, err := wire.DecodeError(a.payload)
	if a.t != wire.TypeFailed || err != nil {
		c.t.Errorf("request %d: %v, %v", id, a.t, err)
		return 255
	}
	return e.Code
}

// gates let searches wait, one by one, and note them.
type gates struct {
	mu      sync.Mutex
	batches []*serve.Batch
	pass    chan struct{}
}

// shut returns gates; call it in the bubble.
func (g *gates) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass = make(chan struct{})
}

func (g *gates) before(call gputest.Call) {
	if call.Op != "search" {
		return
	}
	g.mu.Lock()
	g.batches = append(g.batches, call.Batch)
	pass := g.pass
	g.mu.Unlock()
	if pass != nil {
		<-pass
	}
}

// open lets all searches pass from now on.
func (g *gates) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.pass)
	g.pass = nil
}

// sizes are those of the batches so far.
func (g *gates) sizes() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var sizes []int
	for _, b := range g.batches {
		sizes = append(sizes, len(b.Queries))
	}
	return sizes
}
