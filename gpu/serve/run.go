package serve

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

// Options are what Run serves, and how. The zero value of each field below Open means
// its default.
type Options struct {
	// Conn is the connection with the server, Arena the memory shared with it.
	Conn  net.Conn
	Arena []byte
	// Open opens the device, once a server of the same version has said hello. Its
	// error reaches the server as the reason for the worker's end.
	Open func() (Device, error)
	// MaxBatch is how many queries a batch has at most, 1,024; LatencyCap how long it
	// may be expected to take, 20 ms (a single query may take longer).
	MaxBatch   int
	LatencyCap time.Duration
	// Streams is how many batches are on the device at a time, 2.
	Streams int
	// MaxWaiting is how many queries may wait, 8,192; more are refused as wire.Busy.
	MaxWaiting int
	// Grace is how long Run waits at its end for calls of the device, 2 s.
	Grace time.Duration
}

// EnsureDefaults returns o with every unset field filled.
func (o Options) EnsureDefaults() Options {
	o.MaxBatch = min(cmp.Or(o.MaxBatch, 1024), wire.MaxBatch)
	o.LatencyCap = cmp.Or(o.LatencyCap, 20*time.Millisecond)
	o.Streams = cmp.Or(o.Streams, 2)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 8192)
	o.Grace = cmp.Or(o.Grace, 2*time.Second)
	return o
}

// Inherited returns Options with what the server's supervisor handed over: the
// connection as file 3, the shared memory as file 4. The process keeps both to its end.
func Inherited() (Options, error) {
	socket, memory := os.NewFile(3, "server"), os.NewFile(4, "arena")
	defer socket.Close()
	defer memory.Close()
	conn, err := net.FileConn(socket)
	if err != nil {
		return Options{}, fmt.Errorf("this program is started by a Themis server, when a vector index searches on a GPU; for a check of the device, use --selftest (%w)", err)
	}
	arena, _, err := wire.MapArena(memory)
	if err != nil {
		conn.Close()
		return Options{}, err
	}
	return Options{Conn: conn, Arena: arena}, nil
}

// ExitStatus is what a worker's process ends with, given Run's error.
func ExitStatus(err error) int {
	var version *wire.VersionError
	var protocol *wire.ProtocolError
	var known *wire.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known) && known.Code == wire.Lost:
		return 3
	case errors.As(err, &version):
		return 4
	case errors.As(err, &protocol):
		return 5
	}
	return 1
}

// worker is one Run.
type worker struct {
	o       Options
	device  Device
	queue   *queue
	updates chan *update
	// replies are encoded frames; closing is closed when no more are taken.
	replies chan []byte
	closing chan struct{}
	failure struct {
		sync.Mutex
		err error
	}
}

// Run serves until the server closes the connection, which is no error, or until something is wrong: a *wire.VersionError or *wire.ProtocolError of
// the server's, the device's error at its opening, or a *wire.Error with wire.Lost.
// It closes the device and the connection. A call of the device that hangs is left
// behind after Grace.
func Run(o Options) error {
	w := &worker{
		o: o.EnsureDefaults(), updates: make(chan *update, maxUpdates), replies: make(chan []byte, 256),
		closing: make(chan struct{}),
	}
	defer w.o.Conn.Close()
	frames := wire.NewReader(w.o.Conn)
	if err := w.handshake(frames); err != nil {
		return err
	}
	w.queue = newQueue(w.o)

	var streams, writer sync.WaitGroup
	for stream := range w.o.Streams {
		streams.Go(func() { w.stream(stream) })
	}
	streams.Go(w.update)
	writer.Go(w.write)
	err := w.read(frames)
	w.queue.close()
	close(w.updates)
	ended := make(chan struct{})
	go func() {
		streams.Wait()
		close(w.closing)
		writer.Wait()
		w.queue.closeIndexes()
		w.device.Close()
		close(ended)
	}()
	grace := time.NewTimer(w.o.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		err = errors.Join(err, errors.New("a call of the device does not return"))
	}
	w.failure.Lock()
	defer w.failure.Unlock()
	return cmp.Or(w.failure.err, err)
}

// handshake answers the server's hello and opens the device.
func (w *worker) handshake(frames *wire.Reader) error {
	f, err := frames.Next()
	if err != nil {
		return fmt.Errorf("waiting for the server's hello: %w", err)
	}
	if f.Type != wire.TypeHello {
		return &wire.ProtocolError{Text: "the server began with " + f.Type.String()}
	}
	hello, err := wire.DecodeHello(f.Payload)
	var version *wire.VersionError
	if errors.As(err, &version) {
		w.send(wire.TypeWelcome, f.ID, wire.Welcome{Version: wire.Version})
		return err
	}
	if err == nil && hello.ArenaBytes != uint64(len(w.o.Arena)) {
		err = &wire.ProtocolError{Text: fmt.Sprintf("the server shares %d bytes, and says %d", len(w.o.Arena), hello.ArenaBytes)}
	}
	if err != nil {
		return err
	}
	if w.device, err = w.o.Open(); err != nil {
		w.send(wire.TypeFailed, f.ID, asError(err))
		return err
	}
	if err = w.device.Pin(w.o.Arena); err == nil {
		err = w.send(wire.TypeWelcome, f.ID, wire.Welcome{Version: wire.Version, Device: w.device.Info()})
	} else {
		w.send(wire.TypeFailed, f.ID, asError(err))
	}
	if err != nil {
		w.device.Close()
	}
	return err
}

