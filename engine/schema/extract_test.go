package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

func TestExtract(t *testing.T) {
	doc := `{"s":"x","o":{"p":{"q":1}},"list":[1,"two",null,[3,[]],{"z":1}],"objs":[{"k":1},{"k":[2,3]},{},5,[{"k":4}]],"empty":[],"n":null}`
	for _, c := range []struct{ path, values, raw string }{
		{"s", `["x"]`, `"x"`},
		{"o", `[{}]`, `{"p":{"q":1}}`},
		{"o.p.q", `[1]`, `1`},
		{"o.x", `[]`, ``},
		{"s.x", `[]`, ``},
		{"list", `[1,"two",null,3,{},{}]`, `[1,"two",null,[3,[]],{"z":1}]`},
		{"list.z", `[1]`, ``},
		{"objs.k", `[1,2,3,4]`, ``},
		{"empty", `[{}]`, `[]`},
		{"empty.x", `[]`, ``},
		{"n", `[null]`, `null`},
		{"absent", `[]`, ``},
	} {
		var x Extracted
		if err := NewExtractor("other", c.path, c.path).Extract([]byte(doc), &x); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 2; i++ {
			if got := values(t, &x, i); got != c.values {
				t.Errorf("%s: values %s, want %s", c.path, got, c.values)
			}
			if got := string(x.Raw(i)); got != c.raw {
				t.Errorf("%s: raw %s, want %s", c.path, got, c.raw)
			}
			if x.Present(i) != (c.values != `[]`) {
				t.Errorf("%s: present is %v", c.path, x.Present(i))
			}
		}
		if x.Present(0) || x.Raw(0) != nil || x.Values(0) != nil {
			t.Errorf("an absent path has something")
		}
	}
}

func values(t *testing.T, x *Extracted, i int) string {
	t.Helper()
	text, err := json.Marshal(append([]Value{}, x.Values(i)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExtractAgainstDecoding compares random paths in random documents, both
// as they were written and compacted, with a walk over the decoded document.
func TestExtractAgainstDecoding(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var x Extracted
	for range 5_000 {
		doc := []byte(randomObject(rng, 4))
		paths := []string{randomPath(rng), randomPath(rng), randomPath(rng)}
		if rng.IntN(2) == 0 {
			var err error
			if doc, err = ValidateDocument(doc); err != nil {
				t.Fatalf("%s: %v", doc, err)
			}
		}
		if err := NewExtractor(paths...).Extract(doc, &x); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		for i, path := range paths {
			want := []Value{}
			for _, v := range naiveValues(decode(t, doc), strings.Split(path, ".")) {
				want = append(want, valueOf(t, v))
			}
			if got := append([]Value{}, x.Values(i)...); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s at %s: %v, want %v", doc, path, got, want)
			}
			if x.Present(i) != naivePresent(decode(t, doc), strings.Split(path, ".")) {
				t.Fatalf("%s at %s: present is %v", doc, path, x.Present(i))
			}
		}
	}
}

func naivePresent(v any, path []string) bool { return len(naiveValues(v, path)) > 0 }

// valueOf turns what encoding/json decodes into a Value.
func valueOf(t *testing.T, v any) Value {
	switch v := v.(type) {
	case nil:
		return Null()
	case bool:
		return BoolOf(v)
	case string:
		return StringOf(v)
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return IntOf(i)
		}
		f, err := v.Float64()
		if err != nil {
			t.Fatal(err)
		}
		return FloatOf(f)
	default:
		return Object()
	}
}

func TestExtractReuse(t *testing.T) {
	var x Extracted
	narrow, wide := NewExtractor("a"), NewExtractor("a", "b", "c.d")
	for i := range 10 {
		doc := fmt.Sprintf(`{"a":%d,"c":{"d":[%d,%d]}}`, i, i, i+1)
		if err := wide.Extract([]byte(doc), &x); err != nil {
			t.Fatal(err)
		}
		if got := values(t, &x, 2); got != fmt.Sprintf("[%d,%d]", i, i+1) || x.Present(1) {
			t.Fatalf("round %d: %s", i, got)
		}
		if err := narrow.Extract([]byte(`{}`), &x); err != nil || x.Present(0) {
			t.Fatalf("round %d: something is left, %v", i, err)
		}
	}
}

func TestExtractAllocates(t *testing.T) {
	doc := []byte(`{"n":1,"f":1.5,"list":[1,2,3],"b":true}`)
	x := NewExtractor("n", "f", "list", "b")
	var out Extracted
	allocs := testing.AllocsPerRun(100, func() {
		if err := x.Extract(doc, &out); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			out.Values(i)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for numbers, want none", allocs)
	}
}

// FuzzExtract reads what ValidateDocument never saw: it must not panic, and
// errors are Corrupt.
func FuzzExtract(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":2}]}`, `{"a":`, `{"a"`, `{"a":[`, `{"a":[1,`, `{"a":"`, `{"a":{"b"`, `{"`, `{"a":}`,
		`{"a":[}]`, `{"a":"\"`, `{"\u0061":1}`, `{"a":-}`, `{"a":[[[[`, `{"a":{"lat":1,"lon":`, strings.Repeat(`{"a":[`, 200), `{"a":[1 2]}`} {
		f.Add([]byte(seed), []byte(`{"a":{"b":null}}`))
	}
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		var x Extracted
		err := NewExtractor("a", "a.b", "b.a.a", "").Extract(doc, &x)
		for i := range 4 {
			x.Values(i)
			x.Raw(i)
			x.Points(i)
		}
		_, strip := Without([]string{"a.b", "b"}).Of(doc)
		_, project := Only([]string{"a.b", "b"}).Of(doc)
		for _, err := range []error{err, strip, project} {
			if err != nil && errs.KindOf(err) != errs.Corrupt {
				t.Fatalf("%q: %v", doc, err)
			}
		}
		_, err = MergePatch(doc, patch)
		var e *errs.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%q: %v", doc, err)
		}
	})
}
