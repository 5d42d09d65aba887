package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// anything stands in a document's answer for what differs from run to run: for
// any text in a line or a JSON string, for any lines where it is the whole line,
// for any value but null where it is a whole JSON value, for more elements in an
// array, and for more members in an object, as "…": "…".
const anything = "…"

// matches says how an answer differs from what the document shows; "" if it
// doesn't.
func matches(shown *block, got string) string {
	if shown.lang != "json" {
		return matchText(shown.text, got)
	}
	want, err := jsonValues(shown.text)
	if err != nil {
		return fmt.Sprintf("the answer shown isn't JSON: %v", err)
	}
	have, err := jsonValues(got)
	if err != nil {
		return fmt.Sprintf("the answer isn't JSON: %v", err)
	}
	return matchJSON("", any(want), any(have))
}

func jsonValues(text string) (values []any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return values, nil
		} else if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
}

func matchText(want, got string) string {
	pattern := ""
	for line := range strings.Lines(strings.TrimSpace(want) + "\n") {
		line = strings.TrimRight(line, " \n")
		if line == anything {
			pattern += `(?:.*\n)*`
			continue
		}
		pattern += strings.ReplaceAll(regexp.QuoteMeta(line), anything, `.*`) + `[ \t]*\n`
	}
	if !regexp.MustCompile(`^\s*` + pattern + `\s*$`).MatchString(strings.TrimSpace(got) + "\n") {
		return "the text differs"
	}
	return ""
}

func matchJSON(at string, want, got any) string {
	switch want := want.(type) {
	case string:
		if want == anything && got != nil { // null is what jq makes of a member that isn't there
			return ""
		}
		text, ok := got.(string)
		if !ok || matchText(want, text) != "" {
			return fmt.Sprintf("%s is %v, the document shows %q", at, got, want)
		}
		return ""
	case map[string]any:
		return matchObject(at, want, got)
	case []any:
		return matchArray(at, want, got)
	}
	if want != got {
		return fmt.Sprintf("%s is %v, the document shows %v", at, got, want)
	}
	return ""
}

func matchObject(at string, want map[string]any, got any) string {
	have, ok := got.(map[string]any)
	if !ok {
		return fmt.Sprintf("%s is %v, the document shows an object", at, got)
	}
	_, more := want[anything]
	for name, value := range want {
		if name == anything {
			continue
		}
		member, ok := have[name]
		if !ok {
			return fmt.Sprintf("%s has no member %q", at, name)
		}
		if differs := matchJSON(at+"/"+name, value, member); differs != "" {
			return differs
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok && !more {
			return fmt.Sprintf("%s has the member %q, which the document doesn't show", at, name)
		}
	}
	return ""
}

func matchArray(at string, want []any, got any) string {
	have, ok := got.([]any)
	if !ok {
		return fmt.Sprintf("%s is %v, the document shows an array", at, got)
	}
	for i, value := range want {
		if value == anything { // what follows it is held against the end
			rest := want[i+1:]
			if len(have) < i+len(rest) {
				return fmt.Sprintf("%s has only %d elements", at, len(have))
			}
			return matchArray(at, rest, have[len(have)-len(rest):])
		}
		if i >= len(have) {
			return fmt.Sprintf("%s has only %d elements", at, len(have))
		}
		if differs := matchJSON(fmt.Sprint(at, "/", i), value, have[i]); differs != "" {
			return differs
		}
	}
	if len(have) > len(want) {
		return fmt.Sprintf("%s has %d elements, the document shows %d", at, len(have), len(want))
	}
	return ""
}

// TestMatches holds that an answer that differs from the document is noticed.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		lang, want, got string
		same            bool
	}{
		{"text", "a\nb…d\n", "a\nbcd\n", true},
		{"text", "a\n…\nz", "a\nb\nc\nz", true},
		{"text", "a\n…\nz", "a\nz", true},
		{"text", "a", "a\nb", false},
		{"text", "a.c", "abc", false},
		{"text", "a\n…\nz", "a\nb", false},
		{"json", `{"a":1}`, `{"a":1}`, true},
		{"json", `{"a":1}`, `{"a":1.0}`, false},
		{"json", `{"a":1}`, `{"a":1,"b":2}`, false},
		{"json", `{"a":1,"…":"…"}`, `{"a":1,"b":2}`, true},
		{"json", `{"a":1,"b":"…"}`, `{"a":1}`, false},
		{"json", `{"a":"…"}`, `{"a":{"b":1}}`, true},
		{"json", `{"a":"…"}`, `{"a":null}`, false},
		{"json", `{"a":"x…"}`, `{"a":"xyz"}`, true},
		{"json", `{"a":"x…"}`, `{"a":"yz"}`, false},
		{"json", `[1,"…",3]`, `[1,2,2,3]`, true},
		{"json", `[1,"…",3]`, `[1,2]`, false},
		{"json", `[1]`, `[1,2]`, false},
		{"json", `[1,2]`, `[1]`, false},
		{"json", `{"a":1} {"b":null}`, "{\"a\":1}\n{\"b\":null}", true},
		{"json", `{"a":1}`, `{"a":1} {}`, false},
		{"json", `{"a":1}`, `no`, false},
	} {
		if differs := matches(&block{lang: c.lang, text: c.want}, c.got); (differs == "") != c.same {
			t.Errorf("%s %q, got %q: %q", c.lang, c.want, c.got, differs)
		}
	}
}
