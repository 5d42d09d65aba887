// Package components are what the console's pages are made of: alerts, cards,
// fields, buttons that know roles, tables' odds and ends. They take plain values
// and escape all of them.
//
// It owns no goroutines and no locks.
package components

import (
	"context"
	"strings"

	"github.com/a-h/templ"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/web"
)

// Icon is one of web/icons, drawn in the colour of the text. It says nothing to
// screen readers; the text beside it, or a label, has to.
func Icon(name string) templ.Component { return templ.Raw(web.Icon(name)) }

// AlertIcon is the icon of a kind of alert.
func AlertIcon(kind string) string {
	switch kind {
	case "ok":
		return "check"
	case "warn":
		return "warn"
	case "danger":
		return "error"
	}
	return "info"
}

// Button is a button that sends the form it stands in.
type Button struct {
	// ID may be empty; with one, a button keeps the focus when scripts replace it.
	ID    string
	Label string
	// Icon may be empty.
	Icon string
	// Kind is primary, danger, quiet or empty.
	Kind  string
	Small bool
	// Name and Value are sent with the form; Name may be empty.
	Name, Value string
	// Role is what the form's route asks for. Who hasn't got it sees the button,
	// can't press it, and reads why.
	Role auth.Role
	// Off is another reason why the button can't be pressed; empty is none.
	Off string
}

func (b Button) class() string {
	class := "button"
	if b.Kind != "" {
		class += " button-" + b.Kind
	}
	if b.Small {
		class += " button-small"
	}
	return class
}

// why says why the button can't be pressed, empty if it can.
func (b Button) why(ctx context.Context) string {
	if !view.May(ctx, b.Role) {
		return Needs(ctx, b.Role)
	}
	return b.Off
}

// Needs is the sentence for who hasn't got a role.
func Needs(ctx context.Context, role auth.Role) string {
	return "This needs the role " + role.String() + "; your key has the role " + view.Who(ctx).Role.String() + "."
}

// Confirmation is a change that can't be taken back.
type Confirmation struct {
	// Action is where the form goes.
	Action templ.SafeURL
	// Label stands on the button that opens the form and on the one that sends it.
	Label string
	Icon  string
	Small bool
	// Text says what will be gone.
	Text string
	// Type is what has to be typed; the server checks it with page.Confirmed.
	Type string
	Role auth.Role
	// Hidden are fields of the form, names and values in turn.
	Hidden []string
	// Open shows the form at once, where a link to it was followed.
	Open bool
}

// Field is an input with its label.
type Field struct {
	ID, Name, Label string
	// Kind is the type of the input; empty is text.
	Kind  string
	Value string
	Hint  string
	Error string
	// Placeholder, Min, Max, Step and List may be empty; List is the id of a datalist.
	Placeholder, Min, Max, Step, List string
	Required, Disabled                bool
	// Class is added to the input's, such as input-number or mono.
	Class string
}

func (f Field) id() string {
	if f.ID != "" {
		return f.ID
	}
	return "field-" + f.Name
}

func (f Field) kind() string {
	if f.Kind != "" {
		return f.Kind
	}
	return "text"
}

func (f Field) class() string { return strings.TrimSpace("input " + f.Class) }

// describedBy is the id of what stands below the input, if anything does.
func describedBy(id, hint, failure string) string {
	switch {
	case failure != "":
		return id + "-error"
	case hint != "":
		return id + "-hint"
	}
	return ""
}

// Option is a choice of a Select.
type Option struct{ Value, Label string }

// Options are choices whose labels are their values.
func Options(values ...string) []Option {
	options := make([]Option, len(values))
	for i, v := range values {
		options[i] = Option{v, v}
	}
	return options
}

// Tab is a link of Tabs. Path is below /console/, as for view.URL.
type Tab struct {
	Title  string
	Path   string
	Query  []string
	Active bool
}

// share is a length on the scale of a Meter, which is 100 units long.
func share(value, most float64) string {
	if most <= 0 || value <= 0 {
		return "0"
	}
	return format.Number(min(value/most, 1) * 100)
}
