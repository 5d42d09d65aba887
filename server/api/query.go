package api

import (
	"fmt"
	"net/http"
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

// Wire types of queries.
type (
	queryRequest struct {
		Table         string         `json:"table"`
		Predicates    jsontext.Value `json:"predicates,omitzero" schema:"Predicates"`
		Filter        jsontext.Value `json:"filter,omitzero" schema:"Filter"`
		OrderBy       jsontext.Value `json:"order_by,omitzero" schema:"OrderBy"`
		Limit         *int           `json:"limit,omitzero" min:"1" max:"10000" default:"100"`
		Cursor        string         `json:"cursor,omitzero" doc:"next_cursor of the page before, with the same query."`
		Return        string         `json:"return,omitzero" enum:"entities,keys,count" default:"entities"`
		Fields        []string       `json:"fields,omitzero" doc:"Reduce each entity to these columns."`
		Explain       bool           `json:"explain,omitzero" doc:"Add the plan to the answer: its steps, what each was reckoned to yield, and what it did."`
		AllowFullScan *bool          `json:"allow_full_scan,omitzero" default:"true" doc:"false refuses a query that no index serves (full_scan_refused)."`
	}
	queryAnswer struct {
		Table      string             `json:"table"`
		Count      int                `json:"count" doc:"Matches on this page; all matches when return is count."`
		Entities   []entity           `json:"entities,omitzero"`
		Keys       []string           `json:"keys,omitzero"`
		NextCursor string             `json:"next_cursor,omitzero" doc:"Absent on the last page."`
		TookMs     float64            `json:"took_ms"`
		Plan       *engine.PlanReport `json:"plan,omitzero"`
	}
)

const (
	tagQuery = "Query"

	filterNote = "predicates is a list of {column, op, value} that must all hold; filter is a tree of {\"and\": [...]}, {\"or\": [...]}, " +
		"{\"not\": ...} and the same leaves. Given both, both must hold.\n\n" +
		"Operators: eq (default), ne, in, nin, lt, lte, gt, gte, between [low, high] (inclusive), exists (true or false), prefix, contains, " +
		"geo_radius {lat, lon, radius_m}, geo_box {top_left, bottom_right}. match is not available yet. " +
		"Values compare by JSON type; across types null < bool < number < string. Of an array, one matching element is enough."
	// maxFields bounds the columns of a projection.
	maxFields = 1000
)

func (a *API) queryRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/query", Role: auth.ReadOnly, ID: "query", Tag: tagQuery,
			Summary: "Find entities by their values",
			Description: filterNote + "\n\nWithout order_by the order is stable but has no meaning. A cursor continues a query exactly, also while entities are written.\n\n" +
				"The mode of a plan is index_optimized, index_parallel, range_aware, full_scan_fallback or empty.",
			Body: []openapi.Media{openapi.JSON[queryRequest](`{"table":"users","predicates":[{"column":"age","op":"gte","value":30}],"order_by":[{"column":"age","direction":"desc"}],"limit":10,"explain":true}`)},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[queryAnswer](
				`{"table":"users","count":1,"entities":[` + exampleReceived + `],"took_ms":0.32,"plan":{"mode":"range_aware","steps":[],"estimates":[{"column":"age","op":"gte","value":30,"estimated_count":1,"exact":true}],"rows_scanned":1}}`)}}},
		}, Handle: a.query},
	}
}

// ParseQuery reads the body of POST /query. What it returns shares no memory
// with it.
func ParseQuery(body []byte) (engine.QueryRequest, error) {
	wire, err := rest.Decode[queryRequest](body)
	if err != nil {
		return engine.QueryRequest{}, err
	}
	return wire.engineRequest()
}

func (a *API) query(c fiber.Ctx) error {
	req, err := ParseQuery(c.BodyRaw())
	if err != nil {
		return err
	}
	start := time.Now()
	result, err := a.db.Query(c.Context(), req)
	if err != nil {
		return err
	}
	body, err := appendQueryResult(&req, result, time.Since(start))
	if err != nil {
		return err
	}
	return rest.Send(c, http.StatusOK, body)
}

func (r *queryRequest) engineRequest() (engine.QueryRequest, error) {
	var none engine.QueryRequest
	if err := engine.ValidateTable(r.Table); err != nil {
		return none, rest.PrefixFields(err, "/table")
	}
	filter, err := query.ParseFilter(rest.Raw(r.Predicates), rest.Raw(r.Filter))
	if err != nil {
		return none, err
	}
	order, err := query.ParseOrder(rest.Raw(r.OrderBy))
	if err != nil {
		return none, err
	}
	limit, err := rest.Bounded(r.Limit, "/limit", defaultLimit, 1, maxLimit)
	if err != nil {
		return none, err
	}
	what, err := rest.OneOf(r.Return, "/return", "entities", "entities", "keys", "count")
	if err != nil {
		return none, err
	}
	return engine.QueryRequest{
		Table: r.Table, Filter: filter, Order: order, Limit: limit, Cursor: r.Cursor,
		Return: engine.Return(what), Fields: r.Fields, Explain: r.Explain,
		ForbidFullScan: r.AllowFullScan != nil && !*r.AllowFullScan,
	}, checkFields(r.Fields)
}

func checkFields(fields []string) error {
	if len(fields) > maxFields {
		return errs.Field("invalid_value", "/fields", "%d fields; at most %d are allowed", len(fields), maxFields)
	}
	for i, field := range fields {
		if field == "" {
			return errs.Field("invalid_value", fmt.Sprintf("/fields/%d", i), "a field can't be empty")
		}
	}
	return nil
}

func appendQueryResult(req *engine.QueryRequest, result *engine.QueryResult, took time.Duration) ([]byte, error) {
	body := make([]byte, 0, entitiesSize(result.Entities))
	body = appendHead(body, req.Table, result.Count)
	switch req.Return {
	case engine.ReturnEntities:
		body = append(body, `,"entities":`...)
		body = appendEntities(body, result.Entities)
	case engine.ReturnKeys:
		body = append(body, `,"keys":`...)
		body = appendStrings(body, result.Keys)
	}
	body = appendTook(body, result.NextCursor, took)
	if result.Plan != nil {
		var err error
		if body, err = appendMember(body, "plan", result.Plan); err != nil {
			return nil, err
		}
	}
	return append(body, '}'), nil
}
