package server

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
)

// freeBodyBytes of each request don't count against the memory for bodies, so
// that small requests get through while big ones wait.
const freeBodyBytes = 64 << 10

// firstBodyBytes is the most that is allocated on a client's word alone.
const firstBodyBytes = 64 << 10

// bodyGrowth is how much of a body may be allocated, as a multiple of what has come.
const bodyGrowth = 4

// readBody reads the body into memory before the handler runs, within the limits
// of size, time and memory; or hands it over unread on a streamed route.
func (s *Server) readBody(c fiber.Ctx) error {
	if !c.Request().IsBodyStream() {
		return c.Next()
	}
	connection := connOf(c)
	if s.isStreamed(c) {
		defer connection.beginBody(s.lifetime, true)()
		info := request.Of(c)
		info.Stream = &bodyReader{c.Request().BodyStream(), connection, info}
		return c.Next()
	}
	held := &heldBytes{total: &s.bodyBytes, limit: s.o.MaxBufferedBytes}
	defer held.release()
	end := connection.beginBody(s.lifetime, false)
	body, err := s.bufferBody(c, held)
	end()
	if err != nil {
		return err
	}
	c.Request().SetBodyRaw(body)
	return c.Next()
}

func (s *Server) bufferBody(c fiber.Ctx, held *heldBytes) ([]byte, error) {
	declared := int64(c.Request().Header.ContentLength()) // -1: chunked
	limit := s.o.MaxRequestBytes
	if request.Of(c).Role == auth.Public { // nobody knows who sends it
		limit = min(limit, freeBodyBytes)
	}
	if declared > limit {
		return nil, s.tooLarge(limit)
	}
	held.reader = &bodyReader{c.Request().BodyStream(), connOf(c), request.Of(c)}
	body, err := readAll(io.LimitReader(held, limit+1), declared)
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > limit:
		return nil, s.tooLarge(limit)
	}
	return body, nil
}

// readAll is io.ReadAll for a body of a declared length, negative if it has none. A
// client's word counts for as much as bodyGrowth times what has come of it, so a long
// body is copied a third of a time and not once or twice.
func readAll(r io.Reader, declared int64) ([]byte, error) {
	if declared < 0 {
		return io.ReadAll(r)
	}
	room := min(declared, firstBodyBytes)
	body := make([]byte, 0, room+1) // one more, to find the end
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		case len(body) == cap(body):
			room = max(min(declared, bodyGrowth*room), 2*room, bytes.MinRead)
			body = append(make([]byte, 0, room+1), body...)
		}
	}
}

func (s *Server) tooLarge(limit int64) error {
	if limit < s.o.MaxRequestBytes {
		return errs.New(errs.TooLarge, "body_too_large", "The body is over %d bytes. Nothing was done.", limit)
	}
	return errs.New(errs.TooLarge, "body_too_large",
		"The body is over %d bytes, the limit set by server.max_request_size_mb. Send less at once, or stream NDJSON to a route that takes it.",
		limit)
}

// isStreamed reports whether the request goes to a streamed route with NDJSON, or
// to one for uploads with a form.
func (s *Server) isStreamed(c fiber.Ctx) bool {
	mediaType, route := strings.ToLower(c.MediaType()), c.Method()+" "+c.Path()
	return slices.Contains(ndjsonTypes, mediaType) && slices.Contains(s.o.StreamRoutes, route) ||
		mediaType == fiber.MIMEMultipartForm && slices.Contains(s.o.UploadRoutes, route)
}

var ndjsonTypes = []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}

// bodyReader turns the errors of a body into answers for its sender, and counts.
type bodyReader struct {
	stream io.Reader
	conn   *conn
	info   *request.Info
}

func (r *bodyReader) Read(p []byte) (int, error) {
	n, err := r.stream.Read(p)
	r.info.BodyBytes += int64(n)
	if err == nil || err == io.EOF {
		return n, err
	}
	if cause := r.conn.bodyErr(); cause != nil {
		return n, cause
	}
	return n, errs.New(errs.Invalid, "malformed_body", "The body isn't framed as HTTP wants it.")
}

// heldBytes counts what one request's body takes against the memory for all.
type heldBytes struct {
	reader     io.Reader
	total      *atomic.Int64
	limit      int64
	read, held int64
}

func (h *heldBytes) Read(p []byte) (int, error) {
	n, err := h.reader.Read(p)
	h.read += int64(n)
	if more := h.read - freeBodyBytes - h.held; more > 0 {
		h.held += more
		if h.total.Add(more) > h.limit {
			return n, errs.New(errs.Unavailable, "overloaded",
				"The bodies of the requests under way fill the memory set aside for them. Nothing was done; try again soon.")
		}
	}
	return n, err
}

func (h *heldBytes) release() { h.total.Add(-h.held) }
