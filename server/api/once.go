package api

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
)

// Bounds of the record of idempotent answers. The oldest go first when it is
// full, so a key may be forgotten before its time under heavy use.
const (
	onceLifetime   = 24 * time.Hour
	maxOnceEntries = 10_000
	maxOnceBytes   = 64 << 20
	maxOnceKey     = 255
)

var idempotencyParam = openapi.Param{Name: "Idempotency-Key", In: "header",
	Description: "1 to 255 visible ASCII characters. A repeat with the same key and body within 24 hours gets the first answer again " +
		"(with Idempotency-Replayed: true) and changes nothing; with another body, or while the first still runs, it gets a 409. " +
		"Kept in memory: successful answers only, the newest 10000 or 64 MiB of them, until restart."}

// hash identifies a request body.
type hash = [sha256.Size]byte

// hashOf returns the hash of a body for onceStore.do.
func hashOf(body []byte) func() (hash, error) {
	return func() (hash, error) { return sha256.Sum256(body), nil }
}

// onceStore remembers the answers of requests with an Idempotency-Key.
type onceStore struct {
	now func() time.Time

	mu struct {
		sync.Mutex
		answers map[string]*onceAnswer
		// oldest to newest; each is finished.
		order []*onceAnswer
		bytes int
	}
}

// onceAnswer is one remembered answer, or the mark of a request under way while
// status is 0.
type onceAnswer struct {
	key     string
	body    hash
	expires time.Time

	status                      int
	contentType, etag, location string
	answer                      []byte
}

func (e *onceAnswer) size() int { return len(e.answer) + len(e.key) + 200 }

func newOnceStore(now func() time.Time) *onceStore {
	s := &onceStore{now: now}
	s.mu.answers = map[string]*onceAnswer{}
	return s
}

// do runs handle unless the request's Idempotency-Key has an answer already.
// bodyHash is called once, after handle has read the body or in its place.
func (s *onceStore) do(c fiber.Ctx, bodyHash func() (hash, error), handle func() error) error {
	key := c.Get("Idempotency-Key")
	if key == "" {
		return handle()
	}
	if len(key) > maxOnceKey || strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }) {
		return errs.New(errs.Invalid, "invalid_header", "an Idempotency-Key has 1 to %d visible ASCII characters", maxOnceKey)
	}
	key = c.Method() + " " + c.Route().Path + " " + key
	known, err := s.begin(key)
	if err != nil {
		return err
	}
	if known != nil {
		return replay(c, known, bodyHash)
	}
	finished := false
	defer func() {
		if !finished {
			s.forget(key)
		}
	}()
	if err := handle(); err != nil {
		return err
	}
	body, err := bodyHash()
	if err != nil {
		return err
	}
	s.finish(c, key, body)
	finished = true
	return nil
}

// begin claims a key or returns its answer.
func (s *onceStore) begin(key string) (*onceAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trimLocked()
	known, ok := s.mu.answers[key]
	switch {
	case !ok:
		s.mu.answers[key] = &onceAnswer{key: key}
		return nil, nil
	case known.status == 0:
		return nil, errs.New(errs.Conflict, "idempotency_key_in_use", "a request with this Idempotency-Key is still running; repeat later")
	}
	return known, nil
}

func (s *onceStore) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.answers, key)
}

func (s *onceStore) finish(c fiber.Ctx, key string, body hash) {
	e := &onceAnswer{
		key: key, body: body, expires: s.now().Add(onceLifetime),
		status:      c.Response().StatusCode(),
		contentType: strings.Clone(c.GetRespHeader(fiber.HeaderContentType)),
		etag:        strings.Clone(c.GetRespHeader(fiber.HeaderETag)),
		location:    strings.Clone(c.GetRespHeader(fiber.HeaderLocation)),
		answer:      append([]byte(nil), c.Response().Body()...),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.answers[key] = e
	s.mu.order = append(s.mu.order, e)
	s.mu.bytes += e.size()
	s.trimLocked()
}

// trimLocked drops what is too old or too much.
func (s *onceStore) trimLocked() {
	now, drop := s.now(), 0
	for _, e := range s.mu.order {
		if e.expires.After(now) && s.mu.bytes <= maxOnceBytes && len(s.mu.order)-drop <= maxOnceEntries {
			break
		}
		delete(s.mu.answers, e.key)
		s.mu.bytes -= e.size()
		s.mu.order[drop] = nil
		drop++
	}
	s.mu.order = s.mu.order[drop:]
}

// replay sends a remembered answer if the body is the same.
func replay(c fiber.Ctx, e *onceAnswer, bodyHash func() (hash, error)) error {
	body, err := bodyHash()
	if err != nil {
		return err
	}
	if body != e.body {
		return errs.New(errs.Conflict, "idempotency_key_reused",
			"this Idempotency-Key came with another body before; nothing was changed")
	}
	c.Set("Idempotency-Replayed", "true")
	c.Set(fiber.HeaderContentType, e.contentType)
	if e.etag != "" {
		c.Set(fiber.HeaderETag, e.etag)
	}
	if e.location != "" {
		c.Set(fiber.HeaderLocation, e.location)
	}
	return c.Status(e.status).Send(e.answer)
}
