package tables

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
)

// Manage is the page of what is done to a whole table.
type Manage struct {
	Summary
	Jobs    []jobs.Status
	Form    filterform.Form
	Columns []string
	// Matches is how many entities match the form, -1 without one or with a wrong
	// one; Examples are some of their keys.
	Matches  int
	Examples []string
	// Err is what is wrong with the form.
	Err error
	// Changed says that the number of matches isn't the one that was confirmed.
	Changed bool
}

// examples of the matches are shown before they are deleted.
const examples = 8

// confirmation is what has to be typed to delete the matches: it has their number
// in it, so that nobody overlooks it.
func (v *Manage) confirmation() string { return "delete " + strconv.Itoa(v.Matches) }

func (t *Tables) manage(c fiber.Ctx) error {
	table, err := tableParam(c)
	if err != nil {
		return err
	}
	q, err := page.Values(c)
	if err != nil {
		return err
	}
	v, _, err := t.newManage(c.Context(), table, filterform.Parse(q), q.Get("job"))
	if err != nil {
		return err
	}
	return t.showManage(c, v)
}

func (t *Tables) showManage(c fiber.Ctx, v *Manage) error {
	status := http.StatusOK
	switch {
	case v.Changed:
		status = http.StatusConflict
	case v.Err != nil:
		status = http.StatusBadRequest
	}
	return t.frame.ShowStatus(c, status, page.Page{Title: v.Name, Nav: nav, Crumbs: tableCrumbs(""), Wide: true, Actions: tableActions(v.Summary)}, manageContent(v))
}

// newManage works the page out, and the filter of its form, nil without one.
func (t *Tables) newManage(ctx context.Context, table string, form filterform.Form, job string) (*Manage, *query.Expr, error) {
	info, err := t.db.Table(ctx, table)
	if err != nil {
		return nil, nil, err
	}
	v := &Manage{Summary: summaryOf(info), Form: form, Matches: -1}
	v.Jobs = slices.DeleteFunc(t.db.Jobs().List(), func(s jobs.Status) bool {
		return s.ID != job && (s.Subject != table || s.State != jobs.Running)
	})
	sample, err := t.db.SampleColumns(ctx, table, browseSample)
	if err != nil {
		return nil, nil, err
	}
	v.Columns = paths(sample)
	filter, err := form.Expr()
	if err == nil && filter != nil {
		err = t.preview(ctx, v, filter)
	}
	if errs.KindOf(err) == errs.Invalid {
		v.Err, err = err, nil
	}
	return v, filter, err
}

// preview counts what matches and names some of it.
func (t *Tables) preview(ctx context.Context, v *Manage, filter *query.Expr) error {
	counted, err := t.db.Query(ctx, engine.QueryRequest{Table: v.Name, Filter: filter, Return: engine.ReturnCount})
	if err != nil {
		return err
	}
	found, err := t.db.Query(ctx, engine.QueryRequest{Table: v.Name, Filter: filter, Return: engine.ReturnKeys, Limit: examples})
	if err != nil {
		return err
	}
	v.Matches, v.Examples = counted.Count, found.Keys
	return nil
}

// deleteMatching starts deleting what matches a filter, if it is as much as was
// confirmed.
func (t *Tables) deleteMatching(c fiber.Ctx) error {
	table, err := tableParam(c)
	if err != nil {
		return err
	}
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	v, filter, err := t.newManage(c.Context(), table, filterform.Parse(form.Values), "")
	switch {
	case err != nil:
		return err
	case v.Err != nil:
		return t.showManage(c, v)
	case filter == nil:
		return errs.New(errs.Invalid, "missing_filter", "No filter was given, and nothing was deleted. To delete all entities, drop the table.")
	}
	if form.Get("expected") != strconv.Itoa(v.Matches) {
		v.Changed = true
		return t.showManage(c, v)
	}
	if err := page.Confirmed(form, v.confirmation()); err != nil {
		return err
	}
	job, err := t.db.StartDelete(table, filter)
	if err != nil {
		return err
	}
	return t.frame.Done(c, "Deleting "+format.Plural(v.Matches, "entity", "entities")+" of "+table+".", tablePath(table, "manage"), "job", job.ID())
}

func (t *Tables) drop(c fiber.Ctx) error {
	table, err := tableParam(c)
	if err != nil {
		return err
	}
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	if err := page.Confirmed(form, table); err != nil {
		return err
	}
	if err := t.db.DropTable(c.Context(), table); err != nil {
		return err
	}
	return t.frame.Done(c, "The table "+table+" was dropped.", "tables")
}

// hidden are the fields that carry the form and the number of matches along.
func (v *Manage) hidden() []string {
	return append(v.Form.Pairs(), "expected", strconv.Itoa(v.Matches))
}
