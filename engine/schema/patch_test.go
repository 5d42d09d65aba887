package schema

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

// TestMergePatchRFC has the examples of RFC 7396, appendix A, each also one
// level down, where a target and a patch may be any value.
func TestMergePatchRFC(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// The example of section 1.
		{`{"a":"b","c":{"d":"e","f":"g"}}`, `{"a":"z","c":{"f":null}}`, `{"a":"z","c":{"d":"e"}}`},
		// Ours: number texts and order stay, null inside an array stays.
		{`{"z":1.00,"y":9007199254740993,"x":1E5}`, `{"y":2.50}`, `{"z":1.00,"y":2.50,"x":1E5}`},
		{`{}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`},
		{`{}`, `{}`, `{}`},
		{`{"a":{}}`, `{"a":{}}`, `{"a":{}}`},
	} {
		if c.target[0] == '{' && c.patch[0] == '{' {
			checkPatch(t, c.target, c.patch, c.want)
		}
		checkPatch(t, `{"x":`+c.target+`}`, `{"x":`+c.patch+`}`, `{"x":`+c.want+`}`)
	}
	checkPatch(t, ``, `{"a":1,"b":null}`, `{"a":1}`)
	checkPatch(t, ` { "\u0061" : 1 , "b" : [ 1 ] } `, `{"a":2}`, `{"\u0061":2,"b":[ 1 ]}`)
}

func checkPatch(t *testing.T, target, patch, want string) {
	t.Helper()
	got, err := MergePatch([]byte(target), []byte(patch))
	if err != nil || string(got) != want {
		t.Errorf("%s patched with %s is %s (%v), want %s", target, patch, got, err, want)
	}
}

func TestMergePatchRefuses(t *testing.T) {
	for patch, code := range map[string]string{
		`[]`: "not_an_object", `null`: "not_an_object", `"a"`: "not_an_object",
		`{"a":1,"a":2}`: "invalid_json", `{"a":1e999}`: "number_out_of_range", ``: "invalid_json",
		nested(65, "1"): "too_deep",
	} {
		if got, err := MergePatch([]byte(`{"a":1}`), []byte(patch)); errs.CodeOf(err) != code {
			t.Errorf("%.40s: %s, %v, want %s", patch, got, err, code)
		}
	}
	if _, err := MergePatch([]byte(`{"a":`), []byte(`{}`)); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a broken document gives %v", err)
	}
}

func TestMergePatchKeepsDepth(t *testing.T) {
	doc, err := MergePatch([]byte(nested(64, "1")), []byte(nested(63, `{"b":2}`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ValidateDocument(doc); err != nil {
		t.Error(err)
	}
}

func TestMergePatchAgainstRFCPseudocode(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5_000 {
		doc, patch := []byte(randomObject(rng, 3)), []byte(randomObject(rng, 3))
		got, err := MergePatch(doc, patch)
		if err != nil {
			t.Fatalf("%s patched with %s: %v", doc, patch, err)
		}
		if want := naivePatch(decode(t, doc), decode(t, patch)); !reflect.DeepEqual(decode(t, got), want) {
			t.Fatalf("%s patched with %s is %s, want %v", doc, patch, got, want)
		}
	}
}

func TestProject(t *testing.T) {
	const doc = `{"a":{"x":1,"y":2},"b":[{"x":1,"y":2},{"y":3},4,[{"x":5}]],"c":"s","v":[0.10,2]}`
	for _, c := range []struct{ paths, projected, stripped string }{
		{"", doc, doc},
		{"c", `{"c":"s"}`, `{"a":{"x":1,"y":2},"b":[{"x":1,"y":2},{"y":3},4,[{"x":5}]],"v":[0.10,2]}`},
		{"a.x b.x", `{"a":{"x":1},"b":[{"x":1},{},[{"x":5}]]}`, `{"a":{"y":2},"b":[{"y":2},{"y":3},4,[{}]],"c":"s","v":[0.10,2]}`},
		{"a a.x", `{"a":{"x":1,"y":2}}`, `{"b":[{"x":1,"y":2},{"y":3},4,[{"x":5}]],"c":"s","v":[0.10,2]}`},
		{"v c.x zzz", `{"v":[0.10,2]}`, `{"a":{"x":1,"y":2},"b":[{"x":1,"y":2},{"y":3},4,[{"x":5}]],"c":"s"}`},
		{"a b c v", doc, `{}`},
	} {
		paths := strings.Fields(c.paths)
		if got, err := Only(paths).Of([]byte(doc)); err != nil || string(got) != c.projected {
			t.Errorf("project %q: %s, %v\nwant %s", c.paths, got, err, c.projected)
		}
		if got, err := Without(paths).Of([]byte(doc)); err != nil || string(got) != c.stripped {
			t.Errorf("strip %q: %s, %v\nwant %s", c.paths, got, err, c.stripped)
		}
	}
}

func TestProjectAgainstDecoding(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 5_000 {
		doc := []byte(randomObject(rng, 4))
		paths := []string{randomPath(rng), randomPath(rng)}
		split := [][]string{strings.Split(paths[0], "."), strings.Split(paths[1], ".")}
		for _, keep := range []bool{true, false} {
			got, err := newProjection(paths, keep).Of(doc)
			if err != nil {
				t.Fatalf("%s: %v", doc, err)
			}
			want, _ := naiveProject(decode(t, doc), split, keep)
			if !reflect.DeepEqual(decode(t, got), want) {
				t.Fatalf("%s, %q, keep %v: %s, want %v", doc, paths, keep, got, want)
			}
		}
	}
}