// send writes a frame at once, before there is a writer.
func (w *worker) send(t wire.Type, id uint64, m wire.Message) error {
	_, err := w.o.Conn.Write(wire.Append(nil, t, id, 0, m))
	return err
}

// asError gives an error of the device its form for the server.
func asError(err error) *wire.Error {
	var known *wire.Error
	if errors.As(err, &known) {
		return known
	}
	return wire.Errorf(wire.Failed, "%v", err)
}

// reply hands a frame to the writer.
func (w *worker) reply(t wire.Type, id uint64, m wire.Message) {
	w.replies <- wire.Append(nil, t, id, 0, m)
}

// fail answers a request with an error. A lost device ends the worker.
func (w *worker) fail(id uint64, err error) {
	known := asError(err)
	w.reply(wire.TypeFailed, id, known)
	if known.Code == wire.Lost {
		w.end(err)
	}
}

// end makes Run return err: the reader is woken by a deadline in the past.
func (w *worker) end(err error) {
	w.failure.Lock()
	defer w.failure.Unlock()
	if w.failure.err == nil {
		w.failure.err = err
		w.o.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// write sends replies until closing, then what is left of them. After an error it only
// takes them.
func (w *worker) write() {
	out := newBuffer(w.o.Conn)
	for {
		select {
		case b := <-w.replies:
			out.add(b, len(w.replies) == 0)
		case <-w.closing:
			// Nobody sends any more, and the server may not read any more.
			w.o.Conn.SetWriteDeadline(time.Now().Add(w.o.Grace / 2))
			for len(w.replies) > 0 {
				out.add(<-w.replies, len(w.replies) == 0)
			}
			return
		}
	}
}

// read carries out or queues what the server sends, until the connection ends, which is
// no error, or a frame is wrong.
func (w *worker) read(frames *wire.Reader) error {
	for {
		f, err := frames.Next()
		if err != nil {
			var wrong *wire.ProtocolError
			if errors.As(err, &wrong) {
				return err
			}
			return nil // the server is gone, or the device is: then failure says so
		}
		if err := w.take(f); err != nil {
			return err
		}
	}
}

// take handles one frame. Its errors are the server's breaches of the protocol.
func (w *worker) take(f wire.Frame) error {
	arrived := time.Now()
	switch f.Type {
	case wire.TypePing:
		search, update := w.queue.busy(arrived)
		w.reply(wire.TypePong, f.ID, wire.Pong{SearchBusy: search, UpdateBusy: update})
		return wire.DecodeEmpty(f.Payload)
	case wire.TypeCancel:
		if w.queue.cancel(f.ID) {
			w.fail(f.ID, wire.Errorf(wire.Cancelled, "the request was cancelled"))
		}
		return wire.DecodeEmpty(f.Payload)
	case wire.TypeQuery:
		return w.takeQuery(f, arrived)
	case wire.TypeCreate, wire.TypeDrop, wire.TypePut, wire.TypeDelete, wire.TypeStats:
		return w.takeUpdate(f, arrived)
	}
	return &wire.ProtocolError{Text: "the server sent a frame of type " + f.Type.String()}
}

// until is when a frame's answer stops being wanted, the zero time for never.
func until(f wire.Frame, arrived time.Time) time.Time {
	if f.Deadline == 0 {
		return time.Time{}
	}
	return arrived.Add(f.Deadline)
}

// takeQuery checks a query and queues it.
func (w *worker) takeQuery(f wire.Frame, arrived time.Time) error {
	m, err := wire.DecodeQuery(f.Payload)
	if err != nil {
		return err
	}
	q := &query{
		id: f.ID, exact: m.Exact, background: m.Background, arrived: arrived, until: until(f, arrived),
		Query: Query{Vector: m.Vector, K: m.K},
	}
	if m.Filtered {
		allow, ok := wire.View[uint64](w.o.Arena, m.AllowOffset, uint64(m.AllowWords))
		if !ok {
			w.fail(f.ID, wire.Errorf(wire.Invalid, "a filter outside of the shared memory"))
			return nil
		}
		q.Allow = allow
	}
	refused, err := w.queue.add(m.Index, q)
	if refused != nil {
		w.fail(f.ID, refused)
	}
	return err
}
