package server

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSlowCrowd holds that many slow clients cost the good ones nothing: no slot
// is held for them, every good request succeeds, and in the end each slow one has
// lost its connection.
func TestSlowCrowd(t *testing.T) {
	const (
		each     = 20
		patience = 500 * time.Millisecond
	)
	l := start(t, Options{MaxInFlight: 4, MaxStreams: 1, MaxConnections: 4*each + 8,
		HeaderTimeout: patience, BodyTimeout: patience, StallTimeout: patience, IdleTimeout: patience})
	var slow []net.Conn
	for range each {
		slow = append(slow,
			l.raw(t, ""),
			l.raw(t, "GET /things/a HTTP/1.1\nHost: x\nX-Slow: "),
			l.raw(t, "POST /size HTTP/1.1\nHost: x\nContent-Length: 1000\n\nabc"),
			l.raw(t, "GET /big HTTP/1.1\nHost: x\n\n"), // and reads nothing
		)
	}
	// The big answers are made, or were refused, before the good clients come.
	eventually(t, func() bool {
		big := 0
		for _, seen := range l.observed() {
			if strings.HasPrefix(seen, "GET /big") {
				big++
			}
		}
		return big == each
	})
	var trickle sync.WaitGroup
	trickle.Go(func() { // a byte now and then extends no deadline
		for range 20 {
			time.Sleep(patience / 10)
			for _, c := range slow {
				io.WriteString(c, "x") // may fail: it is cut off
			}
		}
	})
	var good sync.WaitGroup
	for range 4 {
		good.Go(func() {
			for range 50 {
				if status, _, body := l.do(t, "GET", "/things/a", nil); status != 200 {
					t.Errorf("a good client: %d %s", status, body)
				}
			}
		})
	}
	good.Wait()
	trickle.Wait()
	for i, c := range slow {
		if n, err := io.Copy(io.Discard, c); n >= 8<<20 {
			t.Errorf("slow client %d got all %d bytes: %v", i, n, err)
		}
	}
	eventually(t, func() bool { return len(l.slots) == 0 && l.active.Load() == 0 })
}
