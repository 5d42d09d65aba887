// Package problem turns errors into HTTP answers: RFC 9457 problem documents
// with a stable code, the request's id and the bad fields. It holds the one
// table that maps an error kind to a status, and is the only place that
// decides what a client gets to read of an error.
//
// A cause (errs.Error.Err) is never sent. Write keeps the whole error with the
// request, and the server's access log prints it from there.
//
// A page of the console isn't for programs: RenderWith makes Write answer such a
// request with a page of the same status.
//
// It owns no goroutines and no locks.
package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
)

// CodeHeader holds the problem's code in answers that aren't for programs.
const CodeHeader = "X-Problem-Code"

// ContentType is the media type of every error answer.
const ContentType = "application/problem+json"

// statusClientClosed is the status of a request whose caller went away; no
// client reads it, logs and metrics do. (The number is nginx's.)
const statusClientClosed = 499

// retryAfterSeconds is what a 503 tells the client when the handler has not set
// a better Retry-After: overload and start-up pass quickly.
const retryAfterSeconds = "1"

// statuses maps each kind of error to its status.
//
// NotSupported is a 422 and not a 501: the request asked for it, the server is
// well, and a client must be able to tell the two apart by the class alone.
var statuses = [...]int{
	errs.Internal:     http.StatusInternalServerError,
	errs.Invalid:      http.StatusBadRequest,
	errs.NotFound:     http.StatusNotFound,
	errs.Conflict:     http.StatusConflict,
	errs.Precondition: http.StatusPreconditionFailed,
	errs.TooLarge:     http.StatusRequestEntityTooLarge,
	errs.NotSupported: http.StatusUnprocessableEntity,
	errs.Unavailable:  http.StatusServiceUnavailable,
	errs.Timeout:      http.StatusGatewayTimeout,
	errs.Canceled:     statusClientClosed,
	errs.StorageFull:  http.StatusInsufficientStorage,
	errs.Corrupt:      http.StatusInternalServerError,

	errs.Unauthenticated: http.StatusUnauthorized,
	errs.Forbidden:       http.StatusForbidden,
	errs.RateLimited:     http.StatusTooManyRequests,
	errs.Gone:            http.StatusGone,
}

// Problem is the body of an error answer (RFC 9457). Code, RequestID and Errors
// are extension members.
type Problem struct {
	// Type is always about:blank: Code tells problems apart, Title is the status's phrase.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Code is stable and machine-readable.
	Code      string            `json:"code"`
	RequestID string            `json:"request_id,omitempty"`
	Errors    []errs.FieldError `json:"errors,omitempty"`
	// OldestSequence and LatestSequence stand in the 410 of the change feed.
	OldestSequence uint64 `json:"oldest_sequence,omitzero"`
	LatestSequence uint64 `json:"latest_sequence,omitzero"`
}

// Of describes err as a client may see it: an errs.Error by its kind, code and
// sentence, an error of the router by its status, a context's end as a timeout
// or a cancellation, and anything else as an internal error without its text.
func Of(err error) Problem {
	var e *errs.Error
	if errors.As(err, &e) {
		return ofError(e)
	}
	var f *fiber.Error
	if errors.As(err, &f) {
		return ofRouter(f)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(StatusOf(errs.Timeout), "request_timeout", "The request took too long and was stopped.")
	case errors.Is(err, context.Canceled):
		return newProblem(StatusOf(errs.Canceled), "canceled", "The request was canceled.")
	}
	return newProblem(StatusOf(errs.Internal), "internal",
		"The server failed on this request; its log has the cause under the request id.")
}

// StatusOf returns the HTTP status of a kind of error.
func StatusOf(kind errs.Kind) int {
	if int(kind) < len(statuses) {
		return statuses[kind]
	}
	return http.StatusInternalServerError
}

// Write answers the request with err as a problem document and keeps err with
// the request for the access log. Headers set before, such as Allow or a
// Retry-After of the caller's, stay. A context's end is answered with the cause
// the context was given, if that is an errs.Error.
func Write(c fiber.Ctx, err error) error {
	err = explainContext(c.Context(), err)
	c.Locals(recordKey{}, err)
	p := Of(err)
	p.RequestID = c.GetRespHeader(fiber.HeaderXRequestID)
	if p.Status == http.StatusServiceUnavailable && c.GetRespHeader(fiber.HeaderRetryAfter) == "" {
		c.Set(fiber.HeaderRetryAfter, retryAfterSeconds)
	}
	c.Status(p.Status)
	if render, ok := c.Locals(rendererKey{}).(Renderer); ok {
		c.Set(CodeHeader, p.Code)
		failed := render(c, p)
		if failed == nil {
			return nil
		}
		// The document still says what is wrong.
		c.Locals(recordKey{}, errors.Join(err, fmt.Errorf("the page of the problem: %w", failed)))
		c.Response().ResetBody()
	}
	// A detail may quote what a client sent, so it need not be UTF-8.
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, ContentType)
	return c.Status(p.Status).Send(body)
}

// Renderer answers a request with a problem in another form than JSON. The status
// is set already; the renderer sets the content type and the body.
type Renderer func(fiber.Ctx, Problem) error

// RenderWith makes Write leave this request's answer to render.
func RenderWith(c fiber.Ctx, render Renderer) { c.Locals(rendererKey{}, render) }

type rendererKey struct{}

// Recorded returns the error that Write answered this request with, nil if it
// did not.
func Recorded(c fiber.Ctx) error {
	err, _ := c.Locals(recordKey{}).(error)
	return err
}

type recordKey struct{}

// explainContext replaces a bare context error by the reason the context ended.
func explainContext(ctx context.Context, err error) error {
	var e *errs.Error
	if errors.As(err, &e) || ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	if cause := context.Cause(ctx); errors.As(cause, &e) {
		return cause
	}
	return err
}

func ofError(e *errs.Error) Problem {
	p := newProblem(StatusOf(e.Kind), e.Code, e.Detail)
	p.Errors = e.Fields
	p.OldestSequence, p.LatestSequence = e.Numbers["oldest_sequence"], e.Numbers["latest_sequence"]
	return p
}

func ofRouter(f *fiber.Error) Problem {
	switch f.Code {
	case http.StatusNotFound:
		return newProblem(f.Code, "route_not_found", "There is nothing at this path.")
	case http.StatusMethodNotAllowed:
		return newProblem(f.Code, "method_not_allowed", "This path does not answer that method; Allow lists those it does.")
	case http.StatusRequestEntityTooLarge:
		return newProblem(f.Code, "body_too_large", f.Message)
	case http.StatusRequestHeaderFieldsTooLarge:
		return newProblem(f.Code, "header_too_large", "The request line and headers are too large.")
	case http.StatusRequestTimeout:
		return newProblem(f.Code, "read_timeout", "The request did not arrive in time.")
	case http.StatusUnsupportedMediaType:
		return newProblem(f.Code, "unsupported_media_type", f.Message)
	}
	if f.Code >= http.StatusInternalServerError {
		return newProblem(f.Code, "internal", http.StatusText(f.Code)+".")
	}
	return newProblem(f.Code, "malformed_request", f.Message)
}

func newProblem(status int, code, detail string) Problem {
	title := http.StatusText(status)
	if status == statusClientClosed {
		title = "Client Closed Request"
	}
	return Problem{Type: "about:blank", Title: title, Status: status, Detail: detail, Code: code}
}
