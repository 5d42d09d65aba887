package settings

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/config"
)

// The fields of a setting in a form: its value, and the value that the form was
// filled with.
const (
	valuePrefix = "set."
	priorPrefix = "was."
)

// draft is a change that isn't made yet.
type draft struct {
	// Title says what it is for; empty for a form's.
	Title string
	Edits []edit
	// Persist keeps the values after a restart.
	Persist bool
	// Stale is set if a value isn't the one any more that the form was filled with.
	Stale bool
	// Problem is what is wrong with the whole; the edits have their own.
	Problem string
	// Notes are what the reader should know besides.
	Notes []string
	// Same are keys that have the value already.
	Same []string
	// Fields are the keys that the form has.
	Fields []string
}

// edit is the change of one setting.
type edit struct {
	Key string
	// Text is the new value as a form has it, Prior the one in force.
	Text, Prior string
	// Value is the new value as JSON.
	Value jsontext.Value
	// From and To are what is shown of them.
	From, To string
	// Default is set if the new value is the default.
	Default bool
	Error   string
}

// failed reports whether anything keeps it from being applied.
func (d *draft) failed() bool {
	for i := range d.Edits {
		if d.Edits[i].Error != "" {
			return true
		}
	}
	return d.Problem != "" || d.Stale
}

// errorOf is what is wrong with a setting's field, empty if nothing is.
func (d *draft) errorOf(key string) string {
	for i := range d.Edits {
		if d.Edits[i].Key == key {
			return d.Edits[i].Error
		}
	}
	return ""
}

// reason says why it can't be applied, empty if it can.
func (d *draft) reason() string {
	if d.failed() {
		return "It can't be applied: see what is marked."
	}
	return ""
}

// curl is the body of the request that does the same.
func (d *draft) curl() string {
	document, err := d.document(false)
	if err != nil {
		return ""
	}
	return string(document)
}

func hasOrHave(keys []string) string {
	if len(keys) == 1 {
		return "has"
	}
	return "have"
}

// newDraft reads what was edited out of a form. The fields "keep" name settings
// whose values in force are to be persisted.
func newDraft(form page.Form, settings []config.Setting) *draft {
	d := &draft{Persist: form.Get("persist") == "yes"}
	for i := range settings {
		s := &settings[i]
		if !editable(s) || !form.Has(valuePrefix+s.Key) {
			continue
		}
		d.Fields = append(d.Fields, s.Key)
		text, prior := form.Text(valuePrefix+s.Key), text(s.Value)
		if text == form.Text(priorPrefix+s.Key) {
			continue
		}
		e := newEdit(s, text)
		if prior != form.Text(priorPrefix+s.Key) {
			d.Stale = true
			e.Error = "Somebody set it to " + shown(s.Value) + " meanwhile; look again and repeat your change if it is still wanted."
		}
		d.Edits = append(d.Edits, e)
	}
	for _, key := range form.Values["keep"] {
		if s := find(settings, key); s != nil && editable(s) {
			d.Edits = append(d.Edits, newEdit(s, text(s.Value)))
		}
	}
	return d
}

func newEdit(s *config.Setting, entered string) edit {
	value := parse(s, entered)
	return edit{
		Key: s.Key, Text: entered, Prior: text(s.Value), Value: value,
		From: shown(s.Value), To: shown(value), Default: string(value) == string(s.Default),
	}
}

// revertOf takes an entry of the history back: its settings get the values that
// they had before.
func revertOf(e *config.Entry, settings []config.Setting) *draft {
	d := &draft{Title: "Take back the change of " + e.Time.UTC().Format("2006-01-02 15:04:05 UTC") + " by " + e.Who, Persist: e.Persisted}
	for _, change := range e.Changes {
		s := find(settings, change.Key)
		switch {
		case s == nil || !editable(s):
			d.Notes = append(d.Notes, change.Key+" can't be changed here, so it stays as it is")
		case string(s.Value) == string(change.From):
			d.Same = append(d.Same, change.Key)
		default:
			d.Edits = append(d.Edits, newEdit(s, text(change.From)))
		}
	}
	return d
}

func find(settings []config.Setting, key string) *config.Setting {
	for i := range settings {
		if settings[i].Key == key {
			return &settings[i]
		}
	}
	return nil
}

// document is the change as POST /config takes it.
func (d *draft) document(dryRun bool) ([]byte, error) {
	members := map[string]jsontext.Value{"persist": truth(d.Persist)}
	if dryRun {
		members["dry_run"] = truth(true)
	}
	for i := range d.Edits {
		members[d.Edits[i].Key] = d.Edits[i].Value
	}
	return json.Marshal(members, json.Deterministic(true))
}

func truth(on bool) jsontext.Value { return jsontext.Value(strconv.FormatBool(on)) }

// explain puts an error to the settings that it is about. An error about
// something else, as a disk that is full, is left to the caller.
func (d *draft) explain(err error) {
	var own *errs.Error
	if !errors.As(err, &own) || own.Kind != errs.Invalid && own.Kind != errs.Conflict {
		return
	}
	known := false
	for _, field := range own.Fields {
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(field.Pointer, "/"))
		for i := range d.Edits {
			if d.Edits[i].Key == key {
				// The configuration's words follow the name of the key.
				phrase, named := strings.CutPrefix(field.Detail, key+" ")
				if named {
					phrase = "it " + phrase
				}
				d.Edits[i].Error, known = sentence(phrase), true
			}
		}
	}
	if !known {
		d.Problem = sentence(own.Detail)
	}
}

// sentence is one of a phrase that may have any length.
func sentence(phrase string) string { return format.Shorten(format.Sentence(phrase), longest) }

// take keeps what a dry run says that changes; the other edits have the value
// already.
func (d *draft) take(changes []config.Change) {
	var left []edit
	for _, e := range d.Edits {
		changed := false
		for _, c := range changes {
			if c.Key == e.Key {
				e.From, e.To, changed = shown(c.From), shown(c.To), true
			}
		}
		if changed || d.Persist {
			left = append(left, e)
		} else {
			d.Same = append(d.Same, e.Key)
		}
	}
	d.Edits = left
}
