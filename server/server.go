// Package server runs the HTTP interface: one Fiber app, its listener, TLS, who
// may do what, the limits that keep one client from hurting the others, the
// audit log, and the drain.
//
// A request goes through these steps, in this order (New writes them down):
//
//	strict      refuses what isn't HTTP to the letter
//	observe     gives it an id, turns errors and panics into problem documents,
//	            measures, logs and audits it
//	require     checks the key, the role and the rates, for the matched route
//	readBody    reads the body within limits of size, time and memory
//	admit       bounds the requests under way and sets the deadline
//	work        the API's handlers
//
// The last four are the chain of one route each, registered with it: no route
// exists without its check, and nothing but the route that is served decides what
// a request needs. A route without a role lets nobody in. Operations such as
// /livez answer right after require, whatever the load. What matches no route
// needs a key too, so that strangers don't learn which routes there are.
//
// Pages of the console go the same way. What differs is that their problems are
// pages, that they take a session's cookie as well as a key (package session), and
// that they always refuse what another site's page sends: a browser adds a cookie
// by itself.
//
// Handlers stop at their deadline because they take their context from
// c.Context(); nothing kills them. A client that goes away isn't noticed before
// its answer is written, the deadline bounds what that costs.
//
// Package request is what a handler gets with a request, package problem how
// errors are answered. Goroutines: fasthttp's, one per connection; Shutdown waits
// for them. Locks guard the listener's set of open connections, a connection during
// a short write, the certificates in use, the change of keys and the shards of the
// rate limits; none is held while another is taken.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/server/session"
)

// Options configure a Server. The zero value of each field means its default.
type Options struct {
	// RequestTimeout is how long a handler may work, its body's arrival not
	// counted; 30 s.
	RequestTimeout time.Duration
	// MaxRequestBytes bounds a body; 10 MiB.
	MaxRequestBytes int64
	// StreamRoutes take NDJSON of any length as a stream: "POST /entities/batch".
	StreamRoutes []string
	// UploadRoutes take a form with a file of any length as a stream.
	UploadRoutes []string
	// MaxInFlight bounds the requests that work at the same time, MaxStreams the
	// streamed ones; 1024 and 64. What is over gets a 503 at once.
	MaxInFlight, MaxStreams int
	// MaxBufferedBytes bounds the memory of all bodies together; 256 MiB, and
	// room for four of the biggest at least.
	MaxBufferedBytes int64
	// MaxConnections bounds open connections; 16384.
	MaxConnections int
	// HeaderTimeout bounds the arrival of the header, BodyTimeout that of a body
	// that isn't streamed; 10 s and 60 s. StallTimeout bounds each write, and each
	// read of a streamed body; 30 s. IdleTimeout ends unused connections; 120 s.
	HeaderTimeout, BodyTimeout, StallTimeout, IdleTimeout time.Duration
	// DrainDelay is how long connections are still accepted while the drain has
	// begun and /readyz says so; 0 is none.
	DrainDelay time.Duration
	// Keys let callers in; nil asks nobody for a key, and everybody may do
	// everything. See SetKeys.
	Keys *auth.Keys
	// RateLimits are off by default. See SetRateLimits.
	RateLimits RateLimits
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Local says that only this machine can connect. While no key is asked for, a
	// request must then be for localhost, an address or one of Hosts, in lower case.
	Local bool
	Hosts []string
	// TLS is nil for plain HTTP.
	TLS *TLSOptions
	// Sessions are taken by the pages of the console besides keys; nil is none.
	Sessions *session.Sessions
	// Pages say how the console answers for what it hasn't got.
	Pages Pages
	// Audit is told of every changing and every denied call; nil is nobody.
	Audit    *slog.Logger
	Observer Observer
	Logger   *slog.Logger
}

// Observer is told about every answered request. The route is a pattern or one
// of a few words, never a path.
type Observer interface {
	Observe(method, route string, status int, took time.Duration)
}

// Pages are the part of the paths that is the console's. The zero value is none.
type Pages struct {
	// Below is their prefix: "/console/".
	Below string
	// Render answers below it for missing pages, and for whoever may not know that
	// they are missing.
	Render problem.Renderer
}

