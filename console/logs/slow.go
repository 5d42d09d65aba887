package logs

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/recent"
	"github.com/vccdb/vccdb/server/request"
)

// slowItem is a slow query with its sequence.
type slowItem = recent.Item[*engine.SlowQuery]

// slowView is the page of slow queries.
type slowView struct {
	// Threshold is 0 while none are kept.
	Threshold time.Duration
	// Each lists queries one by one; else they are gathered by shape.
	Each  bool
	Table string
	// Tables are those that slow queries went to.
	Tables []components.Option
	Kept   int
	Shapes []slowShape
	Rows   []slowRow
	Older  uint64
}

// slowRow is one slow query.
type slowRow struct {
	Seq     uint64
	Began   time.Time
	Took    time.Duration
	Kind    engine.SlowKind
	Table   string
	What    string
	Caller  string
	Error   string
	Found   int
	Scanned int
	// Planned says that Scanned is known.
	Planned bool
}

// slowShape is what slow queries with different values have in common.
type slowShape struct {
	Kind          engine.SlowKind
	Table         string
	What          string
	Count, Failed int
	Total         time.Duration
	Last          time.Time
	// Slowest is the one that took longest.
	Slowest slowRow
	// Advice is of the newest.
	Advice []advised
}

func (s slowShape) mean() time.Duration { return s.Total / time.Duration(s.Count) }

// advised is an index that would help, and whether it is there by now.
type advised struct {
	Index  components.Index
	Reason string
	// State is empty, ready or building.
	State schema.State
}

func slowRowOf(item slowItem) slowRow {
	q := item.Value
	r := slowRow{
		Seq: item.Seq, Began: q.Began, Took: q.Took, Kind: q.Kind, Table: q.Table,
		What: what(q, q.FilterText), Caller: q.Caller.Name, Error: q.Error, Found: q.Found,
	}
	if q.Plan != nil {
		r.Scanned, r.Planned = q.Plan.RowsScanned, true
	}
	return r
}

// what says in a line what was asked, with the filter as text.
func what(q *engine.SlowQuery, filter string) string {
	var parts []string
	if q.Kind == engine.SlowSearchKind {
		switch {
		case q.Key != "":
			parts = append(parts, "nearest to an entity by "+q.Column)
		default:
			parts = append(parts, "nearest by "+q.Column)
		}
		if q.Exact {
			parts = append(parts, "exact")
		}
	}
	if filter != "" {
		parts = append(parts, "where "+filter)
	}
	for i, o := range q.Order {
		word := "order by "
		if i > 0 {
			word = "then "
		}
		if o.Desc {
			parts = append(parts, word+o.Column+" descending")
		} else {
			parts = append(parts, word+o.Column)
		}
	}
	if q.Return == engine.ReturnCount {
		parts = append(parts, "count")
	}
	if len(parts) == 0 {
		return "all entities"
	}
	return strings.Join(parts, ", ")
}

// shapesOf gathers queries, newest first, by what they have in common; those that
// cost most in all come first.
func shapesOf(items []slowItem, advice func(*engine.SlowQuery) []advised) []slowShape {
	type key struct {
		kind        engine.SlowKind
		table, what string
	}
	index := map[key]int{}
	var shapes []slowShape
	for _, item := range items {
		q := item.Value
		k := key{q.Kind, q.Table, what(q, q.Shape)}
		at, known := index[k]
		if !known {
			at = len(shapes)
			index[k] = at
			shapes = append(shapes, slowShape{Kind: k.kind, Table: k.table, What: k.what, Last: q.Began})
		}
		s := &shapes[at]
		s.Count++
		s.Total += q.Took
		if q.Error != "" {
			s.Failed++
		}
		if q.Took > s.Slowest.Took {
			s.Slowest = slowRowOf(item)
		}
		if s.Advice == nil {
			s.Advice = advice(q)
		}
	}
	slices.SortStableFunc(shapes, func(a, b slowShape) int { return -cmp.Compare(a.Total, b.Total) })
	return shapes
}

