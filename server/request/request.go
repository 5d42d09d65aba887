// Package request is what the server attaches to a request before a handler
// sees it: its id, who sends it, its body as a stream, and a context for work
// that may last longer than the request's own deadline.
//
// A handler takes its context from c.Context(): it ends at the request's
// deadline and when the server's drain runs out. A body is read before the
// handler runs and c.Body() holds it in fresh memory, except on the streamed
// routes, where Body is the only way to read it.
//
// It owns no goroutines and no locks.
package request

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/auth"
)

// Info is attached to each request.
type Info struct {
	// ID is echoed in X-Request-ID.
	ID string
	// Remote is the client's address, as told by the trusted proxies if the
	// connection comes from one; invalid outside of TCP.
	Remote netip.Addr
	// Principal is who sends the request. On public routes and before the key was
	// checked it is the zero value, who may do nothing.
	Principal auth.Principal
	// Role is what the matched route asks for, the zero value if none matched.
	Role auth.Role
	// SessionEnded is closed when the session that the request came with ends; nil
	// if it came with a key, or without either.
	SessionEnded <-chan struct{}
	// Audited is set for calls that the audit log tells of whatever their role, such
	// as a sign-in.
	Audited bool
	// BodyBytes of the body were read so far.
	BodyBytes int64
	// Lifetime has no deadline; it ends when the server's drain runs out.
	Lifetime context.Context
	// Closing is closed when the server's drain begins, or the key that the request
	// came with is gone or has another role.
	Closing <-chan struct{}
	// Stalled reports whether the connection was given up because the client took
	// nothing of the answer for too long; nil if that isn't known.
	Stalled func() bool
	// Panicked is told of a panic in an answer that streams; nil is nobody.
	Panicked func(err error)
	// Stream is the unread body of a streamed request, nil otherwise. Its errors
	// are fit for problem.Write.
	Stream io.Reader
}

type infoKey struct{}

// Attach puts info on the request.
func Attach(c fiber.Ctx, info *Info) { c.Locals(infoKey{}, info) }

// ID returns the request's id, empty outside a server.
func ID(c fiber.Ctx) string {
	if info := Of(c); info != nil {
		return info.ID
	}
	return ""
}

// Principal returns who sends the request, the zero value on public routes and
// outside a server.
func Principal(c fiber.Ctx) auth.Principal {
	if info := Of(c); info != nil {
		return info.Principal
	}
	return auth.Principal{}
}

// Body reads the request's body, streamed or not. It is valid until the handler
// returns. A body cut short, broken or too slow is an error, never an early EOF.
func Body(c fiber.Ctx) io.Reader {
	if info := Of(c); info != nil && info.Stream != nil {
		return info.Stream
	}
	return bytes.NewReader(c.BodyRaw())
}

// Lifetime returns a context without the request's deadline, for handlers whose
// contract is to wait for long work (a job, an import). It still ends when the
// server's drain runs out. Work that goes on after the handler has returned
// belongs to a job, not to this context.
func Lifetime(c fiber.Ctx) context.Context {
	if info := Of(c); info != nil && info.Lifetime != nil {
		return info.Lifetime
	}
	return c.Context()
}

// Closing is closed when an answer that streams without end must end: when the
// server begins to drain, as the answer would hold up the shutdown, and when the key
// that it was asked for with is gone or has another role. Outside a server it is
// nil, which is never closed. It may be kept beyond the handler.
func Closing(c fiber.Ctx) <-chan struct{} {
	if info := Of(c); info != nil {
		return info.Closing
	}
	return nil
}

// SessionEnded is closed when the session that the request came with ends: an
// answer that streams ends then, too. It is nil, which is never closed, for a
// request that came with a key (see Closing), without authentication, or outside a server. It may
// be kept beyond the handler.
func SessionEnded(c fiber.Ctx) <-chan struct{} {
	if info := Of(c); info != nil {
		return info.SessionEnded
	}
	return nil
}

// Stalled returns a function that tells, once a write of a streamed answer has
// failed, whether the client took nothing for too long; otherwise it went away.
// It may be kept beyond the handler.
func Stalled(c fiber.Ctx) func() bool {
	if info := Of(c); info != nil && info.Stalled != nil {
		return info.Stalled
	}
	return func() bool { return false }
}

// Stream answers with what write writes, after the handler has returned and in a
// goroutine of its own. A panic there ends this answer and goes into the log; it
// doesn't end the server.
func Stream(c fiber.Ctx, write func(w *bufio.Writer)) error {
	var panicked func(error)
	if info := Of(c); info != nil {
		panicked = info.Panicked
	}
	return c.SendStreamWriter(func(w *bufio.Writer) {
		defer func() {
			if r := recover(); r != nil && panicked != nil {
				panicked(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
			}
		}()
		write(w)
	})
}

// Of returns what is attached to the request, nil outside a server.
func Of(c fiber.Ctx) *Info {
	info, _ := c.Locals(infoKey{}).(*Info)
	return info
}