// Routes are what a package serves. It doesn't register them itself, so none can
// be without its check.
type Routes interface {
	Routes() []rest.Route
}

func (o Options) ensureDefaults() Options {
	setDefault(&o.RequestTimeout, 30*time.Second)
	setDefault(&o.MaxRequestBytes, 10<<20)
	setDefault(&o.MaxInFlight, 1024)
	setDefault(&o.MaxStreams, 64)
	setDefault(&o.MaxBufferedBytes, max(256<<20, 4*o.MaxRequestBytes))
	setDefault(&o.MaxConnections, 16384)
	setDefault(&o.HeaderTimeout, 10*time.Second)
	setDefault(&o.BodyTimeout, time.Minute)
	setDefault(&o.StallTimeout, 30*time.Second)
	setDefault(&o.IdleTimeout, 2*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server serves HTTP. Make one with New.
type Server struct {
	o   Options
	app *fiber.App
	// listener is set by Serve.
	listener atomic.Pointer[listener]

	// slots and streams hold a token per request that works.
	slots, streams chan struct{}
	// bodyBytes is the memory that bodies take; active counts running handlers.
	bodyBytes, active atomic.Int64

	// draining is closed when Shutdown begins; lifetime ends when the drain has
	// run out of time. accessMu is held while either access or draining changes.
	accessMu   sync.Mutex
	draining   chan struct{}
	isDraining atomic.Bool
	lifetime   context.Context
	abort      context.CancelCauseFunc

	// These may be changed while the server runs.
	timeout atomic.Pointer[timeout]
	access  atomic.Pointer[access]
	limits  *limits

	operations []openapi.Operation
}

// timeout is how long a request may work, and the error it ends with.
type timeout struct {
	after time.Duration
	late  error
}

// New returns a server that answers operations under any load and work within
// the limits.
func New(o Options, operations Routes, work ...Routes) *Server {
	o = o.ensureDefaults()
	s := &Server{
		o:        o,
		slots:    make(chan struct{}, o.MaxInFlight),
		streams:  make(chan struct{}, o.MaxStreams),
		draining: make(chan struct{}),
		limits:   newLimits(o.RateLimits),
	}
	s.setAccess(o.Keys)
	s.SetRequestTimeout(o.RequestTimeout)
	s.lifetime, s.abort = context.WithCancelCause(context.Background())
	s.app = s.newApp()
	s.app.Use(s.observe)
	s.register(operations)
	for _, routes := range work {
		s.register(routes, s.readBody, s.admit)
	}
	s.app.Use(s.requireForNothing(), s.readBody) // then it is a 404 or a 405
	return s
}

func (s *Server) register(r Routes, steps ...fiber.Handler) {
	routes := r.Routes()
	rest.Register(s.app, routes, s.require, steps...)
	s.operations = append(s.operations, rest.Operations(routes)...)
}

// Operations describes every route of the server.
func (s *Server) Operations() []openapi.Operation { return s.operations }

// SetRequestTimeout changes how long later requests may work.
func (s *Server) SetRequestTimeout(d time.Duration) {
	s.timeout.Store(&timeout{d, errs.New(errs.Timeout, "request_timeout",
		"The request took longer than %v and was stopped. A write may have been done; read it back before sending it again.", d)})
}

// headerBytes bounds a request's line and headers. A key in a path takes up to
// 1.6 kB, three bytes for each of its own.
const headerBytes = 16 << 10

func (s *Server) newApp() *fiber.App {
	app := fiber.New(fiber.Config{
		AppName: "Themis",
		// A key may differ from another in its case or end in a slash.
		CaseSensitive: true,
		StrictRouting: true,
		// Package rest adds them, ahead of what answers for missing routes.
		DisableHeadAutoRegister: true,
		// Bodies are read by readBody, which enforces the limits that these leave out.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		BodyLimit:                    int(s.o.MaxRequestBytes),
		Concurrency:                  2 * s.o.MaxConnections, // the listener has the limit
		ReadTimeout:                  s.o.HeaderTimeout,
		IdleTimeout:                  s.o.IdleTimeout,
		ReadBufferSize:               headerBytes,
		ErrorHandler:                 problem.Write,
	})
	h := app.Server()
	h.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
		return fasthttp.RequestConfig{ReadTimeout: s.o.BodyTimeout}
	}
	h.CloseOnShutdown = true
	h.ErrorHandler = s.malformed
	route := h.Handler
	h.Handler = func(ctx *fasthttp.RequestCtx) {
		if err := strict(&ctx.Request.Header); err != nil {
			s.hangUp(ctx, err)
			return
		}
		if !slices.Contains(fiber.DefaultMethods, string(ctx.Method())) {
			ctx.Response.Header.Set(fiber.HeaderAllow, strings.Join(fiber.DefaultMethods, ", "))
			s.malformed(ctx, fiber.ErrMethodNotAllowed)
			return
		}
		if path := ctx.URI().PathOriginal(); len(path) == 0 || path[0] != '/' {
			s.hangUp(ctx, malformedHeader("the request's target is no path"))
			return
		}
		route(ctx)
	}
	return app
}

// Serve answers on the listener until Shutdown; the error is nil then. With
// TLS it fails at once if the files can't be used.
func (s *Server) Serve(l net.Listener) error {
	own := newListener(l, s.o.MaxConnections, s.o.StallTimeout)
	if s.o.TLS != nil {
		certificates, err := newCertificates(*s.o.TLS, s.o.Logger)
		if err != nil {
			return err
		}
		own.tls = certificates.serverConfig()
	}
	s.listener.Store(own)
	if s.Draining() { // Shutdown may have come too early to see the listener
		return own.Close()
	}
	return s.app.Listener(own, fiber.ListenConfig{DisableStartupMessage: true})
}

// Draining reports whether Shutdown has begun.
func (s *Server) Draining() bool { return s.isDraining.Load() }

// abortGrace is how long handlers get to notice that the drain has run out.
const abortGrace = 5 * time.Second

// Shutdown drains the server: /readyz turns, then no more connections are
// accepted, and the requests under way are finished. When ctx ends first, their
// contexts are canceled. The error is nil if no handler is left running. It may
// be called once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	sleep(ctx, s.o.DrainDelay)
	if l := s.listener.Load(); l != nil {
		l.Close()
		l.hurry()
	}
	err := s.app.ShutdownWithContext(ctx)
	s.abort(errs.New(errs.Unavailable, "shutting_down", "The server is shutting down and stopped the request."))
	if err == nil || errors.Is(err, fiber.ErrNotRunning) {
		return nil
	}
	grace, cancel := context.WithTimeout(context.Background(), abortGrace)
	defer cancel()
	for s.active.Load() > 0 {
		if !sleep(grace, 5*time.Millisecond) {
			return fmt.Errorf("%d requests are still running", s.active.Load())
		}
	}
	return nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// malformed answers what isn't a request, or none that can be routed.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
	c := s.app.AcquireCtx(ctx)
	defer s.app.ReleaseCtx(c)
	start := time.Now()
	s.attach(c)
	s.fail(c, malformedError(err))
	s.finish(c, "malformed", start)
}

// hangUp answers a request that leaves open where it ends.
func (s *Server) hangUp(ctx *fasthttp.RequestCtx, err error) {
	ctx.SetConnectionClose()
	s.malformed(ctx, err)
	if own, ok := ctx.Conn().(*conn); ok {
		own.closeGently()
	}
}

// malformedError keeps nothing of fasthttp's text, which quotes the request and
// with it its key.
func malformedError(err error) error {
	var tooBig *fasthttp.ErrSmallBuffer
	var timeout net.Error
	var own *fiber.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &tooBig):
		return fiber.ErrRequestHeaderFieldsTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return fiber.ErrRequestTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errs.New(errs.Invalid, "body_truncated", "The connection ended before the body did.")
	}
	if errs.CodeOf(err) == "malformed_request" {
		return err
	}
	return errs.New(errs.Invalid, "malformed_request", "This is not a well-formed HTTP request.")
}
