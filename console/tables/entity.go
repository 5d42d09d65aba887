package tables

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
)

// Entity is the page of one entity.
type Entity struct {
	engine.Entity
	Vectors []Vector
	// Asked says that the link was one to delete it.
	Asked bool
}

// Vector is a vector of an entity.
type Vector struct {
	Column    string
	Dimension int
	Norm      float64
	// Index says what searches it, empty if nothing does.
	Index string
	// First are its first numbers.
	First []float32
}

// newEntity finds the vectors: those of vector indexes, and what else in the
// document is an array of at least vectorFrom numbers.
func newEntity(e *engine.Entity, indexes []engine.IndexInfo) Entity {
	v := Entity{Entity: *e}
	searched := map[string]string{}
	for _, ix := range indexes {
		if ix.Type == schema.Vector {
			searched[ix.Columns[0]] = vectorText(ix)
		}
	}
	var survey schema.Survey
	survey.Add(e.Doc)
	for _, c := range survey.Columns() {
		index, indexed := searched[c.Path]
		if !indexed && (c.Vectors == 0 || c.Dimension < vectorFrom) {
			continue
		}
		if vector, ok := vectorAt(e.Doc, c.Path); ok {
			vector.Index = index
			v.Vectors = append(v.Vectors, vector)
		}
	}
	return v
}

func vectorAt(doc []byte, column string) (Vector, bool) {
	var x schema.Extracted
	if schema.NewExtractor(column).Extract(doc, &x) != nil || x.Raw(0) == nil {
		return Vector{}, false
	}
	values, err := schema.ParseVector(x.Raw(0))
	if err != nil {
		return Vector{}, false
	}
	sum := 0.0
	for _, f := range values {
		sum += float64(f) * float64(f)
	}
	return Vector{Column: column, Dimension: len(values), Norm: math.Sqrt(sum), First: values[:min(4, len(values))]}, true
}

// beginning is the vector's first numbers.
func (v Vector) beginning() string {
	var parts []string
	for _, f := range v.First {
		parts = append(parts, strconv.FormatFloat(float64(f), 'g', 4, 32))
	}
	if v.Dimension > len(v.First) {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}

// restPath is the entity's path in the REST API.
func restPath(k engine.Key) string { return "/entities/" + url.PathEscape(k.String()) }

// maxCurlBody is the longest body that is shown in a command.
const maxCurlBody = 4 << 10

// curlBody is the document as the body of a command, or a file for a long one.
func curlBody(doc []byte) string {
	if len(doc) > maxCurlBody {
		return "@entity.json"
	}
	return string(doc)
}

// get reads one entity; NotFound if it isn't there.
func (t *Tables) get(ctx context.Context, k engine.Key) (*engine.Entity, error) {
	found, err := t.db.Get(ctx, []engine.Key{k}, true)
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, errs.New(errs.NotFound, "entity_not_found", "There is no entity %s.", k)
	}
	return found[0], nil
}

func (t *Tables) entity(c fiber.Ctx) error {
	k, err := keyParam(c)
	if err != nil {
		return err
	}
	e, err := t.get(c.Context(), k)
	if err != nil {
		return err
	}
	info, err := t.db.Table(c.Context(), k.Table)
	if err != nil {
		return err
	}
	v := newEntity(e, info.Indexes)
	v.Asked = page.Query(c, "delete") != ""
	return t.frame.Show(c, page.Page{Title: format.Shorten(k.PK, 120), Nav: nav, Crumbs: tableCrumbs(k.Table), Actions: entityActions(v)}, entityContent(v))
}

func (t *Tables) delete(c fiber.Ctx) error {
	k, err := keyParam(c)
	if err != nil {
		return err
	}
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	if err := page.Confirmed(form, k.PK); err != nil {
		return err
	}
	version, err := versionOf(form)
	if err != nil {
		return err
	}
	if _, err := t.apply(c.Context(), engine.Op{Kind: engine.OpDelete, Key: k, IfVersion: version}); err != nil {
		return err
	}
	return t.frame.Done(c, k.String()+" was deleted.", tablePath(k.Table, ""))
}

// apply carries out one operation.
func (t *Tables) apply(ctx context.Context, op engine.Op) (engine.OpResult, error) {
	results, err := t.db.Apply(ctx, []engine.Op{op}, false)
	if err != nil {
		return engine.OpResult{}, err
	}
	return results[0], results[0].Err
}

