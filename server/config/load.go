package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// loopback is where a server without a file listens.
const loopback = "127.0.0.1"

// Source says where the configuration comes from.
type Source struct {
	// File is empty for none.
	File string
	// Environ is in the form of os.Environ.
	Environ []string
	// Set are the flags' key=value pairs; the last one of a key counts.
	Set []string
}

// Problems is the error of Load: one sentence per problem, each naming the key,
// the source and the way to mend it.
type Problems []string

func (p Problems) Error() string { return strings.Join(p, "; ") }

// Load reads, merges and validates the layers. The error is a Problems.
func Load(source Source) (*Config, error) {
	var content []byte
	if source.File != "" {
		var err error
		if content, err = os.ReadFile(source.File); err != nil {
			return nil, Problems{fmt.Sprintf("the config file can't be read: %v", err)}
		}
	}
	return load(source, content)
}

func load(source Source, content []byte) (*Config, error) {
	l := &loader{}
	layers := []layer{l.defaults(source.File != "")}
	if source.File != "" {
		layers = append(layers, l.file(source.File, content))
	}
	layers = append(layers, l.environment(source.Environ), l.flags(source.Set))
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	c, err := merge(layers)
	if err != nil {
		return nil, Problems{err.Error()}
	}
	c.derive()
	c.Warnings = append(l.warnings, c.warnings()...)
	if problems := c.validate(); len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// layer holds the typed values of one source by path.
type layer map[string]any

// set stores a value under its key, or under the keys it is a shorthand for.
// It reports whether the layer had none of them yet.
func (l layer) set(k *key, value any) bool {
	paths := k.sets
	if paths == nil {
		paths = []string{k.path}
	}
	fresh := true
	for _, path := range paths {
		if _, taken := l[path]; taken {
			fresh = false
		}
		l[path] = value
	}
	return fresh
}

// merge lays the layers over each other and decodes the result.
func merge(layers []layer) (*Config, error) {
	k := koanf.New(".")
	for _, l := range layers {
		maps.DeleteFunc(l, func(path string, _ any) bool { return find(path).later != "" })
		if err := k.Load(confmap.Provider(l, "."), nil); err != nil {
			return nil, err
		}
	}
	var c Config
	return &c, k.Unmarshal("", &c)
}

// loader collects what is wrong in all layers.
type loader struct {
	problems Problems
	warnings []string
}

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

func (l *loader) defaults(withFile bool) layer {
	values := layer{}
	for i := range keys {
		if keys[i].sets == nil {
			values.set(&keys[i], keys[i].neutral())
		}
	}
	if !withFile {
		values[hostKey] = loopback
	}
	return values
}

func (l *loader) file(name string, content []byte) layer {
	values := layer{}
	tree, err := parseFile(name, content)
	if err != nil {
		l.problem("the config file %s can't be parsed: %v", name, err)
		return values
	}
	l.walk("", tree, values)
	return values
}

// walk collects the leaves of a decoded file. A key may be nested or written
// with dots, but not both.
func (l *loader) walk(prefix string, tree map[string]any, values layer) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		path, value := prefix+name, tree[name]
		section, ok := value.(map[string]any)
		if ok && (isSection(path) || len(section) > 0 && find(path) == nil) {
			l.walk(path+".", section, values)
			continue
		}
		l.leaf(path, value, values)
	}
}

func (l *loader) leaf(path string, value any, values layer) {
	k := find(path)
	if k == nil {
		l.unknown(path)
		return
	}
	typed, err := k.fromFile(value)
	if err != nil {
		l.problem("%s %v", path, err)
		return
	}
	if !values.set(k, typed) {
		l.problem("%s is given twice in the file", path)
	}
}

func (l *loader) unknown(path string) {
	if isSection(path) {
		l.problem("%s is a section; it must be an object", path)
		return
	}
	l.problem("%s is not a known key; the nearest is %s", path, nearest(path, paths()))
}

func paths() []string {
	all := make([]string, len(keys))
	for i := range keys {
		all[i] = keys[i].path
	}
	return all
}

// flags reads key=value pairs.
func (l *loader) flags(pairs []string) layer {
	values := layer{}
	for _, pair := range pairs {
		path, text, ok := strings.Cut(pair, "=")
		k := find(path)
		switch {
		case !ok:
			l.problem("--set %s has no value; write it as key=value", pair)
		case k == nil:
			l.unknown(path)
		default:
			l.text(k, "--set", text, values)
		}
	}
	return values
}

// text stores a value that came as text.
func (l *loader) text(k *key, from, text string, values layer) {
	typed, err := k.fromText(text)
	if err != nil {
		l.problem("%s %v (set by %s)", k.path, err, from)
		return
	}
	values.set(k, typed)
}
