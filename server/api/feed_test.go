package api_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/api"
)

var reconnects = flag.Int("feed.reconnects", 200, "how often TestStreamKills reconnects")

func newFeedClient(t *testing.T) *client {
	t.Helper()
	return newClientOf(t, engine.Options{Feed: engine.FeedOptions{Enabled: true}}, api.Options{}, server.Options{})
}

// change is an event as a client reads it.
type change struct {
	Sequence    uint64         `json:"sequence"`
	Type        string         `json:"type"`
	Key         string         `json:"key"`
	Value       map[string]any `json:"value"`
	TimestampMs int64          `json:"timestamp_ms"`
	Metadata    struct {
		Table   string `json:"table"`
		PK      string `json:"pk"`
		Version uint64 `json:"version"`
	} `json:"metadata"`
}

// await waits until a figure of the feed has a value.
func (c *client) await(pointer, want string) {
	c.t.Helper()
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = c.must(200, "GET", "/changefeed/stats", "").value(pointer); got == want {
			return
		}
	}
	c.t.Fatalf("%s is %s, and doesn't become %s", pointer, got, want)
}

func TestChangeFeed(t *testing.T) {
	c := newFeedClient(t)
	began := time.Now().UnixMilli()
	c.must(200, "GET", "/changefeed", "").want("/events", "[]", "/count", "0", "/latest_sequence", "0", "/next_seq", "0")
	c.must(201, "PUT", "/entities/users:ada%22%3A1", `{"name": "Ada", "n": 1.50}`)
	c.must(200, "PATCH", "/entities/users:ada%22%3A1", `{"name": null}`)
	c.must(200, "DELETE", "/entities/users:ada%22%3A1", "")
	c.must(200, "POST", "/entities/batch", `{"operations":[{"op":"put","key":"books:a","entity":{}},{"op":"put","key":"books:b","entity":{"x":[1]}}]}`)
	c.must(200, "DELETE", "/tables/books", "")
	r := c.must(200, "GET", "/changefeed?from_seq=0", "").want("/count", "6", "/latest_sequence", "6", "/next_seq", "6")
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", r.header)
	}
	masked := regexp.MustCompile(`"timestamp_ms":(\d+)`)
	for _, match := range masked.FindAllSubmatch(r.body, -1) {
		if ms, err := strconv.ParseInt(string(match[1]), 10, 64); err != nil || ms < began || ms > time.Now().UnixMilli()+1000 {
			t.Errorf("timestamp %s, it is %d", match[1], began)
		}
	}
	events := string(masked.ReplaceAll([]byte(r.value("/events")), []byte(`"timestamp_ms":0`)))
	want := `[{"sequence":1,"type":"PUT","key":"users:ada\":1","value":{"name":"Ada","n":1.50},"timestamp_ms":0,"metadata":{"table":"users","pk":"ada\":1","version":1}},` +
		`{"sequence":2,"type":"PUT","key":"users:ada\":1","value":{"n":1.50},"timestamp_ms":0,"metadata":{"table":"users","pk":"ada\":1","version":2}},` +
		`{"sequence":3,"type":"DELETE","key":"users:ada\":1","value":null,"timestamp_ms":0,"metadata":{"table":"users","pk":"ada\":1","version":2}},` +
		`{"sequence":4,"type":"PUT","key":"books:a","value":{},"timestamp_ms":0,"metadata":{"table":"books","pk":"a","version":1}},` +
		`{"sequence":5,"type":"PUT","key":"books:b","value":{"x":[1]},"timestamp_ms":0,"metadata":{"table":"books","pk":"b","version":1}},` +
		`{"sequence":6,"type":"DROP","key":"books:","value":null,"timestamp_ms":0,"metadata":{"table":"books","pk":"","version":0}}]`
	if events != want {
		t.Errorf("events\n%s\nwant\n%s", events, want)
	}
	c.must(200, "GET", "/changefeed?from_seq=2&limit=2", "").want("/count", "2", "/events/0/sequence", "3", "/latest_sequence", "6", "/next_seq", "4")
	c.must(200, "GET", "/changefeed?table=books&limit=1", "").want("/count", "1", "/events/0/sequence", "4", "/next_seq", "4")
	c.must(200, "GET", "/changefeed?key_prefix=books:b", "").want("/count", "2", "/events/0/sequence", "5", "/events/1/type", `"DROP"`, "/next_seq", "6")
	c.must(200, "GET", "/changefeed?table=none&from_seq=1", "").want("/count", "0", "/next_seq", "6")
	for _, query := range []string{"from_seq=-1", "from_seq=x", "from_seq=1e3", "from_seq=18446744073709551616", "limit=0", "limit=10001", "long_poll_ms=-1", "long_poll_ms=60001", "long_poll_ms=x"} {
		c.fails(400, "invalid_parameter", "GET", "/changefeed?"+query, "")
	}
	c.fails(400, "invalid_table", "GET", "/changefeed?table=a%20b", "")
	c.fails(400, "unknown_parameter", "GET", "/changefeed?since=1", "")

	c.must(200, "POST", "/changefeed/retention", `{"before_sequence":4}`).want("/removed", "3", "/oldest_sequence", "4", "/latest_sequence", "6")
	c.must(200, "GET", "/changefeed/stats", "").want("/enabled", "true", "/oldest_sequence", "4", "/latest_sequence", "6", "/events", "3",
		"/retention_seconds", "604800", "/streams", "0", "/events_trimmed", "3")
	c.must(200, "GET", "/changefeed?from_seq=3", "").want("/count", "3")
	for _, path := range []string{"/changefeed", "/changefeed?from_seq=2", "/changefeed?from_seq=2&long_poll_ms=50", "/changefeed/stream?from_seq=2"} {
		if p := c.fails(410, "feed_trimmed", "GET", path, ""); p.OldestSequence != 4 || p.LatestSequence != 6 {
			t.Errorf("%s: %+v", path, p)
		}
	}
	c.fails(410, "feed_ahead", "GET", "/changefeed?from_seq=7", "")
	timeline := strings.Trim(c.must(200, "GET", "/changefeed/stats", "").value("/timeline"), `"`)
	if timeline == "" {
		t.Error("no timeline")
	}
	c.must(200, "GET", "/changefeed?from_seq=3&timeline="+timeline, "").want("/count", "3")
	for _, path := range []string{"/changefeed?from_seq=3&timeline=x", "/changefeed/stream?timeline=" + timeline + "0"} {
		c.fails(410, "feed_restored", "GET", path, "")
	}
	c.fails(400, "missing_field", "POST", "/changefeed/retention", `{}`)
	c.must(200, "POST", "/changefeed/retention", `{"before_sequence":1000}`).want("/removed", "3", "/oldest_sequence", "7")
}

