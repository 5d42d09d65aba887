package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAskers: each request is asked with what the other client sends too, its first answer
// is read, however the answer comes, and no connection asks before it has its answer.
func TestAskers(t *testing.T) {
	big := strings.Repeat("long ", askerBuffer)
	var mu sync.Mutex
	open, most, asked := 0, 0, 0
	c := serve(t, map[string]http.HandlerFunc{
		"POST /echo/{size}": func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			open, asked = open+1, asked+1
			most = max(most, open)
			mu.Unlock()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if r.PathValue("size") == "big" {
				body = append(body, big...)
			}
			answer := fmt.Appendf(body, " %s %s", r.Header.Get("Content-Type"), r.Header.Get("Authorization"))
			w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
			w.Write(answer[:len(answer)/2])
			w.(http.Flusher).Flush()
			mu.Lock()
			open--
			mu.Unlock()
			w.Write(answer[len(answer)/2:])
		},
	})
	c.key = "secret"
	seen := func() int {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
	got := map[int]string{}
	a, err := c.newAskers(func(request int, answer []byte) error {
		if got[request] != "" {
			t.Errorf("request %d is read twice", request)
		}
		got[request] = string(answer)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 9 {
		size, body := []string{"small", "big"}[i%2], fmt.Sprintf("{%d}", i)
		if err := a.prepare(c, "POST", "/echo/"+size, []byte(body)); err != nil {
			t.Fatal(err)
		}
		want = append(want, body+strings.Repeat(big, i%2)+" application/json Bearer secret")
	}
	for _, atLeast := range []time.Duration{0, 30 * time.Millisecond} {
		clear(got)
		before := seen()
		took, latencies, err := a.ask(t.Context(), 3, atLeast)
		asked := seen() - before
		if err != nil || len(latencies) != asked || asked < 9 || took < atLeast || slices.Min(latencies) <= 0 || atLeast == 0 && asked != 9 {
			t.Fatalf("%d answers to %d requests in %s: %v", len(latencies), asked, took, err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%d bytes came for request %d, want %d", len(got[i]), i, len(want[i]))
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if most > 3 {
		t.Errorf("%d requests at once", most)
	}
}

// TestAskersFail: whatever isn't the whole answer of one that says yes is an error.
func TestAskersFail(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	failed := errors.New("not what I asked for")
	stop := make(chan struct{})
	defer close(stop)
	c := serve(t, map[string]http.HandlerFunc{
		"GET /good":    text(200, "{}"),
		"GET /problem": text(404, `{"status":404,"code":"table_not_found","detail":"no such table"}`),
		"GET /chunks": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "{}")
		},
		"GET /cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"GET /never": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		},
	})
	for _, step := range []struct {
		name, path string
		ctx        context.Context
		read       error
		is         error
		says       string
	}{
		{name: "good", path: "/good"},
		{name: "problem", path: "/problem", says: "404 table_not_found: no such table"},
		{name: "without a length", path: "/chunks", says: "without its length"},
		{name: "closed", path: "/cut", is: io.ErrUnexpectedEOF},
		{name: "not as expected", path: "/good", read: failed, is: failed},
		{name: "ended before", path: "/good", ctx: ended, is: context.Canceled},
		{name: "ended meanwhile", path: "/never", is: context.DeadlineExceeded},
	} {
		t.Run(step.name, func(t *testing.T) {
			a, err := c.newAskers(func(int, []byte) error { return step.read })
			if err := errors.Join(err, a.prepare(c, "GET", step.path, nil)); err != nil {
				t.Fatal(err)
			}
			ctx := step.ctx
			if ctx == nil {
				limited, cancel := context.WithTimeout(t.Context(), 2*askersLook)
				defer cancel()
				ctx = limited
			}
			_, _, err = a.ask(ctx, 2, 0)
			if step.is != nil && !errors.Is(err, step.is) || step.says != "" && (err == nil || !strings.Contains(err.Error(), step.says)) ||
				step.is == nil && step.says == "" && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := newClient("https://127.0.0.1:1", "", 1).newAskers(nil); err == nil {
		t.Error("askers that speak no TLS were made for an https URL")
	}
}

// TestAskersSendAll: a request that fills the socket's buffer arrives whole.
func TestAskersSendAll(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 8<<20)
	c := serve(t, map[string]http.HandlerFunc{"POST /long": func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, n)
	}})
	a, err := c.newAskers(func(_ int, answer []byte) error {
		if string(answer) != fmt.Sprint(len(long)) {
			t.Errorf("%s bytes arrived", answer)
		}
		return nil
	})
	if err := errors.Join(err, a.prepare(c, "POST", "/long", long)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.ask(t.Context(), 1, 0); err != nil {
		t.Error(err)
	}
}
