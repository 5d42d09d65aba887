//go:build !race

package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// quickPair is a connection with quick writes that buffers little, and its other end.
func quickPair(t *testing.T) (*quickConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	own, ok := quick(accepted).(*quickConn)
	if !ok {
		t.Fatal("a TCP connection has no quick writes")
	}
	if err := own.SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	return own, dialed.(*net.TCPConn)
}

// TestQuickWrites holds that what is written arrives, also where the socket takes a
// part only and the writer has to wait, and where the write isn't short.
func TestQuickWrites(t *testing.T) {
	own, other := quickPair(t)
	var sent bytes.Buffer
	for i, size := range []int{1, 700, 0, quickBytes, quickBytes - 1, 3 * quickBytes, 5, quickBytes} {
		sent.Write(bytes.Repeat([]byte{byte('a' + i)}, size))
	}
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(other)
		got <- all
	}()
	rest := sent.Bytes()
	for _, size := range []int{1, 700, 0, quickBytes, quickBytes - 1, 3 * quickBytes, 5, quickBytes} {
		if n, err := own.Write(rest[:size]); n != size || err != nil {
			t.Errorf("%d of %d bytes written: %v", n, size, err)
		}
		rest = rest[size:]
	}
	own.Close()
	if all := <-got; !bytes.Equal(all, sent.Bytes()) {
		t.Errorf("%d bytes arrived, want %d, or others", len(all), sent.Len())
	}
}

// TestQuickWriteEnds holds that a write ends with its deadline, and fails on a
// connection that is closed, with the errors that any connection has.
func TestQuickWriteEnds(t *testing.T) {
	own, other := quickPair(t)
	part, written := make([]byte, quickBytes), 0
	own.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		n, err := own.Write(part)
		written += n
		if err != nil {
			if n == len(part) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %d bytes, %d of the last write: %v", written, n, err)
			}
			break
		}
	}
	other.SetLinger(0) // a reset
	other.Close()
	own.SetWriteDeadline(time.Now().Add(time.Minute))
	var err error
	for err == nil {
		_, err = own.Write(part[:1])
	}
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) || !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("a write to a connection that was reset: %v", err)
	}
	own.Close()
	if _, err := own.Write(part[:1]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write to a connection that was closed: %v", err)
	}
}
