package api

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ndjson"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of batches.
type (
	batchRequest struct {
		Operations []ndjson.BatchOperation `json:"operations"`
		Atomic     bool                    `json:"atomic,omitzero" doc:"All or nothing. Otherwise each operation stands for itself." default:"false"`
	}
	itemError struct {
		Code   string            `json:"code"`
		Detail string            `json:"detail"`
		Errors []errs.FieldError `json:"errors,omitzero"`
	}
	batchResult struct {
		Key     string     `json:"key"`
		Status  int        `json:"status" doc:"The status that the operation would have had as a request of its own."`
		Version uint64     `json:"version,omitzero"`
		Created bool       `json:"created,omitzero"`
		Deleted bool       `json:"deleted,omitzero"`
		Error   *itemError `json:"error,omitzero"`
	}
	batchAnswer struct {
		Results   []batchResult `json:"results" doc:"One per operation, in order."`
		Succeeded int           `json:"succeeded"`
		Failed    int           `json:"failed"`
		TookMs    float64       `json:"took_ms"`
	}
	getRequest struct {
		Keys []string `json:"keys" doc:"At most 10000."`
	}
	getAnswer struct {
		Entities []*entity `json:"entities" doc:"In the order of keys, null where absent."`
	}
)

// either adds a second form to a body.
func either[T any](m openapi.Media) openapi.Media {
	m.Or = reflect.TypeFor[T]()
	return m
}

// maxKeys bounds one POST /entities/get, whose answer is in memory at once.
const maxKeys = 10_000

func (a *API) batchRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/entities/batch", Role: auth.ReadWrite, ID: "batchEntities", Tag: tagEntities,
			Summary: "Write many entities",
			Description: "As application/json: a list of operations, with one result each. With atomic all are applied or none; " +
				"then the first failure is the answer and names the operation. Without, the answer is 200 and each result has its own status.\n\n" +
				"As application/x-ndjson: one operation per line, of any number and length in all. The lines are read as they arrive and written " +
				"in chunks, in constant memory. A bad line doesn't end the stream. The answer counts the lines and lists the first 100 errors " +
				"with their line numbers. If the import breaks off (storage failure, a connection cut short), the problem says how far it came; " +
				"repeating it is safe for put and delete.",
			Params: []openapi.Param{idempotencyParam},
			Body: []openapi.Media{
				openapi.JSON[batchRequest](`{"operations":[{"op":"put","key":"users:ada","entity":{"age":36}},{"op":"patch","key":"users:bob","entity":{"age":41},"if_version":3},{"op":"delete","key":"users:eve"}],"atomic":false}`),
				{Type: rest.NDJSONType, Of: openapi.JSON[ndjson.BatchOperation]("").Of, Example: `{"key":"users:ada","entity":{"age":36}}` + "\n" + `{"op":"delete","key":"users:eve"}` + "\n"},
			},
			Answers: []openapi.Answer{{Status: 200, Description: "The results; for NDJSON the summary.", Media: []openapi.Media{either[ndjson.ImportSummary](openapi.JSON[batchAnswer](`{"results":[{"key":"users:ada","status":201,"version":1,"created":true},{"key":"users:bob","status":412,"error":{"code":"version_mismatch","detail":"users:bob has version 4, not 3; nothing was changed"}},{"key":"users:eve","status":200,"version":2,"deleted":true}],"succeeded":2,"failed":1,"took_ms":2.1}`))}}},
		}, Handle: a.batch},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/entities/get", Role: auth.ReadOnly, ID: "getEntities", Tag: tagEntities,
			Summary: "Read many entities by key",
			Params:  []openapi.Param{vectorsParam},
			Body:    []openapi.Media{openapi.JSON[getRequest](`{"keys":["users:ada","users:nobody"]}`)},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[getAnswer](`{"entities":[` + exampleReceived + `,null]}`)}}},
		}, Handle: a.getEntities},
	}
}

