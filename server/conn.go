package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
)

// Each write of at most writeChunk bytes has its own deadline, so a big answer to
// a slow but living client isn't cut off, and a dead client is.
const writeChunk = 256 << 10

// A connection that is closed over an unread body reads on for at most this time
// and size before it closes. Closing at once would reset it, and the client would
// see a broken pipe instead of the answer that tells it why.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// listener wraps every connection it accepts, and knows those that are open.
type listener struct {
	net.Listener
	stall time.Duration
	// most bounds the open connections. It isn't left to fasthttp, whose refusal
	// is no problem document and carries no request id.
	most int
	// tls is nil for plain HTTP.
	tls   *tls.Config
	close func() error
	mu    struct {
		sync.Mutex
		open map[*conn]struct{}
	}
}

func newListener(l net.Listener, most int, stall time.Duration) *listener {
	// Shutdown and fasthttp both close it.
	own := &listener{Listener: l, stall: stall, most: most, close: sync.OnceValue(l.Close)}
	own.mu.open = map[*conn]struct{}{}
	return own
}

// acceptPause is how long a listener that has run out of something waits.
const acceptPause = 50 * time.Millisecond

// Accept outlasts a lack of file descriptors or memory, which fasthttp would end
// the server over: it passes when connections are closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		var number syscall.Errno
		switch {
		case err == nil:
			if c := l.add(accepted); c != nil {
				return c, nil
			}
			l.refuse(accepted)
		case errors.As(err, &number) && slices.Contains(passing, number):
			time.Sleep(acceptPause)
		default:
			return nil, err
		}
	}
}

var passing = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}

// add returns nil if there is no room.
func (l *listener) add(accepted net.Conn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.open) >= l.most {
		return nil
	}
	accepted = quick(accepted)
	c := &conn{Conn: accepted, stall: l.stall, listener: l}
	if l.tls != nil {
		c.tls = tls.Server(accepted, l.tls)
		c.Conn = c.tls
	}
	l.mu.open[c] = struct{}{}
	return c
}

// Close stops accepting; open connections stay.
func (l *listener) Close() error { return l.close() }

func (l *listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.open, c)
}

// refuse answers a connection that is too many; with TLS it would have to work
// for that, and closes.
func (l *listener) refuse(c net.Conn) {
	defer c.Close()
	if l.tls == nil {
		answerRaw(c, "Retry-After: 1\r\n",
			errs.New(errs.Unavailable, "overloaded", "The server has as many connections as it takes. Nothing was done; try again soon."))
	}
}

// answerRaw answers without having read a request. Nothing blocks: the answer
// fits the empty send buffer.
func answerRaw(c net.Conn, header string, cause error) {
	p := problem.Of(cause)
	p.RequestID = requestID("")
	body, err := json.Marshal(p)
	if err != nil {
		return
	}
	c.SetWriteDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nX-Request-ID: %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		p.Status, p.Title, problem.ContentType, p.RequestID, header, len(body), body)
}

// hurry ends the wait of connections that have sent nothing at all, such as those
// a browser opens ahead; fasthttp takes them for busy and would wait for them.
func (l *listener) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.mu.open {
		if !c.spoke.Load() {
			c.hurried.Store(true)
			c.Conn.SetReadDeadline(past)
		}
	}
}

// past is a deadline that ends a read under way.
var past = time.Unix(1, 0)

// conn adds to a connection what fasthttp doesn't have: deadlines that follow
// progress, errors for bodies cut short, an end of reading when the server must
// stop, and a close that lets the client read the answer. Except for Close and
// the deadlines, one goroutine at a time uses it.
type conn struct {
	// Conn is tls, if that isn't nil.
	net.Conn
	tls *tls.Conn
	// shaken is set when the handshake was tried.
	shaken   bool
	listener *listener
	// stall bounds each write, and each read of a streamed body.
	stall time.Duration
	// until is set while a body is read, which ends with it; EOF is an error
	// then, and readErr keeps the first error of the connection.
	until   context.Context
	rolling bool
	readErr error
	// spoke is set once the client has sent something, hurried when it has no more
	// time for that, linger when Close has to wait for the client.
	spoke, hurried, linger atomic.Bool
	// stalled is set when the client took nothing for too long.
	stalled atomic.Bool
	// wrote is set from a write to the next read.
	wrote bool
}

