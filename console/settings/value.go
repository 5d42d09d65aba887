package settings

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/server/config"
)

// text is a value as the field of a form has it.
func text(value jsontext.Value) string {
	switch value.Kind() {
	case '"':
		var s string
		if json.Unmarshal(value, &s) == nil {
			return s
		}
	case '[':
		return strings.Join(items(value), ", ")
	}
	return string(value)
}

// items are the members of a list; API keys, which are masked, by name and role.
func items(value jsontext.Value) []string {
	var texts []string
	if json.Unmarshal(value, &texts) == nil {
		return texts
	}
	var keys []config.MaskedKey
	if json.Unmarshal(value, &keys) != nil {
		return nil
	}
	texts = nil
	for _, k := range keys {
		name := k.Name
		if name == "" {
			name = "without a name"
		}
		texts = append(texts, name+" ("+k.Role+")")
	}
	return texts
}

// longest bounds values and sentences about them on the page.
const longest = 400

// shown is a value as a sentence has it.
func shown(value jsontext.Value) string {
	switch s := text(value); {
	case s != "":
		return format.Shorten(s, longest)
	case value.Kind() == '[':
		return "none"
	default:
		return "empty"
	}
}

// parse makes JSON of what a field has. What isn't of the setting's type stays a
// string, which the configuration refuses in its own words.
func parse(s *config.Setting, entered string) jsontext.Value {
	switch s.Type {
	case "boolean":
		if on, err := strconv.ParseBool(entered); err == nil {
			return truth(on)
		}
	case "integer":
		if n, err := strconv.ParseInt(entered, 10, 64); err == nil {
			return jsontext.Value(strconv.FormatInt(n, 10))
		}
	}
	value, err := jsontext.AppendQuote(nil, entered)
	if err != nil { // not UTF-8; what can't be read of it is replaced
		value, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(entered, "\uFFFD"))
	}
	return value
}

// meaning is what a number of a unit in the key's name amounts to, where that
// says more than the number: 1440 minutes are a day. Empty if there is nothing to
// say.
func meaning(key string, value jsontext.Value) string {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n <= 0 {
		return ""
	}
	var seconds int64
	switch {
	case strings.HasSuffix(key, "_minutes") && n >= 60:
		seconds = 60 * n
	case strings.HasSuffix(key, "_hours") && n >= 48:
		seconds = 3600 * n
	case strings.HasSuffix(key, "_seconds") && n >= 120:
		seconds = n
	case strings.HasSuffix(key, "_ms") && n >= 1000:
		return format.Millis(float64(n))
	case strings.HasSuffix(key, "_mb") && n >= 1024:
		return format.Bytes(uint64(n) << 20)
	default:
		return ""
	}
	return format.Millis(float64(seconds) * 1000)
}
