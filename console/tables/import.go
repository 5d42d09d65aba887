package tables

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/ndjson"
	"github.com/vccdb/vccdb/server/request"
)

// importKind is the kind of the jobs of imports.
const importKind = "import"

// ImportPath is the route that takes a form with a file as a stream.
const ImportPath = page.Prefix + "import"

// Import is the page of imports.
type Import struct {
	// Objects are lines that are bare entities, of the table and with the key from
	// the column.
	Objects       bool
	Table, Column string
	Tables        []string
	// Job is the import that the page is about, Summary its outcome; nil is none.
	Job     *jobs.Status
	Summary *ndjson.ImportSummary
	Running []jobs.Status
}

func (t *Tables) importForm(c fiber.Ctx) error {
	v := Import{Table: page.Query(c, "table"), Column: page.Query(c, "column"), Objects: page.Query(c, "lines") == "objects", Tables: t.tableNames()}
	id := page.Query(c, "job")
	if job, ok := t.db.Jobs().Get(id); ok && job.Status().Kind == importKind {
		s := job.Status()
		v.Job = &s
		if len(s.Result) > 0 {
			v.Summary = new(ndjson.ImportSummary)
			if err := json.Unmarshal(s.Result, v.Summary); err != nil {
				return err
			}
		}
	}
	v.Running = t.running(id)
	return t.frame.Show(c, page.Page{Title: "Import", Nav: nav, Crumbs: tableCrumbs(v.Table)}, importContent(v))
}

// running are the imports under way, but for the one that is shown anyway.
func (t *Tables) running(but string) []jobs.Status {
	return slices.DeleteFunc(t.db.Jobs().List(), func(s jobs.Status) bool {
		return s.Kind != importKind || s.State != jobs.Running || s.ID == but
	})
}

func (t *Tables) importsRunning(c fiber.Ctx) error {
	return t.frame.Part(c, importsRunning(t.running("")))
}

// upload is what a form of an import holds before its lines.
type upload struct {
	objects       bool
	table, column string
	parts         *multipart.Reader
	// lines is the first part with lines in it.
	lines *multipart.Part
	// begun says that it had something in it.
	begun bool
}

// maxUploadField bounds the fields before the lines.
const maxUploadField = 4 << 10

// openUpload reads a form up to its lines, which come last.
func openUpload(contentType string, body io.Reader) (*upload, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != fiber.MIMEMultipartForm || params["boundary"] == "" {
		return nil, errs.New(errs.Invalid, "invalid_form", "An import takes a form with a file. Nothing was imported. To send lines without a form, use POST /entities/batch.")
	}
	u := &upload{parts: multipart.NewReader(body, params["boundary"])}
	for {
		part, err := u.parts.NextPart()
		if err != nil {
			return nil, brokenForm(err, "The form has no lines in it. Nothing was imported.")
		}
		name := part.FormName()
		if name == "text" || name == "file" {
			u.lines = part
			return u, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, maxUploadField+1))
		if err != nil || len(value) > maxUploadField {
			return nil, brokenForm(err, "A field of the form is too long. Nothing was imported.")
		}
		switch text := strings.TrimSpace(string(value)); name {
		case "lines":
			u.objects = text == "objects"
		case "table":
			u.table = text
		case "column":
			u.column = text
		}
	}
}

// brokenForm leaves the errors of the connection as they are.
func brokenForm(err error, detail string) error {
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	return errs.New(errs.Invalid, "invalid_form", "%s", detail)
}

// Read reads the lines: those typed, then those of the file.
func (u *upload) Read(p []byte) (int, error) {
	for {
		n, err := u.lines.Read(p)
		switch {
		case n > 0 || err == nil:
			u.begun = u.begun || n > 0
			return n, nil
		case err != io.EOF:
			return 0, brokenForm(err, "The form ended before its file did.")
		}
		next, err := u.parts.NextPart()
		if err == io.EOF {
			return 0, io.EOF
		}
		if err != nil {
			return 0, brokenForm(err, "The form ended before its file did.")
		}
		u.lines = next
		if name := next.FormName(); name != "text" && name != "file" {
			return 0, errs.New(errs.Invalid, "invalid_form", "The form has something behind its lines.")
		}
		if u.begun { // what was typed may have no end of its last line
			u.begun = false
			p[0] = '\n'
			return 1, nil
		}
	}
}

// importLines runs an import as a job that reads the request's body, and goes on
// to the page of its outcome.
func (t *Tables) importLines(c fiber.Ctx) error {
	body := ndjson.UntilEnd(request.Body(c))
	u, err := openUpload(c.Get(fiber.HeaderContentType), body)
	if err != nil {
		return err
	}
	run := ndjson.Import{DB: t.db, ChunkTimeout: t.o.ChunkTimeout(), MaxLineBytes: t.o.MaxLineBytes}
	query := []string{}
	if u.objects {
		if run.Objects, err = ndjson.NewObjects(u.table, u.column); err != nil {
			return err
		}
		query = append(query, "lines", "objects", "table", u.table, "column", u.column)
	}
	lifetime, total := request.Lifetime(c), uint64(max(c.Request().Header.ContentLength(), 0))
	job, err := t.db.Jobs().Start(importKind, u.table, func(ctx context.Context, p jobs.Progress) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(lifetime, cancel)()
		p.Unit("bytes")
		p.Set(0, total)
		run.Progress = func(_ *ndjson.ImportSummary, bytes int64) { p.Set(min(uint64(bytes), total), total) }
		summary, err := run.Run(ctx, u)
		result, failure := json.Marshal(summary)
		if failure != nil {
			return failure
		}
		p.Result(result)
		if err == nil {
			p.Set(total, total)
		}
		return err
	})
	if err != nil {
		return err
	}
	// The job ends with the request's lifetime, and must: the body is the request's.
	err = job.Wait(context.WithoutCancel(lifetime))
	if errs.KindOf(err) == errs.Invalid && err != nil { // the body, not a line of it
		return err
	}
	notice := ""
	if err == nil {
		notice = "The import is done."
		if _, err := io.Copy(io.Discard, body); err != nil { // what ends the form
			return err
		}
	}
	return t.frame.Done(c, notice, "import", append(query, "job", job.ID())...)
}

// failedLines says how many lines aren't listed.
func failedLines(s *ndjson.ImportSummary) string {
	if s.Failed > len(s.Errors) {
		return "The first " + strconv.Itoa(len(s.Errors)) + " of them:"
	}
	return ""
}

var (
	_ ndjson.Writer = Database(nil)
	_ Database      = (*engine.Engine)(nil)
)
