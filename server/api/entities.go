package api

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"
	"github.com/google/uuid"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of single entities.
type (
	entity struct {
		Key       string         `json:"key" doc:"table:pk"`
		Version   uint64         `json:"version" doc:"Grows by one with each write; also the ETag."`
		UpdatedAt time.Time      `json:"updated_at"`
		Entity    jsontext.Value `json:"entity" schema:"object" doc:"The object as it was written, numbers digit for digit."`
	}
	entityBlob struct {
		Key  string `json:"key"`
		Blob string `json:"blob" doc:"The object as a string of JSON."`
	}
	written struct {
		Key     string `json:"key"`
		Version uint64 `json:"version"`
		Created bool   `json:"created"`
	}
	deleted struct {
		Key     string `json:"key"`
		Deleted bool   `json:"deleted"`
	}
	createRequest struct {
		Key    string         `json:"key,omitzero" doc:"table:pk. Without it the table is needed and the server makes a UUIDv7."`
		Table  string         `json:"table,omitzero"`
		Entity jsontext.Value `json:"entity" schema:"object"`
	}
	entityPage struct {
		Table      string   `json:"table"`
		Count      int      `json:"count" doc:"Entities on this page."`
		Entities   []entity `json:"entities"`
		NextCursor string   `json:"next_cursor,omitzero" doc:"Absent on the last page."`
		TookMs     float64  `json:"took_ms"`
	}
	document map[string]jsontext.Value
)

const (
	tagEntities = "Entities"

	exampleEntity   = `{"name":"Ada","age":36,"embedding":[0.12,-0.5,0.33]}`
	exampleWritten  = `{"key":"users:ada","version":1,"created":true}`
	exampleReceived = `{"key":"users:ada","version":1,"updated_at":"2026-11-22T10:00:00Z","entity":` + exampleEntity + `}`

	keyNote = "The key is table:pk. The table matches [A-Za-z_][A-Za-z0-9_-]{0,63}; the pk is 1 to 512 bytes of UTF-8 " +
		"without control characters, URL-escaped in the path (a / becomes %2F). A table appears with its first entity."
	vectorNote = "A vector is an array of numbers or {\"b64\": \"<little-endian float32, base64>\"}."
)

var (
	keyParam     = openapi.Param{Name: "key", In: "path", Required: true, Description: "table:pk, URL-escaped."}
	vectorsParam = openapi.Param{Name: "vectors", In: "query", Of: false, Default: "true",
		Description: "false leaves the columns of vector indexes out."}
	limitParam = openapi.Param{Name: "limit", In: "query", Of: 0, Default: "100",
		Description: "Page size, 1 to 10000."}
	cursorParam = openapi.Param{Name: "cursor", In: "query",
		Description: "next_cursor of the page before, unchanged."}
	ifMatchParam = openapi.Param{Name: "If-Match", In: "header",
		Description: "Write only if the entity has this version, as an ETag (\"3\") or a list of them; * is any version of an existing entity. Else 412."}
	ifNoneMatchParam = openapi.Param{Name: "If-None-Match", In: "header",
		Description: "* writes only if the entity doesn't exist. Else 412."}
)

