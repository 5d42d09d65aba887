// Package consoletest serves pages of the console for their tests: over a real
// server and a real connection, to somebody who may do everything.
//
// A site's server has the goroutines of package server; they end with the test.
package consoletest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// Site is a server with pages.
type Site struct {
	t      testing.TB
	base   string
	client *http.Client
}

// Pages are a group of pages, or several.
type Pages interface {
	Routes() []rest.Route
}

// Serve answers with pages until the test ends.
func Serve(t testing.TB, pages func(*page.Frame) Pages) *Site {
	t.Helper()
	assets, err := web.Open()
	if err != nil {
		t.Fatal(err)
	}
	app := server.New(server.Options{}, nothing{}, pages(page.New(page.Options{Assets: assets})))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Serve(listener) }()
	s := &Site{t: t, base: "http://" + listener.Addr().String() + page.Prefix, client: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := app.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return s
}

type nothing struct{}

func (nothing) Routes() []rest.Route { return nil }

// Get returns the page at a path below /console/.
func (s *Site) Get(path string) (status int, body string) {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil)
}

// Page is Get for a page that has to be there.
func (s *Site) Page(path string) string {
	s.t.Helper()
	status, body := s.Get(path)
	if status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

// Post sends a form. The body of a redirect is where it leads.
func (s *Site) Post(path string, form url.Values) (status int, body string) {
	s.t.Helper()
	return s.do(http.MethodPost, path, form)
}

func (s *Site) do(method, path string, form url.Values) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if to := res.Header.Get("Location"); to != "" {
		return res.StatusCode, to
	}
	return res.StatusCode, string(body)
}

// Event is one event of a stream.
type Event struct{ Name, ID, Data string }

// Stream opens a stream, behind the event with an id if that isn't empty, and
// returns what waits for its next event.
func (s *Site) Stream(path, after string) (next func() Event) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() (e Event) {
		s.t.Helper()
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
		s.t.Fatalf("the stream %s ended: %v", path, lines.Err())
		return e
	}
}
