package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/rest"
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
	Entities
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
		run := importRun{
			db: db, ctx: context.Background(), chunkTimeout: time.Minute, start: time.Now(),
			lines: lineReader{buffer: bufio.NewReader(&endless{n: n, size: size}), maxBytes: 10 << 20},
		}
		summary, err := run.all()
		if err != nil || summary.Accepted != n || db.ops != n || summary.Failed != 0 {
			t.Fatalf("%+v, %v; %d applied, want %d", summary, err, db.ops, n)
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

// The document of a batch_insert item is its fields plus the vector, whatever the
// fields are.
func FuzzInsertDocument(f *testing.F) {
	f.Add(`{"a":1}`, "v")
	f.Add(` { } `, "v")
	f.Add(`{"a":{"x":1},"b":[]}`, "a.v")
	f.Add(`{"v":1}`, "v")
	f.Add(``, "a.b.c")
	f.Add("{\n\"a\" : 1 }", "v")
	f.Fuzz(func(t *testing.T, fields, column string) {
		path, err := schema.ParsePath(column)
		if err != nil {
			return
		}
		if fields != "" && !jsontext.Value(fields).IsValid() {
			return // a decoded body has no such fields
		}
		target := insertTarget{path: path}
		doc, err := target.document(&insertItem{Vector: jsontext.Value(`[1,2]`), Fields: jsontext.Value(fields)})
		if err != nil {
			return
		}
		var got, want map[string]jsontext.Value
		if err := json.Unmarshal(doc, &got); err != nil {
			if len(path) == 1 && json.Unmarshal([]byte(fields), &want) == nil && want[path[0]] != nil {
				return // the column twice: the engine refuses it
			}
			t.Fatalf("%s: %v", doc, err)
		}
		if fields != "" && json.Unmarshal([]byte(fields), &want) != nil {
			t.Fatalf("%q became %s", fields, doc)
		}
		for name, value := range want {
			if name != path[0] && !sameJSON(got[name], value) {
				t.Fatalf("%s lost %s: %s", doc, name, value)
			}
		}
		x := new(schema.Extracted)
		if err := schema.NewExtractor(column).Extract(doc, x); err != nil || !sameJSON(x.Raw(0), []byte(`[1,2]`)) {
			t.Fatalf("%s at %s is %s, %v", doc, column, x.Raw(0), err)
		}
	})
}

func sameJSON(a, b jsontext.Value) bool {
	a, b = a.Clone(), b.Clone()
	return a.Compact() == nil && b.Compact() == nil && bytes.Equal(a, b)
}

// Whatever the body, decoding it gives the type or an error of ours.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"table":"t","vector":[1,2]}`, `{"vectors":[{"b64":"AACAPw=="}],"k":3}`, `{"filter":{"and":[]},"x":1}`, `{`, ``, `null`, `{"vector":[1,{}]}`, `{"k":1e3}`, `{"a":1}{`,
		`{"predicates":[{"a":[]}],"max_distance":1e99}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if _, err := rest.Decode[searchRequest]([]byte(body)); err != nil {
			if len(fieldsOf(t, err)) == 0 {
				t.Errorf("%q: no pointer: %v", body, err)
			}
		} else if !jsontext.Value(body).IsValid() {
			t.Errorf("%q was taken", body)
		}
	})
}

func fieldsOf(t *testing.T, err error) []errs.FieldError {
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.Invalid || e.Code == "" || e.Detail == "" {
		t.Fatalf("%#v", err)
	}
	return e.Fields
}
