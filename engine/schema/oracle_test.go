package schema

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
)

// The oracle: what paths mean, over encoding/json's decoded values.

// naiveValues are the values at a path; a container that isn't a non-empty
// array is an empty map.
func naiveValues(v any, path []string) []any {
	if list, ok := v.([]any); ok && (len(path) > 0 || len(list) > 0) {
		var out []any
		for _, element := range list {
			out = append(out, naiveValues(element, path)...)
		}
		return out
	}
	if len(path) > 0 {
		object, _ := v.(map[string]any)
		child, ok := object[path[0]]
		if !ok {
			return nil
		}
		return naiveValues(child, path[1:])
	}
	switch v.(type) {
	case []any, map[string]any:
		return []any{map[string]any{}}
	}
	return []any{v}
}

// naiveProject removes the paths from v, or all but them; ok is false if
// nothing is left.
func naiveProject(v any, paths [][]string, keep bool) (any, bool) {
	var deeper [][]string
	for _, p := range paths {
		if len(p) == 0 {
			return v, keep
		}
		deeper = append(deeper, p)
	}
	if len(deeper) == 0 {
		return v, !keep
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, child := range v {
			var under [][]string
			for _, p := range deeper {
				if p[0] == name {
					under = append(under, p[1:])
				}
			}
			if left, ok := naiveProject(child, under, keep); ok {
				out[name] = left
			}
		}
		return out, true
	case []any:
		out := []any{}
		for _, element := range v {
			if left, ok := naiveProject(element, deeper, keep); ok {
				out = append(out, left)
			}
		}
		return out, true
	}
	return v, !keep
}

// naivePatch is the pseudo-code of RFC 7396, section 2.
func naivePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = naivePatch(object[name], value)
		}
	}
	return object
}

// randomNames are few, so that random paths meet random documents, and some
// need quoting.
var randomNames = []string{"a", "b", "c", "é", `q"\`, "x\n"}

func randomPath(rng *rand.Rand) string {
	path := make([]string, 1+rng.IntN(3))
	for i := range path {
		path[i] = randomNames[rng.IntN(len(randomNames))]
	}
	return strings.Join(path, ".")
}

// randomJSON writes a random value, with white space and escapes here and there.
func randomJSON(rng *rand.Rand, depth int) string {
	kind := rng.IntN(12)
	if depth == 0 {
		kind = rng.IntN(6)
	}
	switch {
	case kind < 6:
		scalars := []string{`null`, `true`, `false`, `0`, `-0`, `1`, `1.0`, `2.50`, `1e2`, `9007199254740993`, `9223372036854775807`,
			`""`, `"a"`, `"\u00e9"`, `"é"`, `"]"`, `"\\\""`, `"{[,:"`}
		return scalars[rng.IntN(len(scalars))]
	case kind < 8:
		return randomList(rng, depth, `[`, `]`, func(int) string { return randomJSON(rng, depth-1) })
	default:
		return randomObject(rng, depth)
	}
}

func randomObject(rng *rand.Rand, depth int) string {
	names := rng.Perm(len(randomNames))
	return randomList(rng, depth, `{`, `}`, func(i int) string {
		name, err := json.Marshal(randomNames[names[i]])
		if err != nil {
			panic(err)
		}
		return string(name) + []string{":", " : "}[rng.IntN(2)] + randomJSON(rng, depth-1)
	})
}

func randomList(rng *rand.Rand, depth int, open, end string, item func(int) string) string {
	items := make([]string, rng.IntN(5))
	for i := range items {
		items[i] = item(i)
	}
	return open + strings.Join(items, []string{",", " ,\n"}[rng.IntN(2)]) + end
}
