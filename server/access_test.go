package server

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
)

// keysOf makes keys: a role and a key in turns.
func keysOf(t testing.TB, keys ...auth.Key) *auth.Keys {
	t.Helper()
	k, err := auth.NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestEveryRouteHasItsCheck holds the router against the operations: nothing is
// reachable that doesn't have a role of its own.
func TestEveryRouteHasItsCheck(t *testing.T) {
	l := start(t, Options{})
	var described, registered []string
	for _, op := range l.Operations() {
		described = append(described, op.Method+" "+op.Path)
		if op.Method == "GET" {
			described = append(described, "HEAD "+op.Path)
		}
	}
	for _, r := range l.app.GetRoutes(true) { // without middleware
		registered = append(registered, r.Method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}"))
	}
	slices.Sort(described)
	slices.Sort(registered)
	if len(registered) < 10 || !slices.Equal(described, registered) {
		t.Errorf("described %v\nregistered %v", described, registered)
	}
}

func TestNobodyGetsToARouteWithoutARole(t *testing.T) {
	key := auth.NewKey()
	for name, keys := range map[string]*auth.Keys{"off": nil, "on": keysOf(t, auth.Key{Key: key, Role: auth.Admin})} {
		l := start(t, Options{Keys: keys})
		if status, _, body := l.do(t, "GET", "/nobody", nil, "Api-Key", key); status != 403 {
			t.Errorf("auth %s: %d %s", name, status, body)
		}
	}
}

func TestAnonymousMayDoEverything(t *testing.T) {
	l := start(t, Options{})
	if status, _, body := l.do(t, "DELETE", "/admin", nil); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	l.SetKeys(keysOf(t, auth.Key{Key: auth.NewKey(), Role: auth.ReadOnly}))
	status, header, body := l.do(t, "DELETE", "/admin", nil)
	if header.Get("Cache-Control") != "private, no-cache" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", header)
	}
	if status != 401 || header.Get("WWW-Authenticate") != "Bearer" || !strings.Contains(body, "key_required") {
		t.Errorf("%d %v %s", status, header, body)
	}
}

// A body is not read for whom it doesn't help.
func TestStrangersBodiesAreNotRead(t *testing.T) {
	reader := auth.NewKey()
	l := start(t, Options{Keys: keysOf(t, auth.Key{Key: reader, Role: auth.ReadOnly}), BodyTimeout: time.Minute})
	for key, want := range map[string]int{"": 401, reader: 403} {
		for _, path := range []string{"/size", "/stream"} {
			header := "POST " + path + " HTTP/1.1\nHost: x\nContent-Type: application/x-ndjson\nContent-Length: 1000000\n"
			if key != "" {
				header += "api-key: " + key + "\n"
			}
			// The body doesn't come, but for what fasthttp has in its buffer anyway,
			// and the answer does all the same.
			c := l.raw(t, header+"\n"+strings.Repeat("x", 8<<10))
			if status, body := answer(t, c); status != want {
				t.Errorf("%s: %d %s, want %d", path, status, body, want)
			}
			if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
				t.Errorf("%s: the connection stays: %q %v", path, rest, err)
			}
			c.Close()
		}
	}
	if len(l.slots) > 0 || len(l.Server.streams) > 0 {
		t.Error("a slot is held")
	}
}

func TestSetRequestTimeout(t *testing.T) {
	l := start(t, Options{RequestTimeout: time.Hour})
	l.SetRequestTimeout(20 * time.Millisecond)
	if status, _, body := l.do(t, "GET", "/sleep", nil); status != 504 || !strings.Contains(body, "longer than 20ms") {
		t.Errorf("%d %s", status, body)
	}
}

func TestRateLimits(t *testing.T) {
	first, second := auth.NewKey(), auth.NewKey()
	keys := keysOf(t, auth.Key{Key: first, Role: auth.ReadOnly, Name: "first"}, auth.Key{Key: second, Role: auth.ReadOnly, Name: "second"})
	l := start(t, Options{Keys: keys, RateLimits: RateLimits{PerKey: 0.001, Burst: 3}})
	for i := range 5 {
		status, header, body := l.do(t, "GET", "/things/a", nil, "Api-Key", first)
		if limited := i >= 3; limited != (status == 429) || limited != (header.Get("Retry-After") == "1000") || limited != strings.Contains(body, "rate_limited") {
			t.Errorf("request %d: %d %v %s", i, status, header, body)
		}
	}
	if status, _, _ := l.do(t, "GET", "/things/a", nil, "Api-Key", second); status != 200 {
		t.Errorf("another key: %d", status)
	}
	if status, _, _ := l.do(t, "GET", "/readyz", nil); status != 200 {
		t.Errorf("a probe: %d", status)
	}
	l.SetRateLimits(RateLimits{})
	for range 5 {
		if status, _, _ := l.do(t, "GET", "/things/a", nil, "Api-Key", first); status != 200 {
			t.Errorf("without limits: %d", status)
		}
	}
	l.SetRateLimits(RateLimits{PerAddress: 0.001, Burst: 2})
	for i, key := range []string{first, second, first} {
		if status, _, _ := l.do(t, "GET", "/things/a", nil, "Api-Key", key); (status == 429) != (i == 2) {
			t.Errorf("request %d of the address: %d", i, status)
		}
	}
}

