package session

import (
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/server/auth"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is sessions with a clock and some keys.
type fixture struct {
	*Sessions
	*clock
	keys   *auth.Keys
	digest auth.Digest
	who    auth.Principal
}

func keysOf(t *testing.T, keys ...auth.Key) *auth.Keys {
	t.Helper()
	k, err := auth.NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: &clock{now: time.Unix(1_000_000, 0)}, who: auth.Principal{Name: "anna", Role: auth.ReadWrite}}
	f.Sessions = New(Options{Instance: "test", Now: f.Now})
	key := auth.NewKey()
	f.digest = auth.DigestOf(key)
	f.keys = keysOf(t, auth.Key{Key: key, Role: auth.ReadWrite, Name: "anna"})
	return f
}

// good fails unless the token is (or isn't) good for anna, and returns the token to
// go on with.
func (f *fixture) good(t *testing.T, what, token string, want bool) string {
	t.Helper()
	visit, ok := f.Resume(token, f.keys, true)
	if ok != want || ok && visit.Principal != f.who {
		t.Fatalf("%s: %v %v, want %v", what, visit.Principal, ok, want)
	}
	if visit.Token != "" {
		return visit.Token
	}
	return token
}

// empty fails if anything of ended sessions is left.
func (f *fixture) empty(t *testing.T) {
	t.Helper()
	if len(f.Sessions.mu.all) != 0 || len(f.Sessions.mu.byToken) != 0 {
		t.Errorf("%d sessions and %d tokens are left", len(f.Sessions.mu.all), len(f.Sessions.mu.byToken))
	}
}

func TestIdleAndAge(t *testing.T) {
	f := newFixture(t)
	token := f.Start(f.digest, f.who)
	f.good(t, "a made up token", "x"+token[1:], false)
	f.good(t, "none", "", false)
	for range 23 { // 11.5 h, never idle
		f.pass(30*time.Minute - time.Second)
		token = f.good(t, "in use", token, true)
	}
	f.pass(29 * time.Minute)
	token = f.good(t, "just before its greatest age", token, true)
	f.pass(2 * time.Minute)
	f.good(t, "at its greatest age", token, false)
	f.empty(t)

	token = f.Start(f.digest, f.who)
	f.pass(30 * time.Minute)
	f.good(t, "idle", token, false)
	f.empty(t)

	token = f.Start(f.digest, f.who)
	for range 3 { // what a page does by itself keeps nobody signed in
		f.pass(10 * time.Minute)
		if _, ok := f.Resume(token, f.keys, false); ok != (len(f.Sessions.mu.all) == 1) {
			t.Error("the end isn't seen")
		}
	}
	f.empty(t)

	token = f.Start(f.digest, f.who)
	f.SetLimits(time.Minute, time.Hour)
	f.pass(time.Minute)
	f.good(t, "idle by the new limit", token, false)
}

func TestTokensAreRandom(t *testing.T) {
	f := newFixture(t)
	seen := map[string]bool{}
	for range maxPerKey {
		token := f.Start(f.digest, f.who)
		if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) != 32 || seen[token] {
			t.Fatalf("%q", token)
		}
		seen[token] = true
	}
}

// TestRenewal follows a browser whose answers arrive, get lost and cross.
func TestRenewal(t *testing.T) {
	f := newFixture(t)
	first := f.Start(f.digest, f.who)
	if f.good(t, "new", first, true) != first {
		t.Fatal("renewed at once")
	}
	f.pass(renewAfter)
	second := f.good(t, "used for a while", first, true)
	if second == first {
		t.Fatal("not renewed")
	}
	// Requests that were under way have the old token, and don't get a third one.
	for range 5 {
		if f.good(t, "in parallel", first, true) != first {
			t.Fatal("renewed twice")
		}
	}
	if f.good(t, "the new token", second, true) != second {
		t.Fatal("renewed again")
	}
	f.good(t, "the old token soon after", first, true)
	f.pass(renewGrace)
	f.good(t, "the old token later", first, false)
	f.good(t, "the new token still", second, true)

	// The answer with the third token is lost: the second one stays good, and is
	// exchanged for a fourth.
	f.pass(renewAfter)
	third := f.good(t, "used for a while", second, true)
	f.pass(renewGrace)
	fourth := f.good(t, "without the third", second, true)
	if fourth == second || fourth == third {
		t.Fatal("no new token")
	}
	f.good(t, "the lost token", third, false)
	f.good(t, "the fourth", fourth, true)
	f.End(fourth)
	for _, token := range []string{first, second, third, fourth} {
		f.good(t, "after the end", token, false)
	}
	f.empty(t)
}