// versionOf is the version that a form was made for.
func versionOf(form page.Form) (*uint64, error) {
	version, err := strconv.ParseUint(form.Get("version"), 10, 64)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid_form", "The form doesn't say which version it is about. Load the page again. Nothing was done.")
	}
	return &version, nil
}

// Edit is the form that writes an entity.
type Edit struct {
	// New entities have a table and a key to choose.
	New       bool
	Table, PK string
	Tables    []string
	// Version is what the text began as.
	Version uint64
	Text    string
	// Columns are offered while one types.
	Columns []string
	// Error is about the text, KeyError and TableError about those fields.
	Error, TableError, KeyError string
	// Stored is what someone else has written meanwhile; Gone says that it was
	// deleted.
	Stored *engine.Entity
	Gone   bool
}

// maxEdit is the longest document that can be edited in a form.
const maxEdit = 1 << 20

func (t *Tables) edit(c fiber.Ctx) error {
	k, err := keyParam(c)
	if err != nil {
		return err
	}
	e, err := t.get(c.Context(), k)
	if err != nil {
		return err
	}
	if len(e.Doc) > maxEdit {
		return errs.New(errs.TooLarge, "entity_too_large", "The entity has %s; a form takes at most %s. Change it with PUT or PATCH /entities.", format.Bytes(len(e.Doc)), format.Bytes(maxEdit))
	}
	return t.showEdit(c, http.StatusOK, Edit{Table: k.Table, PK: k.PK, Version: e.Version, Text: Layout(e.Doc)})
}

func (t *Tables) showEdit(c fiber.Ctx, status int, v Edit) error {
	if sample, err := t.db.SampleColumns(c.Context(), v.Table, browseSample); err == nil {
		v.Columns = paths(sample)
	}
	p := page.Page{Title: "Edit " + format.Shorten(v.PK, 120), Nav: nav, Crumbs: append(tableCrumbs(v.Table), page.Crumb{Title: format.Shorten(v.PK, 40), Path: view.WithQuery(components.EntityPath(engine.Key{Table: v.Table, PK: v.PK}))})}
	if v.New {
		p.Title, p.Crumbs = "New entity", tableCrumbs("")
	}
	return t.frame.ShowStatus(c, status, p, editContent(v))
}

func (t *Tables) save(c fiber.Ctx) error {
	k, err := keyParam(c)
	if err != nil {
		return err
	}
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	version, err := versionOf(form)
	if err != nil {
		return err
	}
	v := Edit{Table: k.Table, PK: k.PK, Version: *version, Text: form.Get("entity")}
	op := engine.Op{Kind: engine.OpPut, Key: k, Doc: []byte(v.Text), IfVersion: version}
	if *version == 0 { // it was deleted, and is to be there again
		op.IfVersion, op.IfAbsent = nil, true
	}
	result, err := t.apply(c.Context(), op)
	switch errs.KindOf(err) {
	case errs.Precondition:
		return t.conflict(c, v)
	case errs.Invalid, errs.Conflict:
		if err != nil {
			v.Error = sentenceOf(err)
			return t.showEdit(c, http.StatusBadRequest, v)
		}
	}
	if err != nil {
		return err
	}
	return t.frame.Done(c, "Saved as version "+format.Count(result.Version)+".", tablePath(k.Table, "entity"), "pk", k.PK)
}

// conflict shows what was written meanwhile beside what was to be saved, which may
// then replace it.
func (t *Tables) conflict(c fiber.Ctx, v Edit) error {
	k := engine.Key{Table: v.Table, PK: v.PK}
	stored, err := t.get(c.Context(), k)
	switch {
	case errs.KindOf(err) == errs.NotFound && err != nil:
		v.Gone, v.Version = true, 0
	case err != nil:
		return err
	default:
		v.Stored, v.Version = stored, stored.Version
	}
	return t.showEdit(c, http.StatusPreconditionFailed, v)
}

// sentenceOf is what an error says about a document, with the places it names.
func sentenceOf(err error) string {
	p := problem.Of(err)
	text := p.Detail
	for _, f := range p.Errors {
		if f.Pointer != "" {
			text += " (at " + f.Pointer + ")"
		}
	}
	return text
}