// TestBucket holds the bucket against the sum of what may pass.
func TestBucket(t *testing.T) {
	var b bucket
	r, now, passed := rate{10, 5}, time.Unix(0, 0), 0
	for range 10_000 { // a request each millisecond for ten seconds
		if b.take(r, now) == 0 {
			passed++
		}
		now = now.Add(time.Millisecond)
	}
	if passed < 103 || passed > 105 {
		t.Errorf("%d passed, want 5 and 10 a second", passed)
	}
	wait := b.take(r, now)
	if wait <= 0 || wait > 100*time.Millisecond || b.take(r, now.Add(wait+time.Microsecond)) != 0 {
		t.Errorf("after the wait of %v there is nothing", wait)
	}
	if (&bucket{}).take(rate{0.5, 1}, time.Unix(-5, 0)) != 0 {
		t.Error("a new bucket is empty")
	}
}

// TestGuessing holds that wrong keys get fewer answers, and who doesn't suffer
// from it.
func TestGuessing(t *testing.T) {
	known, fresh := auth.NewKey(), auth.NewKey()
	l := start(t, Options{Keys: keysOf(t, auth.Key{Key: known, Role: auth.ReadOnly, Name: "known"}, auth.Key{Key: fresh, Role: auth.ReadOnly, Name: "fresh"}),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	still := time.Now()
	l.limits.now = func() time.Time { return still }
	call := func(key, from string) int {
		status, _, _ := l.do(t, "GET", "/things/a", nil, "Authorization", "Bearer "+key, "X-Forwarded-For", from)
		return status
	}
	if status := call(known, "192.0.2.1"); status != 200 {
		t.Fatal(status)
	}
	for i := range 30 {
		if status, want := call(auth.NewKey(), "192.0.2.1"), 401; status != want && (i < 20 || status != 429) {
			t.Errorf("guess %d: %d", i, status)
		}
	}
	for _, test := range []struct {
		what, key, from string
		want            int
	}{
		{"a guess too many", auth.NewKey(), "192.0.2.1", 429},
		{"one that would be right", fresh, "192.0.2.1", 429},
		{"a known key from the same address", known, "192.0.2.1", 200},
		{"another address", fresh, "192.0.2.2", 200},
		{"another wrong one from there", auth.NewKey(), "192.0.2.2", 401},
	} {
		if status := call(test.key, test.from); status != test.want {
			t.Errorf("%s: %d, want %d", test.what, status, test.want)
		}
	}
	still = still.Add(time.Minute)
	if status := call(fresh, "192.0.2.1"); status != 200 {
		t.Errorf("later: %d", status)
	}
}

func TestVisitorsAreBounded(t *testing.T) {
	table := newTable[netip.Addr]()
	count := func() (n int) {
		for i := range table.shards {
			n += len(table.shards[i].younger) + len(table.shards[i].older)
		}
		return n
	}
	addr := netip.MustParseAddr("10.0.0.0")
	for range 3 * 2 * shards * maxVisitors {
		table.visit(addr, func(v *visitor) { v.known = append(v.known, "once") })
		addr = addr.Next()
	}
	if n := count(); n > 2*shards*maxVisitors || n < shards*maxVisitors {
		t.Errorf("%d visitors are remembered", n)
	}
	table.visit(addr.Prev(), func(v *visitor) {
		if len(v.known) != 1 {
			t.Error("the latest is forgotten")
		}
	})
	for a, b := range map[string]string{"2001:db8::1": "2001:db8::ffff:1", "192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::2"} {
		if network(netip.MustParseAddr(a)) != network(netip.MustParseAddr(b)) {
			t.Errorf("%s and %s are two", a, b)
		}
	}
	if network(netip.MustParseAddr("2001:db8:0:1::1")) == network(netip.MustParseAddr("2001:db8:0:2::1")) {
		t.Error("two /64 are one")
	}
}

func TestRemote(t *testing.T) {
	s := New(Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}, routes(nil))
	many := strings.Repeat("10.0.0.1, ", 2*maxProxies) + "10.0.0.1"
	for _, test := range []struct {
		from  string
		lines []string
		want  string
	}{
		{"192.0.2.1", nil, "192.0.2.1"},
		{"192.0.2.1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"127.0.0.1", "198.51.100.1, 10.0.0.2", "10.0.0.3"}, "198.51.100.1"},
		{"10.0.0.1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"10.0.0.1", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"10.0.0.1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"fd00::1", []string{" 2001:db8::1 "}, "2001:db8::1"},
		{"10.0.0.1", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1", []string{"198.51.100.1, " + many}, "10.0.0.1"},
	} {
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(test.from)}, nil)
		for _, line := range test.lines {
			ctx.Request.Header.Add("X-Forwarded-For", line)
		}
		c := s.app.AcquireCtx(&ctx)
		if got := s.remote(c).String(); got != test.want {
			t.Errorf("%s with %.60q is %s, want %s", test.from, test.lines, got, test.want)
		}
		s.app.ReleaseCtx(c)
	}
}

func TestSameOrigin(t *testing.T) {
	l := start(t, Options{})
	for _, test := range []struct {
		method  string
		headers []string
		want    int
	}{
		{"DELETE", nil, 200},
		{"DELETE", []string{"Origin", "http://" + l.addr}, 200},
		{"DELETE", []string{"Origin", "https://evil.example"}, 403},
		{"DELETE", []string{"Origin", "null"}, 403},
		{"DELETE", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"DELETE", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"DELETE", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://behind.a.proxy"}, 200},
		{"DELETE", []string{"Sec-Fetch-Site", "none"}, 200},
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 405},
	} {
		if status, _, body := l.do(t, test.method, "/admin", nil, test.headers...); status != test.want {
			t.Errorf("%s %v: %d %s, want %d", test.method, test.headers, status, body, test.want)
		}
	}
	// A key proves that the page may: a browser adds none by itself.
	key := auth.NewKey()
	l.SetKeys(keysOf(t, auth.Key{Key: key, Role: auth.Admin}))
	if status, _, _ := l.do(t, "DELETE", "/admin", nil, "Origin", "https://app.example", "Api-Key", key); status != 200 {
		t.Errorf("with a key: %d", status)
	}
}

// TestRequestLog holds the fields of a line, and that a key in the wrong place
// isn't in it.
func TestRequestLog(t *testing.T) {
	key := auth.NewKey()
	l := start(t, Options{Keys: keysOf(t, auth.Key{Key: key, Role: auth.Admin, Name: "somebody"})})
	l.do(t, "POST", "/size", strings.NewReader("12345"), "Api-Key", key, "X-Request-ID", "mine")
	for _, want := range []string{"request_id=mine method=POST path=/size route=/size status=200 took_ms=", "bytes_in=5 bytes_out=1 principal=somebody remote=127.0.0.1\n"} {
		if log := l.logged(); !strings.Contains(log, want) {
			t.Errorf("no %q in %s", want, log)
		}
	}
	_, header, _ := l.do(t, "GET", "/things/"+key+"/"+key, nil, "X-Request-ID", key)
	_, _, body := l.do(t, "GET", "/things/a?"+key+"=1", nil, "Api-Key", key)
	_, _, quoted := l.do(t, "GET", "/quotes/"+key, nil, "Api-Key", key)
	l.do(t, "GET", "/blurts/"+key, nil, "Api-Key", key)
	l.do(t, "GET", "/things/"+strings.Repeat("x", 2000), nil, "Api-Key", key)
	if header.Get("X-Request-ID") == key || !strings.Contains(body, auth.Redacted) || strings.Contains(body+quoted+l.logged(), key) {
		t.Errorf("a key is told: %s %s", body, l.logged())
	}
	if !strings.Contains(l.logged(), "panic: no "+auth.Redacted) || !strings.Contains(quoted, "word_not_found") {
		t.Errorf("nothing was masked: %s %s", quoted, l.logged())
	}
	if strings.Contains(l.logged(), strings.Repeat("x", maxTarget+1)) {
		t.Error("a path isn't bounded")
	}
}

// TestAuditOutcomes is about when there is an entry; the whole server's test
// looks at what is in it.
func TestAuditOutcomes(t *testing.T) {
	var mu sync.Mutex
	var log strings.Builder
	l := start(t, Options{Audit: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))})
	for _, call := range []string{"GET /things/a", "POST /size", "DELETE /admin", "GET /nobody", "GET /readyz", "HEAD /things/a", "POST /none", "BREW /size"} {
		method, path, _ := strings.Cut(call, " ")
		l.do(t, method, path, nil)
	}
	mu.Lock()
	defer mu.Unlock()
	got := regexp.MustCompile(`method=\S+ route=\S+|outcome=\S+`).FindAllString(log.String(), -1)
	want := []string{"method=POST route=/size", "outcome=ok", "method=DELETE route=/admin", "outcome=ok", "method=GET route=/nobody", "outcome=denied"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// The costs of a request: the whole way through the router, with and without.
func BenchmarkRequire(b *testing.B) {
	key := auth.NewKey()
	var keys []auth.Key
	for range 9 {
		keys = append(keys, auth.Key{Key: auth.NewKey(), Role: auth.ReadOnly})
	}
	var work routes
	work.add("GET", "/things", auth.ReadOnly, func(c fiber.Ctx) error { return c.SendString(request.Principal(c).Name) })
	for name, o := range map[string]Options{
		"off":         {},
		"auth":        {Keys: keysOf(b, append(keys, auth.Key{Key: key, Role: auth.ReadOnly})...)},
		"auth+limits": {Keys: keysOf(b, append(keys, auth.Key{Key: key, Role: auth.ReadOnly})...), RateLimits: RateLimits{PerKey: 1e9, PerAddress: 1e9}},
	} {
		b.Run(name, func(b *testing.B) {
			s := New(o, routes(nil), work)
			s.app.Handler() // makes it ready
			handler := s.app.Server().Handler
			var ctx fasthttp.RequestCtx
			ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, nil)
			head := "GET /things HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer " + key + "\r\n\r\n"
			ctx.Request.Header.Reset()
			if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(head))); err != nil {
				b.Fatal(err)
			}
			ctx.Request.SetRequestURI("/things")
			b.ReportAllocs()
			for b.Loop() {
				ctx.Response.Reset()
				handler(&ctx)
			}
			if status := ctx.Response.StatusCode(); status != 200 {
				b.Fatalf("%d %s", status, ctx.Response.Body())
			}
		})
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	s := New(Options{}, routes(nil))
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Error("it listens on")
	}
}

