package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// askers send prepared requests over several connections, each of which waits for its
// answer before it asks again. One thread serves them all, with hardly more than the
// system's calls, for they share the cores with the server: what they take it lacks. And
// were they goroutines, an answer could lie there for milliseconds, since the thread that
// is to read it waits for a core, and would count as the server's.
type askers struct {
	address  string
	requests [][]byte // with their headers
	// read gets each answer the first time that its request is asked.
	read func(request int, answer []byte) error
}

// asker is one connection.
type asker struct {
	socket  *os.File
	fd      int
	turn    int // the request whose answer is awaited, counted from the beginning
	asked   time.Time
	waiting bool
	arrived []byte
}

const (
	// askersTimeout is how long all may wait for an answer.
	askersTimeout = time.Minute
	// askersLook is how often a wait looks whether it is to end.
	askersLook = 100 * time.Millisecond
)

// newAskers are askers of the server that c talks to.
func (c *client) newAskers(read func(request int, answer []byte) error) (*askers, error) {
	base, err := url.Parse(c.base)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" || base.Path != "" {
		return nil, fmt.Errorf("%s: prepared requests are sent as plain HTTP to the root of a server", c.base)
	}
	return &askers{address: base.Host, read: read}, nil
}

// prepare adds a request of c; without a body if that is nil.
func (a *askers) prepare(c *client, method, path string, body []byte) error {
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.Header.SetMethod(method)
	req.SetRequestURI(c.base + path)
	if body != nil {
		req.Header.SetContentType("application/json")
		req.SetBody(body)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	if err := errors.Join(req.Write(w), w.Flush()); err != nil {
		return err
	}
	a.requests = append(a.requests, text.Bytes())
	return nil
}

// ask sends each request once, and all of them again in turn until atLeast has gone by.
// It returns how long that took, and each answer.
func (a *askers) ask(ctx context.Context, connections int, atLeast time.Duration) (took time.Duration, latencies []time.Duration, err error) {
	all := make([]asker, connections)
	defer func() {
		for i := range all {
			if all[i].socket != nil {
				err = errors.Join(err, all[i].socket.Close())
			}
		}
	}()
	for i := range all {
		if err := all[i].dial(a.address); err != nil {
			return 0, nil, err
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, turn := time.Now(), 0
	next := func(c *asker) error {
		if turn >= len(a.requests) && time.Since(begin) >= atLeast {
			return nil
		}
		c.turn, turn = turn, turn+1
		return c.send(a.requests[c.turn%len(a.requests)])
	}
	for i := range all {
		if err := next(&all[i]); err != nil {
			return 0, nil, err
		}
	}
	for {
		answered, err := wait(ctx, all)
		if err != nil || len(answered) == 0 {
			return time.Since(begin), latencies, err
		}
		for _, c := range answered {
			answer, err := c.receive()
			if err != nil {
				return 0, nil, err
			}
			if c.waiting {
				continue
			}
			latencies = append(latencies, time.Since(c.asked))
			if c.turn < len(a.requests) {
				if err := a.read(c.turn, answer); err != nil {
					return 0, nil, err
				}
			}
			if err := next(c); err != nil {
				return 0, nil, err
			}
		}
	}
}

// wait returns those that something has come for, and none if nobody waits.
func wait(ctx context.Context, all []asker) ([]*asker, error) {
	var polled []unix.PollFd
	var whose, ready []*asker
	for i := range all {
		if c := &all[i]; c.waiting {
			polled, whose = append(polled, unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN}), append(whose, c)
		}
	}
	if len(polled) == 0 {
		return nil, nil
	}
	for begin := time.Now(); len(ready) == 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if time.Since(begin) > askersTimeout {
			return nil, fmt.Errorf("no answer within %s", askersTimeout)
		}
		if _, err := unix.Poll(polled, int(askersLook.Milliseconds())); err != nil && err != unix.EINTR {
			return nil, os.NewSyscallError("poll", err)
		}
		for i := range polled {
			if polled[i].Revents != 0 {
				ready = append(ready, whose[i])
			}
		}
	}
	return ready, nil
}

func (c *asker) dial(address string) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	tcp := connection.(*net.TCPConn)
	c.socket, err = tcp.File() // which the runtime's poller doesn't know
	if err := errors.Join(err, tcp.Close()); err != nil {
		return err
	}
	c.fd = int(c.socket.Fd()) // which blocks from now on
	return nil
}

func (c *asker) send(request []byte) error {
	c.asked, c.waiting, c.arrived = time.Now(), true, c.arrived[:0]
	for len(request) > 0 {
		n, err := unix.Write(c.fd, request)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("write", err)
		}
		request = request[max(n, 0):]
	}
	return nil
}

// askerBuffer is more than most answers have.
const askerBuffer = 8 << 10

// receive takes what has come, and returns the answer and waits no more when it is
// whole. One that says no is an error.
func (c *asker) receive() ([]byte, error) {
	if free := cap(c.arrived) - len(c.arrived); free < askerBuffer {
		c.arrived = append(make([]byte, 0, 2*cap(c.arrived)+askerBuffer), c.arrived...)
	}
	n, err := unix.Read(c.fd, c.arrived[len(c.arrived):cap(c.arrived)])
	switch {
	case err == unix.EINTR:
		return nil, nil
	case err != nil:
		return nil, os.NewSyscallError("read", err)
	case n == 0:
		return nil, io.ErrUnexpectedEOF
	}
	c.arrived = c.arrived[:len(c.arrived)+n]
	const end = "\r\n\r\n"
	at := bytes.Index(c.arrived, []byte(end))
	if at < 0 {
		return nil, nil
	}
	head, body := c.arrived[:at+len(end)], c.arrived[at+len(end):]
	var header fasthttp.ResponseHeader
	if err := header.Read(bufio.NewReader(bytes.NewReader(head))); err != nil {
		return nil, err
	}
	if header.ContentLength() < 0 {
		return nil, fmt.Errorf("an answer without its length: %q", head)
	}
	if len(body) < header.ContentLength() {
		return nil, nil
	}
	c.waiting = false
	if header.StatusCode() != fasthttp.StatusOK {
		return nil, problemOf("a prepared request", header.StatusCode(), body)
	}
	return body, nil
}