// connOf returns the request's connection, nil if a test made it.
func connOf(c fiber.Ctx) *conn {
	own, _ := c.RequestCtx().Conn().(*conn)
	return own
}

// beginBody enters the state of reading a body until the context ends; rolling
// gives each read a deadline of its own instead of one for the whole body. The
// returned function leaves the state.
func (c *conn) beginBody(until context.Context, rolling bool) (end func()) {
	if c == nil {
		return func() {}
	}
	c.until, c.rolling, c.readErr = until, rolling, nil
	stop := context.AfterFunc(until, func() { c.SetReadDeadline(past) })
	return func() {
		stop()
		c.until, c.rolling = nil, false
	}
}

// bodyErr is the error that the connection had while the body was read.
func (c *conn) bodyErr() error {
	if c == nil {
		return nil
	}
	return c.readErr
}

func (c *conn) closeGently() {
	if c != nil {
		c.linger.Store(true)
	}
}

// handshake happens in the first read, which has the deadline of the header, and
// in the connection's own goroutine: a slow client delays nobody else.
func (c *conn) handshake() error {
	c.shaken = true
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return err
	}
	err := c.tls.Handshake()
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil && speaksHTTP(plain.RecordHeader) {
		answerRaw(plain.Conn, "", errs.New(errs.Invalid, "tls_required", "This port speaks HTTPS; the request came as plain HTTP. Use an https URL."))
		linger(plain.Conn)
		return io.EOF // nobody is left to answer
	}
	return err
}

// speaksHTTP knows the first five bytes of a request.
func speaksHTTP(start [5]byte) bool {
	return slices.ContainsFunc(fiber.DefaultMethods, func(method string) bool {
		return strings.HasPrefix(method+" /", string(start[:]))
	})
}

// SetReadDeadline doesn't undo hurry, whichever of them comes first.
func (c *conn) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	if c.hurried.Load() && !c.spoke.Load() {
		return c.Conn.SetReadDeadline(past)
	}
	return err
}

func (c *conn) Read(p []byte) (int, error) {
	// A client on the same cores may have sent its next request before the write of the
	// answer returns. Then this read doesn't wait, and the goroutine would serve one
	// request after another, until Go's monitor stops it after ten milliseconds, while
	// those of other connections are queued behind it.
	if c.wrote {
		c.wrote = false
		runtime.Gosched()
	}
	if c.tls != nil && !c.shaken {
		if err := c.handshake(); err != nil {
			return 0, err
		}
	}
	if c.rolling {
		if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
			return 0, err
		}
	}
	// After the deadline is set, so that it doesn't undo the one of beginBody.
	if c.until != nil && c.until.Err() != nil {
		c.readErr = context.Cause(c.until)
		return 0, c.readErr
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.spoke.Store(true)
	}
	if c.until != nil && err != nil {
		c.readErr = c.bodyError(err)
		err = c.readErr
	}
	return n, err
}

// bodyError says what a failed read means for the body.
func (c *conn) bodyError(err error) error {
	switch {
	case c.until.Err() != nil:
		return context.Cause(c.until)
	case errors.Is(err, io.EOF):
		return errs.New(errs.Invalid, "body_truncated", "The connection ended before the body did.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fiber.ErrRequestTimeout
	}
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	c.wrote = true
	written := 0
	for {
		part := p[written:min(written+writeChunk, len(p))]
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(part)
		written += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.stalled.Store(true)
		}
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

func (c *conn) Close() error {
	defer c.listener.remove(c)
	if c.linger.Load() {
		linger(c.Conn)
	}
	return c.Conn.Close()
}

// linger ends the answer and lets the client read it.
func linger(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		c.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c, lingerBytes)
	}
}
