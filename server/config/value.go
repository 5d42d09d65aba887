package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// fromFile checks a value as JSON or YAML decoded it and returns it in the
// key's own type. The error is a phrase that follows the key's name.
func (k *key) fromFile(value any) (any, error) {
	switch k.kind {
	case boolean:
		if v, ok := value.(bool); ok {
			return k.check(v)
		}
	case integer:
		if v, ok := wholeNumber(value); ok {
			return k.check(v)
		}
	case text:
		if v, ok := value.(string); ok {
			return k.check(v)
		}
	case list:
		if v, ok := texts(value); ok {
			return k.check(v)
		}
	case apiKeys:
		if v, ok := value.([]any); ok {
			return readAPIKeys(v)
		}
	}
	if value == nil {
		return nil, fmt.Errorf("has no value; give it one or leave the key out")
	}
	if k.kind == apiKeys { // the value may be a key that went astray
		return nil, fmt.Errorf("is no list; it must be %s", k.expected())
	}
	return nil, fmt.Errorf("is %s; it must be %s", show(value), k.expected())
}

// fromText checks a value from the environment or a flag.
func (k *key) fromText(value string) (any, error) {
	switch k.kind {
	case boolean:
		if v, err := strconv.ParseBool(value); err == nil {
			return k.check(v)
		}
	case integer:
		if v, err := strconv.Atoi(value); err == nil {
			return k.check(v)
		}
	case text:
		return k.check(value)
	case list:
		return k.check(textList(value))
	case apiKeys:
		return parseAPIKeys(value)
	}
	return nil, fmt.Errorf("is %q; it must be %s", value, k.expected())
}

// check holds a typed value against the key's range, and against what is built.
func (k *key) check(value any) (any, error) {
	valid := true
	switch v := value.(type) {
	case int:
		valid = v >= k.min && v <= k.max
	case string:
		if k.required && v == "" {
			return nil, fmt.Errorf("is empty; it must be %s", k.expected())
		}
		valid = len(k.oneOf) == 0 || slices.Contains(k.oneOf, v)
	}
	if !valid {
		return nil, fmt.Errorf("is %s; it must be %s", show(value), k.expected())
	}
	if k.later != "" && !k.off(value) {
		return nil, fmt.Errorf("is %s, but %s is not available yet; leave the key out or set it to %s",
			show(value), k.later, show(k.neutral()))
	}
	return value, nil
}

// off reports whether a value is the one that asks for nothing.
func (k *key) off(value any) bool { return value == k.def }

// neutral is the value of a key that nothing sets.
func (k *key) neutral() any {
	switch k.kind {
	case list:
		return []string{}
	case apiKeys:
		return []APIKey{}
	}
	return k.def
}

// expected describes the values a key takes.
func (k *key) expected() string {
	switch {
	case k.kind == boolean:
		return "true or false"
	case k.kind == integer && k.max == unbounded:
		return fmt.Sprintf("a whole number from %d", k.min)
	case k.kind == integer:
		return fmt.Sprintf("a whole number from %d to %d", k.min, k.max)
	case k.kind == list:
		return "a list of strings"
	case k.kind == apiKeys:
		return "a list of objects with key or key_hash, role and name"
	case len(k.oneOf) > 0:
		return "one of " + strings.Join(k.oneOf, ", ")
	case k.required:
		return "a string that isn't empty"
	}
	return "a string"
}

// wholeNumber accepts the number types of the JSON and YAML decoders.
func wholeNumber(value any) (int, bool) {
	switch v := value.(type) {
	case int:
		return v, true
	case float64:
		// Beyond 2^53 a float64 no longer names one whole number.
		return int(v), v == math.Trunc(v) && math.Abs(v) <= 1<<53
	}
	return 0, false
}

// texts reads a list of strings.
func texts(value any) ([]string, bool) {
	items, ok := value.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(items))
	for i, item := range items {
		if out[i], ok = item.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

// textList reads a comma-separated list.
func textList(value string) []string {
	items := []string{}
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// show prints a value as a person would write it in the file. What a list or an
// object holds stays out: it may be a secret.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return fmt.Sprintf("a list of %d", len(v))
	case map[string]any, map[any]any:
		return "an object"
	}
	return fmt.Sprint(value)
}
