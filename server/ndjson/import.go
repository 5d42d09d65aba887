// Package ndjson is entities as lines of JSON: imports of any length, which the
// REST API and the console share, and the lines of exports, which an import takes
// back.
//
// An import works in chunks and needs the memory of a few of them. A bad line
// fails alone; the summary counts all of them and lists the first ones. When a
// chunk can't be written the import breaks off, and says how far it came.
//
// The package owns no goroutines and no locks.
package ndjson

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
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

// ImportSummary is the outcome of an import.
type ImportSummary struct {
	Lines    int         `json:"lines" doc:"Lines read, blank ones not counted."`
	Accepted int         `json:"accepted" doc:"Operations applied: created + updated + deleted."`
	Created  int         `json:"created"`
	Updated  int         `json:"updated"`
	Deleted  int         `json:"deleted"`
	Failed   int         `json:"failed"`
	Errors   []LineError `json:"errors" doc:"The first 100 failures."`
	TookMs   float64     `json:"took_ms"`
}

// LineError is what is wrong with one line.
type LineError struct {
	Line   int    `json:"line" doc:"Counted from 1."`
	Key    string `json:"key,omitzero"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Writer applies operations, as *engine.Engine does.
type Writer interface {
	Apply(ctx context.Context, ops []engine.Op, atomic bool) ([]engine.OpResult, error)
}

// Import is how lines are read and where they go.
type Import struct {
	DB Writer
	// ChunkTimeout bounds the writing of one chunk; 30 s.
	ChunkTimeout time.Duration
	// MaxLineBytes bounds one line; 10 MiB.
	MaxLineBytes int
	// Objects reads lines that are bare objects; nil reads operations.
	Objects *Objects
	// Progress is told after each chunk how far the import is, and how many bytes it
	// has read; nil isn't. The summary is the import's own.
	Progress func(s *ImportSummary, bytes int64)
}

// Run reads the body to its end. With an error, the import broke off; the error
// says where, and the summary what was done until then. The body has no deadline here but that of ctx.
func (o Import) Run(ctx context.Context, body io.Reader) (*ImportSummary, error) {
	if o.ChunkTimeout == 0 {
		o.ChunkTimeout = 30 * time.Second
	}
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = 10 << 20
	}
	source := &untilEnd{reader: body}
	run := importRun{
		o: o, ctx: ctx, start: time.Now(), body: source,
		lines: lineReader{buffer: bufio.NewReaderSize(source, 64<<10), maxBytes: o.MaxLineBytes},
	}
	return run.all()
}

// UntilEnd never reads on after an error or the end: on a connection that would
// be the next request.
func UntilEnd(body io.Reader) io.Reader { return &untilEnd{reader: body} }

type untilEnd struct {
	reader io.Reader
	bytes  int64
	err    error
}

func (u *untilEnd) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	n, u.err = u.reader.Read(p)
	u.bytes += int64(n)
	return n, u.err
}

// importRun is one import under way.
type importRun struct {
	o       Import
	ctx     context.Context
	body    *untilEnd
	lines   lineReader
	start   time.Time
	summary ImportSummary

	// The chunk being filled. Its slots are used again by the next one, and with
	// them the memory of their documents, which Apply doesn't keep.
	slots   []BatchOperation
	ops     []engine.Op
	opLines []int
	bytes   int
}

func (r *importRun) all() (*ImportSummary, error) {
	r.summary.Errors = []LineError{}
	for {
		line, err := r.lines.next()
		switch {
		case err == io.EOF:
			return r.end(r.flush())
		case errors.Is(err, errLineTooLong):
			r.summary.Lines++
			r.fail("", r.lines.number, errs.New(errs.TooLarge, "line_too_long", "the line is longer than %d bytes", r.lines.maxBytes))
		case err != nil:
			return r.end(r.brokenOff(err))
		default:
			if err := r.add(line); err != nil {
				return r.end(err)
			}
		}
	}
}

// end closes the summary.
func (r *importRun) end(err error) (*ImportSummary, error) {
	r.summary.TookMs = float64(time.Since(r.start).Microseconds()) / 1000
	return &r.summary, err
}

// add takes one line into the chunk and writes the chunk when it is full.
func (r *importRun) add(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	r.summary.Lines++
	op, key, err := r.read(line)
	if err != nil {
		r.fail(key, r.lines.number, err)
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

// read is the operation that a line says.
func (r *importRun) read(line []byte) (op engine.Op, key string, err error) {
	if r.o.Objects != nil {
		return r.o.Objects.op(line)
	}
	slot := r.slot()
	if err := slot.decode(line); err != nil {
		return op, slot.Key, err
	}
	op, err = slot.Write()
	return op, slot.Key, err
}

// slot is the next free one, with the memory of its last document.
func (r *importRun) slot() *BatchOperation {
	i := len(r.ops)
	if i == len(r.slots) {
		r.slots = append(r.slots, BatchOperation{})
	}
	slot := &r.slots[i]
	*slot = BatchOperation{Entity: slot.Entity[:0]}
	return slot
}

// flush applies the chunk. An op that fails is a bad line; a chunk that fails as
// a whole ends the import.
func (r *importRun) flush() error {
	if len(r.ops) == 0 {
		return r.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.o.ChunkTimeout)
	defer cancel()
	results, err := r.o.DB.Apply(ctx, r.ops, false)
	if err != nil {
		return r.brokenOff(err)
	}
	for i := range results {
		r.count(r.ops[i].Kind, r.opLines[i], results[i])
	}
	r.ops, r.opLines, r.bytes = r.ops[:0], r.opLines[:0], 0
	r.report()
	for i := range r.slots {
		if cap(r.slots[i].Entity) > maxSlotBytes {
			r.slots[i].Entity = nil
		}
	}
	return nil
}

func (r *importRun) report() {
	if r.o.Progress != nil {
		r.o.Progress(&r.summary, r.body.bytes)
	}
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
		r.summary.Errors = append(r.summary.Errors, LineError{line, key, p.Code, p.Detail})
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
