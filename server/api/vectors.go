package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of bulk writes.
type (
	insertItem struct {
		PK     string         `json:"pk"`
		Vector jsontext.Value `json:"vector" schema:"Vector"`
		Fields jsontext.Value `json:"fields,omitzero" schema:"object" doc:"The entity's other members."`
	}
	insertRequest struct {
		Table  string       `json:"table,omitzero" doc:"May be left out while there is only one vector index."`
		Column string       `json:"column,omitzero" doc:"Default: the column of the table's only vector index, else embedding."`
		Items  []insertItem `json:"items"`
	}
	insertError struct {
		Index  int    `json:"index"`
		PK     string `json:"pk"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	insertAnswer struct {
		Inserted  int           `json:"inserted"`
		Errors    []insertError `json:"errors"`
		Dimension int           `json:"dimension" doc:"Of the index; of the first vector where there is none."`
		TookMs    float64       `json:"took_ms"`
	}
	deleteRequest struct {
		Table      string         `json:"table"`
		PKs        []string       `json:"pks,omitzero" doc:"At most 10000. Exactly one of pks, prefix, and a filter or predicates."`
		Prefix     string         `json:"prefix,omitzero" doc:"Delete every pk that starts with this."`
		Filter     jsontext.Value `json:"filter,omitzero" schema:"Filter"`
		Predicates jsontext.Value `json:"predicates,omitzero" schema:"Predicates"`
	}
	deleteFilterRequest struct {
		Table      string         `json:"table"`
		Filter     jsontext.Value `json:"filter,omitzero" schema:"Filter"`
		Predicates jsontext.Value `json:"predicates,omitzero" schema:"Predicates"`
	}
	deleteAnswer struct {
		Deleted int     `json:"deleted" doc:"Entities that existed and are gone."`
		Method  string  `json:"method" enum:"pks,prefix,filter"`
		TookMs  float64 `json:"took_ms"`
	}
)

// defaultColumn holds the vectors of a table without a vector index.
const defaultColumn = "embedding"

func (a *API) vectorWriteRoutes() []rest.Route {
	deleted := []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[deleteAnswer](`{"deleted":2,"method":"filter","took_ms":1.3}`)}}}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/vector/batch_insert", Role: auth.ReadWrite, ID: "insertVectors", Tag: tagVectors,
			Summary: "Write many entities that are mostly a vector",
			Description: "Each item becomes the entity table:pk with its fields and, in the column, its vector; an existing entity is replaced. " +
				"Items stand for themselves: a bad one is listed in errors and the others are written. " + vectorNote,
			Params:  []openapi.Param{idempotencyParam},
			Body:    []openapi.Media{openapi.JSON[insertRequest](`{"table":"users","items":[{"pk":"ada","vector":[0.1,-0.4,0.3],"fields":{"name":"Ada"}},{"pk":"bob","vector":{"b64":"zczMPc3MzL6amZk+"}}]}`)},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[insertAnswer](`{"inserted":2,"errors":[],"dimension":3,"took_ms":1.9}`)}}},
		}, Handle: a.insertVectors},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/vector/delete", Role: auth.ReadWrite, ID: "deleteVectors", Tag: tagVectors,
			Summary:     "Delete many entities by key, prefix or filter",
			Description: "The entities go with their vectors. A deletion by prefix or filter that is interrupted has deleted some; repeating it is safe. " + filterNote,
			Body:        []openapi.Media{openapi.JSON[deleteRequest](`{"table":"users","pks":["ada","bob"]}`)},
			Answers:     deleted,
		}, Handle: a.deleteVectors},
		{Operation: openapi.Operation{
			Method: "DELETE", Path: "/vector/by-filter", Role: auth.ReadWrite, ID: "deleteVectorsByFilter", Tag: tagVectors,
			Summary:     "Delete many entities by filter",
			Description: "POST /vector/delete does the same and passes proxies that drop the body of a DELETE.",
			Body:        []openapi.Media{openapi.JSON[deleteFilterRequest](`{"table":"users","predicates":[{"column":"age","op":"lt","value":18}]}`)},
			Answers:     deleted,
		}, Handle: a.deleteByFilter},
	}
}

func (a *API) insertVectors(c fiber.Ctx) error {
	body := c.BodyRaw()
	return a.once.do(c, hashOf(body), func() error {
		req, err := decodeInsert(body)
		if err != nil {
			return err
		}
		start := time.Now()
		out, err := a.insert(c.Context(), req)
		if err != nil {
			return err
		}
		out.TookMs = milliseconds(time.Since(start))
		return rest.Answer(c, http.StatusOK, out)
	})
}

// decodeInsert is rest.Decode, but leaves the vectors where they stand in the body.
func decodeInsert(body []byte) (*insertRequest, error) {
	if vectors, around, ok := schema.LiftEach(body, "items", "vector"); ok {
		req, err := rest.Decode[insertRequest](around)
		if err == nil && len(req.Items) == len(vectors) {
			for i, vector := range vectors {
				if vector != nil {
					req.Items[i].Vector = vector
				}
			}
			return req, nil
		}
	}
	return rest.Decode[insertRequest](body)
}

func (a *API) insert(ctx context.Context, req *insertRequest) (*insertAnswer, error) {
	target, err := a.insertTarget(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &insertAnswer{Errors: []insertError{}}
	ops := make([]engine.Op, 0, len(req.Items))
	index := make([]int, 0, len(req.Items))
	for i := range req.Items {
		op, err := target.op(&req.Items[i])
		if err != nil {
			out.fail(i, req.Items[i].PK, err)
			continue
		}
		ops, index = append(ops, op), append(index, i)
	}
	results, err := a.db.Apply(ctx, ops, false)
	if err != nil {
		return nil, err
	}
	for j, r := range results {
		if r.Err != nil {
			out.fail(index[j], ops[j].Key.PK, r.Err)
			continue
		}
		out.Inserted++
	}
	out.Dimension, err = a.insertedDimension(ctx, target)
	return out, err
}

func (o *insertAnswer) fail(i int, pk string, err error) {
	p := problem.Of(err)
	o.Errors = append(o.Errors, insertError{i, pk, p.Code, p.Detail})
}

// insertTarget says where the vectors go.
type insertTarget struct {
	table, column string
	path          schema.Path
	indexed       bool
	// dimension of the first vector, where no index knows it.
	dimension int
}

// insertTarget resolves what the request leaves open. Without a vector index a
// table must be named; the vectors are stored all the same, and an index that is
// created later takes them up.
func (a *API) insertTarget(ctx context.Context, req *insertRequest) (*insertTarget, error) {
	t := &insertTarget{table: req.Table, column: req.Column}
	if t.table != "" {
		if err := engine.ValidateTable(t.table); err != nil {
			return nil, rest.PrefixFields(err, "/table")
		}
	}
	def, err := a.db.VectorConfig(ctx, req.Table, req.Column)
	switch {
	case err == nil:
		t.table, t.column, t.indexed = def.Table, def.Columns[0], true
	case errs.KindOf(err) != errs.NotFound || t.table == "":
		return nil, err
	case t.column == "":
		t.column = defaultColumn
	}
	t.path, err = schema.ParsePath(t.column)
	return t, rest.PrefixFields(err, "/column")
}

// op makes the entity of one item.
func (t *insertTarget) op(item *insertItem) (engine.Op, error) {
	key := engine.Key{Table: t.table, PK: item.PK}
	if err := key.Validate(); err != nil {
		return engine.Op{}, err
	}
	if len(item.Vector) == 0 {
		return engine.Op{}, errs.Field("missing_field", "/vector", "an item needs a vector")
	}
	if !t.indexed { // an index checks its vectors itself
		v, err := schema.ParseVector(item.Vector)
		if err != nil {
			return engine.Op{}, err
		}
		if t.dimension == 0 {
			t.dimension = len(v)
		}
	}
	doc, err := t.document(item)
	return engine.Op{Kind: engine.OpPut, Key: key, Doc: doc}, err
}

// document is the fields with the vector at the column. A field at the column
// itself is refused; around a nested column the fields are merged.
func (t *insertTarget) document(item *insertItem) ([]byte, error) {
	fields := rest.Raw(item.Fields)
	if len(fields) > 0 && fields.Kind() != '{' {
		return nil, errs.Field("not_an_object", "/fields", "fields must be an object")
	}
	if len(t.path) > 1 && len(fields) > 0 {
		return schema.MergePatch(fields, nest(t.path, item.Vector))
	}
	doc := nest(t.path, item.Vector)
	rest := bytes.TrimLeft(bytes.TrimSpace(fields)[min(len(fields), 1):], " \t\r\n")
	if len(rest) < 2 { // none, or {}
		return doc, nil
	}
	doc[len(doc)-1] = ','
	return append(doc, rest...), nil
}

// nest writes {"a":{"b":value}} for the path a.b.
func nest(path schema.Path, value []byte) []byte {
	var doc []byte
	for _, name := range path {
		doc = append(appendString(append(doc, '{'), name), ':')
	}
	doc = append(doc, value...)
	return append(doc, strings.Repeat("}", len(path))...)
}

// insertedDimension is the index's dimension, known by now if anything was written.
func (a *API) insertedDimension(ctx context.Context, t *insertTarget) (int, error) {
	if !t.indexed {
		return t.dimension, nil
	}
	def, err := a.db.VectorConfig(ctx, t.table, t.column)
	if err != nil || def.Vector == nil {
		return 0, err
	}
	return def.Vector.Dimension, nil
}

func (a *API) deleteVectors(c fiber.Ctx) error {
	req, err := rest.Decode[deleteRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	if err := engine.ValidateTable(req.Table); err != nil {
		return rest.PrefixFields(err, "/table")
	}
	byFilter := len(rest.Raw(req.Filter)) > 0 || len(rest.Raw(req.Predicates)) > 0
	start := time.Now()
	var out deleteAnswer
	switch {
	case req.PKs != nil && req.Prefix == "" && !byFilter:
		out.Method = "pks"
		out.Deleted, err = a.deletePKs(c.Context(), req.Table, req.PKs)
	case req.Prefix != "" && req.PKs == nil && !byFilter:
		out.Method = "prefix"
		out.Deleted, err = a.db.DeletePrefix(c.Context(), req.Table, req.Prefix)
	case byFilter && req.PKs == nil && req.Prefix == "":
		out.Method = "filter"
		out.Deleted, err = a.deleteWhere(c.Context(), req.Table, req.Predicates, req.Filter)
	default:
		return errs.Field("invalid_value", "/pks", "exactly one of pks, prefix, and a filter or predicates is needed; nothing was deleted")
	}
	if err != nil {
		return err
	}
	out.TookMs = milliseconds(time.Since(start))
	return rest.Answer(c, http.StatusOK, out)
}

func (a *API) deletePKs(ctx context.Context, table string, pks []string) (int, error) {
	if len(pks) > maxKeys {
		return 0, errs.Field("invalid_value", "/pks", "%d pks; at most %d are allowed", len(pks), maxKeys)
	}
	ops := make([]engine.Op, len(pks))
	for i, pk := range pks {
		ops[i] = engine.Op{Kind: engine.OpDelete, Key: engine.Key{Table: table, PK: pk}}
		if err := ops[i].Key.Validate(); err != nil {
			return 0, rest.PrefixFields(err, fmt.Sprintf("/pks/%d", i))
		}
	}
	results, err := a.db.Apply(ctx, ops, false)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, r := range results {
		switch {
		case r.Err == nil:
			count++
		case errs.KindOf(r.Err) != errs.NotFound:
			return count, r.Err
		}
	}
	return count, nil
}

// deleteWhere needs a filter that says something: none would be all entities.
func (a *API) deleteWhere(ctx context.Context, table string, predicates, filter jsontext.Value) (int, error) {
	expr, err := query.ParseFilter(rest.Raw(predicates), rest.Raw(filter))
	switch {
	case err != nil:
		return 0, err
	case expr == nil:
		return 0, errs.Field("missing_field", "/filter",
			"a filter or predicates are required; DELETE /tables/{table} deletes all entities")
	}
	return a.db.DeleteWhere(ctx, table, expr)
}

func (a *API) deleteByFilter(c fiber.Ctx) error {
	req, err := rest.Decode[deleteFilterRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	if err := engine.ValidateTable(req.Table); err != nil {
		return rest.PrefixFields(err, "/table")
	}
	start := time.Now()
	count, err := a.deleteWhere(c.Context(), req.Table, req.Predicates, req.Filter)
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, deleteAnswer{count, "filter", milliseconds(time.Since(start))})
}