func (a *API) entityRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "PUT", Path: "/entities/{key}", Role: auth.ReadWrite, ID: "putEntity", Tag: tagEntities,
			Summary:     "Create or replace an entity",
			Description: keyNote + "\n\nThe body is the entity. A body whose only member is a string named blob is the entity as a string. " + vectorNote,
			Params:      []openapi.Param{keyParam, ifMatchParam, ifNoneMatchParam},
			Body:        []openapi.Media{openapi.JSON[document](exampleEntity)},
			Answers: []openapi.Answer{
				{Status: 201, Description: "The entity is new.", Media: []openapi.Media{openapi.JSON[written](exampleWritten)}},
				{Status: 200, Description: "It replaced an older version.", Media: []openapi.Media{openapi.JSON[written](`{"key":"users:ada","version":2,"created":false}`)}},
			},
		}, Handle: a.putEntity},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/entities/{key}", Role: auth.ReadOnly, ID: "getEntity", Tag: tagEntities,
			Summary: "Read an entity",
			Params: []openapi.Param{keyParam, vectorsParam,
				{Name: "format", In: "query", Enum: []string{"json", "blob"}, Default: "json", Description: "blob gives the object as a string: {key, blob}."},
				{Name: "If-None-Match", In: "header", Description: "Answer 304 if the entity still has this ETag."}},
			Answers: []openapi.Answer{
				{Status: 200, Description: "The entity; ETag is its version.", Media: []openapi.Media{either[entityBlob](openapi.JSON[entity](exampleReceived))}},
				{Status: 304, Description: "It is what the client has."},
			},
		}, Handle: a.getEntity},
		{Operation: openapi.Operation{
			Method: "PATCH", Path: "/entities/{key}", Role: auth.ReadWrite, ID: "patchEntity", Tag: tagEntities,
			Summary:     "Change some members of an entity",
			Description: "The body is a JSON merge patch (RFC 7396): members replace those of the same name, null removes one. 404 if the entity doesn't exist.",
			Params:      []openapi.Param{keyParam, ifMatchParam},
			Body: []openapi.Media{openapi.JSON[document](`{"age":37}`),
				{Type: "application/merge-patch+json", Of: openapi.JSON[document]("").Of, Example: `{"age":37,"nickname":null}`}},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[written](`{"key":"users:ada","version":2,"created":false}`)}}},
		}, Handle: a.patchEntity},
		{Operation: openapi.Operation{
			Method: "DELETE", Path: "/entities/{key}", Role: auth.ReadWrite, ID: "deleteEntity", Tag: tagEntities,
			Summary: "Delete an entity",
			Params:  []openapi.Param{keyParam, ifMatchParam},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[deleted](`{"key":"users:ada","deleted":true}`)}}},
		}, Handle: a.deleteEntity},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/entities", Role: auth.ReadWrite, ID: "createEntity", Tag: tagEntities,
			Summary:     "Write an entity, with a key made by the server if none is given",
			Description: "With a key this is PUT /entities/{key}. With a table alone the server makes a UUIDv7 as pk, so that keys sort by time.",
			Params:      []openapi.Param{ifNoneMatchParam, idempotencyParam},
			Body:        []openapi.Media{openapi.JSON[createRequest](`{"table":"users","entity":` + exampleEntity + `}`)},
			Answers: []openapi.Answer{
				{Status: 201, Description: "The entity is new; Location is its path.", Media: []openapi.Media{openapi.JSON[written](exampleWritten)}},
				{Status: 200, Description: "It replaced an older version.", Media: []openapi.Media{openapi.JSON[written](`{"key":"users:ada","version":2,"created":false}`)}},
			},
		}, Handle: a.createEntity},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/entities", Role: auth.ReadOnly, ID: "scrollEntities", Tag: tagEntities,
			Summary:     "Read a table page by page",
			Description: "Each entity that exists from the first page to the last is returned exactly once, whatever is written meanwhile.",
			Params: []openapi.Param{{Name: "table", In: "query", Required: true, Description: "The table."},
				limitParam, cursorParam, vectorsParam},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[entityPage](
				`{"table":"users","count":1,"entities":[` + exampleReceived + `],"took_ms":0.21}`)}}},
		}, Handle: a.scrollEntities},
	}
}

func (a *API) putEntity(c fiber.Ctx) error {
	key, err := pathKey(c)
	if err != nil {
		return err
	}
	cond, err := writeConditions(c, true)
	if err != nil {
		return err
	}
	doc, err := entityDocument(c.BodyRaw())
	if err != nil {
		return err
	}
	return a.put(c, engine.Op{Kind: engine.OpPut, Key: key, Doc: doc}, cond)
}

// put writes and answers as PUT does.
func (a *API) put(c fiber.Ctx, op engine.Op, cond conditions) error {
	result, err := a.write(c.Context(), op, cond)
	if err != nil {
		return err
	}
	setETag(c, result.Version)
	return rest.Answer(c, statusCreated(result.Created), written{op.Key.String(), result.Version, result.Created})
}

// entityDocument unwraps the blob form of a body. Everything else about the
// document is for the engine to check.
func entityDocument(body []byte) ([]byte, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errs.Field("empty_body", "", "the body is empty; it must be the entity, a JSON object")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return body, nil
	}
	if name, err := dec.ReadToken(); err != nil || name.Kind() != '"' || name.String() != "blob" || dec.PeekKind() != '"' {
		return body, nil
	}
	token, err := dec.ReadToken()
	if err != nil {
		return body, nil
	}
	blob := []byte(token.String())
	if end, err := dec.ReadToken(); err != nil || end.Kind() != '}' {
		return body, nil
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return body, nil
	}
	return blob, nil
}