// TestParallelRenewal is a browser with many requests at once over hours: whatever
// the order of answers, it stays signed in.
func TestParallelRenewal(t *testing.T) {
	f := newFixture(t)
	var jar struct {
		sync.Mutex
		token string
	}
	jar.token = f.Start(f.digest, f.who)
	renewals := 0
	for range 40 {
		f.pass(5 * time.Minute)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				jar.Lock()
				token := jar.token
				jar.Unlock()
				visit, ok := f.Resume(token, f.keys, true)
				if !ok {
					t.Error("signed out")
				}
				if visit.Token != "" {
					jar.Lock()
					jar.token = visit.Token
					renewals++
					jar.Unlock()
				}
			})
		}
		wg.Wait()
	}
	if renewals < 10 || renewals > 14 {
		t.Errorf("renewed %d times in 200 min", renewals)
	}
}

// TestKeysDecide holds that a session is worth what its key is worth now.
func TestKeysDecide(t *testing.T) {
	key := auth.NewKey()
	other := auth.Key{Key: auth.NewKey(), Role: auth.ReadWrite, Name: "anna"}
	for name, test := range map[string]struct {
		keys []auth.Key
		want bool
	}{
		"the same":                     {[]auth.Key{{Key: key, Role: auth.ReadWrite, Name: "anna"}}, true},
		"as a hash":                    {[]auth.Key{{Hash: auth.HashKey(key), Role: auth.ReadWrite, Name: "anna"}}, true},
		"renamed":                      {[]auth.Key{{Key: key, Role: auth.ReadWrite, Name: "berta"}}, true},
		"raised":                       {[]auth.Key{{Key: key, Role: auth.Admin, Name: "anna"}}, false},
		"lowered":                      {[]auth.Key{{Key: key, Role: auth.ReadOnly, Name: "anna"}}, false},
		"revoked":                      {nil, false},
		"revoked, another of its name": {[]auth.Key{other}, false},
	} {
		for _, asked := range []string{"at the next request", "at once"} {
			f := newFixture(t)
			f.digest = auth.DigestOf(key)
			token := f.Start(f.digest, f.who)
			before, _ := f.Resume(token, keysOf(t, auth.Key{Key: key, Role: auth.ReadWrite, Name: "anna"}), true)
			keys := keysOf(t, test.keys...)
			if asked == "at once" {
				f.Review(keys)
			}
			visit, ok := f.Resume(token, keys, true)
			ended := false
			select {
			case <-before.Ended:
				ended = true
			default:
			}
			if ok != test.want || ended == test.want || ok && visit.Principal.Name != test.keys[0].Name {
				t.Errorf("%s, %s: %v %v, ended %v", name, asked, visit.Principal, ok, ended)
			}
		}
	}
	f := newFixture(t)
	f.Start(f.digest, f.who)
	f.Review(nil)
	f.empty(t)
}

func TestSessionsAreBounded(t *testing.T) {
	f := newFixture(t)
	used, idle := f.Start(f.digest, f.who), f.Start(f.digest, f.who)
	f.pass(time.Second)
	f.good(t, "in use", used, true)
	// Another key begins as many as it likes, and has its own pushed out only.
	greedy := auth.DigestOf(auth.NewKey())
	for range 3 * maxPerKey {
		f.Start(greedy, auth.Principal{Name: "greedy", Role: auth.ReadOnly})
	}
	f.good(t, "of another key", idle, true)
	if len(f.Sessions.mu.all) != 2+maxPerKey {
		t.Errorf("%d sessions", len(f.Sessions.mu.all))
	}
	// So many keys that there is no room: the one unused for longest goes first.
	f.pass(time.Second)
	f.good(t, "in use", used, true)
	for range maxSessions {
		f.pass(time.Microsecond)
		f.good(t, "in use", used, true)
		f.Start(auth.DigestOf(auth.NewKey()), f.who)
	}
	if len(f.Sessions.mu.all) != maxSessions || len(f.Sessions.mu.byToken) != maxSessions {
		t.Errorf("%d sessions, %d tokens", len(f.Sessions.mu.all), len(f.Sessions.mu.byToken))
	}
	f.good(t, "unused for longest", idle, false)
	f.good(t, "in use", used, true)
	f.pass(time.Hour)
	f.Start(f.digest, f.who)
	if len(f.Sessions.mu.all) != 1 {
		t.Errorf("%d sessions are kept that are over", len(f.Sessions.mu.all)-1)
	}
}
