package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

type slowFlags struct {
	server  serverFlags
	slow    int
	clients int
	ef      int
	atLeast time.Duration
	work    workloadFlags
}

func setupSlow(flags *flag.FlagSet) func(context.Context, output) error {
	var f slowFlags
	f.server.register(flags, "data/slow")
	flags.IntVar(&f.slow, "slow", 1000, "slow connections: a third each sends its header, sends its body, reads its answer slowly")
	flags.IntVar(&f.clients, "clients", 2, "good clients that search at the same time")
	flags.IntVar(&f.ef, "ef", 64, "width of the searches")
	flags.DurationVar(&f.atLeast, "time", 20*time.Second, "how long to measure, without, with and again without the slow ones")
	f.work.register(flags)
	return f.run
}

// slowK is how many neighbours the good clients ask for.
const slowK = 10

func (f *slowFlags) run(ctx context.Context, out output) error {
	w, err := f.work.load(ctx, slowK)
	if err != nil {
		return err
	}
	return f.server.withTable(ctx, w, f.clients, out, func(t *overHTTP) error { return f.compare(ctx, t, w, out.results) })
}

// compare measures the same searches without the crowd, with it, and without it
// again, so that a machine that changes its speed shows.
func (f *slowFlags) compare(ctx context.Context, t *overHTTP, w *workload, results io.Writer) error {
	measure := measurement{slowK, f.ef, f.clients, f.atLeast}
	if _, err := (measurement{slowK, f.ef, f.clients, f.atLeast / 10}).run(ctx, t, w); err != nil { // warms up
		return err
	}
	before, err := measure.run(ctx, t, w)
	if err != nil {
		return err
	}
	crowd, err := f.gather(ctx, t.client)
	if err != nil {
		return err
	}
	beside, err := measure.run(ctx, t, w)
	if err = errors.Join(err, crowd.disperse()); err != nil {
		return err
	}
	after, err := measure.run(ctx, t, w)
	if err != nil {
		return err
	}
	fmt.Fprintf(results, "%s: %d vectors of dimension %d, k=%d, ef=%d, %d good clients\n\n", w.name, w.base.Len(), w.base.Dim, slowK, f.ef, f.clients)
	fmt.Fprintf(results, "| slow connections |      QPS |  p50 ms |  p99 ms |\n|-----------------:|---------:|--------:|--------:|\n")
	for _, row := range []struct {
		slow int
		point
	}{{0, before}, {f.slow, beside}, {0, after}} {
		fmt.Fprintf(results, "| %16d | %8.0f | %7.3f | %7.3f |\n", row.slow, row.QPS, row.P50Ms, row.P99Ms)
	}
	base := (before.P99Ms + after.P99Ms) / 2
	_, err = fmt.Fprintf(results, "\np99 beside slow connections is %.2f times that without; %d of them were cut off and came again; no good request failed\n",
		beside.P99Ms/base, crowd.cut.Load())
	return err
}

// crowd are connections that keep the server busy with little of their own.
type crowd struct {
	cancel context.CancelFunc
	group  *errgroup.Group
	cut    atomic.Int64
}

// gather opens the connections and returns when all are open.
func (f *slowFlags) gather(ctx context.Context, c *client) (*crowd, error) {
	base, err := url.Parse(c.base)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" {
		return nil, errors.New("slow connections are made to plain HTTP only; take an http URL")
	}
	all := &crowd{}
	all.group, ctx = errgroup.WithContext(ctx)
	ctx, all.cancel = context.WithCancel(ctx)
	key := ""
	if c.key != "" {
		key = "api-key: " + c.key + "\r\n"
	}
	openings := []string{
		"GET /tables HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"POST /query HTTP/1.1\r\nHost: x\r\n" + key + "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
		"GET /entities?table=" + benchTable + "&limit=1000 HTTP/1.1\r\nHost: x\r\n" + key + "\r\n",
	}
	var open atomic.Int64
	for i := range f.slow {
		opening := openings[i%len(openings)]
		all.group.Go(func() error {
			for first := true; ctx.Err() == nil; first = false {
				err := dawdle(ctx, base.Host, opening, func() {
					if first {
						open.Add(1)
					}
				})
				if ctx.Err() != nil {
					return nil
				}
				if err != nil && open.Load() < int64(f.slow) {
					return err // the server doesn't take as many
				}
				all.cut.Add(1)
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		})
	}
	for open.Load() < int64(f.slow) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("only %d slow connections could be opened: %w", open.Load(), all.disperse())
	}
	return all, nil
}

// disperse closes the connections. The error is why one couldn't be opened.
func (c *crowd) disperse() error {
	c.cancel()
	return c.group.Wait()
}

// dawdle is one slow connection until the server cuts it off: it sends a byte a
// second and reads nothing.
func dawdle(ctx context.Context, addr, opening string, opened func()) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetReadBuffer(4 << 10) // so that an answer soon finds no room
	}
	if _, err := io.WriteString(conn, opening); err != nil {
		return err
	}
	opened()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if _, err := io.WriteString(conn, " "); err != nil {
				return err
			}
		}
	}
}