func TestChangeFeedOff(t *testing.T) {
	c := newClient(t, api.Options{})
	for _, path := range []string{"GET /changefeed", "GET /changefeed?from_seq=9", "GET /changefeed/stats", "GET /changefeed/stream"} {
		method, path, _ := strings.Cut(path, " ")
		c.fails(422, "feature_disabled", method, path, "")
	}
	c.fails(422, "feature_disabled", "POST", "/changefeed/retention", `{"before_sequence":1}`)
}

// TestLongPoll: a long poll and a stream wait without holding the two places
// there are for requests at work, and beyond the time those have.
func TestLongPoll(t *testing.T) {
	c := newClientOf(t, engine.Options{Feed: engine.FeedOptions{Enabled: true}}, api.Options{MaxFeedReaders: 2},
		server.Options{MaxInFlight: 2, RequestTimeout: time.Second})
	c.must(200, "GET", "/changefeed?long_poll_ms=20", "").want("/count", "0", "/next_seq", "0")
	stream := c.follow("/changefeed/stream")
	answers := make(chan *reply)
	go func() { answers <- c.call("GET", "/changefeed?long_poll_ms=60000&table=t", "") }()
	c.await("/waiting", "2")
	c.fails(503, "too_many_streams", "GET", "/changefeed?long_poll_ms=1", "")
	c.fails(503, "too_many_streams", "GET", "/changefeed/stream", "")
	time.Sleep(1200 * time.Millisecond) // longer than a request may work
	c.must(201, "PUT", "/entities/other:1", `{}`)
	c.must(201, "PUT", "/entities/t:1", `{}`)
	stream.expect(1, 2)
	r := <-answers
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	r.want("/count", "1", "/events/0/key", `"t:1"`, "/events/0/sequence", "2", "/next_seq", "2")
}

