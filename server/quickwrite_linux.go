//go:build !race

package server

import (
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// quickBytes bounds the writes of quickConn.
const quickBytes = 32 << 10

// quickConn makes short writes without Go's scheduler hearing of it.
//
// A write to a socket never blocks, but it takes 10 µs and more, as the system goes
// as far as to wake the reader. That is long enough for Go's monitor to find the
// thread in the system call, take it for blocked and give its goroutines to another
// thread, and as long as it finds some it looks every 20 µs. Where searches take
// 100 µs each, that came to 8 % of the server's processor time.
//
// (Not under the race detector, which needs to hear of it: whoever reads the answer
// may rely on what was done before.)
type quickConn struct {
	*net.TCPConn
	raw  syscall.RawConn
	step func(fd uintptr) (done bool)
	mu   struct {
		sync.Mutex // held during a write
		rest       []byte
		err        error
	}
}

// quick is the connection with quick writes, if it can have them.
func quick(accepted net.Conn) net.Conn {
	tcp, ok := accepted.(*net.TCPConn)
	if !ok {
		return accepted
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return accepted
	}
	c := &quickConn{TCPConn: tcp, raw: raw}
	c.step = c.send
	return c
}

func (c *quickConn) Write(p []byte) (int, error) {
	if len(p) > quickBytes {
		return c.TCPConn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.rest, c.mu.err = p, nil
	err := c.raw.Write(c.step)
	if err == nil && c.mu.err != nil {
		err = &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: c.mu.err}
	}
	n := len(p) - len(c.mu.rest)
	c.mu.rest = nil
	return n, err
}

// send is done when all is written or that has failed, and not if the socket takes
// no more at present.
func (c *quickConn) send(fd uintptr) (done bool) {
	for len(c.mu.rest) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&c.mu.rest[0])), uintptr(len(c.mu.rest)))
		switch errno {
		case 0:
			c.mu.rest = c.mu.rest[n:]
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			c.mu.err = os.NewSyscallError("write", errno)
			return true
		}
	}
	return true
}
