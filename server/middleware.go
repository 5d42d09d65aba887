package server

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
)

// observe is the outermost step. It returns no error: what is wrong is in the
// answer then.
func (s *Server) observe(c fiber.Ctx) error {
	start := time.Now()
	s.active.Add(1)
	defer s.active.Add(-1)
	s.attach(c)
	if err := next(c); err != nil {
		s.fail(c, err)
	}
	route := "other"
	if c.Matched() {
		route = c.Route().Path
	}
	s.finish(c, route, start)
	return nil
}

// next runs the other steps and returns a panic as an error.
func next(c fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			cause := fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			err = errs.Wrap(cause, errs.Internal, "internal",
				"The server failed on this request; its log has the cause under the request id.")
		}
	}()
	return c.Next()
}

func (s *Server) attach(c fiber.Ctx) {
	id := requestID(c.Get(fiber.HeaderXRequestID))
	if s.redact(id) != id {
		id = requestID("")
	}
	info := &request.Info{ID: id, Remote: s.remote(c), Lifetime: s.lifetime, Closing: s.draining}
	info.Panicked = func(err error) {
		s.o.Logger.Error("an answer broke off", "request_id", info.ID, "error", s.redact(err.Error()))
	}
	if own := connOf(c); own != nil {
		info.Stalled = own.stalled.Load
	}
	request.Attach(c, info)
	c.Set(fiber.HeaderXRequestID, info.ID)
	// Answers hold what clients stored, which is never a page or a script.
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
}

// maxRequestID bounds the ids that clients may choose.
const maxRequestID = 128

// requestID takes over the client's id, if it is fit for a header and a log, or
// makes one.
func requestID(given string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if given == "" || len(given) > maxRequestID || strings.ContainsFunc(given, odd) {
		return fmt.Sprintf("%016x", rand.Uint64())
	}
	return strings.Clone(given)
}

// fail answers with a problem document.
func (s *Server) fail(c fiber.Ctx, err error) {
	if err := problem.Write(c, err); err != nil {
		s.o.Logger.Error("an error could not be answered", "request_id", request.ID(c), "error", s.redact(err.Error()))
		c.Status(http.StatusInternalServerError)
	}
}

// finish closes the connection over a body whose end isn't certain, as the rest
// of it would be taken for the next request, then measures, logs and audits. That
// is a body that wasn't read, and any in chunks: fasthttp cuts chunks more
// generously than some proxies do ("0x5" is 0 and an extension to it).
func (s *Server) finish(c fiber.Ctx, route string, start time.Time) {
	length := c.Request().Header.ContentLength()
	if length == chunkedLength || c.Request().IsBodyStream() && length != 0 {
		c.RequestCtx().SetConnectionClose()
		connOf(c).closeGently()
	}
	// An error may quote the request, and the request may hold a key in the wrong
	// place.
	if body := c.Response().Body; problem.Recorded(c) != nil {
		if text := string(body()); s.redact(text) != text {
			c.Response().SetBodyString(s.redact(text))
		}
	}
	took := time.Since(start)
	if s.o.Observer != nil {
		s.o.Observer.Observe(methodOf(c), route, c.Response().StatusCode(), took)
	}
	info := request.Of(c)
	s.log(c, info, route, took)
	s.audit(c, info, route, took)
}

// chunkedLength is fasthttp's length of a body in chunks.
const chunkedLength = -1

// methodOf is c.Method for requests that may not have been routed.
func methodOf(c fiber.Ctx) string {
	if method := string(c.Request().Header.Method()); slices.Contains(fiber.DefaultMethods, method) {
		return method
	}
	return "other"
}

// slow is what deserves a line in the log even if it went well.
const slow = time.Second

// log writes the access log: failures of the server as errors and warnings, slow
// requests for information, the rest for debugging, since a database answers too
// many to log each.
func (s *Server) log(c fiber.Ctx, info *request.Info, route string, took time.Duration) {
	status, failure := c.Response().StatusCode(), problem.Recorded(c)
	level := slog.LevelDebug
	switch {
	case failure != nil && status == http.StatusInternalServerError:
		level = slog.LevelError
	case failure != nil && status > http.StatusInternalServerError:
		level = slog.LevelWarn
	case took >= slow:
		level = slog.LevelInfo
	}
	if !s.o.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", info.ID),
		slog.String("method", methodOf(c)), slog.String("path", s.target(c)), slog.String("route", route),
		slog.Int("status", status), slog.Float64("took_ms", milliseconds(took)),
		slog.Int64("bytes_in", info.BodyBytes), slog.Int("bytes_out", answerBytes(c)),
		slog.String("principal", info.Principal.Name), slog.String("remote", info.Remote.String()),
	}
	if failure != nil {
		attrs = append(attrs, slog.String("error", s.redact(failure.Error())))
	}
	s.o.Logger.LogAttrs(context.Background(), level, "request", attrs...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// answerBytes is the length of the answer's body; 0 for one that streams, which
// has only begun.
func answerBytes(c fiber.Ctx) int {
	if c.Response().IsBodyStream() {
		return 0
	}
	return len(c.Response().Body())
}

// admit lets the request work if there is a slot, until its deadline. Streams
// have slots of their own and no deadline: their length is up to the client,
// and each of their reads has a time limit.
func (s *Server) admit(c fiber.Ctx) error {
	info := request.Of(c)
	streamed := info.Stream != nil
	slots, ctx := s.slots, s.lifetime
	if streamed {
		slots = s.streams
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		return errs.New(errs.Unavailable, "overloaded", "The server works on %d requests already. Nothing was done; try again soon.", cap(slots))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !streamed {
		var cancel context.CancelFunc
		limit := s.timeout.Load()
		ctx, cancel = context.WithTimeoutCause(ctx, limit.after, limit.late)
		defer cancel()
	}
	c.SetContext(engine.WithCaller(ctx, &engine.Caller{Name: info.Principal.Name, RequestID: info.ID}))
	return c.Next()
}
