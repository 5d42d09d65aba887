// Package consoletest serves pages of the console for their tests: by a server, over
// a connection, to somebody with a role. It is for tests only.
//
// A site's server has the goroutines of package server; they end with the test.
package consoletest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// Main runs the tests of a package that serves pages, and fails if goroutines are
// left.
func Main(m *testing.M) { goleak.VerifyTestMain(m, fasthttps()...) }

// fasthttps are the goroutines that outlive a server: fasthttp's clock runs for good,
// and its pools notice a stop with a delay.
func fasthttps() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}
}

// Site is a server with pages, and the browser of their reader.
type Site struct {
	testing.TB
	// Role is what the reader may do from now on.
	Role   auth.Role
	base   *url.URL
	client *http.Client
}

// keys belong to readers of each role.
var keys = [...]auth.Key{
	{Key: "key-of-a-reader-0", Role: auth.ReadOnly, Name: "reader"},
	{Key: "key-of-a-writer-0", Role: auth.ReadWrite, Name: "writer"},
	{Key: "key-of-an-admin-0", Role: auth.Admin, Name: "admin"},
}

// Serve answers with pages until the test ends, as an admin sees them. Uploads are
// those of their routes that take files: "POST /console/import".
func Serve(t testing.TB, pages func(*page.Frame) console.Group, uploads ...string) *Site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	known, err := auth.NewKeys(keys[:])
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := page.New(page.Options{Assets: assets, AuthOff: func() bool { return false }})
	all := console.New(frame, pages(frame))
	app := server.New(server.Options{
		Keys: known, UploadRoutes: uploads, Pages: server.Pages{Below: page.Prefix, Render: all.Problem},
	}, nothing{}, all)
	served := make(chan error, 1)
	go func() { served <- app.Serve(listener) }()
	s := &Site{
		TB: t, Role: auth.Admin, base: &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: page.Prefix},
		client: &http.Client{
			Transport: &http.Transport{}, Jar: jar,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := app.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return s
}

// nothing are the probes of a server without any.
type nothing struct{}

func (nothing) Routes() []rest.Route { return nil }

// Answer is what a request got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	// Location is the path and query that the answer leads to, below /console/.
	Location string
}

// Send sends a request for a path below /console/. Header are names and values in
// turn.
func (s *Site) Send(method, path, body string, header ...string) Answer {
	s.Helper()
	res := s.open(s.Context(), method, path, body, header)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Body: string(text)}
	if to, err := res.Location(); err == nil {
		a.Location = strings.TrimPrefix(to.RequestURI(), page.Prefix)
	}
	return a
}

func (s *Site) open(ctx context.Context, method, path, body string, header []string) *http.Response {
	s.Helper()
	req, err := http.NewRequestWithContext(ctx, method, s.base.String()+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for _, key := range keys {
		if key.Role == s.Role {
			req.Header.Set("Authorization", "Bearer "+key.Key)
		}
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	return res
}

// Get asks for a page. Query are names and values in turn.
func (s *Site) Get(path string, query ...string) Answer {
	s.Helper()
	if len(query) > 0 {
		path += "?" + encode(query)
	}
	return s.Send(http.MethodGet, path, "")
}

// Page returns the body of a page that has to be there, with all of the texts on it.
func (s *Site) Page(path string, texts ...string) string {
	s.Helper()
	a := s.Get(path)
	if a.Status != http.StatusOK {
		s.Fatalf("%s: %d %s", path, a.Status, Content(a.Body))
	}
	s.Holds(a, http.StatusOK, texts...)
	return a.Body
}

// Post sends a form. Fields are names and values in turn.
func (s *Site) Post(path string, fields ...string) Answer {
	s.Helper()
	return s.Send(http.MethodPost, path, encode(fields), "Content-Type", "application/x-www-form-urlencoded")
}

// Follow goes on to where an answer leads.
func (s *Site) Follow(a Answer) Answer {
	s.Helper()
	if a.Status != http.StatusSeeOther {
		s.Fatalf("status %d leads nowhere: %s", a.Status, Content(a.Body))
	}
	return s.Get(a.Location)
}

func encode(pairs []string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

// Holds fails the test unless the answer has the status and all of the texts.
func (s *Site) Holds(a Answer, status int, texts ...string) {
	s.Helper()
	if a.Status != status {
		s.Errorf("status %d, not %d:\n%s", a.Status, status, Content(a.Body))
	}
	for _, text := range texts {
		if !strings.Contains(a.Body, text) {
			s.Errorf("no %q in:\n%s", text, Content(a.Body))
		}
	}
}

// Lacks fails the test if the answer has one of the texts.
func (s *Site) Lacks(a Answer, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if strings.Contains(a.Body, text) {
			s.Errorf("%q stands in:\n%s", text, Content(a.Body))
		}
	}
}

// Event is one event of a stream.
type Event struct{ Name, ID, Data string }

// Stream opens a stream, behind the event with an id if that isn't empty, and
// returns what waits for its next event.
func (s *Site) Stream(path, after string) (next func() Event) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	s.Cleanup(cancel)
	header := []string{"Accept", "text/event-stream"}
	if after != "" {
		header = append(header, "Last-Event-ID", after)
	}
	res := s.open(ctx, http.MethodGet, path, "", header)
	s.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		s.Fatalf("%s: %d", path, res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() (e Event) {
		s.Helper()
		var data []string
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.Name = value
			case "id":
				e.ID = value
			case "data":
				data = append(data, value)
			case "":
				if e.Name != "" {
					e.Data = strings.Join(data, "\n")
					return e
				}
			}
		}
		s.Fatalf("the stream %s ended: %v", path, lines.Err())
		return e
	}
}
