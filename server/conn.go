package server

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v3"
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

// listener wraps every connection it accepts.
type listener struct {
	net.Listener
	stall time.Duration
}

// acceptPause is how long a listener that has run out of something waits.
const acceptPause = 50 * time.Millisecond

// Accept outlasts a lack of file descriptors or memory, which fasthttp would end
// the server over: it passes when connections are closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			return &conn{Conn: c, stall: l.stall}, nil
		}
		var number syscall.Errno
		if !errors.As(err, &number) || !slices.Contains(passing, number) {
			return nil, err
		}
		time.Sleep(acceptPause)
	}
}

var passing = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}

// conn adds to a connection what fasthttp doesn't have: deadlines that follow
// progress, errors for bodies cut short, and a close that lets the client read
// the answer. Except for Close, one goroutine at a time uses it.
type conn struct {
	net.Conn
	// stall bounds each write, and each read of a streamed body.
	stall time.Duration
	// body is set while a body is read: EOF is then an error, and readErr keeps
	// the first error of the connection.
	body    bool
	rolling bool
	readErr error
	linger  atomic.Bool
}

// connOf returns the request's connection, nil if a test made it.
func connOf(c fiber.Ctx) *conn {
	own, _ := c.RequestCtx().Conn().(*conn)
	return own
}

// beginBody enters the state of reading a body; rolling gives each read a
// deadline of its own instead of one for the whole body.
func (c *conn) beginBody(rolling bool) {
	if c != nil {
		c.body, c.rolling, c.readErr = true, rolling, nil
	}
}

func (c *conn) endBody() {
	if c != nil {
		c.body, c.rolling = false, false
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

func (c *conn) Read(p []byte) (int, error) {
	if c.rolling {
		if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if c.body && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		c.readErr = err
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(written+writeChunk, len(p))]
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(part)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

func (c *conn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
		c.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}
