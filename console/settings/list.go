package settings

import (
	"cmp"
	"slices"
	"strings"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/server/config"
)

// List is the page of all settings.
type List struct {
	Sections []Section
	// Search is what was looked for, Show which settings are: changed, live or
	// empty for all.
	Search, Show string
	// Found of All settings are on the page.
	Found, All int
	// Editable is set if any can be changed here; Persist is whether that is kept
	// after a restart, as long as nobody chooses.
	Editable, Persist bool
	// Problem is what is wrong with a form that was sent.
	Problem string
	Pending Pending
}

// Section is a part of the configuration.
type Section struct {
	ID, Title string
	Rows      []Row
}

// Row is one setting.
type Row struct {
	config.Setting
	// Shown and ShownDefault are the values for reading, Meaning what the value
	// amounts to, if that says more.
	Shown, ShownDefault, Meaning string
	// Changed is set if the value isn't the default.
	Changed bool
	// Editable rows have a field with the text Entered, which was filled with Prior.
	Editable       bool
	Entered, Prior string
	Error          string
	Effect         Effect
	// From says where the value comes from.
	From string
}

// Effect says when a new value takes effect: a word or two, how they look, and a
// sentence.
type Effect struct{ Label, Badge, Why string }

// sections are the parts of the configuration in the order of the page.
func sections() []Section {
	return []Section{
		{ID: "logging", Title: "Logging"},
		{ID: "server", Title: "Server"},
		{ID: "console", Title: "Console"},
		{ID: "features", Title: "Features"},
		{ID: "", Title: "Change feed"},
		{ID: "query", Title: "Query"},
		{ID: "vector_index", Title: "Vector indexes"},
		{ID: "gpu", Title: "GPU"},
		{ID: "storage", Title: "Storage"},
	}
}

// newList lists the settings that a search leaves.
func newList(settings []config.Setting, search, show string) List {
	l := List{Search: search, Show: show, All: len(settings), Persist: true}
	parts := sections()
	for i := range settings {
		r := newRow(&settings[i])
		if !r.matches(search, show) {
			continue
		}
		l.Found++
		l.Editable = l.Editable || r.Editable
		id, _, in := strings.Cut(r.Key, ".")
		if !in {
			id = ""
		}
		at := -1
		for j := range parts {
			if parts[j].ID == id {
				at = j
			}
		}
		if at < 0 { // a section that has no title yet
			parts = append(parts, Section{ID: id, Title: title(id)})
			at = len(parts) - 1
		}
		parts[at].Rows = append(parts[at].Rows, r)
	}
	for _, part := range parts {
		if len(part.Rows) > 0 {
			// What can be changed here comes first.
			slices.SortStableFunc(part.Rows, func(a, b Row) int { return cmp.Compare(rank(&a), rank(&b)) })
			l.Sections = append(l.Sections, part)
		}
	}
	return l
}

func rank(r *Row) int {
	if r.Editable {
		return 0
	}
	return 1
}

func title(id string) string {
	words := strings.ReplaceAll(id, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// editable settings can be changed while the server runs.
func editable(s *config.Setting) bool { return s.Reload && s.Available }

func newRow(s *config.Setting) Row {
	return Row{
		Setting: *s, Shown: shown(s.Value), ShownDefault: shown(s.Default), Meaning: meaning(s.Key, s.Value),
		Changed:  string(s.Value) != string(s.Default),
		Editable: editable(s), Entered: text(s.Value), Prior: text(s.Value),
		Effect: effect(s), From: from(s.Source),
	}
}

func effect(s *config.Setting) Effect {
	switch {
	case !s.Available:
		return Effect{"not there yet", "", "The feature is missing in this version; only the default is accepted."}
	case s.Reload:
		return Effect{"at once", "ok", "It can be changed here while the server runs."}
	case s.Signal:
		return Effect{"at SIGHUP", "info", "Change it in the file, then send the server SIGHUP; it holds secrets, so it can't be changed here."}
	}
	return Effect{"after a restart", "", "Change it in the file or the environment, then restart the server."}
}

// from says where a value comes from.
func from(source string) string {
	switch source {
	case "overlay":
		return "changed here, kept"
	case "runtime":
		return "changed here, until a restart"
	case "flag":
		return "--set"
	}
	return source
}

func (r *Row) matches(search, show string) bool {
	switch show {
	case "changed":
		if !r.Changed && r.Source == "default" {
			return false
		}
	case "live":
		if !r.Editable {
			return false
		}
	}
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		text := strings.ToLower(r.Key + " " + r.Description + " " + r.Shown + " " + strings.Join(r.Env, " "))
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// fill puts what was entered, and what is wrong with it, into the rows.
func (l *List) fill(d *draft) {
	l.Problem, l.Persist = d.Problem, d.Persist
	for i := range l.Sections {
		for j := range l.Sections[i].Rows {
			r := &l.Sections[i].Rows[j]
			for k := range d.Edits {
				if e := &d.Edits[k]; e.Key == r.Key {
					r.Entered, r.Error = e.Text, e.Error
				}
			}
		}
	}
}

// choices are the options of a setting that has only a few values.
func (r *Row) choices() []components.Option {
	if r.Type == "boolean" {
		return components.Options("true", "false")
	}
	return components.Options(r.OneOf...)
}

// hint is what helps to read or choose a value: what it amounts to, and the range
// of a number that can be edited.
func (r *Row) hint() string {
	var parts []string
	if r.Meaning != "" {
		parts = append(parts, r.Meaning)
	}
	if r.Editable && r.Min != nil {
		limits := "from " + format.Count(*r.Min)
		if r.Max != nil {
			limits = format.Count(*r.Min) + " to " + format.Count(*r.Max)
		}
		parts = append(parts, limits)
	}
	return strings.Join(parts, " · ")
}

// field is the id of a setting's field. Ids have no dots: selectors would take
// them for classes.
func field(key string) string { return "set-" + strings.ReplaceAll(key, ".", "-") }

// errorID is the id of what is said about a setting's field.
func errorID(key string) string { return field(key) + "-error" }

// Pending is what a restart would change.
type Pending struct {
	Changes []PendingChange
	// Problem says why a restart would fail.
	Problem string
}

// PendingChange is a setting whose value would be another after a restart.
type PendingChange struct {
	Key, Now, After string
	// Lost is set if it was changed here and not kept, so that it can be kept.
	Lost bool
}

func pending(live *config.Live) Pending {
	changes, err := live.AfterRestart()
	if err != nil {
		return Pending{Problem: err.Error()}
	}
	settings := live.View().Settings
	var p Pending
	for _, c := range changes {
		s := find(settings, c.Key)
		p.Changes = append(p.Changes, PendingChange{c.Key, shown(c.From), shown(c.To), s != nil && editable(s) && s.Source == "runtime"})
	}
	return p
}

// lost reports whether anything of it can be kept.
func (p *Pending) lost() bool {
	for _, c := range p.Changes {
		if c.Lost {
			return true
		}
	}
	return false
}