func (a *API) getEntity(c fiber.Ctx) error {
	key, err := pathKey(c)
	if err != nil {
		return err
	}
	withVectors, err := rest.QueryBool(c, "vectors", true)
	if err != nil {
		return err
	}
	format := rest.QueryText(c, "format")
	if format != "" && format != "json" && format != "blob" {
		return errs.New(errs.Invalid, "invalid_parameter", "format must be json or blob, not %q", format)
	}
	found, err := a.db.Get(c.Context(), []engine.Key{key}, withVectors)
	if err != nil {
		return err
	}
	if found[0] == nil {
		return errs.New(errs.NotFound, "entity_not_found", "there is no entity %s", key)
	}
	return sendEntity(c, found[0], format == "blob")
}

func sendEntity(c fiber.Ctx, e *engine.Entity, asBlob bool) error {
	setETag(c, e.Version)
	switch {
	case noneMatch(c, e.Version):
		return sendEmpty(c, http.StatusNotModified)
	case asBlob:
		return rest.Answer(c, http.StatusOK, entityBlob{e.Key.String(), string(e.Doc)})
	}
	body := make([]byte, 0, len(e.Doc)+len(e.Key.PK)+2*entitySpace)
	return rest.Send(c, http.StatusOK, appendEntity(body, e))
}

func (a *API) patchEntity(c fiber.Ctx) error {
	key, err := pathKey(c)
	if err != nil {
		return err
	}
	cond, err := writeConditions(c, false)
	if err != nil {
		return err
	}
	patch := c.BodyRaw()
	if len(bytes.TrimSpace(patch)) == 0 {
		return errs.Field("empty_body", "", "the body is empty; it must be a JSON merge patch")
	}
	return a.put(c, engine.Op{Kind: engine.OpPatch, Key: key, Doc: patch}, cond)
}

func (a *API) deleteEntity(c fiber.Ctx) error {
	key, err := pathKey(c)
	if err != nil {
		return err
	}
	cond, err := writeConditions(c, false)
	if err != nil {
		return err
	}
	if _, err := a.write(c.Context(), engine.Op{Kind: engine.OpDelete, Key: key}, cond); err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, deleted{key.String(), true})
}

func (a *API) createEntity(c fiber.Ctx) error {
	body := c.BodyRaw()
	return a.once.do(c, hashOf(body), func() error {
		req, err := rest.Decode[createRequest](body)
		if err != nil {
			return err
		}
		cond, err := writeConditions(c, true)
		if err != nil {
			return err
		}
		key, err := req.key()
		if err != nil {
			return err
		}
		err = a.put(c, engine.Op{Kind: engine.OpPut, Key: key, Doc: req.Entity}, cond)
		if err != nil {
			return rest.PrefixFields(err, "/entity")
		}
		setLocation(c, "entities", key.String())
		return nil
	})
}

func (r *createRequest) key() (engine.Key, error) {
	switch {
	case r.Key == "" && r.Table == "":
		return engine.Key{}, errs.Field("missing_field", "/key", "a key or a table is required")
	case r.Key == "":
		id, err := uuid.NewV7()
		if err != nil {
			return engine.Key{}, err
		}
		key := engine.Key{Table: r.Table, PK: id.String()}
		return key, rest.PrefixFields(key.Validate(), "/table")
	case r.Table != "" && !strings.HasPrefix(r.Key, r.Table+":"):
		return engine.Key{}, errs.Field("invalid_value", "/table", "the key %q names another table than %q", r.Key, r.Table)
	}
	key, err := engine.ParseKey(r.Key)
	return key, rest.PrefixFields(err, "/key")
}

func (a *API) scrollEntities(c fiber.Ctx) error {
	table := rest.QueryText(c, "table")
	if table == "" {
		return errs.New(errs.Invalid, "missing_parameter", "the query parameter table is required")
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	withVectors, err := rest.QueryBool(c, "vectors", true)
	if err != nil {
		return err
	}
	start := time.Now()
	page, err := a.db.Scroll(c.Context(), table, rest.QueryText(c, "cursor"), limit, withVectors)
	if err != nil {
		return err
	}
	return sendPage(c, table, page, time.Since(start))
}

func sendPage(c fiber.Ctx, table string, page engine.ScrollPage, took time.Duration) error {
	body := make([]byte, 0, entitiesSize(page.Entities))
	body = appendHead(body, table, len(page.Entities))
	body = append(body, `,"entities":`...)
	body = appendEntities(body, page.Entities)
	body = appendTook(body, page.NextCursor, took)
	return rest.Send(c, http.StatusOK, append(body, '}'))
}
