package tables

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

// limits are the sizes of a page one can choose.
func limits() []string { return []string{"20", "50", "100", "200"} }

// browsing is what a page of entities asks for.
type browsing struct {
	form    filterform.Form
	columns []string
	// order is a column, with a minus for the greatest first; empty for none.
	order  string
	limit  int
	cursor string
	// prefix asks for the entities whose keys begin with it, in the place of those
	// that match the form.
	prefix string
	// count asks for the number of matches.
	count bool
}

func parseRequest(q url.Values) browsing {
	r := browsing{
		form: filterform.Parse(q), order: strings.TrimSpace(q.Get("order")), limit: defaultLimit,
		cursor: q.Get("cursor"), count: q.Has("count"), prefix: q.Get("prefix"),
	}
	for _, column := range q["show"] {
		if column != "" && len(r.columns) < maxColumns && !slices.Contains(r.columns, column) {
			r.columns = append(r.columns, column)
		}
	}
	if slices.Contains(limits(), q.Get("limit")) {
		r.limit, _ = strconv.Atoi(q.Get("limit")) // it is one of the limits
	}
	return r
}

// query is the request as names and values in turn, without the cursor.
func (r browsing) query() []string {
	list := append(r.form.Pairs(), "order", r.order)
	for _, column := range r.columns {
		list = append(list, "show", column)
	}
	if r.limit != defaultLimit {
		list = append(list, "limit", strconv.Itoa(r.limit))
	}
	return list
}

// orders are the engine's form of the order.
func (r browsing) orders() ([]query.Order, error) {
	column, descending := strings.CutPrefix(r.order, "-")
	if column == "" {
		return nil, nil
	}
	if _, err := schema.ParsePath(column); err != nil {
		return nil, errs.New(errs.Invalid, "invalid_order", "The table can't be sorted by %q: %v", column, err)
	}
	return []query.Order{{Column: column, Desc: descending}}, nil
}
