package page

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/rest"
)

// Form are the fields of a form that was sent. Values are the caller's to keep.
type Form struct{ url.Values }

// maxFields bounds what one form may have.
const maxFields = 1000

// FormOf reads the form in a request's body, application/x-www-form-urlencoded.
func FormOf(c fiber.Ctx) (Form, error) {
	if media := rest.MediaType(c.Get(fiber.HeaderContentType)); media != fiber.MIMEApplicationForm && len(c.Body()) > 0 {
		return Form{}, errs.New(errs.Invalid, "invalid_form", "This page takes a form, not %q. Nothing was done.", media)
	}
	values, err := url.ParseQuery(string(c.Body()))
	if err != nil {
		return Form{}, errs.New(errs.Invalid, "invalid_form", "The form can't be read: %v. Nothing was done.", err)
	}
	if len(values) > maxFields {
		return Form{}, errs.New(errs.Invalid, "invalid_form", "The form has more than %d fields. Nothing was done.", maxFields)
	}
	return Form{values}, nil
}

// Text is a field without the space around it.
func (f Form) Text(name string) string { return strings.TrimSpace(f.Get(name)) }

// Checked says whether a box was ticked.
func (f Form) Checked(name string) bool { return f.Has(name) }

// Confirmed fails unless the field "confirm" holds exactly what had to be typed.
func Confirmed(f Form, want string) error {
	// Space around it is forgiven, unless there is nothing else.
	if typed := f.Text("confirm"); f.Get("confirm") != want && (typed == "" || typed != strings.TrimSpace(want)) {
		return errs.New(errs.Invalid, "not_confirmed", "The confirmation doesn't match; type %q exactly. Nothing was done.", want)
	}
	return nil
}

// Query is a parameter of the page's URL; the caller may keep it.
func Query(c fiber.Ctx, name string) string { return rest.QueryText(c, name) }

// Values are all parameters of the page's URL; they are the caller's to keep.
func Values(c fiber.Ctx) (url.Values, error) {
	values, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid_query", "The address of the page can't be read: %v.", err)
	}
	return values, nil
}
