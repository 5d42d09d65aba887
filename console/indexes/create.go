package indexes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
)

const (
	// sampled is how many entities the suggestions come from.
	sampled = 500
	// maxTables bounds the tables that the form offers; others can be typed.
	maxTables = 500
	// compositeInputs is how many columns the form of a composite index offers.
	compositeInputs = 4
)

// createForm is what stands in the form, as text, and what is wrong with it.
type createForm struct {
	Table   string
	Type    schema.IndexType
	Columns []string
	Unique  bool
	// Options are the other fields by name.
	Options map[string]string
	// Back is the page to go back to, empty for the list.
	Back string
	// Errors are sentences by field; General is one about the whole.
	Errors  map[string]string
	General string
}

// createView is the page of the form.
type createView struct {
	Form     createForm
	Tables   []string
	Exists   bool
	Defaults schema.VectorConfig
	// Sample is nil without a table to take one of.
	Sample *sampleView
}

// sampleView is what a sample of the table suggests.
type sampleView struct {
	Sampled   int
	Total     uint64
	Columns   []column
	Truncated bool
}

// from says what the sample is of.
func (s *sampleView) from() string {
	if uint64(s.Sampled) < s.Total {
		return "From " + format.Count(s.Sampled) + " of " + format.Plural(s.Total, "entity", "entities")
	}
	return "From " + format.Plural(s.Sampled, "entity", "entities")
}

// chosen says whether the form has a column or a complaint already.
func (v *createView) chosen() bool {
	return len(v.Form.Columns) > 0 || len(v.Form.Errors) > 0 || v.Form.General != ""
}

func (x *Indexes) form(c fiber.Ctx) error {
	i := fromQuery(c)
	f := createForm{Table: i.Table, Type: schema.IndexType(i.Type), Columns: i.Columns, Options: map[string]string{}}
	for _, name := range optionNames() {
		f.Options[name] = page.Query(c, name)
	}
	return x.showForm(c, http.StatusOK, f)
}

func optionNames() []string {
	return []string{"ttl_seconds", "dimension", "metric", "quantization", "m", "ef_construction", "ef"}
}

// showForm shows the form with what a sample of its table suggests.
func (x *Indexes) showForm(c fiber.Ctx, status int, f createForm) error {
	if !slices.Contains(types(), f.Type) {
		f.Type = usualType(f.Columns)
	}
	v := createView{Form: f, Defaults: x.db.VectorDefaults(), Tables: x.db.TableNames()}
	v.Exists = slices.Contains(v.Tables, f.Table)
	v.Tables = v.Tables[:min(len(v.Tables), maxTables)]
	if v.Exists {
		var err error
		if v.Sample, err = x.sample(c.Context(), f.Table); err != nil {
			return err
		}
		v.prefill()
	}
	return x.frame.ShowStatus(c, status, page.Page{
		Title: "Create an index", Nav: nav, Wide: true, Crumbs: []page.Crumb{{Title: "Indexes", Path: "indexes"}},
	}, create(v))
}

func (x *Indexes) sample(ctx context.Context, table string) (*sampleView, error) {
	sample, err := x.db.SampleColumns(ctx, table, sampled)
	if err != nil {
		return nil, err
	}
	infos, err := x.db.IndexStats(ctx, table)
	if err != nil {
		return nil, err
	}
	return &sampleView{sample.Sampled, sample.Total, suggest(sample, infos), sample.Truncated}, nil
}

// prefill takes the dimension of the column named from the sample.
func (v *createView) prefill() {
	if v.Form.Type != schema.Vector || len(v.Form.Columns) != 1 || v.Form.Options["dimension"] != "" {
		return
	}
	for _, s := range v.Sample.Columns {
		if s.Path == v.Form.Columns[0] && s.Dimension > 0 {
			v.Form.Options["dimension"] = strconv.Itoa(s.Dimension)
		}
	}
}

// columnInputs is how many columns the form asks for.
func (v *createView) columnInputs() int {
	if v.Form.Type != schema.Composite {
		return 1
	}
	return min(max(compositeInputs, len(v.Form.Columns)+1), schema.MaxCompositeColumns)
}

// columnAt is the text in the nth of them.
func (v *createView) columnAt(n int) string {
	if n < len(v.Form.Columns) {
		return v.Form.Columns[n]
	}
	return ""
}

// quantization is the one chosen, or else the server's.
func (v *createView) quantization() string {
	return cmp.Or(v.Form.Options["quantization"], v.Defaults.Quantization)
}

// withType are the parameters of the same form for another type.
func (v *createView) withType(t schema.IndexType) []string {
	return components.Index{Table: v.Form.Table, Columns: v.Form.Columns, Type: string(t)}.Query()
}

// fill is the form filled in with a suggestion.
func (s column) fill(table string) []string {
	query := s.index(table).Query()
	if s.Dimension > 0 {
		query = append(query, "dimension", strconv.Itoa(s.Dimension))
	}
	return query
}

