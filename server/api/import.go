package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// A chunk of an import ends at so many operations or bytes, whichever is first:
// large enough to share one commit and one batch of the vector index, small
// enough that an import needs no memory to speak of.
const (
	chunkOperations = 1000
	chunkBytes      = 4 << 20
	// maxSlotBytes bounds what one place in the chunk keeps for the next document.
	maxSlotBytes = 32 << 10
)

// maxImportErrors is how many bad lines a summary lists.
const maxImportErrors = 100

// Wire types of NDJSON imports.
type (
	importSummary struct {
		Lines    int         `json:"lines" doc:"Lines read, blank ones not counted."`
		Accepted int         `json:"accepted" doc:"Operations applied: created + updated + deleted."`
		Created  int         `json:"created"`
		Updated  int         `json:"updated"`
		Deleted  int         `json:"deleted"`
		Failed   int         `json:"failed"`
		Errors   []lineError `json:"errors" doc:"The first 100 failures."`
		TookMs   float64     `json:"took_ms"`
	}
	lineError struct {
		Line   int    `json:"line" doc:"Counted from 1."`
		Key    string `json:"key,omitzero"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
)

// importLines answers POST /entities/batch with an NDJSON body. It reads with
// the request's lifetime instead of its deadline; each chunk has its own.
func (a *API) importLines(c fiber.Ctx) error {
	digest := sha256.New()
	var body io.Reader = &untilEnd{reader: request.Body(c)}
	if c.Get("Idempotency-Key") != "" {
		body = io.TeeReader(body, digest)
	}
	bodyHash := func() (sum hash, err error) {
		_, err = io.Copy(io.Discard, body)
		return [sha256.Size]byte(digest.Sum(nil)), err
	}
	return a.once.do(c, bodyHash, func() error {
		run := importRun{
			db: a.db, ctx: request.Lifetime(c), chunkTimeout: a.opts.ChunkTimeout(),
			lines: lineReader{buffer: bufio.NewReaderSize(body, 64<<10), maxBytes: a.opts.MaxLineBytes},
			start: time.Now(),
		}
		summary, err := run.all()
		if err != nil {
			return err
		}
		return rest.Answer(c, http.StatusOK, summary)
	})
}

// untilEnd never reads on after an error or the end: on a connection that would
// be the next request.
type untilEnd struct {
	reader io.Reader
	err    error
}

func (u *untilEnd) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	n, u.err = u.reader.Read(p)
	return n, u.err
}

// importRun is one import under way.
type importRun struct {
	db           Entities
	ctx          context.Context
	chunkTimeout time.Duration
	lines        lineReader
	start        time.Time
	summary      importSummary

	// The chunk being filled. Its slots are used again by the next one, and with
	// them the memory of their documents, which Apply doesn't keep.
	slots   []batchOperation
	ops     []engine.Op
	opLines []int
	bytes   int
}

func (r *importRun) all() (*importSummary, error) {
	r.summary.Errors = []lineError{}
	for {
		line, err := r.lines.next()
		switch {
		case err == io.EOF:
			if err := r.flush(); err != nil {
				return nil, err
			}
			r.summary.TookMs = milliseconds(time.Since(r.start))
			return &r.summary, nil
		case errors.Is(err, errLineTooLong):
			r.summary.Lines++
			r.fail("", r.lines.number, errs.New(errs.TooLarge, "line_too_long", "the line is longer than %d bytes", r.lines.maxBytes))
		case err != nil:
			return nil, r.brokenOff(err)
		default:
			if err := r.add(line); err != nil {
				return nil, err
			}
		}
	}
}

// add takes one line into the chunk and writes the chunk when it is full.
func (r *importRun) add(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	r.summary.Lines++
	slot := r.slot()
	err := rest.DecodeInto(line, slot)
	var op engine.Op
	if err == nil {
		op, err = slot.op()
	}
	if err != nil {
		r.fail(slot.Key, r.lines.number, err)
		return nil
	}
	r.ops = append(r.ops, op)
	r.opLines = append(r.opLines, r.lines.number)
	r.bytes += len(line)
	if len(r.ops) < chunkOperations && r.bytes < chunkBytes {
		return nil
	}
	return r.flush()
}

// slot is the next free one, with the memory of its last document.
func (r *importRun) slot() *batchOperation {
	i := len(r.ops)
	if i == len(r.slots) {
		r.slots = append(r.slots, batchOperation{})
	}
	slot := &r.slots[i]
	*slot = batchOperation{Entity: slot.Entity[:0]}
	return slot
}

// flush applies the chunk. An op that fails is a bad line; a chunk that fails as
// a whole ends the import.
func (r *importRun) flush() error {
	if len(r.ops) == 0 {
		return r.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.chunkTimeout)
	defer cancel()
	results, err := r.db.Apply(ctx, r.ops, false)
	if err != nil {
		return r.brokenOff(err)
	}
	for i := range results {
		r.count(r.ops[i].Kind, r.opLines[i], results[i])
	}
	r.ops, r.opLines, r.bytes = r.ops[:0], r.opLines[:0], 0
	for i := range r.slots {
		if cap(r.slots[i].Entity) > maxSlotBytes {
			r.slots[i].Entity = nil
		}
	}
	return nil
}

func (r *importRun) count(kind engine.OpKind, line int, result engine.OpResult) {
	switch {
	case result.Err != nil:
		r.fail(result.Key.String(), line, result.Err)
		return
	case kind == engine.OpDelete:
		r.summary.Deleted++
	case result.Created:
		r.summary.Created++
	default:
		r.summary.Updated++
	}
	r.summary.Accepted++
}

func (r *importRun) fail(key string, line int, err error) {
	r.summary.Failed++
	if len(r.summary.Errors) < maxImportErrors {
		p := problem.Of(err)
		r.summary.Errors = append(r.summary.Errors, lineError{line, key, p.Code, p.Detail})
	}
}

// brokenOff adds to err how far the import came.
func (r *importRun) brokenOff(err error) error {
	p := problem.Of(err)
	kind := errs.KindOf(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = errs.Timeout
	case errors.Is(err, context.Canceled):
		kind = errs.Canceled
	}
	first := r.lines.number
	if len(r.opLines) > 0 {
		first = r.opLines[0]
	}
	return errs.Wrap(err, kind, p.Code, "%s The import broke off: %d operations were applied and %d lines refused; nothing from line %d on was applied.",
		sentence(p.Detail), r.summary.Accepted, r.summary.Failed, first)
}

func sentence(s string) string {
	if s == "" || s[len(s)-1] == '.' {
		return s
	}
	return s + "."
}

var errLineTooLong = errors.New("line too long")

// lineReader splits a stream into lines of bounded length.
type lineReader struct {
	buffer   *bufio.Reader
	maxBytes int
	// number is that of the last line, from 1.
	number int
	// long holds a line that doesn't fit the buffer.
	long []byte
}

// next returns a line without its end, valid until the next call; io.EOF after
// the last; errLineTooLong for a line that was skipped.
func (r *lineReader) next() ([]byte, error) {
	r.number++
	line, err := r.buffer.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = r.rest(line)
	}
	line = bytes.TrimSpace(line)
	if err == io.EOF && len(line) > 0 {
		err = nil // a last line without an end
	}
	switch {
	case err != nil:
		return nil, err
	case len(line) > r.maxBytes:
		return nil, errLineTooLong
	}
	return line, nil
}

// rest reads on in a line longer than the buffer.
func (r *lineReader) rest(start []byte) ([]byte, error) {
	r.long = append(r.long[:0], start...)
	tooLong := false
	for {
		part, err := r.buffer.ReadSlice('\n')
		tooLong = tooLong || len(r.long)+len(part) > r.maxBytes
		if !tooLong {
			r.long = append(r.long, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case tooLong && (err == nil || err == io.EOF):
			return nil, errLineTooLong
		default:
			return r.long, err
		}
	}
}