// sse reads a stream of server-sent events over a connection of its own.
type sse struct {
	t    *testing.T
	conn net.Conn
	res  *http.Response
	in   *bufio.Reader
	// id is what a browser would send as Last-Event-ID.
	id string
}

// block is one of a stream: an event or a heartbeat.
type block struct {
	name, data, comment string
	hasID               bool
}

// follow opens a stream; headers are "Name: value".
func (c *client) follow(path string, headers ...string) *sse {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return c.followOn(conn, path, headers...)
}

func (c *client) followOn(conn net.Conn, path string, headers ...string) *sse {
	c.t.Helper()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n"))
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return &sse{t: c.t, conn: conn, res: res, in: bufio.NewReaderSize(res.Body, 512)}
}

// next reads a block; an error is the end of the stream.
func (s *sse) next() (ev block, err error) {
	id := s.id
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return block{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			s.id = id // only a complete block counts
			return ev, nil
		case name == "":
			ev.comment = value
		case name == "id":
			id, ev.hasID = value, true
		case name == "event":
			ev.name = value
		case name == "data":
			ev.data = value
		}
	}
}

// change reads on to the next change.
func (s *sse) change() (change, error) {
	for {
		ev, err := s.next()
		if err != nil {
			return change{}, err
		}
		if ev.data == "" {
			continue
		}
		if ev.name != "" {
			return change{}, fmt.Errorf("event %s: %s", ev.name, ev.data)
		}
		var out change
		if err := json.Unmarshal([]byte(ev.data), &out); err != nil {
			return change{}, err
		}
		if s.id != fmt.Sprint(out.Sequence) {
			return change{}, fmt.Errorf("the id is %s, the sequence %d", s.id, out.Sequence)
		}
		return out, nil
	}
}

func (s *sse) expect(seqs ...uint64) {
	s.t.Helper()
	for _, want := range seqs {
		if ev, err := s.change(); err != nil || ev.Sequence != want {
			s.t.Fatalf("got %d %v, want %d", ev.Sequence, err, want)
		}
	}
}

func TestStream(t *testing.T) {
	c := newClientOf(t, engine.Options{Feed: engine.FeedOptions{Enabled: true}}, api.Options{FeedHeartbeat: 20 * time.Millisecond}, server.Options{})
	for i := range 3 {
		c.must(201, "PUT", fmt.Sprintf("/entities/t:%d", i), `{}`)
	}
	now := c.follow("/changefeed/stream")
	if h := now.res.Header; now.res.StatusCode != 200 || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store, no-transform" || h.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("%d %v", now.res.StatusCode, h)
	}
	if ev, err := now.next(); err != nil || now.id != "3" || ev.data != "" {
		t.Errorf("the stream begins with %+v, %v; id %s", ev, err, now.id)
	}
	whole := c.follow("/changefeed/stream?from_seq=0")
	whole.expect(1, 2, 3)
	resumed := c.follow("/changefeed/stream?from_seq=0", "Last-Event-ID: 2")
	resumed.expect(3)
	filtered := c.follow("/changefeed/stream?from_seq=0&key_prefix=t:1")
	filtered.expect(2)
	// Heartbeats come, the one of the filtered stream with where it is.
	for filtered.id != "3" {
		if ev, err := filtered.next(); err != nil || ev.data != "" || ev.comment == "" {
			t.Fatalf("%+v, %v", ev, err)
		}
	}
	c.must(201, "PUT", "/entities/t:last", `{"a":1}`)
	for _, s := range []*sse{now, whole, resumed} {
		s.expect(4)
	}
	c.must(200, "GET", "/changefeed/stats", "").want("/streams", "4")
	for _, header := range []string{"Last-Event-ID: x", "Last-Event-ID: -1"} {
		c.fails(400, "invalid_parameter", "GET", "/changefeed/stream", "", header)
	}
	for _, s := range []*sse{now, whole, resumed} {
		s.conn.Close()
	}
	c.await("/streams", "1") // heartbeats find out
	if err := c.db.SetFeed(engine.FeedOptions{}); err != nil {
		t.Fatal(err)
	}
	for {
		ev, err := filtered.next()
		if err != nil {
			t.Fatal(err)
		}
		if ev.name == "cut" {
			if !strings.Contains(ev.data, `"code":"feature_disabled"`) {
				t.Errorf("%+v", ev)
			}
			break
		}
	}
	if _, err := filtered.next(); err != io.EOF {
		t.Errorf("after the cut: %v", err)
	}
}

