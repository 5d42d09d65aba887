package tables

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

const (
	// defaultLimit entities stand on a page; defaultColumns of their columns are
	// shown until someone chooses, maxColumns at most.
	defaultLimit   = 50
	defaultColumns = 6
	maxColumns     = 30
	// browseSample is how many entities are looked at to know the columns.
	browseSample = 100
	// countUpTo is the size of a table up to which matches are counted unasked, even
	// if that takes reading it whole.
	countUpTo = 5000
)

// Summary is what stands above all pages of a table.
type Summary struct {
	Name            string
	Entities, Bytes uint64
	Indexes         []engine.IndexInfo
}

func summaryOf(info *engine.TableInfo) Summary {
	return Summary{Name: info.Name, Entities: info.Entities, Bytes: info.SizeBytes, Indexes: info.Indexes}
}

// line is the summary in words.
func (s Summary) line() string {
	return format.Plural(s.Entities, "entity", "entities") + ", " + format.Stored(s.Bytes, s.Entities) + " with " + format.Plural(len(s.Indexes), "index", "indexes")
}

// vectorColumns are those that a similar entity can be looked for by.
func (s Summary) vectorColumns() []string {
	var columns []string
	for _, ix := range s.Indexes {
		if ix.Type == schema.Vector && ix.State == schema.StateReady {
			columns = append(columns, ix.Columns[0])
		}
	}
	return columns
}

// sortable are the columns that an index has in order.
func (s Summary) sortable() []string {
	var columns []string
	for _, ix := range s.Indexes {
		if (ix.Type == schema.Range || ix.Type == schema.Equality) && ix.State == schema.StateReady && !slices.Contains(columns, ix.Columns[0]) {
			columns = append(columns, ix.Columns[0])
		}
	}
	return columns
}

// Browse is a page of entities.
type Browse struct {
	Summary
	browsing
	// Sample tells the columns there are.
	Sample *engine.ColumnSample
	Rows   []BrowseRow
	Next   string
	Took   time.Duration
	Plan   *engine.PlanReport
	// Matches is how many entities match, -1 if that wasn't counted.
	Matches int
	// Err is what is wrong with the filter or the request; nothing was read then.
	Err error
}

// BrowseRow is an entity in a list.
type BrowseRow struct {
	PK      string
	Version uint64
	Updated time.Time
	Cells   []components.Cell
}

// paths are the columns that a sample has.
func paths(sample *engine.ColumnSample) []string {
	var out []string
	for _, c := range sample.Columns {
		out = append(out, c.Path)
	}
	return out
}

// usualColumns are those that one wants to see first: those that most entities
// have, without vectors and without objects, whose parts have columns of their
// own.
func usualColumns(sample *engine.ColumnSample) []string {
	var out []string
	for _, c := range sample.Columns {
		if len(out) == defaultColumns {
			break
		}
		if isVector(c) && c.Dimension != 1 || c.Objects > 0 && c.Objects == c.Entities {
			continue
		}
		out = append(out, c.Path)
	}
	slices.Sort(out)
	return out
}

func (t *Tables) browse(c fiber.Ctx) error {
	table, err := tableParam(c)
	if err != nil {
		return err
	}
	q, err := page.Values(c)
	if err != nil {
		return err
	}
	b, err := t.newBrowse(c.Context(), table, parseRequest(q))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if b.Err != nil {
		status = http.StatusBadRequest
	}
	return t.frame.ShowStatus(c, status, page.Page{Title: table, Nav: nav, Crumbs: tableCrumbs(""), Wide: true, Actions: tableActions(b.Summary)}, browseContent(b))
}

func (t *Tables) newBrowse(ctx context.Context, table string, r browsing) (*Browse, error) {
	info, err := t.db.Table(ctx, table)
	if err != nil {
		return nil, err
	}
	b := &Browse{Summary: summaryOf(info), browsing: r, Matches: -1}
	if b.Sample, err = t.db.SampleColumns(ctx, table, browseSample); err != nil {
		return nil, err
	}
	if len(b.columns) == 0 {
		b.columns = usualColumns(b.Sample)
	}
	if r.prefix != "" {
		err = t.fillByKey(ctx, b)
	} else {
		var filter *query.Expr
		if filter, err = r.form.Expr(); err == nil {
			err = t.fill(ctx, b, filter)
		}
	}
	if errs.KindOf(err) == errs.Invalid {
		b.Err = err
		return b, nil
	}
	return b, err
}

// fillByKey reads the entities whose keys begin with the prefix.
func (t *Tables) fillByKey(ctx context.Context, b *Browse) error {
	if err := b.checkColumns(); err != nil {
		return err
	}
	started := time.Now()
	pks, err := t.db.PrimaryKeys(ctx, b.Name, b.prefix, b.limit)
	if err != nil {
		return err
	}
	keys := make([]engine.Key, len(pks))
	for i, pk := range pks {
		keys[i] = engine.Key{Table: b.Name, PK: pk}
	}
	found, err := t.db.Get(ctx, keys, true)
	if err != nil {
		return err
	}
	x := schema.NewExtractor(b.columns...)
	for _, e := range found {
		if e != nil {
			b.add(x, e)
		}
	}
	b.Took = time.Since(started)
	return nil
}

func (b *Browse) add(x *schema.Extractor, e *engine.Entity) {
	b.Rows = append(b.Rows, BrowseRow{e.Key.PK, e.Version, e.UpdatedAt, cells(x, len(b.columns), e.Doc)})
}

