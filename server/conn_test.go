package server

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// readyConn has the next request when the answer is written.
type readyConn struct{ net.Conn }

func (readyConn) Read(p []byte) (int, error)       { return len(p), nil }
func (readyConn) Write(p []byte) (int, error)      { return len(p), nil }
func (readyConn) SetWriteDeadline(time.Time) error { return nil }

// TestConnectionsTakeTurns: one that always has a next request doesn't keep the others from
// being served.
func TestConnectionsTakeTurns(t *testing.T) {
	const rounds = 100
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	order := make(chan int, 2*rounds)
	done := make(chan error, 2)
	for i := range 2 {
		go func() {
			c := &conn{Conn: readyConn{}, stall: time.Minute}
			for range rounds {
				if _, err := c.Read(make([]byte, 10)); err != nil {
					done <- err
					return
				}
				order <- i
				if _, err := c.Write(make([]byte, 10)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	turns := 0
	for last := <-order; len(order) > 0; {
		if next := <-order; next != last {
			turns, last = turns+1, next
		}
	}
	if turns < rounds {
		t.Errorf("%d requests of each of two connections came with %d changes from one to the other", rounds, turns)
	}
}
