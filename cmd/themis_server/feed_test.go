package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var feedRounds = flag.Int("feed.rounds", 4, "how often TestFeedKill9 kills the server")

// feedFollower follows the change feed of a server that is killed again and
// again, and builds the state from it.
type feedFollower struct {
	id, seen uint64
	versions map[string]uint64
}

// follow reads the stream until it breaks, or through stop if that isn't 0.
func (f *feedFollower) follow(base string, stop uint64) error {
	req, err := http.NewRequest("GET", base+"/changefeed/stream?table=t", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Last-Event-ID", fmt.Sprint(f.id))
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil // killed before it answered
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("after %d: %d %s", f.id, res.StatusCode, text)
	}
	in := bufio.NewReader(res.Body)
	for stop == 0 || f.seen < stop {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := f.apply(data); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *feedFollower) apply(data string) error {
	var ev struct {
		Sequence  uint64
		Type, Key string
		Metadata  struct{ Version uint64 }
	}
	if err := json.Unmarshal([]byte(data), &ev); err != nil {
		return err
	}
	if ev.Sequence != f.seen+1 {
		return fmt.Errorf("event %d came after %d", ev.Sequence, f.seen)
	}
	f.seen, f.id = ev.Sequence, ev.Sequence
	if f.versions[ev.Key] = ev.Metadata.Version; ev.Type == "DELETE" {
		delete(f.versions, ev.Key)
	}
	return nil
}

// TestFeedKill9 kills the server under writers and a stream. Nothing is missing
// from the feed afterwards or comes twice or in another order, it leads to the
// state of the database, and every write that was acknowledged is in it.
func TestFeedKill9(t *testing.T) {
	dir := t.TempDir()
	f := &feedFollower{versions: map[string]uint64{}}
	acked := 0
	for range *feedRounds {
		p := startProcess(t, dir, "THEMIS_FEATURES_CDC=true")
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		var mu sync.Mutex
		for w := range 2 {
			work.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					method, body := "PUT", io.Reader(strings.NewReader(fmt.Sprintf(`{"n":%d}`, i)))
					if i%5 == 4 {
						method, body = "DELETE", nil
					}
					req, err := http.NewRequest(method, fmt.Sprintf("%s/entities/t:%d-%d", p.base, w, i/5%10), body)
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Content-Type", "application/json")
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						return // killed
					}
					res.Body.Close()
					if res.StatusCode < 300 {
						mu.Lock()
						acked++
						mu.Unlock()
					}
				}
			})
		}
		work.Go(func() {
			if err := f.follow(p.base, 0); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
		if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.cmd.Wait()
		stop()
		work.Wait()
		http.DefaultClient.CloseIdleConnections()
	}
	p := startProcess(t, dir, "THEMIS_FEATURES_CDC=true")
	var stats struct {
		LatestSequence uint64 `json:"latest_sequence"`
	}
	getJSON(t, p.base+"/changefeed/stats", &stats)
	if err := f.follow(p.base, stats.LatestSequence); err != nil || f.seen != stats.LatestSequence {
		t.Fatalf("the end of the stream: %d of %d, %v", f.seen, stats.LatestSequence, err)
	}
	// Each worker has at most one write under way at a kill, which may count too.
	if most := acked + 2**feedRounds; acked == 0 || int(f.seen) < acked || int(f.seen) > most {
		t.Errorf("%d writes were acknowledged, the feed has %d events", acked, f.seen)
	}
	var page struct {
		Entities []struct {
			Key     string
			Version uint64
		}
	}
	getJSON(t, p.base+"/entities?table=t&limit=1000", &page)
	stored := map[string]uint64{}
	for _, e := range page.Entities {
		stored[e.Key] = e.Version
	}
	if !maps.Equal(stored, f.versions) {
		t.Errorf("the feed leads to %v, stored is %v", f.versions, stored)
	}
	t.Logf("%d events, %d acknowledged, over %d kills", f.seen, acked, *feedRounds)
}

func getJSON(t *testing.T, url string, v any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %d %s", url, res.StatusCode, text)
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
}
