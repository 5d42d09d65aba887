package api

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of vector search.
type (
	searchRequest struct {
		Table          string               `json:"table,omitzero" doc:"May be left out while there is only one vector index."`
		Column         string               `json:"column,omitzero" doc:"May be left out while the table has only one vector index."`
		Vector         schema.FloatVector   `json:"vector,omitzero" doc:"The query. Exactly one of vector, key and vectors."`
		Key            string               `json:"key,omitzero" doc:"table:pk of an entity whose own vector is the query; it isn't among its own results."`
		Vectors        []schema.FloatVector `json:"vectors,omitzero" doc:"Many queries; results has one list per query. At most 1000, and k times as many at most 100000."`
		K              *int                 `json:"k,omitzero" min:"1" max:"10000" default:"10" doc:"Results per query."`
		Ef             *int                 `json:"ef,omitzero" min:"1" max:"10000" doc:"Width of the graph search; the index's own if absent."`
		Recall         *float64             `json:"recall,omitzero" doc:"In place of ef: the part of the true nearest to find, 0.9 to 0.999, on average. What that takes is measured on the index, in the background after the first such search; until then a cautious ef is taken. explain shows which."`
		Filter         jsontext.Value       `json:"filter,omitzero" schema:"Filter"`
		Predicates     jsontext.Value       `json:"predicates,omitzero" schema:"Predicates"`
		Return         string               `json:"return,omitzero" enum:"entities,keys" default:"entities"`
		Fields         []string             `json:"fields,omitzero" doc:"Reduce each entity to these columns."`
		IncludeVectors bool                 `json:"include_vectors,omitzero" doc:"Keep vector columns in the entities."`
		MaxDistance    *float32             `json:"max_distance,omitzero" doc:"Drop results farther away."`
		Exact          bool                 `json:"exact,omitzero" doc:"Compare with every vector that the filter allows."`
		Explain        bool                 `json:"explain,omitzero" doc:"Add how the search was done."`
		Cursor         string               `json:"cursor,omitzero" doc:"next_cursor of the page before, with the same single query."`
	}
	searchHit struct {
		Key      string         `json:"key"`
		PK       string         `json:"pk"`
		Distance float32        `json:"distance" doc:"Lower is nearer. cosine: 1 - cos; l2: squared Euclidean; dot: negated product."`
		Score    float32        `json:"score" doc:"The same, higher is nearer. cosine: cos; l2: 1/(1+distance); dot: product."`
		Entity   jsontext.Value `json:"entity,omitzero" schema:"object"`
	}
	searchAnswer struct {
		Results    []searchHit        `json:"results" doc:"Nearest first."`
		Count      int                `json:"count"`
		K          int                `json:"k"`
		TookMs     float64            `json:"took_ms"`
		NextCursor string             `json:"next_cursor,omitzero"`
		Plan       *engine.SearchPlan `json:"plan,omitzero"`
	}
	multiSearchAnswer struct {
		Results [][]searchHit        `json:"results" doc:"One list per query, in order."`
		Count   int                  `json:"count" doc:"Results in all lists together."`
		K       int                  `json:"k"`
		TookMs  float64              `json:"took_ms"`
		Plans   []*engine.SearchPlan `json:"plans,omitzero"`
	}
)

const (
	tagVectors = "Vectors"

	// maxQueries bounds the queries of one request, maxHits their results
	// together, which are in memory at once.
	maxQueries = 1000
	maxHits    = 100_000
	maxEf      = 10_000
)

func (a *API) searchRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/vector/search", Role: auth.ReadOnly, ID: "searchVectors", Tag: tagVectors,
			Summary: "Find the entities with the nearest vectors",
			Description: "Returns min(k, entities that match) results, never fewer, and never a deleted entity or an outdated vector. " + vectorNote + "\n\n" +
				"Distance by metric: cosine is 1 - cos(a, b); l2 is the squared Euclidean distance; dot is the negated product. Lower is nearer; score is the same with higher nearer.\n\n" + filterNote,
			Body: []openapi.Media{openapi.JSON[searchRequest](`{"table":"users","vector":[0.1,-0.4,0.3],"k":5,"predicates":[{"column":"age","op":"lt","value":40}],"fields":["name"]}`)},
			Answers: []openapi.Answer{{Status: 200, Description: "The nearest; one list per query if vectors was given.", Media: []openapi.Media{
				either[multiSearchAnswer](openapi.JSON[searchAnswer](`{"results":[{"key":"users:ada","pk":"ada","distance":0.01,"score":0.99,"entity":{"name":"Ada"}}],"count":1,"k":5,"took_ms":0.4}`))}}},
		}, Handle: a.search},
	}
}

func (a *API) search(c fiber.Ctx) error {
	wire, err := decodeSearch(c.BodyRaw())
	if err != nil {
		return err
	}
	req, err := wire.engineRequest()
	if err != nil {
		return err
	}
	start := time.Now()
	results, err := a.db.Search(c.Context(), req)
	if err != nil {
		return err
	}
	took := time.Since(start)
	var body []byte
	if wire.Vectors != nil {
		body, err = appendSearches(results, req.K, took)
	} else {
		body, err = appendSearch(&results[0], req.K, took)
	}
	if err != nil {
		return err
	}
	return rest.Send(c, http.StatusOK, body)
}

