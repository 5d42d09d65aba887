// Package session keeps who is signed in to the console: a browser presents an API
// key once and a random token from then on.
//
// Tokens have 256 random bits and are kept as hashes only, in memory: a restart
// signs everybody out. A session ends when it wasn't used for a while, at a
// greatest age, when its key is revoked or gets another role, when it is signed
// out, or when newer ones need its place; Ended tells those who answer a stream.
// Each key has a bounded share of the places, so one holder of a key can't push the
// others out.
//
// A token is exchanged for a new one after a while of use. The old one is good
// until the browser has used the new one, and a moment longer, since requests may
// be under way at once and an answer with the new one may get lost. A token that
// was replaced earlier is worth nothing.
//
// A session's cookie is named after its server, so servers on one host with
// several ports don't sign each other out. It is SameSite=Lax and not Strict, as a
// link in a chat or an alert should lead into the console: what such a request may
// do is read, and the page that sent it can't see the answer. Requests that change
// something must come from the console's own origin, which package server checks.
// Under TLS it has the prefix __Host-, with which no other host can set it.
//
// It owns no goroutines. One lock guards the sessions; nothing is called under it.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/vccdb/vccdb/server/auth"
)

// Options configure Sessions. The zero value of each field means its default.
type Options struct {
	// Instance tells the server apart from others on the same host; it goes into
	// the cookie's name as a hash.
	Instance string
	// Idle is how long a session lasts without being used, MaxAge how long at all;
	// 30 min and 12 h.
	Idle, MaxAge time.Duration
	// Now is the clock; time.Now.
	Now func() time.Time
}

const (
	// renewAfter is how long a token is used before it is exchanged, and renewGrace
	// how long requests with the old one may still arrive, or be sent again.
	renewAfter = 15 * time.Minute
	renewGrace = time.Minute
	// maxSessions bounds the memory, maxPerKey the share of one key.
	maxSessions = 1024
	maxPerKey   = 64
)

// Sessions are those who are signed in. Make them with New; they are safe for
// concurrent use.
type Sessions struct {
	name string
	now  func() time.Time

	mu struct {
		sync.Mutex
		idle, maxAge time.Duration
		// byToken finds a session by each token that is good for it.
		byToken map[digest]*session
		all     map[*session]bool
	}
}

type digest = [sha256.Size]byte

// session is one browser that is signed in.
type session struct {
	// key is the hash of the key that it was begun with.
	key       auth.Digest
	principal auth.Principal
	// began is when it was signed in, used when it was used last.
	began, used time.Time
	ended       chan struct{}

	// current is the token that the browser has shown to have, renewed when it was
	// made.
	current digest
	renewed time.Time
	// next was sent to the browser to replace current, at offered; it is zero while
	// there is none. previous was replaced by current and is good until previousEnd.
	next, previous       digest
	offered, previousEnd time.Time
}

// New returns no sessions.
func New(o Options) *Sessions {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sessions{name: cookieName(o.Instance), now: o.Now}
	s.mu.byToken, s.mu.all = map[digest]*session{}, map[*session]bool{}
	s.SetLimits(o.Idle, o.MaxAge)
	return s
}

