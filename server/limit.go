package server

import (
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
)

// RateLimits bound how often requests that need a key may come, in requests a
// second; 0 is no limit.
type RateLimits struct {
	// PerKey counts the requests of one key (of keys of the same name together),
	// PerAddress those of one IPv4 address or one IPv6 /64.
	PerKey, PerAddress float64
	// Burst is how many may come at once after a pause; 0 is two seconds' worth.
	Burst int
}

// SetRateLimits changes the limits for all later requests.
func (s *Server) SetRateLimits(l RateLimits) { s.limits.rates.Store(&l) }

// guesses bound the wrong keys of one address: a burst for somebody who mixes
// his keys up, then one a second.
var guesses = rate{perSecond: 1, burst: 20}

// rate is what a bucket refills with, and how much it holds.
type rate struct{ perSecond, burst float64 }

func (l *RateLimits) rate(perSecond float64) rate {
	burst := float64(l.Burst)
	if burst <= 0 {
		burst = max(1, math.Ceil(2*perSecond))
	}
	return rate{perSecond, burst}
}

// bucket is a token bucket that is full when it is new. It keeps what was taken,
// not what is left, so a change of the rate applies to it at once.
type bucket struct {
	taken float64
	at    time.Time
}

// take removes a token, or tells how long until there is one.
func (b *bucket) take(r rate, now time.Time) (wait time.Duration) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.taken = max(0, b.taken-passed*r.perSecond)
		b.at = now
	}
	if over := b.taken + 1 - r.burst; over > 0 {
		return 1 + time.Duration(over/r.perSecond*float64(time.Second)) // never 0, which would let it pass
	}
	b.taken++
	return 0
}

// empty reports whether take would have to wait.
func (b *bucket) empty(r rate, now time.Time) bool {
	probe := *b
	return probe.take(r, now) > 0
}

// limits holds the buckets. Each of its tables has a bound, see table.
type limits struct {
	rates atomic.Pointer[RateLimits]
	now   func() time.Time
	// addresses are those that requests came from, keys the names of the keys
	// that are in use.
	addresses table[netip.Addr]
	keys      table[string]
}

// visitor is what is known of an address or a key.
type visitor struct {
	requests, wrong bucket
	// known names the keys that came from this address and were right.
	known []string
}

// maxKnown bounds the names kept for an address.
const maxKnown = 16

func newLimits(rates RateLimits) *limits {
	l := &limits{now: time.Now, addresses: newTable[netip.Addr](), keys: newTable[string]()}
	l.rates.Store(&rates)
	return l
}

// network is the part of an address that one client has to itself.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (l *limits) admitAddress(c fiber.Ctx, from netip.Addr) error {
	rates := l.rates.Load()
	if rates.PerAddress <= 0 {
		return nil
	}
	var wait time.Duration
	l.addresses.visit(network(from), func(v *visitor) { wait = v.requests.take(rates.rate(rates.PerAddress), l.now()) })
	return tooMany(c, wait, "Too many requests come from this address.")
}

func (l *limits) admitKey(c fiber.Ctx, name string) error {
	rates := l.rates.Load()
	if rates.PerKey <= 0 {
		return nil
	}
	var wait time.Duration
	l.keys.visit(name, func(v *visitor) { wait = v.requests.take(rates.rate(rates.PerKey), l.now()) })
	return tooMany(c, wait, "Too many requests come with this API key.")
}

// guessed counts wrong keys. An address that has sent too many of them gets no
// answer on whether the next is right, except for keys that were right from there
// before: one who guesses doesn't lock out the others behind the same proxy.
func (l *limits) guessed(c fiber.Ctx, from netip.Addr, name string, right bool) error {
	var wait time.Duration
	l.addresses.visit(network(from), func(v *visitor) {
		switch known := right && slices.Contains(v.known, name); {
		case known:
		case !right:
			wait = v.wrong.take(guesses, l.now())
		case v.wrong.empty(guesses, l.now()):
			wait = time.Second
		default:
			if len(v.known) == maxKnown {
				v.known = slices.Delete(v.known, 0, 1)
			}
			v.known = append(v.known, name)
		}
	})
	return tooMany(c, wait, "Too many wrong API keys come from this address.")
}

func tooMany(c fiber.Ctx, wait time.Duration, why string) error {
	if wait <= 0 {
		return nil
	}
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	c.Set(fiber.HeaderRetryAfter, strconv.Itoa(seconds))
	return errs.New(errs.RateLimited, "rate_limited", "%s Nothing was done; try again in %d s.", why, seconds)
}

// The bounds of a table: shards so that requests seldom wait for each other, and
// two generations of maxVisitors in each.
const (
	shards      = 16
	maxVisitors = 1024
)

// table remembers visitors, the latest at least maxVisitors of each shard. When
// the younger generation is full the older one is forgotten, and the younger
// becomes the older. Forgotten visitors begin anew with full buckets: the price
// of bounded memory is that one with tens of thousands of addresses is let in
// more often.
type table[K comparable] struct {
	seed   maphash.Seed
	shards *[shards]shard[K]
}

type shard[K comparable] struct {
	mu             sync.Mutex
	younger, older map[K]*visitor
}

func newTable[K comparable]() table[K] {
	return table[K]{maphash.MakeSeed(), new([shards]shard[K])}
}

// visit calls f with the visitor while nobody else has it.
func (t table[K]) visit(key K, f func(*visitor)) {
	s := &t.shards[maphash.Comparable(t.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.younger[key]
	if v == nil {
		if v = s.older[key]; v == nil {
			v = &visitor{}
		}
		if len(s.younger) >= maxVisitors {
			s.younger, s.older = nil, s.younger
		}
		if s.younger == nil {
			s.younger = map[K]*visitor{}
		}
		s.younger[key] = v
	}
	f(v)
}
