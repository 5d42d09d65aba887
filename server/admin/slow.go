package admin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of slow queries.
type (
	slowQuery struct {
		Sequence uint64          `json:"sequence"`
		Kind     engine.SlowKind `json:"kind" enum:"query,search"`
		Began    time.Time       `json:"began"`
		TookMs   float64         `json:"took_ms"`
		Caller   engine.Caller   `json:"caller" doc:"Whose key asked, and the request's id in the log."`
		Table    string          `json:"table"`
		Filter   jsontext.Value  `json:"filter,omitzero" schema:"Filter"`
		Text     string          `json:"filter_text,omitzero" doc:"The filter for people, cut off where it is very long."`
		Shape    string          `json:"shape,omitzero" doc:"The same with ? for every value."`
		Cut      bool            `json:"filter_cut,omitzero" doc:"The filter was too long to be kept."`
		OrderBy  []query.Order   `json:"order_by,omitzero"`
		Limit    int             `json:"limit,omitzero"`
		Return   engine.Return   `json:"return,omitzero"`
		Paged    bool            `json:"paged,omitzero" doc:"It went on at a cursor."`
		Column   string          `json:"column,omitzero"`
		K        int             `json:"k,omitzero"`
		Ef       int             `json:"ef,omitzero"`
		Exact    bool            `json:"exact,omitzero"`
		Vectors  int             `json:"vectors,omitzero" doc:"How many vectors were searched for; they themselves aren't kept."`
		Key      string          `json:"key,omitzero" doc:"The entity whose vector was searched for."`
		Found    int             `json:"found"`
		Error    string          `json:"error,omitzero" doc:"The code of the error that it ended with."`

		Plan   *engine.PlanReport `json:"plan,omitzero" doc:"Of the filter. Its advice are the indexes that would have spared most of the work."`
		Search *engine.SearchPlan `json:"search_plan,omitzero" doc:"Of the first vector."`
	}
	slowList struct {
		ThresholdMs float64     `json:"threshold_ms" doc:"query.slow_threshold_ms; 0 keeps none."`
		Queries     []slowQuery `json:"queries" doc:"Newest first; the last 256 are kept, until a restart."`
		More        bool        `json:"more" doc:"There are older ones: ask on with before."`
	}
)

const (
	exampleSlow = `{"sequence":3,"kind":"query","began":"2026-11-22T10:00:00Z","took_ms":412.5,"caller":{"name":"shop","request_id":"9f2c41d07a3be815"},` +
		`"table":"books","filter":{"column":"year","op":"lt","value":1900},"filter_text":"year < 1900","shape":"year < ?","limit":10,"return":"entities","found":10,` +
		`"plan":{"mode":"full_scan_fallback","steps":[],"estimates":[],"rows_scanned":81234,` +
		`"advice":[{"columns":["year"],"type":"range","reason":"No index serves the filter: 81,234 entities were read to find 10."}]}}`
	maxSlow = 256
)

func (a *Admin) slowRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/admin/slow", Role: auth.Admin, ID: "listSlowQueries", Tag: tag,
			Summary: "Queries and searches that took long",
			Description: "Those that took query.slow_threshold_ms or longer, and those that ran out of time, with how they were carried out and the index that they lack. " +
				"Vectors aren't kept.",
			Params: []openapi.Param{
				{Name: "table", In: "query", Description: "Only those of this table."},
				{Name: "limit", In: "query", Of: 0, Default: "100", Description: "How many, 1 to 256."},
				{Name: "before", In: "query", Of: uint64(0), Description: "Only those with a sequence below this one."},
			},
			Answers: []openapi.Answer{{Status: http.StatusOK, Media: []openapi.Media{openapi.JSON[slowList](
				`{"threshold_ms":100,"queries":[` + exampleSlow + `],"more":false}`)}}},
		}, Handle: a.listSlow},
		{Operation: openapi.Operation{
			Method: "DELETE", Path: "/admin/slow", Role: auth.Admin, ID: "clearSlowQueries", Tag: tag,
			Summary: "Forget the slow queries", Description: "To begin anew, as after making an index. vccdb_slow_queries_total counts on.",
			Answers: []openapi.Answer{{Status: http.StatusNoContent, Description: "The list is empty."}},
		}, Handle: a.clearSlow},
	}
}

func (a *Admin) listSlow(c fiber.Ctx) error {
	limit, err := queryNumber(c, "limit", 100, 1, maxSlow)
	if err != nil {
		return err
	}
	before, err := queryNumber(c, "before", 0, 0, 1<<53)
	if err != nil {
		return err
	}
	table := rest.QueryText(c, "table")
	items, more := a.o.Database.SlowQueries().Before(uint64(before), limit, func(q *engine.SlowQuery) bool {
		return table == "" || q.Table == table
	})
	list := slowList{ThresholdMs: milliseconds(a.o.Database.SlowThreshold()), Queries: []slowQuery{}, More: more}
	for _, item := range items {
		list.Queries = append(list.Queries, slowOf(item.Seq, item.Value))
	}
	return rest.Answer(c, http.StatusOK, list)
}

func (a *Admin) clearSlow(c fiber.Ctx) error {
	a.o.Database.SlowQueries().Clear()
	return c.SendStatus(http.StatusNoContent)
}

func slowOf(seq uint64, q *engine.SlowQuery) slowQuery {
	return slowQuery{
		Sequence: seq, Kind: q.Kind, Began: q.Began.UTC(), TookMs: milliseconds(q.Took), Caller: q.Caller, Table: q.Table,
		Filter: jsontext.Value(q.Filter), Text: q.FilterText, Shape: q.Shape, Cut: q.FilterCut,
		OrderBy: q.Order, Limit: q.Limit, Return: q.Return, Paged: q.Paged,
		Column: q.Column, K: q.K, Ef: q.Ef, Exact: q.Exact, Vectors: q.Vectors, Key: q.Key,
		Found: q.Found, Error: q.Error, Plan: q.Plan, Search: q.Search,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// queryNumber reads an optional whole number.
func queryNumber(c fiber.Ctx, name string, absent, from, to int) (int, error) {
	text := rest.QueryText(c, name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < from || n > to {
		return 0, errs.New(errs.Invalid, "invalid_parameter", "%s must be a whole number from %d to %d, not %q", name, from, to, text)
	}
	return n, nil
}
