package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
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
	live, err := Open(source)
	if err != nil {
		return nil, err
	}
	return live.Config(), nil
}

// read reads all sources.
func read(source Source) (*layers, error) {
	var content []byte
	if source.File != "" {
		var err error
		if content, err = os.ReadFile(source.File); err != nil {
			return nil, Problems{fmt.Sprintf("the config file can't be read: %v", err)}
		}
	}
	return readFrom(source, content)
}

// readFrom reads all sources but the file, which was read already.
func readFrom(source Source, content []byte) (*layers, error) {
	l := &loader{}
	in := &layers{defaults: l.defaults(source.File != ""), runtime: layer{}}
	if source.File != "" {
		in.file = l.file(source.File, content)
	}
	in.environment = l.environment(source.Environ)
	in.flags = l.flags(source.Set)
	// The other layers say where the overlay is, and it can't say otherwise.
	in.overlayFile = in.merge()[overlayKey].value.(string)
	in.overlay, in.history = l.overlay(in.overlayFile)
	in.warnings = l.warnings
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return in, nil
}

// given is a value in the type of its key, and where it comes from.
type given struct {
	value any
	from  string
}

// layer holds the values of one source by path.
type layer map[string]given

// set stores a value under its key, or under the keys it is a shorthand for.
// It reports whether the layer had none of them yet.
func (l layer) set(k *key, g given) bool {
	paths := k.sets
	if paths == nil {
		paths = []string{k.path}
	}
	fresh := true
	for _, path := range paths {
		if _, taken := l[path]; taken {
			fresh = false
		}
		l[path] = g
	}
	return fresh
}

// layers are what every source says, each over the one before.
type layers struct {
	defaults, file, environment, overlay, flags layer
	// runtime are the changes that weren't persisted.
	runtime layer

	overlayFile string
	// staged is set while a new overlay file waits to be put in place.
	staged   bool
	history  []Entry
	warnings []string
}

// merge lays the layers over each other.
func (in *layers) merge() layer {
	all := layer{}
	for _, l := range []layer{in.defaults, in.file, in.environment, in.overlay, in.flags, in.runtime} {
		maps.Copy(all, l)
	}
	derive(all)
	return all
}

// state is a valid configuration, which doesn't change.
type state struct {
	config *Config
	// values has every key.
	values layer
}

// resolve merges and validates the layers.
func (in *layers) resolve() (*state, error) {
	s := &state{values: in.merge()}
	var err error
	if s.config, err = s.values.decode(); err != nil {
		return nil, Problems{err.Error()}
	}
	if problems := s.config.validate(); len(problems) > 0 {
		return nil, problems
	}
	s.config.Warnings = append(slices.Clip(in.warnings), s.config.warnings()...)
	return s, nil
}

// decode fills the fields of a Config.
func (l layer) decode() (*Config, error) {
	values := map[string]any{}
	for path, g := range l {
		if find(path).later == "" {
			values[path] = g.value
		}
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
		return nil, err
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

const fromDefault = "default"

func (l *loader) defaults(withFile bool) layer {
	values := layer{}
	for i := range keys {
		if k := &keys[i]; k.sets == nil {
			values.set(k, given{k.neutral(), fromDefault})
		}
	}
	if !withFile {
		values[hostKey] = given{loopback, fromDefault}
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
	for _, leaf := range leaves(tree) {
		l.leaf(leaf, values)
	}
	return values
}

func (l *loader) leaf(leaf leaf, values layer) {
	k := find(leaf.path)
	if k == nil {
		l.problems = append(l.problems, unknown(leaf.path))
		return
	}
	typed, err := k.fromFile(leaf.value)
	if err != nil {
		l.problem("%s %v", leaf.path, err)
		return
	}
	if !values.set(k, given{typed, "file"}) {
		l.problem("%s is given twice in the file", leaf.path)
	}
}

// leaf is one setting of a document.
type leaf struct {
	path string
	// pointer is where in the document it stands.
	pointer jsontext.Pointer
	value   any
}

// leaves lists the settings of a decoded document in the order of their names. A
// key may be nested or written with dots.
func leaves(tree map[string]any) []leaf { return appendLeaves(nil, "", "", tree) }

func appendLeaves(all []leaf, prefix string, pointer jsontext.Pointer, tree map[string]any) []leaf {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		path, at, value := prefix+name, pointer.AppendToken(name), tree[name]
		section, ok := value.(map[string]any)
		if ok && (isSection(path) || len(section) > 0 && find(path) == nil) {
			all = appendLeaves(all, path+".", at, section)
			continue
		}
		all = append(all, leaf{path, at, value})
	}
	return all
}

// unknown says what is wrong with a path that is no key.
func unknown(path string) string {
	if isSection(path) {
		return path + " is a section; it must be an object"
	}
	return fmt.Sprintf("%s is not a known key; the nearest is %s", path, nearest(path, paths()))
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
			l.problems = append(l.problems, unknown(path))
		default:
			l.text(k, "--set", "flag", text, values)
		}
	}
	return values
}

// text stores a value that came as text. Problems name what set it; from is the
// source that GET /config shows.
func (l *loader) text(k *key, setBy, from, text string, values layer) {
	typed, err := k.fromText(text)
	if err != nil {
		l.problem("%s %v (set by %s)", k.path, err, setBy)
		return
	}
	values.set(k, given{typed, from})
}