func (x *Indexes) create(c fiber.Ctx) error {
	sent, err := page.FormOf(c)
	if err != nil {
		return err
	}
	f := formOf(sent)
	def, ok := f.definition()
	if !ok {
		return x.showForm(c, http.StatusBadRequest, f)
	}
	name := components.Index{Table: def.Table, Columns: def.Columns, Type: string(def.Type)}.Name()
	notice := fmt.Sprintf("The index %s is being built. Writes go on meanwhile, and are indexed too.", name)
	job, err := x.db.CreateIndex(c.Context(), def)
	if err == nil {
		var done bool
		if done, err = page.Soon(c.Context(), job); done && err == nil {
			notice = fmt.Sprintf("The index %s is ready: it has taken in %s.", name, format.Plural(job.Status().Done, "entity", "entities"))
		}
	}
	if err != nil {
		if !f.blame(err) {
			return err
		}
		return x.showForm(c, problem.Of(err).Status, f)
	}
	if back := page.Back(f.Back); back != "" { // as the query that lacked the index
		return x.frame.Done(c, notice, back)
	}
	return x.frame.Done(c, notice, "indexes", "table", def.Table)
}

// formOf reads what was sent.
func formOf(sent page.Form) createForm {
	i := fromForm(sent)
	f := createForm{
		Table: i.Table, Type: schema.IndexType(i.Type), Unique: sent.Checked("unique"), Back: sent.Text("back"),
		Options: map[string]string{}, Errors: map[string]string{},
	}
	for _, column := range i.Columns {
		if column = strings.TrimSpace(column); column != "" {
			f.Columns = append(f.Columns, column)
		}
	}
	for _, name := range optionNames() {
		f.Options[name] = sent.Text(name)
	}
	return f
}

// definition is the index that the form describes; false if a field can't be read.
func (f *createForm) definition() (schema.IndexDef, bool) {
	if f.Type == "" {
		f.Type = usualType(f.Columns)
	}
	if f.Table == "" {
		f.Errors["table"] = "Name a table."
	} else if err := engine.ValidateTable(f.Table); err != nil {
		f.Errors["table"] = format.Sentence(problem.Of(err).Detail)
	}
	if len(f.Columns) == 0 {
		f.Errors["column"] = "Name a column."
	}
	def := schema.IndexDef{Table: f.Table, Columns: f.Columns, Type: f.Type}
	switch f.Type {
	case schema.Vector:
		def.Vector = &schema.VectorConfig{
			Dimension: f.number("dimension"), Metric: f.Options["metric"],
			Quantization: f.Options["quantization"], M: f.number("m"), EfConstruction: f.number("ef_construction"), Ef: f.number("ef"),
		}
	case schema.TTL:
		def.TTLSeconds = int64(f.number("ttl_seconds"))
	case schema.Equality, schema.Range, schema.Sparse, schema.Composite:
		def.Unique = f.Unique
	}
	return def, len(f.Errors) == 0
}

// usualType is that of an index on columns for which nobody chose one.
func usualType(columns []string) schema.IndexType {
	if len(columns) > 1 {
		return schema.Composite
	}
	return schema.Equality
}

// number is a field that may be empty, which is 0.
func (f *createForm) number(name string) int {
	text := f.Options[name]
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > math.MaxInt32 {
		f.Errors[name] = "This must be a whole number."
		return 0
	}
	return n
}

// blame puts what an error says beside the fields that it is about; false if it
// isn't about what was sent.
func (f *createForm) blame(err error) (ok bool) {
	f.Errors, f.General, ok = blame(err, fieldOf)
	return ok
}

// blame says what an error has against which field, or against the whole; false if
// it isn't about what was sent. Field names the field for a place in the body that
// the REST API would take; empty is none.
func blame(err error, field func(pointer string) string) (fields map[string]string, general string, ok bool) {
	var e *errs.Error
	if !errors.As(err, &e) {
		return nil, "", false
	}
	switch e.Kind {
	case errs.Invalid, errs.Conflict, errs.NotFound, errs.NotSupported:
	default:
		return nil, "", false
	}
	fields = map[string]string{}
	for _, f := range e.Fields {
		if name := field(f.Pointer); name != "" {
			fields[name] = format.Sentence(f.Detail)
		}
	}
	if len(fields) == 0 {
		general = format.Sentence(e.Detail)
	}
	return fields, general, true
}

// fieldOf is the field of the form for a place in the body of /index/create.
func fieldOf(pointer string) string {
	switch {
	case strings.HasPrefix(pointer, "/columns"):
		return "column"
	case pointer == "/table", pointer == "/unique":
		return pointer[1:]
	}
	if name, ok := strings.CutPrefix(pointer, "/config/"); ok && slices.Contains(optionNames(), name) {
		return name
	}
	return ""
}

// pendingNote says what it means that vectors aren't in the graph yet.
func pendingNote(n int) string {
	return format.Plural(n, "vector isn't", "vectors aren't") + " in the graph yet; searches look at them one by one."
}

// entriesNote is what an index counts.
func entriesNote(info *engine.IndexInfo) string {
	if info.Type == schema.Vector {
		return "vectors"
	}
	return "terms, one per value"
}