// Heartbeats come too while there are changes, none of which passes the filter.
func TestHeartbeatsUnderLoad(t *testing.T) {
	c := newClientOf(t, engine.Options{Feed: engine.FeedOptions{Enabled: true}}, api.Options{FeedHeartbeat: 100 * time.Millisecond}, server.Options{})
	s := c.follow("/changefeed/stream?table=none")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				op := engine.Op{Key: engine.Key{Table: "t", PK: "a"}, Doc: []byte("{}")}
				if _, err := c.db.Apply(t.Context(), []engine.Op{op}, true); err != nil {
					t.Error(err)
				}
			}
		}
	})
	last := -1
	for range 4 { // the first block is the beginning
		ev, err := s.next()
		at, _ := strconv.Atoi(s.id)
		if err != nil || ev.data != "" || !ev.hasID || at <= last {
			t.Fatalf("%+v, %v: at %d after %d", ev, err, at, last)
		}
		last = at
	}
	close(stop)
	writer.Wait()
}

// TestStreamEndsAtDrain holds up neither the shutdown nor what was written
// before it.
func TestStreamEndsAtDrain(t *testing.T) {
	var streams []*sse
	t.Cleanup(func() { // runs after the server has been shut down
		for _, s := range streams {
			if _, err := s.change(); err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
			s.conn.Close()
		}
	})
	c := newFeedClient(t)
	c.must(201, "PUT", "/entities/t:1", `{}`)
	for range 5 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		s := c.followOn(conn, "/changefeed/stream?from_seq=0")
		s.expect(1)
		streams = append(streams, s)
	}
}

// floodEvents of half a megabyte are far more than sockets hold.
const floodEvents = 40

// flood writes while fast reads and others don't.
func (c *client) flood(fast *sse) {
	c.t.Helper()
	pad := strings.Repeat("x", 500_000)
	for i := range floodEvents {
		c.must(201, "PUT", fmt.Sprintf("/entities/t:%d", i), fmt.Sprintf(`{"pad":%q}`, pad))
		fast.expect(uint64(i) + 1)
	}
}

// TestSlowReader: a reader that takes nothing holds up neither writers nor other
// readers. Once what it has to read next is gone it is told so, and having come
// back it has missed nothing that is kept.
func TestSlowReader(t *testing.T) {
	c := newFeedClient(t)
	slow := c.follow("/changefeed/stream?from_seq=0")
	c.flood(c.follow("/changefeed/stream?from_seq=0"))
	c.must(200, "POST", "/changefeed/retention", fmt.Sprintf(`{"before_sequence":%d}`, floodEvents))
	var last uint64
	for {
		ev, err := slow.change()
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "event cut:") || !strings.Contains(text, `"code":"feed_trimmed"`) ||
				!strings.Contains(text, fmt.Sprintf(`"oldest_sequence":%d`, floodEvents)) {
				t.Errorf("the slow reader, at %d: %v", last, err)
			}
			break
		}
		if last++; ev.Sequence != last {
			t.Fatalf("%d came after %d", ev.Sequence, last-1)
		}
	}
	if last == 0 || last >= floodEvents {
		t.Errorf("the slow reader read %d events", last)
	}
	c.await("/slow_readers_cut", "1")
	c.fails(410, "feed_trimmed", "GET", "/changefeed/stream", "", fmt.Sprintf("Last-Event-ID: %d", last))
	c.follow("/changefeed/stream", fmt.Sprintf("Last-Event-ID: %d", floodEvents-1)).expect(floodEvents)
}

