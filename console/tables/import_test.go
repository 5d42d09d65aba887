package tables

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

// form is the body of an import's form.
func form(lines, text, file string, fields ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	w.WriteField("lines", lines)
	for i := 0; i+1 < len(fields); i += 2 {
		w.WriteField(fields[i], fields[i+1])
	}
	w.WriteField("text", text)
	part, _ := w.CreateFormFile("file", "x.ndjson")
	io.WriteString(part, file)
	w.Close()
	return w.FormDataContentType(), b.String()
}

// TestImportExport: an export comes back whole, wherever the lines stand.
func TestImportExport(t *testing.T) {
	s := newSite(t)
	people(s, 700)
	exported := s.Get("tables/people/export").Body
	some := s.Get("tables/people/export?fcol=age&fop=lt&fval=10").Body
	if n := strings.Count(exported, "\n"); n != 700 {
		t.Fatalf("%d lines were exported", n)
	}
	if n := strings.Count(some, "\n"); n != 80 {
		t.Errorf("%d lines match", n)
	}
	if a := s.Get("tables/nobody/export"); a.Status != http.StatusNotFound {
		t.Error("the export of a missing table:", a.Status)
	}
	before := s.db.GetDoc("people:123")
	if err := s.db.DropTable(t.Context(), "people"); err != nil {
		t.Fatal(err)
	}

	first, rest, _ := strings.Cut(exported, "\n")
	contentType, body := form("operations", first, rest+"broken\n")
	a := s.Send("POST", "import", body, "Content-Type", contentType)
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Location, "import?job=") {
		t.Fatal(a.Status, a.Body, a.Location)
	}
	s.Page(a.Location, "701", "700", "1 line was refused", "invalid_json", "The import is done.")
	if got := s.db.GetDoc("people:123"); got != before {
		t.Errorf("%s came back as %s", before, got)
	}

	contentType, body = form("objects", `{"id":7,"n":1}`, "", "table", "numbers", "column", "id")
	if a := s.Send("POST", "import", body, "Content-Type", contentType); a.Status != http.StatusSeeOther || s.db.GetDoc("numbers:7") != `{"id":7,"n":1}` {
		t.Error(a.Status, a.Body)
	}
	contentType, body = form("objects", `{}`, "", "table", "no table")
	if a := s.Send("POST", "import", body, "Content-Type", contentType); a.Status != http.StatusBadRequest {
		t.Error("a bad table:", a.Status)
	}
	if a := s.Send("POST", "import", "text=x", "Content-Type", "application/x-www-form-urlencoded"); a.Status != http.StatusBadRequest {
		t.Error("a form without parts:", a.Status)
	}
	// Cut short: what came is kept, and the answer says that it broke off.
	contentType, body = form("operations", first, rest)
	if a := s.Send("POST", "import", body[:len(body)/2], "Content-Type", contentType); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "broke off") {
		t.Error(a.Status, a.Body)
	}
}

// TestUpload: the lines are those of the form, however it is cut up.
func TestUpload(t *testing.T) {
	contentType, body := form("objects", "a\nb", "c\nd\n", "table", " books ", "column", "id")
	for _, r := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body))} {
		u, err := openUpload(contentType, r)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := io.ReadAll(u)
		if err != nil || string(lines) != "a\nb\nc\nd\n" || !u.objects || u.table != "books" || u.column != "id" {
			t.Errorf("%q, %v, %+v", lines, err, u)
		}
	}
	contentType2, only := form("operations", "", "x\n")
	if u, err := openUpload(contentType2, strings.NewReader(only)); err != nil {
		t.Error(err)
	} else if lines, err := io.ReadAll(u); err != nil || string(lines) != "x\n" { // its first line is line 1
		t.Errorf("%q %v", lines, err)
	}
	broken := errs.New(errs.Invalid, "body_truncated", "cut")
	u, err := openUpload(contentType, io.MultiReader(strings.NewReader(body[:len(body)-40]), iotest.ErrReader(broken)))
	if err == nil {
		_, err = io.ReadAll(u)
	}
	if !errors.Is(err, broken) {
		t.Error("the connection's error is lost:", err)
	}
	long, text := form("objects", "x", "", "table", strings.Repeat("x", 5000))
	if _, err := openUpload(long, strings.NewReader(text)); errs.CodeOf(err) != "invalid_form" {
		t.Error(err)
	}
}

// failing breaks exports off.
type failing struct{ *testkit.DB }

func (f failing) Export(ctx context.Context, table string, filter *query.Expr, fn func(*engine.Entity) error) error {
	if err := f.DB.Export(ctx, table, filter, fn); err != nil {
		return err
	}
	return errs.New(errs.Corrupt, "corrupt", "A block is broken.")
}

func TestBrokenExport(t *testing.T) {
	s := newSite(t)
	people(s, 3)
	s.pages.db = failing{s.db}
	if a := s.Get("tables/people/export"); !strings.HasSuffix(a.Body, `{"export_broke_off":"A block is broken."}`+"\n") {
		t.Error(a.Body)
	}
	s.pages.o.MaxExports = 0
	if a := s.Get("tables/people/export"); a.Status != http.StatusServiceUnavailable {
		t.Error(a.Status)
	}
	if n := s.pages.exports.Load(); n != 0 {
		t.Errorf("%d exports are left over", n)
	}
}

func TestImportsRunning(t *testing.T) {
	s := newSite(t)
	release := make(chan struct{})
	if _, err := s.db.Jobs().Start(importKind, "books", func(context.Context, jobs.Progress) error { <-release; return nil }); err != nil {
		t.Fatal(err)
	}
	s.Page("import/running", "books", "progress")
	close(release)
	for range 100 {
		if len(s.pages.running("")) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("an import that ended is still listed")
}
