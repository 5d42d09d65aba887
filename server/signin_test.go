package server

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/server/session"
)

// site is a server with a few pages, and a browser of its own that keeps cookies.
type site struct {
	*live
	sessions *session.Sessions
	keys     *auth.Keys
	// The keys of a reader and of an administrator.
	reader, admin string
	// ahead is how far the clock of the sessions goes ahead.
	ahead time.Duration
	// cookie is what the browser sends.
	cookie string
	// https makes the browser one behind a proxy that says so.
	https bool
	// endless gets what ends each endless answer that has begun.
	endless chan (<-chan struct{})
}

func startSite(t *testing.T, o Options) *site {
	t.Helper()
	s := &site{reader: auth.NewKey(), admin: auth.NewKey(), endless: make(chan (<-chan struct{}), 1)}
	start0 := time.Now()
	s.sessions = session.New(session.Options{Instance: t.Name(), Now: func() time.Time { return start0.Add(s.ahead) }})
	s.keys = keysOf(t, auth.Key{Key: s.reader, Role: auth.ReadOnly, Name: "reader"}, auth.Key{Key: s.admin, Role: auth.Admin, Name: "boss"})
	o.Sessions, o.Keys = s.sessions, s.keys
	o.Pages = Pages{Below: "/console/", Render: render}
	o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s.live = start(t, o, s.pages())
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

func render(c fiber.Ctx, p problem.Problem) error {
	c.Set(fiber.HeaderContentType, "text/html")
	if p.Code == "unrenderable" {
		return fmt.Errorf("the template is broken")
	}
	return c.SendString(fmt.Sprintf("<h1>%d</h1><p>%s</p>%s", p.Status, p.Code, p.Detail))
}

func (s *site) pages() routes {
	var r routes
	page := func(method, path string, role auth.Role, handle fiber.Handler) {
		r = append(r, rest.Route{Operation: openapi.Operation{Method: method, Path: "/console/" + path, Role: role}, Handle: handle, Render: render})
	}
	who := func(c fiber.Ctx) error {
		return c.SendString(fmt.Sprint("page of ", request.Principal(c).Name, " ", request.SessionEnded(c) != nil))
	}
	page("GET", "", auth.ReadOnly, who)
	page("GET", "things/{name}", auth.ReadOnly, who)
	page("POST", "things/{name}", auth.ReadOnly, func(c fiber.Ctx) error { return c.SendString("did " + c.FormValue("text")) })
	page("POST", "admin", auth.Admin, func(c fiber.Ctx) error { return c.SendString("did it") })
	page("GET", "public", auth.Public, who)
	page("GET", "endless", auth.ReadOnly, func(c fiber.Ctx) error {
		closing := request.Closing(c)
		s.endless <- closing
		return request.Stream(c, func(w *bufio.Writer) {
			_, _ = w.WriteString("begun") // or the answer's head waits
			_ = w.Flush()
			<-closing
		})
	})
	page("GET", "panic-later", auth.ReadOnly, func(c fiber.Ctx) error {
		return request.Stream(c, func(*bufio.Writer) { panic("in a stream") })
	})
	page("GET", "panic", auth.ReadOnly, func(fiber.Ctx) error { panic("secret text") })
	page("GET", "broken", auth.ReadOnly, func(fiber.Ctx) error { return errs.New(errs.NotFound, "unrenderable", "Not here.") })
	page("GET", "sleep", auth.ReadOnly, func(c fiber.Ctx) error {
		<-c.Context().Done()
		return c.Context().Err()
	})
	page("POST", "sign-in", auth.Public, func(c fiber.Ctx) error {
		_, err := s.SignIn(c, c.FormValue("key"))
		if err != nil {
			return err
		}
		return c.Redirect().Status(303).To("./")
	})
	page("POST", "sign-out", auth.ReadOnly, func(c fiber.Ctx) error {
		s.SignOut(c)
		return c.SendString("bye")
	})
	return r
}

// browse sends what a browser would, with its cookie, and keeps the one it gets.
func (s *site) browse(t *testing.T, method, path, form string, headers ...string) (int, http.Header, string) {
	t.Helper()
	all := []string{"Sec-Fetch-Site", "same-origin"}
	if form != "" {
		all = append(all, "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://"+s.addr)
	}
	if s.cookie != "" {
		all = append(all, "Cookie", s.cookie)
	}
	if s.https {
		all = append(all, "X-Forwarded-Proto", "https")
	}
	req, err := http.NewRequest(method, "http://"+s.addr+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	for all = append(all, headers...); len(all) > 0; all = all[2:] {
		req.Header.Set(all[0], all[1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		s.cookie = c.Name + "=" + c.Value
		if c.Value == "" {
			s.cookie = ""
		}
	}
	if res.Header.Get("Content-Type") != "text/html" {
		return check(t, res)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

func (s *site) signIn(t *testing.T, key string) {
	t.Helper()
	if status, header, body := s.browse(t, "POST", "/console/sign-in", url.Values{"key": {key}}.Encode()); status != 303 || s.cookie == "" {
		t.Fatalf("sign-in: %d %v %s", status, header, body)
	}
}

// want fails unless the page answers so.
func (s *site) want(t *testing.T, what string, status int, text string, method, path, form string, headers ...string) {
	t.Helper()
	got, header, body := s.browse(t, method, path, form, headers...)
	if got != status || method != "HEAD" && !strings.Contains(body, text) {
		t.Errorf("%s: %d %s, want %d %s", what, got, body, status, text)
	}
	isPage := strings.HasPrefix(path, "/console/") && strings.HasPrefix(header.Get("Content-Type"), "text/html")
	if got >= 400 && strings.HasPrefix(path, "/console/") != isPage {
		t.Errorf("%s: the problem is %s", what, header.Get("Content-Type"))
	}
}

func TestSessions(t *testing.T) {
	s := startSite(t, Options{})
	s.want(t, "a stranger", 401, "sign_in_required", "GET", "/console/", "")
	s.want(t, "a wrong key", 401, "unknown_key", "POST", "/console/sign-in", "key="+auth.NewKey())
	s.signIn(t, " "+s.reader+"\n")
	first := s.cookie
	for range 2 {
		s.want(t, "signed in", 200, "page of reader true", "GET", "/console/?filter=anything", "")
		s.want(t, "a form", 200, "did a b", "POST", "/console/things/x", "text=a+b")
		s.want(t, "a form not allowed", 403, "forbidden", "POST", "/console/admin", "x=y")
		s.want(t, "HEAD", 200, "", "HEAD", "/console/", "")
		s.want(t, "a public page", 200, "page of  false", "GET", "/console/public", "")
		s.https = false
	}
	if s.cookie != first {
		t.Error("renewed at once")
	}
	s.ahead += 16 * time.Minute
	s.want(t, "after a while", 200, "reader", "GET", "/console/", "")
	if s.cookie == first {
		t.Error("not renewed")
	}
	s.signIn(t, s.admin)
	boss := s.cookie
	s.want(t, "a session of another key", 200, "did it", "POST", "/console/admin", "x=y")
	s.cookie = first
	s.want(t, "the session before", 401, "session_ended", "GET", "/console/", "")
	if s.cookie != "" {
		t.Error("the cookie of an ended session stays")
	}
	s.cookie = boss
	s.want(t, "signing out", 200, "bye", "POST", "/console/sign-out", "x=y")
	s.cookie = boss
	s.want(t, "signed out", 401, "session_ended", "GET", "/console/", "")
	s.signIn(t, s.admin)
	s.ahead += 31 * time.Minute
	s.want(t, "idle", 401, "session_ended", "GET", "/console/", "")
	s.signIn(t, s.admin)
	for _, ahead := range []time.Duration{10 * time.Minute, 10 * time.Minute, 9 * time.Minute} { // in which only the page asks
		s.ahead += ahead
		s.want(t, "a poll", 200, "", "GET", "/console/", "", "Themis-Poll", "true")
	}
	s.ahead += 2 * time.Minute
	s.want(t, "idle but for polls", 401, "session_ended", "GET", "/console/", "")
	s.SetSessionLimits(time.Minute, time.Hour)
	s.signIn(t, s.admin)
	boss = s.cookie
	s.ahead += time.Minute
	s.want(t, "idle by another limit", 401, "session_ended", "GET", "/console/", "")
	if strings.Contains(s.logged(), s.admin) || strings.Contains(s.logged(), strings.SplitN(boss, "=", 2)[1]) {
		t.Error("a secret is in the log")
	}
}

// TestSessionsFollowKeys holds that revoking a key ends what was begun with it, at
// once and for those who are in the middle of an answer.
func TestSessionsFollowKeys(t *testing.T) {
	s := startSite(t, Options{})
	s.signIn(t, s.admin)
	cookie := s.cookie
	s.SetKeys(keysOf(t, auth.Key{Key: s.reader, Role: auth.ReadOnly}, auth.Key{Key: s.admin, Role: auth.ReadWrite}))
	s.want(t, "another role", 401, "session_ended", "GET", "/console/", "")
	s.SetKeys(s.keys)
	s.cookie = cookie
	s.want(t, "the old role again", 401, "session_ended", "GET", "/console/", "")
	s.signIn(t, s.admin)
	s.SetKeys(nil)
	s.want(t, "auth off", 200, "page of anonymous false", "GET", "/console/", "")
	s.want(t, "auth off", 409, "auth_off", "POST", "/console/sign-in", "key="+s.admin)
	s.SetKeys(s.keys)
	s.want(t, "auth on again", 401, "session_ended", "GET", "/console/", "")
}

// TestStreamsFollowKeys holds that an answer without an end ends when the key that it
// was asked for with may not have it any more, and only then.
func TestStreamsFollowKeys(t *testing.T) {
	s := startSite(t, Options{})
	more := keysOf(t, auth.Key{Key: s.reader, Role: auth.ReadOnly}, auth.Key{Key: s.admin, Role: auth.Admin}, auth.Key{Key: auth.NewKey(), Role: auth.Admin})
	other := keysOf(t, auth.Key{Key: s.reader, Role: auth.ReadWrite}, auth.Key{Key: s.admin, Role: auth.Admin})
	for _, test := range []struct {
		what, key     string
		before, after *auth.Keys
		ends          bool
	}{
		{"a key that stays", s.reader, s.keys, more, false},
		{"a key that is gone", s.reader, s.keys, keysOf(t, auth.Key{Key: s.admin, Role: auth.Admin}), true},
		{"a key with another role", s.reader, s.keys, other, true},
		{"another key's role", s.admin, s.keys, other, false},
		{"auth is switched off", s.reader, s.keys, nil, true},
		{"auth is switched on", "", nil, s.keys, true},
		{"auth stays off", "", nil, nil, false},
	} {
		s.SetKeys(test.before)
		req, err := http.NewRequest("GET", "http://"+s.addr+"/console/endless", nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.key != "" {
			req.Header.Set("Api-Key", test.key)
		}
		res, err := s.client.Do(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(test.what, res, err)
		}
		ending := <-s.endless
		s.SetKeys(test.after)
		select {
		case <-ending:
			if !test.ends {
				t.Errorf("%s: the stream ends", test.what)
			}
		default:
			if test.ends {
				t.Errorf("%s: the stream goes on", test.what)
			}
		}
		s.SetKeys(nil)
		s.SetKeys(s.keys) // ends them all
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		res.Body.Close()
	}
}

// TestCookieTricks are the ways to get in with a cookie that must not work.
func TestCookieTricks(t *testing.T) {
	s := startSite(t, Options{})
	s.signIn(t, s.admin)
	good := s.cookie
	name, token, _ := strings.Cut(good, "=")
	other := session.New(session.Options{Instance: "another server"})
	tries := 0
	for _, test := range []struct {
		what, cookie string
		status       int
		code         string
		headers      []string
	}{
		{"the cookie itself", good, 200, "page of boss", nil},
		{"two cookies", good + "; " + good, 401, "ambiguous_session", nil},
		{"one more", name + "=x; " + good, 401, "ambiguous_session", nil},
		{"with a key", good, 401, "ambiguous_key", []string{"Api-Key", s.admin}},
		{"with a wrong key", good, 401, "ambiguous_key", []string{"Authorization", "Bearer x"}},
		{"with a proxy's credentials", good, 200, "page of boss", []string{"Authorization", "Basic eDp5"}},
		{"a key alone", "", 200, "page of boss false", []string{"Api-Key", s.admin}},
		{"a key as a token", name + "=" + s.admin, 401, "session_ended", nil},
		{"a token as a key", "", 401, "unknown_key", []string{"Api-Key", token}},
		{"another server's name", other.CookieName(false) + "=" + token, 401, "sign_in_required", nil},
		{"the name of TLS", s.sessions.CookieName(true) + "=" + token, 401, "sign_in_required", nil},
		{"the name without TLS", good, 401, "sign_in_required", []string{"X-Forwarded-Proto", "https"}},
		{"a chosen token", name + "=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 401, "session_ended", nil},
		{"a spoilt token", good + "A", 401, "session_ended", nil},
		{"a quoted token", name + `="` + token + `"`, 200, "page of boss", nil},
		{"an empty one", name + "=", 401, "sign_in_required", nil},
		{"in a header", "", 401, "unknown_key", []string{"Authorization", "Bearer " + token}},
		{"in another case", strings.ToUpper(name) + "=" + token, 401, "sign_in_required", nil},
	} {
		tries++
		s.cookie = test.cookie
		s.want(t, test.what, test.status, test.code, "GET", "/console/", "", test.headers...)
		s.cookie = ""
		s.want(t, test.what+", in the query", 401, "sign_in_required", "GET", "/console/?"+strings.ReplaceAll(test.cookie, "; ", "&"), "")
	}
	// A cookie is nothing on a route that isn't a page's.
	for _, path := range []string{"GET /things/a", "POST /size", "DELETE /admin", "GET /none", "POST /stream", "GET /console", "GET /consoles/"} {
		method, path, _ := strings.Cut(path, " ")
		status, _, body := s.do(t, method, path, nil, "Cookie", good, "Sec-Fetch-Site", "same-origin")
		if status != 401 || !strings.Contains(body, "key_required") {
			t.Errorf("%s with a cookie: %d %s", path, status, body)
		}
	}
}

// TestFixation holds that a token that the browser had before it signed in is
// never good afterwards.
func TestFixation(t *testing.T) {
	s := startSite(t, Options{})
	s.signIn(t, s.reader)
	planted := s.cookie // an attacker's own session, in the victim's browser
	s.signIn(t, s.admin)
	mine := s.cookie
	if mine == planted {
		t.Fatal("the token stays")
	}
	for _, cookie := range []string{planted, strings.SplitN(planted, "=", 2)[0] + "=chosen"} {
		s.cookie = cookie
		s.want(t, "planted", 401, "session_ended", "GET", "/console/", "")
	}
	s.cookie = mine
	s.want(t, "the victim", 200, "boss", "GET", "/console/", "")
}

func TestSecureCookies(t *testing.T) {
	s := startSite(t, Options{})
	s.https = true
	_, header, _ := s.browse(t, "POST", "/console/sign-in", "key="+s.admin)
	if got := header.Get("Set-Cookie"); !regexp.MustCompile(`(?i)^__Host-themis_session_[0-9a-f]{8}=[\w-]{43}; path=/; HttpOnly; secure; SameSite=Lax$`).MatchString(got) {
		t.Error(got)
	}
	s.want(t, "behind TLS", 200, "boss", "GET", "/console/", "")
	s.https = false
	s.want(t, "without", 401, "sign_in_required", "GET", "/console/", "")
	s.cookie = ""
	_, header, _ = s.browse(t, "POST", "/console/sign-in", "key="+s.admin)
	if got := header.Get("Set-Cookie"); !regexp.MustCompile(`(?i)^themis_session_[0-9a-f]{8}=[\w-]{43}; path=/; HttpOnly; SameSite=Lax$`).MatchString(got) {
		t.Error(got)
	}
}

// TestPagesAreSameOrigin holds the rules of net/http.CrossOriginProtection for
// everything that changes something, whoever asks, and that other sites can't read
// a page into their own.
func TestPagesAreSameOrigin(t *testing.T) {
	s := startSite(t, Options{})
	s.signIn(t, s.admin)
	cookie := s.cookie
	own := "http://" + s.addr
	for _, state := range []string{"a session", "a key", "auth off"} {
		if state == "auth off" {
			s.SetKeys(nil)
		}
		for _, test := range []struct {
			site, origin string
			want         int
		}{
			{"same-origin", own, 200}, {"same-origin", "", 200}, {"none", "", 200}, {"same-origin", "https://behind.a.proxy", 200},
			{"", own, 200}, {"", "", 200},
			{"cross-site", "https://evil.example", 403}, {"cross-site", own, 403}, {"cross-site", "", 403}, {"cross-site", "null", 403},
			{"same-site", "http://127.0.0.1:1", 403}, {"same-site", own, 403}, {"odd", own, 403},
			{"", "https://evil.example", 403}, {"", "null", 403}, {"", "https://evil.example/" + own, 403}, {"", "http://127.0.0.1", 403}, {"", "x", 403},
		} {
			headers := []string{"Sec-Fetch-Site", test.site, "Origin", test.origin}
			s.cookie = cookie
			if state == "a key" {
				s.cookie = ""
				headers = append(headers, "Api-Key", s.admin)
			}
			text := "did it"
			if test.want == 403 {
				text = "cross_origin"
			}
			s.want(t, fmt.Sprint(state, " ", test), test.want, text, "POST", "/console/admin", "x=y", headers...)
			if test.want == 403 { // nobody is signed in to somebody else's session either
				s.want(t, fmt.Sprint("sign-in ", test), 403, "cross_origin", "POST", "/console/sign-in", "key="+s.reader, headers...)
				s.want(t, fmt.Sprint("missing ", test), 403, "cross_origin", "POST", "/console/none", "x=y", headers...)
			}
		}
	}
	for _, test := range []struct {
		site, mode, dest string
		want             int
	}{
		{"cross-site", "navigate", "document", 200}, {"same-site", "navigate", "document", 200},
		{"cross-site", "navigate", "iframe", 403}, {"cross-site", "no-cors", "image", 403}, {"cross-site", "cors", "empty", 403},
		{"same-site", "no-cors", "script", 403}, {"same-origin", "cors", "empty", 200}, {"none", "navigate", "document", 200}, {"", "", "", 200},
	} {
		s.want(t, fmt.Sprint(test), test.want, "", "GET", "/console/", "", "Sec-Fetch-Site", test.site, "Sec-Fetch-Mode", test.mode, "Sec-Fetch-Dest", test.dest)
	}
}

// TestProblemsOfPages holds that whatever goes wrong on a page is a page, with the
// status of the problem, and that nobody learns which there are.
func TestProblemsOfPages(t *testing.T) {
	s := startSite(t, Options{MaxRequestBytes: 1000, MaxInFlight: 1, RequestTimeout: 50 * time.Millisecond})
	existing, header, text := s.browse(t, "GET", "/console/things/x", "")
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/console/none", "/console/things", "/console/things/x/", "/console/admin", "/console//", "/console/a/b/c"} {
			status, also, body := s.browse(t, method, path, "")
			if status != existing || body != text || also.Get("Allow") != "" || also.Get("Www-Authenticate") != header.Get("Www-Authenticate") {
				t.Errorf("%s %s: %d %v %s", method, path, status, also, body)
			}
		}
	}
	s.signIn(t, s.reader)
	s.want(t, "missing", 404, "route_not_found", "GET", "/console/none", "")
	s.want(t, "method", 405, "method_not_allowed", "GET", "/console/sign-out", "")
	s.want(t, "panic", 500, "<p>internal</p>", "GET", "/console/panic", "")
	s.want(t, "panic in a stream", 200, "", "GET", "/console/panic-later", "")
	eventually(t, func() bool { return strings.Contains(s.logged(), "panic: in a stream") })
	s.want(t, "late", 504, "request_timeout", "GET", "/console/sleep", "")
	s.want(t, "too large", 413, "body_too_large", "POST", "/console/things/x", "text="+strings.Repeat("x", 1000))
	s.want(t, "encoded", 422, "content_encoding", "POST", "/console/things/x", "text=x", "Content-Encoding", "gzip")
	s.slots <- struct{}{}
	s.want(t, "overload", 503, "overloaded", "GET", "/console/", "")
	<-s.slots
	s.SetRateLimits(RateLimits{PerKey: 0.001, Burst: 1})
	s.browse(t, "GET", "/console/", "")
	s.want(t, "rate of the key", 429, "rate_limited", "GET", "/console/", "")
	s.SetRateLimits(RateLimits{PerAddress: 0.001, Burst: 1})
	s.browse(t, "GET", "/console/", "")
	s.want(t, "rate of the address", 429, "rate_limited", "GET", "/console/", "")
	s.want(t, "rate of sign-ins", 429, "rate_limited", "POST", "/console/sign-in", "key="+s.admin)
	s.SetRateLimits(RateLimits{})
	// A page that can't be rendered is still a problem.
	status, header, body := s.browse(t, "GET", "/console/broken", "")
	if status != 404 || header.Get("Content-Type") != problem.ContentType || !strings.Contains(body, "Not here.") || !strings.Contains(s.logged(), "the template is broken") {
		t.Errorf("%d %v %s", status, header, body)
	}
	_, header, _ = s.browse(t, "GET", "/console/", "")
	if header.Get("Cache-Control") != "no-store" {
		t.Error(header)
	}
}

// TestStrangersSendLittle holds that whoever may sign in can't fill the memory for
// bodies.
func TestStrangersSendLittle(t *testing.T) {
	s := startSite(t, Options{MaxRequestBytes: 1 << 20})
	s.want(t, "a long key", 413, "body_too_large", "POST", "/console/sign-in", "key="+strings.Repeat("x", freeBodyBytes))
	s.want(t, "not so long a key", 401, "unknown_key", "POST", "/console/sign-in", "key="+strings.Repeat("x", freeBodyBytes-100))
	s.signIn(t, s.reader)
	s.want(t, "somebody known", 200, "did", "POST", "/console/things/x", "text="+strings.Repeat("x", 2*freeBodyBytes))
}

// TestGuessingAtSignIn holds that signing in is no way around the limit of guesses.
func TestGuessingAtSignIn(t *testing.T) {
	s := startSite(t, Options{})
	still := time.Now()
	s.limits.now = func() time.Time { return still }
	for i := range 25 {
		if status, _, _ := s.browse(t, "POST", "/console/sign-in", "key="+auth.NewKey()); status != 401 && (i < 20 || status != 429) {
			t.Errorf("guess %d: %d", i, status)
		}
	}
	s.want(t, "the right one", 429, "rate_limited", "POST", "/console/sign-in", "key="+s.admin)
	s.want(t, "a key in a header", 429, "rate_limited", "GET", "/console/", "", "Api-Key", s.admin)
	// Tokens can't be guessed, so wrong ones lock nobody out.
	s.cookie = s.sessions.CookieName(false) + "=x"
	s.want(t, "a token", 401, "session_ended", "GET", "/console/", "")
}

func TestAuditOfSessions(t *testing.T) {
	var mu sync.Mutex
	var log strings.Builder
	s := startSite(t, Options{Audit: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))})
	s.browse(t, "POST", "/console/sign-in", "key="+auth.NewKey())
	s.signIn(t, s.reader)
	s.browse(t, "POST", "/console/admin", "x=y")
	s.browse(t, "POST", "/console/sign-out", "x=y")
	mu.Lock()
	defer mu.Unlock()
	got := regexp.MustCompile(`principal=.* outcome=\w+`).FindAllString(log.String(), -1)
	for i, want := range []string{
		`principal="" role=nobody .* route=/console/sign-in .* outcome=denied`,
		`principal=reader role=readonly .* route=/console/sign-in .* outcome=ok`,
		`principal=reader role=readonly .* route=/console/admin .* outcome=denied`,
		`principal=reader role=readonly .* route=/console/sign-out .* outcome=ok`,
	} {
		if i >= len(got) || !regexp.MustCompile(want).MatchString(got[i]) {
			t.Errorf("entry %d: %q, want %s", i, got, want)
		}
	}
}
