package torture

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	table         = "t"
	keysPerWorker = 40
	// expiring is a table whose entities expire soon.
	expiring = "sessions"
	lifetime = 200 * time.Millisecond
)

// state is what an entity holds: the version of its whole and of a part that
// patches change. N is 0 if it is absent.
type state struct{ N, P int }

// document writes everything in an entity out of its version, so that half of
// one and half of another would show.
func document(key string, s state) string {
	return fmt.Sprintf(`{"n":%d,"p":%d,"owner":"%s/%d","group":%d,"tags":["a%d","b%d"],"v":[%d,%d,1],"text":%q}`,
		s.N, s.P, key, s.N, s.N%7, s.N%5, s.N%3, s.N%11, s.N%13, strings.Repeat("x", 100+s.N%900))
}

// stateOf reads an entity and says whether it is whole.
func stateOf(key string, raw []byte) (state, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return state{}, nil
	}
	var s state
	var have, want any
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &have); err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(document(key, s)), &want); err != nil {
		return s, err
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		return s, fmt.Errorf("%s is half of something: %s", key, raw)
	}
	return s, nil
}

// step is a change of one key.
type step struct {
	key      string
	from, to state
}

// worker writes keys of its own, one request at a time, and knows what became of
// each.
type worker struct {
	id    int
	r     *rand.Rand
	next  int
	acked map[string]state
	// doubt is the request whose outcome isn't known, nil if there is none: a
	// connection that broke.
	doubt []step
	// refused are the requests that failed for want of space. They are in doubt
	// only if the server is killed before it takes writes again.
	refused [][]step
	// sessions are entities that expire, and when.
	sessions map[string]time.Time

	writes, deletes, refusals int
}

// load is the workers and what they have counted over all servers.
type load struct {
	t       *testing.T
	workers []*worker
	// stopped makes the workers finish their request and end.
	stopped atomic.Bool
	wg      sync.WaitGroup
	// onRefusal gets the status and code of each refused write.
	onRefusal func(status int, code string)
	pause     time.Duration
}

func newLoad(t *testing.T, workers int) *load {
	l := &load{t: t}
	for id := range workers {
		l.workers = append(l.workers, &worker{
			id: id, r: rand.New(rand.NewPCG(uint64(id), 7)), acked: map[string]state{}, sessions: map[string]time.Time{},
		})
	}
	return l
}

// begin starts the workers on s; end stops them.
func (l *load) begin(s *server) {
	l.stopped.Store(false)
	for _, w := range l.workers {
		l.wg.Go(func() {
			for !l.stopped.Load() && l.request(s, w) {
				time.Sleep(l.pause)
			}
		})
	}
}

func (l *load) end() {
	l.stopped.Store(true)
	l.wg.Wait()
}

// request sends one request and notes its outcome. It reports whether the
// server still answers.
func (l *load) request(s *server, w *worker) bool {
	steps, method, path, contentType, body := w.draw()
	status, answer, err := s.call(method, path, contentType, []byte(body))
	if err == nil && status == 200 && strings.HasSuffix(path, "/batch") {
		status, answer = batchStatus(answer)
	}
	switch {
	case err != nil:
		w.doubt = steps
		return false
	case status/100 == 2:
		for _, st := range steps {
			w.acked[st.key] = st.to
			if st.to.N == 0 {
				w.deletes++
			} else {
				w.writes++
			}
		}
	case status == 507 || status == 503:
		w.refusals++
		w.refused = append(w.refused, steps)
		if l.onRefusal != nil {
			l.onRefusal(status, code(answer))
		}
		time.Sleep(5 * time.Millisecond)
	default:
		l.t.Errorf("%s %s %s: %d %s", method, path, body, status, answer)
		return false
	}
	return true
}

