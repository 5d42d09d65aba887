package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

func nested(depth int, inner string) string {
	return strings.Repeat(`{"a":`, depth) + inner + strings.Repeat(`}`, depth)
}

func TestValidateDocument(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{}`, `{}`},
		{" \t\r\n{ \"a\" : [ 1 , 2 ] }\n", `{"a":[1,2]}`},
		{`{"a":1.50,"b":1E+2,"c":-0,"d":1e-999}`, `{"a":1.50,"b":1E+2,"c":-0,"d":1e-999}`},
		{`{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993,"d":1e308}`,
			`{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993,"d":1e308}`},
		{`{"\u0061":"\u00e9\/\ud83d\ude00\u0000\u007f"}`, `{"a":"é/😀\u0000` + "\x7f" + `"}`},
		{`{"":{"":null}}`, `{"":{"":null}}`},
		{`{"a":{"x":1},"b":{"x":1}}`, `{"a":{"x":1},"b":{"x":1}}`},
		{`{"s":"]}[{\\\"","t":[[],{}]}`, `{"s":"]}[{\\\"","t":[[],{}]}`},
		{nested(64, "1"), nested(64, "1")},
		{`{"a":` + strings.Repeat("1", 308) + `}`, `{"a":` + strings.Repeat("1", 308) + `}`},
		{`{"a":0.` + strings.Repeat("1", 400) + `}`, `{"a":0.` + strings.Repeat("1", 400) + `}`},
	} {
		got, err := ValidateDocument([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s\n got %s, %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

func TestValidateDocumentCopies(t *testing.T) {
	in := []byte(`{"a":1}`)
	got, err := ValidateDocument(in)
	if err != nil {
		t.Fatal(err)
	}
	in[5] = '2'
	if string(got) != `{"a":1}` {
		t.Errorf("the document shares memory with the input: %s", got)
	}
}

// TestValidateDocumentRefuses has the cases of RFC 8259 that parsers differ in.
func TestValidateDocumentRefuses(t *testing.T) {
	for _, c := range []struct{ in, code, pointer string }{
		{``, "invalid_json", ""},
		{`{`, "invalid_json", ""},
		{`{"a":[1,`, "invalid_json", "/a"},
		{`{"a":1}}`, "invalid_json", ""},
		{`{"a":1} {}`, "invalid_json", ""},
		{`{a:1}`, "invalid_json", ""},
		{`{'a':1}`, "invalid_json", ""},
		{`{"a":1,}`, "invalid_json", ""},
		{`{"a":[1,]}`, "invalid_json", "/a/1"},
		{`{"a" 1}`, "invalid_json", "/a"},
		{`{"a":01}`, "invalid_json", ""},
		{`{"a":.5}`, "invalid_json", "/a"},
		{`{"a":1.}`, "invalid_json", "/a"},
		{`{"a":+1}`, "invalid_json", "/a"},
		{`{"a":0x1}`, "invalid_json", ""},
		{`{"a":1e}`, "invalid_json", "/a"},
		{`{"a":NaN}`, "invalid_json", "/a"},
		{`{"a":Infinity}`, "invalid_json", "/a"},
		{`{"a":-}`, "invalid_json", "/a"},
		{`{"a":tru}`, "invalid_json", "/a"},
		{`{"a":True}`, "invalid_json", "/a"},
		{"{\"a\":\"\t\"}", "invalid_json", "/a"},
		{"{\"a\":\"\n\"}", "invalid_json", "/a"},
		{`{"a":"\x"}`, "invalid_json", "/a"},
		{`{"a":"\u12"}`, "invalid_json", "/a"},
		{`{"a":"\ud800"}`, "invalid_json", "/a"},
		{`{"a":"\udc00\ud800"}`, "invalid_json", "/a"},
		{"{\"a\":\"\xff\"}", "invalid_json", "/a"},
		{"{\"a\":\"\xc0\x80\"}", "invalid_json", "/a"},
		{"{\"a\":\"\xed\xa0\x80\"}", "invalid_json", "/a"},
		{"\xef\xbb\xbf{}", "invalid_json", ""},
		{"{}\x00", "invalid_json", ""},
		{`/**/{}`, "invalid_json", ""},
		{`{"a":1,"a":2}`, "invalid_json", "/a"},
		{`{"a":1,"\u0061":2}`, "invalid_json", "/a"},
		{`{"b":[{"x":1,"x":1}]}`, "invalid_json", "/b/0/x"},
		{`[]`, "not_an_object", ""},
		{`"a"`, "not_an_object", ""},
		{`1`, "not_an_object", ""},
		{`null`, "not_an_object", ""},
		{`true`, "not_an_object", ""},
		{nested(65, "1"), "too_deep", strings.Repeat("/a", 64)},
		{nested(63, "[[[1]]]"), "too_deep", strings.Repeat("/a", 63) + "/0"},
		{nested(64, "[1]"), "too_deep", strings.Repeat("/a", 64)},
		{`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "invalid_json", ""},
		{`{"a":1e999}`, "number_out_of_range", "/a"},
		{`{"a~/b":[0,-1e309]}`, "number_out_of_range", "/a~0~1b/1"},
		{`{"a":` + strings.Repeat("9", 310) + `}`, "number_out_of_range", "/a"},
		{`{"a":[1,` + strings.Repeat("9", 310) + `]}`, "number_out_of_range", "/a/1"},
		{`{"a":[` + strings.Repeat("1,", 400) + strings.Repeat("9", 310) + `,1]}`, "number_out_of_range", "/a/400"},
		{`{"a":[` + strings.Repeat("1,", 400) + `1e309]}`, "number_out_of_range", "/a/400"},
	} {
		got, err := ValidateDocument([]byte(c.in))
		if err == nil {
			t.Errorf("%.60q accepted as %s", c.in, got)
			continue
		}
		if errs.CodeOf(err) != c.code || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%.60q: %v, code %s, want %s", c.in, err, errs.CodeOf(err), c.code)
		}
		if p := pointerOf(err); c.pointer != "" && p != c.pointer {
			t.Errorf("%.60q: pointer %.80q, want %q", c.in, p, c.pointer)
		}
	}
}

func pointerOf(err error) string {
	var e *errs.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return "none"
	}
	return e.Fields[0].Pointer
}

// decode is encoding/json's view of a text, numbers as they are written.
func decode(t *testing.T, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func FuzzValidateDocument(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,{"b":"\u00e9"}]}`, ` { "a" : -1.5e+3 } `, `{"a":1e400}`, `{"a":1,"a":1}`,
		`{"a":"\ud83d"}`, nested(66, "[]"), `{"a":[[[]]],"b":"]"}`, `[`, "{\"\xff\":1}", `{"x":{"x":{"x":"\\\""}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		doc, err := ValidateDocument(in)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatalf("%q: kind of %v", in, err)
			}
			return
		}
		if !reflect.DeepEqual(decode(t, in), decode(t, doc)) {
			t.Fatalf("%q became %q", in, doc)
		}
		again, err := ValidateDocument(doc)
		if err != nil || !bytes.Equal(again, doc) {
			t.Fatalf("%q is not stable: %q, %v", doc, again, err)
		}
	})
}
