package copies

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/schedule"
)

// Schedule is when the server makes copies by itself.
type Schedule struct {
	Lines   []Line
	Persist bool
	// Problem is what is wrong with the form as a whole.
	Problem string
}

// Line is one kind of copy.
type Line struct {
	// Kind is snapshot or backup; Title and Keeps are for readers.
	Kind, Title, Keeps string
	// Every, Unit and Keep are the fields of the form.
	Every, Unit, Keep     string
	EveryError, KeepError string
	Status                schedule.Status
}

// units of an interval, in minutes.
func units() []components.Option {
	return []components.Option{{Value: "1", Label: "minutes"}, {Value: "60", Label: "hours"}, {Value: "1440", Label: "days"}}
}

func scheduleOf(s *schedule.Schedule) Schedule {
	return Schedule{Persist: true, Lines: []Line{
		newLine("snapshot", "Snapshots", "Snapshots that were made by hand are never removed.", s.Snapshots()),
		newLine("backup", "Backups", "The newest backups stay, whoever made them.", s.Backups()),
	}}
}

func newLine(kind, title, keeps string, status schedule.Status) Line {
	l := Line{Kind: kind, Title: title, Keeps: keeps, Every: "0", Unit: "60", Keep: strconv.Itoa(status.Keep), Status: status}
	minutes := int(status.Every / time.Minute)
	for _, u := range units() { // the greatest that divides it
		if size, err := strconv.Atoi(u.Value); err == nil && minutes > 0 && minutes%size == 0 {
			l.Unit, l.Every = u.Value, strconv.Itoa(minutes/size)
		}
	}
	return l
}

// note is state for the figures at the top.
func (l *Line) note(now time.Time) string {
	if l.Status.Every == 0 {
		return "see below"
	}
	return l.state(now)
}

// state says in a sentence what happens next.
func (l *Line) state(now time.Time) string {
	switch s := &l.Status; {
	case s.Every == 0:
		return "Off"
	case s.Job != "":
		return "One is being made"
	case s.Next.IsZero():
		return "On"
	case !s.Next.After(now):
		return "The next one is due now"
	default:
		return "The next one is due " + format.Ago(s.Next, now)
	}
}

// The keys of a line's interval and number.
func (l *Line) intervalKey() string { return "storage." + l.Kind + "_interval_minutes" }
func (l *Line) keepKey() string     { return "storage." + l.Kind + "_keep" }

// change is what a form asks of the configuration.
type change map[string]jsontext.Value

func (c change) set(key string, n int) { c[key] = jsontext.Value(strconv.Itoa(n)) }

// read takes a line's fields over, and what they change into c. The errors of the
// line say what can't be read.
func (l *Line) read(form page.Form, c change) {
	minutes, keep := int(l.Status.Every/time.Minute), l.Status.Keep
	l.Every, l.Unit, l.Keep = form.Text(l.Kind+".every"), form.Text(l.Kind+".unit"), form.Text(l.Kind+".keep")
	const whole = "This must be a whole number from 0."
	unit, unitErr := strconv.Atoi(l.Unit)
	every, err := strconv.Atoi(l.Every)
	switch {
	case err != nil || every < 0:
		l.EveryError = whole
	case unitErr != nil || unit < 1 || every > longest/unit:
		l.EveryError = "This is longer than a year."
	case every*unit != minutes:
		c.set(l.intervalKey(), every*unit)
	}
	switch n, err := strconv.Atoi(l.Keep); {
	case err != nil || n < 0:
		l.KeepError = whole
	case n != keep:
		c.set(l.keepKey(), n)
	}
}

// longest is more minutes than the configuration takes, so that a product with
// them can't overflow.
const longest = 1 << 30

// explain puts an error of the configuration to the fields.
func (s *Schedule) explain(err *errs.Error) {
	known := false
	for _, field := range err.Fields {
		for i := range s.Lines {
			l := &s.Lines[i]
			switch strings.TrimPrefix(field.Pointer, "/") {
			case l.intervalKey():
				l.EveryError, known = field.Detail, true
			case l.keepKey():
				l.KeepError, known = field.Detail, true
			}
		}
	}
	if !known {
		s.Problem = err.Detail
	}
}

// failed reports whether something is wrong with the form.
func (s *Schedule) failed() bool {
	for i := range s.Lines {
		if s.Lines[i].EveryError+s.Lines[i].KeepError != "" {
			return true
		}
	}
	return s.Problem != ""
}

// reschedule changes the schedule through the configuration; what stays as it is
// isn't set.
func (p *Copies) reschedule(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	s := scheduleOf(p.o.Schedule)
	s.Persist = form.Checked("persist")
	asked := change{}
	for i := range s.Lines {
		s.Lines[i].read(form, asked)
	}
	switch {
	case s.failed():
		return p.again(c, func(v *View) { v.Schedule = s })
	case len(asked) == 0:
		return p.frame.Done(c, "Nothing was changed: the schedule is like this already.", "copies")
	}
	asked["persist"] = jsontext.Value(strconv.FormatBool(s.Persist))
	document, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	var own *errs.Error
	if _, err := p.o.Config.Edit(request.Principal(c).Name, document); errors.As(err, &own) && (own.Kind == errs.Invalid || own.Kind == errs.Conflict) {
		s.explain(own)
		return p.again(c, func(v *View) { v.Schedule = s })
	} else if err != nil {
		return err
	}
	return p.frame.Done(c, "The schedule was changed"+until(s.Persist), "copies")
}

func until(persisted bool) string {
	if persisted {
		return ", also after a restart."
	}
	return ", until the next restart."
}

// headline is the interval in a few words.
func (l *Line) headline() string {
	if l.Status.Every == 0 {
		return "Off"
	}
	return "Every " + format.Duration(l.Status.Every)
}