// SetLimits changes how long sessions last, for those there are as well; 0 is the
// default of Options.
func (s *Sessions) SetLimits(idle, maxAge time.Duration) {
	if idle <= 0 {
		idle = 30 * time.Minute
	}
	if maxAge <= 0 {
		maxAge = 12 * time.Hour
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.idle, s.mu.maxAge = idle, maxAge
}

// newToken makes a token and its hash.
func newToken() (string, digest) {
	var secret [32]byte
	rand.Read(secret[:]) // it never fails
	token := base64.RawURLEncoding.EncodeToString(secret[:])
	return token, sha256.Sum256([]byte(token))
}

// Start begins a session of whom the key belongs to and returns its token.
func (s *Sessions) Start(key auth.Digest, principal auth.Principal) string {
	token, sum := newToken()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoomLocked(key, now)
	x := &session{key: key, principal: principal, began: now, used: now, ended: make(chan struct{}), current: sum, renewed: now}
	s.mu.all[x], s.mu.byToken[sum] = true, x
	return token
}

// makeRoomLocked ends the sessions that are over, and the one that was unused for
// longest if the key, or all keys together, have as many as they may.
func (s *Sessions) makeRoomLocked(key auth.Digest, now time.Time) {
	var oldest, own *session
	ofKey := 0
	for x := range s.mu.all {
		switch {
		case s.overLocked(x, now):
			s.endLocked(x)
			continue
		case x.key == key:
			ofKey++
			own = older(own, x)
		}
		oldest = older(oldest, x)
	}
	switch {
	case ofKey >= maxPerKey:
		s.endLocked(own)
	case len(s.mu.all) >= maxSessions:
		s.endLocked(oldest)
	}
}

func older(a, b *session) *session {
	if a == nil || b.used.Before(a.used) {
		return b
	}
	return a
}

func (s *Sessions) overLocked(x *session, now time.Time) bool {
	return now.Sub(x.used) >= s.mu.idle || now.Sub(x.began) >= s.mu.maxAge
}

func (s *Sessions) endLocked(x *session) {
	delete(s.mu.all, x)
	for _, token := range []digest{x.current, x.next, x.previous} {
		if s.mu.byToken[token] == x {
			delete(s.mu.byToken, token)
		}
	}
	close(x.ended)
}

// Visit is what a good token says.
type Visit struct {
	Principal auth.Principal
	// Ended is closed when the session ends.
	Ended <-chan struct{}
	// Token replaces the one presented, unless it is empty.
	Token string
}

// Resume returns whom a token belongs to, as keys say now. A request that a page
// makes without its reader's doing is not active: it doesn't keep the session from
// being idle.
func (s *Sessions) Resume(token string, keys *auth.Keys, active bool) (Visit, bool) {
	sum := sha256.Sum256([]byte(token))
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.mu.byToken[sum]
	if x == nil {
		return Visit{}, false
	}
	if s.overLocked(x, now) || !x.allowed(keys) {
		s.endLocked(x)
		return Visit{}, false
	}
	renewed, ok := s.renewLocked(x, sum, now)
	if !ok {
		return Visit{}, false
	}
	if active {
		x.used = now
	}
	return Visit{x.principal, x.ended, renewed}, true
}

// allowed asks the keys anew, and takes a new name over.
func (x *session) allowed(keys *auth.Keys) bool {
	if keys == nil {
		return false
	}
	principal, ok := keys.Holder(x.key)
	if !ok || principal.Role != x.principal.Role {
		return false
	}
	x.principal = principal
	return true
}

// renewLocked exchanges tokens. It returns the one to be sent to the browser, and
// whether the one presented is still good.
func (s *Sessions) renewLocked(x *session, presented digest, now time.Time) (string, bool) {
	switch {
	case presented == x.previous:
		if now.Before(x.previousEnd) {
			return "", true
		}
		delete(s.mu.byToken, x.previous)
		return "", false
	case presented == x.next: // it has arrived
		delete(s.mu.byToken, x.previous)
		x.previous, x.previousEnd = x.current, now.Add(renewGrace)
		x.current, x.renewed, x.next = x.next, x.offered, digest{}
		return "", true
	case now.Sub(x.renewed) < renewAfter, x.next != digest{} && now.Sub(x.offered) < renewGrace:
		return "", true
	}
	delete(s.mu.byToken, x.next) // the answer with it was lost
	token, sum := newToken()
	x.next, x.offered = sum, now
	s.mu.byToken[sum] = x
	return token, true
}

// End ends the session that a token is good for.
func (s *Sessions) End(token string) {
	sum := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.mu.byToken[sum]; x != nil {
		s.endLocked(x)
	}
}

// Review ends the sessions whose keys are gone or have another role; all of them
// if keys is nil, when nobody is asked for a key.
func (s *Sessions) Review(keys *auth.Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.mu.all {
		if !x.allowed(keys) {
			s.endLocked(x)
		}
	}
}
