package tables

import (
	"bufio"
	"context"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/ndjson"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// export streams the entities that match as NDJSON, all of one moment. An export
// that can't be finished ends with a line that says so.
func (t *Tables) export(c fiber.Ctx) error {
	table, err := tableParam(c)
	if err != nil {
		return err
	}
	q, err := page.Values(c)
	if err != nil {
		return err
	}
	filter, err := filterform.Parse(q).Expr()
	if err != nil {
		return err
	}
	if _, err := t.db.Table(c.Context(), table); err != nil {
		return err
	}
	if t.exports.Add(1) > int64(t.o.MaxExports) {
		t.exports.Add(-1)
		return errs.New(errs.Unavailable, "overloaded", "%d exports are under way already. Try again when one has ended.", t.o.MaxExports)
	}
	c.Set(fiber.HeaderContentType, rest.NDJSONType)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+table+`.ndjson"`) // a table's name needs no escapes
	c.Set(fiber.HeaderCacheControl, "no-store")
	ctx, signedOut := request.Lifetime(c), request.SessionEnded(c)
	return request.Stream(c, func(w *bufio.Writer) {
		defer t.exports.Add(-1)
		defer func() { // what is only cut off would look whole
			if r := recover(); r != nil {
				_, _ = w.Write(ndjson.AppendBreak(nil, "The server failed; its log has the cause."))
				panic(r)
			}
		}()
		var line []byte
		err := t.db.Export(ctx, table, filter, func(e *engine.Entity) (err error) {
			if line, err = ndjson.AppendEntity(line[:0], e); err != nil {
				return err
			}
			select {
			case <-signedOut:
				return errSignedOut()
			default:
				return write(ctx, w, line)
			}
		})
		if err == nil {
			err = w.Flush()
		}
		if err != nil { // whoever is still there is told; nobody else can be
			_, _ = w.Write(ndjson.AppendBreak(nil, problem.Of(err).Detail))
			_ = w.Flush()
		}
	})
}

// errSignedOut ends an export whose reader may not read on.
func errSignedOut() error {
	return errs.New(errs.Unauthenticated, "session_ended", "The export was stopped: its session has ended.")
}

// write ends with the server's drain, even while the client takes everything.
func write(ctx context.Context, w *bufio.Writer, line []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := w.Write(line)
	return err
}