// TestForeignNames holds that a name of somebody else's that resolves to this
// machine doesn't lead to a server without keys, and that all other ways do.
func TestForeignNames(t *testing.T) {
	ok := func(c fiber.Ctx) error { return c.SendString("here") }
	serve := func(o Options) *live {
		return start(t, o, routes{
			{Operation: openapi.Operation{Method: "GET", Path: "/data", Role: auth.ReadOnly}, Handle: ok},
			{Operation: openapi.Operation{Method: "GET", Path: "/public", Role: auth.Public}, Handle: ok},
		})
	}
	local := serve(Options{Local: true, Hosts: []string{"db.example"}})
	remote := serve(Options{})
	key := auth.NewKey()
	keyed := serve(Options{Local: true, Keys: keysOf(t, auth.Key{Key: key, Role: auth.Admin})})
	proxied := serve(Options{Local: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for _, c := range []struct {
		s          *live
		host, path string
		want       int
	}{
		{local, "localhost", "/data", 200}, {local, "LOCALHOST:8765", "/data", 200}, {local, "app.localhost:1", "/data", 200},
		{local, "127.0.0.1:8765", "/data", 200}, {local, "[::1]:8765", "/data", 200}, {local, "[::1]", "/data", 200}, {local, "192.168.1.7", "/data", 200},
		{local, "db.example", "/data", 200}, {local, "DB.example.:8765", "/data", 200},
		{local, "evil.example", "/data", 403}, {local, "evil.example:8765", "/data", 403}, {local, "localhost.evil.example", "/data", 403},
		{local, "127.0.0.1.evil.example", "/data", 403}, {local, "xdb.example", "/data", 403}, {local, "evillocalhost", "/data", 403},
		{local, "evil.example", "/public", 200}, {local, "evil.example", "/none", 403},
		{remote, "evil.example", "/data", 200}, {keyed, "evil.example", "/data", 200}, {proxied, "evil.example", "/data", 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.s.scheme+"://"+c.s.addr+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		req.Header.Set("Api-Key", key)
		res, err := c.s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.want || c.want == 403 && !strings.Contains(string(body), "unknown_host") {
			t.Errorf("%s%s: %d %s %v, want %d", c.host, c.path, res.StatusCode, body, err, c.want)
		}
	}
}
