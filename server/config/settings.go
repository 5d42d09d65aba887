package config

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Setting is one key with all there is to know about it.
type Setting struct {
	Key         string `json:"key"`
	Description string `json:"description"`
	// Type is boolean, integer, string or list.
	Type string `json:"type"`
	// Value is the value in force, Default the one without any source. Secrets are
	// left out.
	Value   jsontext.Value `json:"value"`
	Default jsontext.Value `json:"default"`
	// Source is default, file, "env THEMIS_X", overlay, flag or runtime.
	Source string `json:"source"`
	// Reload is set if the key can change while the server runs, Signal if it does
	// so at a hangup signal only; the others need a restart.
	Reload bool `json:"reload"`
	Signal bool `json:"signal"`
	// Allowed says in words which values the key takes. Min and Max bound an
	// integer; OneOf are the values of a string that has no others.
	Allowed string   `json:"allowed"`
	Min     *int     `json:"min,omitempty"`
	Max     *int     `json:"max,omitempty"`
	OneOf   []string `json:"one_of,omitempty"`
	// Available is false while the feature is still missing.
	Available bool `json:"available"`
	// Env are the variables that set the key.
	Env []string `json:"env"`
}

// View is a configuration for people: every setting, and the same values nested
// by section. It is a copy.
type View struct {
	Settings []Setting
	// Values maps a section to its keys; storage.compression is a map in it. Keys
	// outside of sections stand beside.
	Values map[string]any
}

// View shows the configuration in force.
func (l *Live) View() View {
	s := l.state.Load()
	v := View{Values: map[string]any{}}
	for i := range keys {
		k := &keys[i]
		if k.sets != nil {
			continue
		}
		g := s.values[k.path]
		v.Settings = append(v.Settings, k.setting(g))
		nest(v.Values, k.path, masked(g.value))
	}
	return v
}

func (k *key) setting(g given) Setting {
	s := Setting{
		Key: k.path, Description: k.about, Type: k.kind.String(), Source: g.from,
		Value: encode(masked(g.value)), Default: encode(masked(k.neutral())),
		Reload: k.reload, Signal: k.signal, Allowed: k.expected(), OneOf: k.oneOf, Available: k.later == "",
		Env: append([]string{k.envName()}, k.env...),
	}
	if k.kind == integer {
		s.Min = new(k.min)
		if k.max < unbounded {
			s.Max = new(k.max)
		}
	}
	return s
}

// String is the type's name.
func (k kind) String() string {
	switch k {
	case boolean:
		return "boolean"
	case integer:
		return "integer"
	case text:
		return "string"
	}
	return "list"
}

// nest stores a value under its dotted path.
func nest(tree map[string]any, path string, value any) {
	section, rest, ok := strings.Cut(path, ".")
	if !ok {
		tree[path] = value
		return
	}
	below, _ := tree[section].(map[string]any)
	if below == nil {
		below = map[string]any{}
		tree[section] = below
	}
	nest(below, rest, value)
}

// MaskedKey is what may be told of an API key.
type MaskedKey struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Key is always ***.
	Key string `json:"key"`
}

// masked is a value without its secrets.
func masked(value any) any {
	all, ok := value.([]APIKey)
	if !ok {
		return value
	}
	out := make([]MaskedKey, len(all))
	for i, k := range all {
		out[i] = MaskedKey{k.Name, k.Role, "***"}
	}
	return out
}