func (b *Browse) checkColumns() error {
	for _, column := range b.columns {
		if _, err := schema.ParsePath(column); err != nil {
			return errs.New(errs.Invalid, "invalid_column", "The column %q can't be shown: %v", format.Shorten(column, 100), err)
		}
	}
	return nil
}

// fill reads the page's entities.
func (t *Tables) fill(ctx context.Context, b *Browse, filter *query.Expr) error {
	order, err := b.orders()
	if err == nil {
		err = b.checkColumns()
	}
	if err != nil {
		return err
	}
	result, err := t.db.Query(ctx, engine.QueryRequest{
		Table: b.Name, Filter: filter, Order: order, Limit: b.limit, Cursor: b.cursor, Fields: b.columns, Explain: true,
	})
	if err != nil {
		return err
	}
	b.Next, b.Took, b.Plan = result.NextCursor, result.Took, result.Plan
	x := schema.NewExtractor(b.columns...)
	for i := range result.Entities {
		b.add(x, &result.Entities[i])
	}
	switch {
	case filter == nil:
		b.Matches = int(b.Entities)
	case b.Next == "" && b.cursor == "":
		b.Matches = len(b.Rows)
	case b.count || b.Entities <= countUpTo || result.Plan.Mode != query.ModeFullScan && result.Plan.Residual == nil:
		counted, err := t.db.Query(ctx, engine.QueryRequest{Table: b.Name, Filter: filter, Return: engine.ReturnCount})
		if err != nil {
			return err
		}
		b.Matches = counted.Count
	}
	return nil
}

// shown says which entities are on the page.
func (b *Browse) shown() string {
	of := ""
	switch {
	case b.prefix != "" && len(b.Rows) == b.limit:
		return "The first " + format.Count(len(b.Rows)) + " keys that begin with " + format.Shorten(b.prefix, 60)
	case b.prefix != "":
		return format.Plural(len(b.Rows), "key begins", "keys begin") + " with " + format.Shorten(b.prefix, 60)
	case b.form.Empty():
		of = " of " + format.Plural(b.Entities, "entity", "entities")
	case b.Matches >= 0:
		of = " of " + format.Plural(b.Matches, "match", "matches")
	}
	return format.Count(len(b.Rows)) + of + " on this page"
}

// took says what the page cost to read.
func (b *Browse) took() string {
	if b.Plan == nil {
		return "read in " + format.Duration(b.Took)
	}
	return format.Plural(b.Plan.RowsScanned, "entity", "entities") + " read in " + format.Duration(b.Took)
}

// link leads to the page of entities from its beginning, with more parameters.
func (b *Browse) link(ctx context.Context, more ...string) templ.SafeURL {
	return view.URL(ctx, tablePath(b.Name, ""), append(b.query(), more...)...)
}

func (b *Browse) first(ctx context.Context) templ.SafeURL {
	if b.cursor == "" {
		return ""
	}
	return b.link(ctx)
}

func (b *Browse) next(ctx context.Context) templ.SafeURL {
	if b.Next == "" {
		return ""
	}
	return b.link(ctx, "cursor", b.Next)
}

// filterLink leads to another page of the table with the same filter.
func (b *Browse) filterLink(ctx context.Context, part string) templ.SafeURL {
	return view.URL(ctx, tablePath(b.Name, part), b.form.Pairs()...)
}

// sortLink leads to the page in the order that a click on a column's head asks for.
func (b *Browse) sortLink(ctx context.Context, column string) templ.SafeURL {
	sorted := *b
	if sorted.order = column; b.order == column {
		sorted.order = "-" + column
	}
	return sorted.link(ctx)
}

// orderOptions are the orders one can choose.
func (b *Browse) orderOptions() []components.Option {
	options := []components.Option{{Value: "", Label: "Stored order"}}
	for _, column := range b.sortable() {
		options = append(options, components.Option{Value: column, Label: column + ", upwards"}, components.Option{Value: "-" + column, Label: column + ", downwards"})
	}
	if column, _ := strings.CutPrefix(b.order, "-"); column != "" && !slices.Contains(b.sortable(), column) {
		options = append(options, components.Option{Value: b.order, Label: b.order + " (no index)"})
	}
	return options
}

// otherColumns are those of the sample that aren't shown.
func (b *Browse) otherColumns() []string {
	return slices.DeleteFunc(paths(b.Sample), func(path string) bool { return slices.Contains(b.columns, path) })
}

// sortedBy says whether a column's head sorts the page.
func sortedBy(b *Browse, column string) bool {
	return slices.Contains(b.sortable(), column) || strings.TrimPrefix(b.order, "-") == column
}

// numeric says whether a column of the page holds numbers alone, which stand
// right.
func (b *Browse) numeric(i int) bool {
	found := false
	for _, row := range b.Rows {
		switch c := row.Cells[i]; {
		case c.Number:
			found = true
		case c.Text != "":
			return false
		}
	}
	return found
}

// restQuery is the page as the body of POST /query.
func (b *Browse) restQuery() string {
	filter, err := b.form.Expr()
	if err != nil {
		return ""
	}
	body := struct {
		Table  string      `json:"table"`
		Filter *query.Expr `json:"filter,omitzero"`
		Order  string      `json:"order_by,omitzero"`
		Limit  int         `json:"limit"`
	}{b.Name, filter, b.order, b.limit}
	text, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	return string(text)
}
