package logs

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
)

// slowQueryView is the page of one slow query.
type slowQueryView struct {
	Row slowRow
	// Filter is for people; Cut says that the whole of it wasn't kept.
	Filter    string
	Cut       bool
	Facts     []fact
	RequestID string
	Plan      components.Plan
	Advice    []advised
	// Helpless says that there is no index that could help.
	Helpless bool
	// Path and Body ask the same over REST; both are empty where what was asked
	// isn't kept as a whole.
	Path, Body string
	// TryPath and TryQuery lead to the page where it can be tried again.
	TryPath  string
	TryQuery []string
}

// fact is a line of what is known.
type fact struct{ Name, Value string }

func slowQueryViewOf(item slowItem, advice []advised) slowQueryView {
	q := item.Value
	v := slowQueryView{
		Row: slowRowOf(item), Filter: q.FilterText, Cut: q.FilterCut, RequestID: q.Caller.RequestID,
		Plan: components.QueryPlan(q.Plan), Advice: advice, Facts: facts(q),
	}
	if q.Search != nil {
		search := *q.Search
		search.Filter = q.Plan
		v.Plan = components.SearchPlan(&search, q.Found)
	}
	full := q.Plan != nil && q.Plan.Mode == query.ModeFullScan
	v.Helpless = full && len(q.Plan.Advice) == 0
	v.Path, v.Body = again(q)
	v.TryPath, v.TryQuery = try(q)
	return v
}

func facts(q *engine.SlowQuery) []fact {
	var all []fact
	add := func(name, value string) { all = append(all, fact{name, value}) }
	if q.Kind == engine.SlowSearchKind {
		add("k", format.Count(q.K))
		if q.Ef > 0 {
			add("ef", format.Count(q.Ef))
		}
		switch {
		case q.Key != "":
			add("Nearest to", q.Key)
		default:
			add("Vectors", format.Count(q.Vectors))
		}
		if q.Exact {
			add("Exact", "yes")
		}
	} else {
		if q.Return != engine.ReturnCount {
			limit := q.Limit
			if limit == 0 {
				limit = 100
			}
			add("Limit", format.Count(limit))
		}
		var order []string
		for _, o := range q.Order {
			if o.Desc {
				order = append(order, o.Column+" descending")
			} else {
				order = append(order, o.Column)
			}
		}
		if len(order) > 0 {
			add("Order", strings.Join(order, ", "))
		}
		if q.Return != "" {
			add("Returned", string(q.Return))
		}
	}
	if q.Paged {
		add("Page", "not the first")
	}
	return all
}

// again is the call that asks the same.
func again(q *engine.SlowQuery) (path, body string) {
	if q.FilterCut || q.Kind == engine.SlowSearchKind && q.Key == "" {
		return "", ""
	}
	call := struct {
		Table   string         `json:"table"`
		Column  string         `json:"column,omitzero"`
		Key     string         `json:"key,omitzero"`
		K       int            `json:"k,omitzero"`
		Ef      int            `json:"ef,omitzero"`
		Exact   bool           `json:"exact,omitzero"`
		Filter  jsontext.Value `json:"filter,omitzero"`
		OrderBy []string       `json:"order_by,omitempty"`
		Limit   int            `json:"limit,omitzero"`
		Return  engine.Return  `json:"return,omitzero"`
		Explain bool           `json:"explain"`
	}{Table: q.Table, Column: q.Column, Key: q.Key, K: q.K, Ef: q.Ef, Exact: q.Exact, Filter: jsontext.Value(q.Filter),
		Limit: q.Limit, Return: q.Return, Explain: true}
	for _, o := range q.Order {
		if o.Desc {
			call.OrderBy = append(call.OrderBy, "-"+o.Column)
		} else {
			call.OrderBy = append(call.OrderBy, o.Column)
		}
	}
	text, err := json.Marshal(call)
	if err != nil {
		return "", ""
	}
	if q.Kind == engine.SlowSearchKind {
		return "/vector/search", string(text)
	}
	return "/query", string(text)
}

// try leads to the page that asks the same; nowhere if that takes too long a link.
func try(q *engine.SlowQuery) (path string, parameters []string) {
	_, body := again(q)
	switch {
	case body == "":
		return "", nil
	case q.Kind == engine.SlowQueryKind:
		path, parameters = "query", []string{"q", body}
	default:
		path, parameters = "search", searchOf(q)
	}
	if !view.Linkable(path, parameters) {
		return "", nil
	}
	return path, parameters
}

// searchOf is a search as the parameters of its page.
func searchOf(q *engine.SlowQuery) []string {
	_, pk, _ := strings.Cut(q.Key, ":")
	parameters := []string{"index", q.Table + "." + q.Column, "key", pk, "k", strconv.Itoa(q.K), filterform.JSONField, q.Filter}
	if q.Ef > 0 {
		parameters = append(parameters, "ef", strconv.Itoa(q.Ef))
	}
	if q.Exact {
		parameters = append(parameters, "exact", "on")
	}
	return parameters
}

func (l *Logs) showSlowQuery(c fiber.Ctx) error {
	seq := number(c.Params("sequence"))
	q, ok := l.o.Database.SlowQueries().Get(seq)
	if !ok {
		return errs.New(errs.NotFound, "slow_query_not_found", "This slow query isn't kept any more: only the newest are, until a restart.")
	}
	v := slowQueryViewOf(slowItem{Seq: seq, Value: q}, l.adviser(c.Context())(q))
	title := "Slow query " + format.Count(seq)
	return l.frame.Show(c, page.Page{Title: title, Nav: "slow", Crumbs: []page.Crumb{{Title: "Slow queries", Path: "slow"}}}, slowQueryPage(v))
}