// decodeSearch is rest.Decode, but reads a long vector only once. No member is
// required.
func decodeSearch(body []byte) (*searchRequest, error) {
	r := new(searchRequest)
	if vector, around, ok := liftVector(body, "vector"); ok && rest.DecodeOptional(around, r) == nil {
		r.Vector = vector
		return r, nil
	}
	*r = searchRequest{}
	return r, rest.DecodeOptional(body, r)
}

func (r *searchRequest) engineRequest() (engine.SearchRequest, error) {
	req := engine.SearchRequest{
		Table: r.Table, Column: r.Column, Fields: r.Fields, IncludeVectors: r.IncludeVectors,
		MaxDistance: r.MaxDistance, Exact: r.Exact, Explain: r.Explain, Cursor: r.Cursor,
	}
	for _, step := range []func(*engine.SearchRequest) error{r.readSubject, r.readQueries, r.readNumbers, r.readFilter} {
		if err := step(&req); err != nil {
			return req, err
		}
	}
	return req, checkFields(r.Fields)
}

func (r *searchRequest) readSubject(req *engine.SearchRequest) error {
	if r.Table != "" {
		if err := engine.ValidateTable(r.Table); err != nil {
			return rest.PrefixFields(err, "/table")
		}
	}
	what, err := rest.OneOf(r.Return, "/return", "entities", "entities", "keys")
	req.Return = engine.Return(what)
	return err
}

// readQueries reads which of vector, key and vectors was given.
func (r *searchRequest) readQueries(req *engine.SearchRequest) error {
	given := 0
	if r.Vector != nil {
		given++
		req.Vectors = [][]float32{r.Vector}
	}
	if r.Vectors != nil {
		given++
		for _, v := range r.Vectors {
			req.Vectors = append(req.Vectors, v)
		}
	}
	if r.Key != "" {
		given++
		key, err := engine.ParseKey(r.Key)
		if err != nil {
			return rest.PrefixFields(err, "/key")
		}
		req.Key = &key
	}
	switch {
	case given != 1:
		return errs.Field("invalid_value", "/vector", "exactly one of vector, key and vectors is needed, not %d", given)
	case r.Vectors != nil && (len(r.Vectors) == 0 || len(r.Vectors) > maxQueries):
		return errs.Field("invalid_value", "/vectors", "must be 1 to %d queries, not %d", maxQueries, len(r.Vectors))
	case r.Vectors != nil && r.Cursor != "":
		return errs.Field("invalid_value", "/cursor", "a cursor continues a single query, not vectors")
	}
	return nil
}

func (r *searchRequest) readNumbers(req *engine.SearchRequest) (err error) {
	if req.K, err = rest.Bounded(r.K, "/k", 10, 1, engine.MaxK); err != nil {
		return err
	}
	if req.K*len(req.Vectors) > maxHits {
		return errs.Field("invalid_value", "/k", "k times the number of queries is %d; at most %d are allowed", req.K*len(req.Vectors), maxHits)
	}
	if r.Recall != nil {
		if req.Recall = *r.Recall; req.Recall == 0 {
			req.Recall = -1 // which is as wrong, and not the same as none
		}
	}
	req.Ef, err = rest.Bounded(r.Ef, "/ef", 0, 1, maxEf)
	return err
}

func (r *searchRequest) readFilter(req *engine.SearchRequest) (err error) {
	req.Filter, err = query.ParseFilter(rest.Raw(r.Predicates), rest.Raw(r.Filter))
	return err
}

func appendSearch(result *engine.SearchResult, k int, took time.Duration) ([]byte, error) {
	body := make([]byte, 0, hitsSize(result.Hits))
	body = appendHits(append(body, `{"results":`...), result.Hits)
	body = appendCounts(body, len(result.Hits), k)
	body = appendTook(body, result.NextCursor, took)
	if result.Plan != nil {
		var err error
		if body, err = appendMember(body, "plan", result.Plan); err != nil {
			return nil, err
		}
	}
	return append(body, '}'), nil
}

func appendSearches(results []engine.SearchResult, k int, took time.Duration) ([]byte, error) {
	body := []byte(`{"results":[`)
	count := 0
	var plans []*engine.SearchPlan
	for i := range results {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendHits(body, results[i].Hits)
		count += len(results[i].Hits)
		if results[i].Plan != nil {
			plans = append(plans, results[i].Plan)
		}
	}
	body = appendCounts(append(body, ']'), count, k)
	body = appendTook(body, "", took)
	if plans != nil {
		var err error
		if body, err = appendMember(body, "plans", plans); err != nil {
			return nil, err
		}
	}
	return append(body, '}'), nil
}

func hitsSize(hits []engine.SearchHit) int {
	size := 256
	for i := range hits {
		size += len(hits[i].Doc) + 2*len(hits[i].Key.PK) + entitySpace
	}
	return size
}

func appendHits(dst []byte, hits []engine.SearchHit) []byte {
	dst = append(dst, '[')
	for i := range hits {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendHit(dst, &hits[i])
	}
	return append(dst, ']')
}

func appendHit(dst []byte, h *engine.SearchHit) []byte {
	dst = appendString(append(dst, `{"key":`...), h.Key.String())
	dst = appendString(append(dst, `,"pk":`...), h.Key.PK)
	dst = appendFloat(append(dst, `,"distance":`...), h.Distance)
	dst = appendFloat(append(dst, `,"score":`...), h.Score)
	if h.Doc != nil {
		dst = append(append(dst, `,"entity":`...), h.Doc...)
	}
	return append(dst, '}')
}