func (a *API) batch(c fiber.Ctx) error {
	if rest.IsNDJSON(c.Get(fiber.HeaderContentType)) {
		return a.importLines(c)
	}
	body := c.BodyRaw()
	return a.once.do(c, hashOf(body), func() error {
		req, err := decodeBatch(body)
		if err != nil {
			return err
		}
		start := time.Now()
		results, err := a.applyBatch(c, req)
		if err != nil {
			return err
		}
		out := batchAnswer{Results: results, TookMs: milliseconds(time.Since(start))}
		for i := range results {
			if results[i].Error == nil {
				out.Succeeded++
			}
		}
		out.Failed = len(results) - out.Succeeded
		return rest.Answer(c, http.StatusOK, out)
	})
}

// decodeBatch is rest.Decode, but leaves the entities where they stand in the body.
func decodeBatch(body []byte) (*batchRequest, error) {
	if entities, around, ok := schema.LiftEach(body, "operations", "entity"); ok {
		req, err := rest.Decode[batchRequest](around)
		if err == nil && len(req.Operations) == len(entities) {
			for i, entity := range entities {
				if entity != nil {
					req.Operations[i].Entity = entity
				}
			}
			return req, nil
		}
	}
	return rest.Decode[batchRequest](body)
}

// applyBatch applies what is well-formed. In an atomic batch everything must be.
func (a *API) applyBatch(c fiber.Ctx, req *batchRequest) ([]batchResult, error) {
	results := make([]batchResult, len(req.Operations))
	ops := make([]engine.Op, 0, len(req.Operations))
	index := make([]int, 0, len(req.Operations))
	for i := range req.Operations {
		op, err := req.Operations[i].Write()
		if err != nil && req.Atomic {
			return nil, failedOperation(i, err)
		}
		if err != nil {
			results[i] = failure(req.Operations[i].Key, err)
			continue
		}
		ops, index = append(ops, op), append(index, i)
	}
	applied, err := a.db.Apply(c.Context(), ops, req.Atomic)
	if err != nil {
		return nil, blame(applied, err)
	}
	for j, r := range applied {
		results[index[j]] = result(ops[j].Kind, r)
	}
	return results, nil
}

// blame finds the operation that a batch failed for; the engine marks the
// others as not_applied.
func blame(results []engine.OpResult, err error) error {
	for i := range results {
		if results[i].Err != nil && errs.CodeOf(results[i].Err) != "not_applied" {
			return failedOperation(i, rest.PrefixFields(results[i].Err, "/entity"))
		}
	}
	return err
}

func failedOperation(i int, err error) error {
	var e *errs.Error
	if !errors.As(rest.PrefixFields(err, fmt.Sprintf("/operations/%d", i)), &e) {
		return err
	}
	out := *e
	out.Detail = fmt.Sprintf("operation %d: %s; nothing of the batch was kept", i, e.Detail)
	return &out
}

func result(kind engine.OpKind, r engine.OpResult) batchResult {
	if r.Err != nil {
		return failure(r.Key.String(), rest.PrefixFields(r.Err, "/entity"))
	}
	return batchResult{
		Key: r.Key.String(), Status: statusCreated(r.Created), Version: r.Version,
		Created: r.Created, Deleted: kind == engine.OpDelete,
	}
}

func failure(key string, err error) batchResult {
	p := problem.Of(err)
	return batchResult{Key: key, Status: p.Status, Error: &itemError{p.Code, p.Detail, p.Errors}}
}

func (a *API) getEntities(c fiber.Ctx) error {
	req, err := rest.Decode[getRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	withVectors, err := rest.QueryBool(c, "vectors", true)
	if err != nil {
		return err
	}
	if len(req.Keys) > maxKeys {
		return errs.Field("invalid_value", "/keys", "%d keys; at most %d are allowed", len(req.Keys), maxKeys)
	}
	keys := make([]engine.Key, len(req.Keys))
	for i, text := range req.Keys {
		if keys[i], err = engine.ParseKey(text); err != nil {
			return rest.PrefixFields(err, fmt.Sprintf("/keys/%d", i))
		}
	}
	found, err := a.db.Get(c.Context(), keys, withVectors)
	if err != nil {
		return err
	}
	return rest.Send(c, http.StatusOK, appendFound(found))
}

func appendFound(found []*engine.Entity) []byte {
	body := []byte(`{"entities":[`)
	for i, e := range found {
		if i > 0 {
			body = append(body, ',')
		}
		if e == nil {
			body = append(body, "null"...)
			continue
		}
		body = appendEntity(body, e)
	}
	return append(body, "]}"...)
}
