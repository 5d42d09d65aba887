package ndjson

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/vccdb/vccdb/engine"
)

// The lines of a stream are those of its text, however it is cut up and however
// long they are against the buffer; those over the limit are reported.
func FuzzLineReader(f *testing.F) {
	f.Add("a\nb\r\n\n  c  ", uint16(8))
	f.Add(strings.Repeat("x", 100)+"\n"+strings.Repeat("y", 20)+"\n"+strings.Repeat("z", 21), uint16(20))
	f.Add("\n", uint16(0))
	f.Add("0", uint16(0))
	f.Fuzz(func(t *testing.T, text string, limit uint16) {
		r := lineReader{buffer: bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(text)), 16), maxBytes: int(limit)}
		for i, want := range strings.Split(text, "\n") {
			got, err := r.next()
			if err == io.EOF {
				if rest := strings.Split(text, "\n")[i:]; strings.TrimSpace(strings.Join(rest, "")) != "" {
					t.Fatalf("the end came before %q", rest)
				}
				return
			}
			if r.number != i+1 {
				t.Fatalf("line %d has number %d", i+1, r.number)
			}
			trimmed := strings.TrimSpace(want)
			switch {
			case err == errLineTooLong:
				if len(want)+1 <= int(limit) {
					t.Fatalf("%q is not over %d", want, limit)
				}
			case err != nil:
				t.Fatal(err)
			case string(got) != trimmed:
				t.Fatalf("got %q, want %q", got, trimmed)
			case len(trimmed) > int(limit):
				t.Fatalf("%q is over %d", trimmed, limit)
			}
		}
		if _, err := r.next(); err != io.EOF {
			t.Fatalf("after the end: %v", err)
		}
	})
}

// endless makes n lines of size bytes.
type endless struct {
	n, size int
	line    []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.line) == 0 {
		if e.n == 0 {
			return 0, io.EOF
		}
		e.n--
		e.line = fmt.Appendf(nil, `{"key":"t:%d","entity":{"pad":"%s"}}`+"\n", e.n, strings.Repeat("x", e.size))
	}
	n := copy(p, e.line)
	e.line = e.line[n:]
	return n, nil
}

// applied takes writes and measures the heap, which is all that the test of the
// import's memory wants of a database.
type applied struct {
	calls, ops, bytes int
	heap              []uint64
}

func (a *applied) Apply(_ context.Context, ops []engine.Op, _ bool) ([]engine.OpResult, error) {
	a.calls++
	a.ops += len(ops)
	size := 0
	for _, op := range ops {
		size += len(op.Doc)
	}
	a.bytes = max(a.bytes, size)
	if a.calls%10 == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		a.heap = append(a.heap, m.HeapAlloc)
	}
	return make([]engine.OpResult, len(ops)), nil
}

// An import needs the memory of a few chunks, not of what it imports: here ten
// times the allowed growth, in small lines and in big ones.
func TestImportMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("much data, one goroutine")
	}
	const allowed = 2 * chunkBytes
	for _, size := range []int{200, 300_000} {
		n := 10 * allowed / size
		db := &applied{}
		var told int64
		summary, err := Import{DB: db, Progress: func(_ *ImportSummary, bytes int64) { told = bytes }}.Run(t.Context(), &endless{n: n, size: size})
		if err != nil || summary.Accepted != n || db.ops != n || summary.Failed != 0 {
			t.Fatalf("%+v, %v; %d applied, want %d", summary, err, db.ops, n)
		}
		if told < int64(n*size) {
			t.Errorf("progress told of %d bytes", told)
		}
		if db.bytes > chunkBytes+size {
			t.Errorf("a chunk of %d bytes", db.bytes)
		}
		for _, heap := range db.heap {
			if heap > db.heap[0]+allowed {
				t.Errorf("lines of %d: the heap went from %d to %d bytes", size, db.heap[0], heap)
				break
			}
		}
	}
}

// recorder keeps what was written.
type recorder struct{ ops []string }

func (r *recorder) Apply(_ context.Context, ops []engine.Op, _ bool) ([]engine.OpResult, error) {
	for _, op := range ops {
		r.ops = append(r.ops, op.Key.String()+" "+string(op.Doc))
	}
	return make([]engine.OpResult, len(ops)), nil
}

func TestImportObjects(t *testing.T) {
	objects, err := NewObjects("books", "id")
	if err != nil {
		t.Fatal(err)
	}
	db := &recorder{}
	summary, err := Import{DB: db, Objects: objects}.Run(t.Context(), strings.NewReader(
		`{"id":"a:b","n":1}`+"\n"+` { "id" : 7 } `+"\n"+`{"n":1}`+"\n"+`{"id":["x","y"]}`+"\n"+`[1]`+"\n"+`{"id":""}`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(db.ops, "|"); got != `books:a:b {"id":"a:b","n":1}|books:7 {"id":7}` {
		t.Error(got)
	}
	if summary.Lines != 6 || summary.Failed != 4 || summary.Errors[0].Line != 3 || summary.Errors[0].Code != "missing_key" {
		t.Errorf("%+v", summary)
	}

	made, err := NewObjects("books", "")
	if err != nil {
		t.Fatal(err)
	}
	db = &recorder{}
	if _, err := (Import{DB: db, Objects: made}).Run(t.Context(), strings.NewReader("{}\n{}\n")); err != nil || len(db.ops) != 2 || db.ops[0] == db.ops[1] {
		t.Fatal(db.ops, err)
	}
	pk, _, _ := strings.Cut(strings.TrimPrefix(db.ops[0], "books:"), " ")
	if _, err := uuid.Parse(pk); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2]string{{"no table", ""}, {"t", "a..b"}} {
		if _, err := NewObjects(bad[0], bad[1]); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// An import takes what an export wrote, and refuses the mark of a broken one.
func TestExportedLines(t *testing.T) {
	line, err := AppendEntity(nil, &engine.Entity{Key: engine.Key{Table: "t", PK: `ü"\ü`}, Doc: []byte(`{"a":[1,2]}`)})
	if err != nil {
		t.Fatal(err)
	}
	line = AppendBreak(line, "the disk is gone")
	db := &recorder{}
	summary, err := Import{DB: db}.Run(t.Context(), strings.NewReader(string(line)))
	if err != nil || summary.Lines != 2 || summary.Failed != 1 || len(db.ops) != 1 || db.ops[0] != `t:ü"\ü {"a":[1,2]}` {
		t.Errorf("%+v, %v: %q", summary, err, db.ops)
	}
}