// adviser says which of the indexes that a query lacked are still missing. It asks
// once for each table that is there.
func (l *Logs) adviser(ctx context.Context) func(*engine.SlowQuery) []advised {
	tables := map[string][]engine.IndexInfo{}
	return func(q *engine.SlowQuery) []advised {
		if q.Plan == nil || len(q.Plan.Advice) == 0 {
			return nil
		}
		infos, known := tables[q.Table]
		if !known {
			var err error
			if infos, err = l.o.Database.IndexStats(ctx, q.Table); err != nil { // the table was dropped
				return nil
			}
			tables[q.Table] = infos
		}
		return advisedOf(q.Table, q.Plan.Advice, infos)
	}
}

func advisedOf(table string, advice []query.Advice, infos []engine.IndexInfo) []advised {
	var all []advised
	for _, a := range advice {
		one := advised{Index: components.Index{Table: table, Columns: a.Columns, Type: string(a.Type)}, Reason: a.Reason}
		for _, info := range infos {
			if info.Type == a.Type && slices.Equal(info.Columns, a.Columns) {
				one.State = info.State
			}
		}
		all = append(all, one)
	}
	return all
}

func (l *Logs) slowView(ctx context.Context, table string, each bool, before uint64) slowView {
	list := l.o.Database.SlowQueries()
	v := slowView{Threshold: l.o.Database.SlowThreshold(), Each: each, Table: table}
	all, _ := list.Before(0, 1<<20, nil)
	v.Kept = len(all)
	v.Tables = slowTables(all, table)
	ofTable := func(q *engine.SlowQuery) bool { return table == "" || q.Table == table }
	if !each {
		all = slices.DeleteFunc(all, func(item slowItem) bool { return !ofTable(item.Value) })
		v.Shapes = shapesOf(all, l.adviser(ctx))
		return v
	}
	items, more := list.Before(before, 100, ofTable)
	for _, item := range items {
		v.Rows = append(v.Rows, slowRowOf(item))
	}
	if more {
		v.Older = items[len(items)-1].Seq
	}
	return v
}

func slowTables(items []slowItem, chosen string) []components.Option {
	names := []string{}
	if chosen != "" {
		names = append(names, chosen)
	}
	for _, item := range items {
		names = append(names, item.Value.Table)
	}
	slices.Sort(names)
	options := []components.Option{{Value: "", Label: "All tables"}}
	for _, name := range slices.Compact(names) {
		options = append(options, components.Option{Value: name, Label: format.Shorten(name, 64)})
	}
	return options
}

func (l *Logs) showSlow(c fiber.Ctx) error {
	each := page.Query(c, "view") == "each"
	v := l.slowView(c.Context(), page.Query(c, "table"), each, number(page.Query(c, "before")))
	return l.frame.Show(c, page.Page{Title: "Slow queries", Nav: "slow", Actions: slowActions(v), Wide: true}, slowPage(v))
}

// setThreshold changes what counts as slow, as POST /config does.
func (l *Logs) setThreshold(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	ms, err := strconv.Atoi(form.Text("ms"))
	if err != nil {
		return errs.Field("invalid_setting", "/query/slow_threshold_ms", "The threshold is a whole number of milliseconds, not %q. Nothing was changed.", form.Text("ms"))
	}
	document := []byte(`{"query":{"slow_threshold_ms":` + strconv.Itoa(ms) + `}}`)
	if _, err := l.o.Config.Edit(request.Principal(c).Name, document); err != nil {
		return err
	}
	if ms == 0 {
		return l.frame.Done(c, "Slow queries aren't kept until the next restart.", "slow")
	}
	return l.frame.Done(c, "What takes "+format.Millis(float64(ms))+" or longer is kept, until the next restart.", "slow")
}

func (l *Logs) clearSlow(c fiber.Ctx) error {
	l.o.Database.SlowQueries().Clear()
	return l.frame.Done(c, "The list of slow queries is empty.", "slow")
}