// batchStatus finds the failure of a single operation in the answer of a batch.
func batchStatus(answer []byte) (int, []byte) {
	var a struct {
		Failed  int
		Results []struct {
			Status int
			Error  json.RawMessage
		}
		Errors []json.RawMessage
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Failed == 0 {
		return 200, answer
	}
	for _, r := range a.Results {
		if r.Status/100 != 2 {
			return r.Status, r.Error
		}
	}
	return 500, answer
}

func (w *worker) key() string { return fmt.Sprintf("%s:w%d-%d", table, w.id, w.r.IntN(keysPerWorker)) }

// put is the step that stores a new version.
func (w *worker) put(key string) step {
	w.next++
	return step{key, w.acked[key], state{N: w.next, P: 0}}
}

// draw makes up the next request.
func (w *worker) draw() (steps []step, method, path, contentType, body string) {
	const asJSON = "application/json"
	key := w.key()
	present := w.acked[key].N != 0
	switch n := w.r.IntN(20); {
	case n < 2 && present:
		return []step{{key, w.acked[key], state{}}}, "DELETE", "/entities/" + url.PathEscape(key), "", ""
	case n < 5 && present:
		to := w.acked[key]
		to.P++
		return []step{{key, w.acked[key], to}}, "PATCH", "/entities/" + url.PathEscape(key), asJSON, fmt.Sprintf(`{"p":%d}`, to.P)
	case n < 6:
		w.next++
		session := fmt.Sprintf("%s:w%d-%d", expiring, w.id, w.next)
		at := time.Now().Add(lifetime)
		w.sessions[session] = at
		return nil, "PUT", "/entities/" + url.PathEscape(session), asJSON, fmt.Sprintf(`{"expires":%.3f}`, float64(at.UnixMilli())/1000)
	case n < 12:
		st := w.put(key)
		return []step{st}, "PUT", "/entities/" + url.PathEscape(key), asJSON, document(key, st.to)
	case n < 16:
		steps, ops := w.several(2 + w.r.IntN(8))
		return steps, "POST", "/entities/batch", asJSON, `{"atomic":true,"operations":[` + strings.Join(ops, ",") + `]}`
	default:
		steps, ops := w.several(5 + w.r.IntN(20))
		return steps, "POST", "/entities/batch", "application/x-ndjson", strings.Join(ops, "\n") + "\n"
	}
}

// several draws operations on different keys.
func (w *worker) several(n int) (steps []step, ops []string) {
	for range n {
		key := w.key()
		if slices.ContainsFunc(steps, func(s step) bool { return s.key == key }) {
			continue
		}
		if w.acked[key].N != 0 && w.r.IntN(5) == 0 {
			steps = append(steps, step{key, w.acked[key], state{}})
			ops = append(ops, fmt.Sprintf(`{"op":"delete","key":%q}`, key))
			continue
		}
		st := w.put(key)
		steps = append(steps, st)
		ops = append(ops, fmt.Sprintf(`{"op":"put","key":%q,"entity":%s}`, key, document(key, st.to)))
	}
	return steps, ops
}

// resumed says that the server has taken writes again after a full disk: what it
// refused before is out of doubt.
func (l *load) resumed() {
	for _, w := range l.workers {
		w.refused = nil
	}
}

// losses are broken promises.
type losses struct{ lost, undone, half int }

// compare reads every entity and holds it against what was acknowledged.
// Requests in doubt are settled by what is found.
func (l *load) compare(s *server) (found losses, actual map[string]state) {
	l.t.Helper()
	actual = map[string]state{}
	for _, w := range l.workers {
		have, err := w.read(s)
		if err != nil {
			l.t.Error(err)
			found.half++
		}
		explained := w.settle(have)
		for key, was := range w.acked {
			now := have[key]
			switch {
			case now == was || slices.Contains(explained[key], now):
			case was.N == 0:
				found.undone++
				l.t.Errorf("the deletion of %s was acknowledged, and it is there: %+v", key, now)
			default:
				found.lost++
				l.t.Errorf("%s: %+v was acknowledged, found %+v", key, was, now)
			}
			w.acked[key] = now
		}
		for key, now := range have {
			if _, known := w.acked[key]; !known && now.N != 0 {
				if !slices.Contains(explained[key], now) {
					found.half++
					l.t.Errorf("%s is there and was never acknowledged: %+v", key, now)
				}
				w.acked[key] = now
			}
			actual[key] = now
		}
		if n := w.readSessions(s); n > 0 {
			found.undone += n
			l.t.Errorf("%d expired entities are there", n)
		}
	}
	return found, actual
}

// settle decides which requests in doubt happened: each as a whole or not at
// all. It returns the states that they explain.
func (w *worker) settle(have map[string]state) map[string][]state {
	explained := map[string][]state{}
	doubts := w.refused
	if w.doubt != nil {
		doubts = append(doubts, w.doubt)
	}
	for _, steps := range doubts {
		all := true
		for _, st := range steps {
			all = all && have[st.key] == st.to
		}
		for _, st := range steps {
			if all {
				explained[st.key] = append(explained[st.key], st.to)
			}
		}
	}
	w.doubt, w.refused = nil, nil
	return explained
}

// read reads all of a worker's keys.
func (w *worker) read(s *server) (map[string]state, error) {
	var keys []string
	for n := range keysPerWorker {
		keys = append(keys, fmt.Sprintf("%s:w%d-%d", table, w.id, n))
	}
	body, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		return nil, err
	}
	status, raw, err := s.post("/entities/get", string(body))
	if err != nil || status != 200 {
		return nil, fmt.Errorf("reading %s: %d %s %v", keys[0], status, raw, err)
	}
	var answer struct {
		Entities []*struct{ Entity json.RawMessage }
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	have := map[string]state{}
	for i, e := range answer.Entities {
		if e == nil {
			have[keys[i]] = state{}
			continue
		}
		st, err := stateOf(keys[i], e.Entity)
		if err != nil {
			return nil, err
		}
		have[keys[i]] = st
	}
	return have, nil
}

// readSessions counts expired entities that can still be read.
func (w *worker) readSessions(s *server) (alive int) {
	var latest time.Time
	keys := []string{}
	for key, at := range w.sessions {
		keys = append(keys, key)
		if at.After(latest) {
			latest = at
		}
	}
	clear(w.sessions)
	if len(keys) == 0 {
		return 0
	}
	time.Sleep(time.Until(latest.Add(2 * time.Millisecond)))
	body, _ := json.Marshal(map[string]any{"keys": keys})
	var answer struct{ Entities []json.RawMessage }
	s.must("POST", "/entities/get", string(body), &answer)
	for _, e := range answer.Entities {
		if string(e) != "null" {
			alive++
		}
	}
	return alive
}

// totals adds the workers' counts up.
func (l *load) totals() (writes, deletes, refusals int) {
	for _, w := range l.workers {
		writes, deletes, refusals = writes+w.writes, deletes+w.deletes, refusals+w.refusals
	}
	return writes, deletes, refusals
}