// TestStuckReader: one that takes nothing for longer than a write may block is
// disconnected, and reads on where it was when it comes back.
func TestStuckReader(t *testing.T) {
	c := newClientOf(t, engine.Options{Feed: engine.FeedOptions{Enabled: true}}, api.Options{}, server.Options{StallTimeout: 1500 * time.Millisecond})
	stuck := c.follow("/changefeed/stream?from_seq=0")
	c.flood(c.follow("/changefeed/stream?from_seq=0"))
	c.await("/slow_readers_cut", "1")
	var last uint64
	for {
		ev, err := stuck.change() // what was sent before
		if err != nil {
			break
		}
		if last++; ev.Sequence != last {
			t.Fatalf("%d came after %d", ev.Sequence, last-1)
		}
	}
	back := c.follow("/changefeed/stream", fmt.Sprintf("Last-Event-ID: %d", last))
	for last < floodEvents {
		last++
		back.expect(last)
	}
}

// TestStreamKills reconnects again and again over connections that break at any
// byte, while writers are at work, and misses nothing.
func TestStreamKills(t *testing.T) {
	c := newFeedClient(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for w := range 2 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), 0))
			for ctx.Err() == nil {
				key := engine.Key{Table: "t", PK: fmt.Sprint(w, "-", r.IntN(20))}
				op := engine.Op{Kind: engine.OpKind(r.IntN(3)), Key: key, Doc: fmt.Appendf(nil, `{"n":%d,"pad":%q}`, r.IntN(9), strings.Repeat("y", r.IntN(400)))}
				if _, err := c.db.Apply(context.WithoutCancel(ctx), []engine.Op{op}, false); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	id, seen := "0", uint64(0)
	docs := map[string]uint64{}
	for i := range *reconnects {
		s := c.follow("/changefeed/stream", "Last-Event-ID: "+id)
		s.in = bufio.NewReader(io.LimitReader(s.res.Body, rand.Int64N(8_000))) // where it breaks
		if s.res.StatusCode != 200 {
			t.Fatalf("reconnect %d after %s: %d", i, id, s.res.StatusCode)
		}
		for {
			ev, err := s.change()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if seen++; ev.Sequence != seen {
				t.Fatalf("reconnect %d: %d came after %d", i, ev.Sequence, seen-1)
			}
			if docs[ev.Key] = ev.Metadata.Version; ev.Type == "DELETE" {
				delete(docs, ev.Key)
			}
		}
		if s.id != "" {
			id = s.id
		}
		if i%2 == 0 {
			_ = s.conn.(*net.TCPConn).SetLinger(0) // a reset instead of an orderly end
		}
		s.conn.Close()
	}
	stop()
	writers.Wait()
	stats, err := c.db.FeedStats()
	if err != nil {
		t.Fatal(err)
	}
	s := c.follow("/changefeed/stream", "Last-Event-ID: "+id)
	for seen < stats.Latest {
		ev, err := s.change()
		if seen++; err != nil || ev.Sequence != seen {
			t.Fatalf("at the end: %d after %d, %v", ev.Sequence, seen-1, err)
		}
		if docs[ev.Key] = ev.Metadata.Version; ev.Type == "DELETE" {
			delete(docs, ev.Key)
		}
	}
	page, err := c.db.Scroll(t.Context(), "t", "", 1000, true)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]uint64{}
	for _, e := range page.Entities {
		stored[e.Key.String()] = e.Version
	}
	if !maps.Equal(stored, docs) {
		t.Errorf("the stream leads to %v, stored is %v", docs, stored)
	}
	t.Logf("%d events over %d connections", seen, *reconnects+1)
}

// TestIdleStreams measures what a thousand streams without news cost, clients
// included, after each has read an event. All of them then get the next one.
func TestIdleStreams(t *testing.T) {
	c := newFeedClient(t)
	const streams, bound = 1000, 64 << 10
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	open := make([]*sse, streams)
	for i := range open {
		open[i] = c.follow("/changefeed/stream?from_seq=0")
	}
	c.must(201, "PUT", "/entities/t:1", `{"a":1}`)
	for _, s := range open {
		s.expect(1)
	}
	c.await("/waiting", fmt.Sprint(streams))
	each := (memory() - before) / streams
	t.Logf("%d bytes per idle stream", each)
	if each > bound && !testing.Short() { // the race detector's memory counts otherwise
		t.Errorf("an idle stream costs %d bytes, more than %d", each, bound)
	}
	c.must(201, "PUT", "/entities/t:2", `{"a":1}`)
	for _, s := range open {
		s.expect(2)
	}
	slices.Reverse(open)
	for _, s := range open {
		s.conn.Close()
	}
}
