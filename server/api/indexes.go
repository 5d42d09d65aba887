package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of indexes.
type (
	// index is an index with its figures.
	index struct {
		Table      string       `json:"table"`
		Column     string       `json:"column,omitzero" doc:"Set when it has one column."`
		Columns    []string     `json:"columns"`
		Type       string       `json:"type" enum:"equality,range,composite,sparse,ttl,geo,vector"`
		Unique     bool         `json:"unique"`
		Config     *indexConfig `json:"config,omitzero"`
		State      string       `json:"state" enum:"building,ready"`
		EntryCount uint64       `json:"entry_count" doc:"Index terms, or vectors of a vector index."`
		SizeBytes  uint64       `json:"size_bytes"`
	}
	// indexConfig is the part of a definition that only some types have.
	indexConfig struct {
		Dimension      int    `json:"dimension,omitzero" min:"1" max:"4096" doc:"vector: elements per vector; taken from the first vector if absent."`
		Metric         string `json:"metric,omitzero" enum:"cosine,l2,dot" default:"cosine" doc:"vector: cosine is 1 - cos(a, b); l2 the squared Euclidean distance; dot the negated inner product. Lower is nearer."`
		M              int    `json:"m,omitzero" min:"2" max:"128" doc:"vector: links per node of the graph."`
		EfConstruction int    `json:"ef_construction,omitzero" min:"1" max:"10000" doc:"vector: width of the search that links a new vector."`
		Ef             int    `json:"ef,omitzero" min:"1" max:"10000" doc:"vector: width of a search; more is slower and finds more."`
		Quantization   string `json:"quantization,omitzero" enum:"none,int8,fastscan" doc:"vector: what the graph is walked on; int8, a byte for each dimension, takes the least memory; fastscan adds bits of each vector's neighbours, for speed; vector_index.quantization of the configuration if absent. Distances in answers are those of the vectors with any."`
		Engine         string `json:"engine,omitzero" enum:"auto,cpu,gpu" doc:"vector: who answers searches. gpu: a GPU whenever it can; auto: whoever is cheaper, if vector_index.use_gpu is set; without a GPU the CPU answers, and /vector/index/stats says why."`
		TTLSeconds     int64  `json:"ttl_seconds,omitzero" min:"0" doc:"ttl: seconds from the column's time to the expiry."`
	}
	createIndexRequest struct {
		Table   string       `json:"table"`
		Column  string       `json:"column,omitzero" doc:"A dotted JSON path; an array indexes each of its elements. Either column or columns."`
		Columns []string     `json:"columns,omitzero" doc:"Several for composite, else one."`
		Type    string       `json:"type,omitzero" enum:"equality,range,composite,sparse,ttl,geo,fulltext,vector" default:"equality" doc:"Several columns make it composite. fulltext is not available yet."`
		Unique  bool         `json:"unique,omitzero" doc:"Refuse two entities with the same value; null never clashes."`
		Config  *indexConfig `json:"config,omitzero"`
	}
	// indexRef names an index.
	indexRef struct {
		Table   string   `json:"table"`
		Column  string   `json:"column,omitzero" doc:"Either column or columns."`
		Columns []string `json:"columns,omitzero"`
		Type    string   `json:"type,omitzero" doc:"Needed when the columns have several indexes."`
	}
	reindexRequest struct {
		Table string `json:"table"`
	}
	indexDropped struct {
		Table   string   `json:"table"`
		Columns []string `json:"columns"`
		Dropped bool     `json:"dropped"`
	}
	// indexWork is the answer of an operation that builds indexes.
	indexWork struct {
		Table   string      `json:"table"`
		Columns []string    `json:"columns,omitzero"`
		State   string      `json:"state" enum:"building,ready"`
		Job     jobs.Status `json:"job"`
	}
	indexList struct {
		Indexes []index `json:"indexes"`
	}
)

const (
	tagIndexes   = "Indexes"
	exampleIndex = `{"table":"users","column":"embedding","columns":["embedding"],"type":"vector","unique":false,"config":{"dimension":3,"metric":"cosine","m":16,"ef_construction":200,"ef":64},"state":"ready","entry_count":2,"size_bytes":2048}`
	exampleJob   = `{"id":"7f0c2a5e-0000-4000-8000-000000000000","kind":"index_build","subject":"users(embedding)","state":"done","done":2,"total":2,"started":"2026-11-22T10:00:00Z","finished":"2026-11-22T10:00:01Z"}`
	exampleBuilt = `{"table":"users","columns":["embedding"],"state":"ready","job":` + exampleJob + `}`

	waitNote = "Answers 200 when the work is done. With wait=false, or if it takes longer than the request may, it answers 202 with the job, " +
		"which goes on; Location is /jobs/{id}."
)

var waitParam = openapi.Param{Name: "wait", In: "query", Of: false, Default: "true",
	Description: "false answers 202 with the job at once."}

// workAnswers are those of an operation that starts a job.
var workAnswers = []openapi.Answer{
	{Status: 200, Description: "It is done.", Media: []openapi.Media{openapi.JSON[indexWork](exampleBuilt)}},
	{Status: 202, Description: "It goes on as a job.", Media: []openapi.Media{openapi.JSON[indexWork](strings.ReplaceAll(strings.ReplaceAll(exampleBuilt, `"ready"`, `"building"`), `"done","done"`, `"running","done"`))}},
}

func (a *API) indexRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/index/create", Role: auth.ReadWrite, ID: "createIndex", Tag: tagIndexes,
			Summary:     "Create an index and fill it from the existing entities",
			Description: "Writes go on meanwhile and are indexed too. The index serves queries once its state is ready. If the existing entities don't fit it (a wrong dimension, two equal values under unique), nothing is kept. " + waitNote,
			Params:      []openapi.Param{waitParam},
			Body:        []openapi.Media{openapi.JSON[createIndexRequest](`{"table":"users","column":"embedding","type":"vector","config":{"dimension":3,"metric":"cosine"}}`)},
			Answers:     workAnswers,
		}, Handle: a.createIndex},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/index/drop", Role: auth.ReadWrite, ID: "dropIndex", Tag: tagIndexes,
			Summary: "Drop an index; the entities stay",
			Body:    []openapi.Media{openapi.JSON[indexRef](`{"table":"users","column":"embedding"}`)},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[indexDropped](`{"table":"users","columns":["embedding"],"dropped":true}`)}}},
		}, Handle: a.dropIndex},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/index/rebuild", Role: auth.ReadWrite, ID: "rebuildIndex", Tag: tagIndexes,
			Summary: "Build an index anew from the entities", Description: waitNote,
			Params:  []openapi.Param{waitParam},
			Body:    []openapi.Media{openapi.JSON[indexRef](`{"table":"users","column":"embedding"}`)},
			Answers: workAnswers,
		}, Handle: a.rebuildIndex},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/index/reindex", Role: auth.ReadWrite, ID: "reindexTable", Tag: tagIndexes,
			Summary: "Build all indexes of a table anew", Description: waitNote,
			Params:  []openapi.Param{waitParam},
			Body:    []openapi.Media{openapi.JSON[reindexRequest](`{"table":"users"}`)},
			Answers: workAnswers,
		}, Handle: a.reindex},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/index/stats", Role: auth.ReadOnly, ID: "indexStats", Tag: tagIndexes,
			Summary: "List indexes with their figures",
			Params:  []openapi.Param{{Name: "table", In: "query", Description: "Only this table's."}},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[indexList](`{"indexes":[` + exampleIndex + `]}`)}}},
		}, Handle: a.indexStats},
	}
}

func (a *API) createIndex(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	req, err := rest.Decode[createIndexRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	def, err := req.definition()
	if err != nil {
		return err
	}
	job, err := a.db.CreateIndex(c.Context(), def)
	if err != nil {
		return req.pointAtColumn(err)
	}
	return sendWork(c, wait, indexWork{Table: def.Table, Columns: def.Columns}, job)
}

func (r *createIndexRequest) definition() (schema.IndexDef, error) {
	columns, err := columnsOf(r.Column, r.Columns)
	if err != nil {
		return schema.IndexDef{}, err
	}
	if err := engine.ValidateTable(r.Table); err != nil {
		return schema.IndexDef{}, rest.PrefixFields(err, "/table")
	}
	def := schema.IndexDef{Table: r.Table, Columns: columns, Type: schema.IndexType(r.Type), Unique: r.Unique}
	switch {
	case def.Type == "" && len(columns) > 1:
		def.Type = schema.Composite
	case def.Type == "":
		def.Type = schema.Equality
	}
	if c := r.Config; c != nil {
		def.TTLSeconds = c.TTLSeconds
		def.Vector = c.vector()
	}
	if def.Type == schema.Vector && def.Vector == nil {
		def.Vector = &schema.VectorConfig{}
	}
	return def, nil
}

// pointAtColumn mends the pointers of an error for a body that says column.
func (r *createIndexRequest) pointAtColumn(err error) error {
	var e *errs.Error
	if r.Column == "" || !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Fields = slices.Clone(e.Fields)
	for i := range out.Fields {
		if strings.HasPrefix(out.Fields[i].Pointer, "/columns") {
			out.Fields[i].Pointer = "/column"
		}
	}
	return &out
}

// vector is the vector part of a configuration, nil if it has none.
func (c *indexConfig) vector() *schema.VectorConfig {
	v := schema.VectorConfig{
		Dimension: c.Dimension, Metric: c.Metric, M: c.M, EfConstruction: c.EfConstruction,
		Ef: c.Ef, Quantization: c.Quantization, Engine: c.Engine,
	}
	if v == (schema.VectorConfig{}) {
		return nil
	}
	return &v
}

// columnsOf reads the two ways to name columns.
func columnsOf(column string, columns []string) ([]string, error) {
	switch {
	case column != "" && columns != nil:
		return nil, errs.Field("invalid_value", "/columns", "give either column or columns, not both")
	case column != "":
		return []string{column}, nil
	case len(columns) == 0:
		return nil, errs.Field("missing_field", "/column", "a column is required")
	}
	return columns, nil
}

// sendWork waits for the job if asked to and answers.
func sendWork(c fiber.Ctx, wait bool, work indexWork, job *jobs.Job) error {
	status, err := waitFor(c, wait, job)
	if err != nil {
		return err
	}
	work.Job = job.Status()
	work.State = string(schema.StateBuilding)
	if work.Job.State == jobs.Done {
		work.State = string(schema.StateReady)
	}
	return rest.Answer(c, status, work)
}

// waitFor waits for the job if asked to and returns the status of the answer,
// or the job's error. Only the waiting ends with the request; the job has an owner
// of its own.
func waitFor(c fiber.Ctx, wait bool, job *jobs.Job) (status int, err error) {
	status = http.StatusAccepted
	if wait {
		err := job.Wait(c.Context())
		switch {
		case err == nil:
			status = http.StatusOK
		case !errors.Is(err, c.Context().Err()) || job.Status().State != jobs.Running:
			return 0, err
		}
	}
	setLocation(c, "jobs", job.Status().ID)
	return status, nil
}

func (a *API) dropIndex(c fiber.Ctx) error {
	ref, err := rest.Decode[indexRef](c.BodyRaw())
	if err != nil {
		return err
	}
	columns, err := columnsOf(ref.Column, ref.Columns)
	if err != nil {
		return err
	}
	if err := a.db.DropIndex(c.Context(), ref.Table, columns, schema.IndexType(ref.Type)); err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, indexDropped{ref.Table, columns, true})
}

func (a *API) rebuildIndex(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	ref, err := rest.Decode[indexRef](c.BodyRaw())
	if err != nil {
		return err
	}
	columns, err := columnsOf(ref.Column, ref.Columns)
	if err != nil {
		return err
	}
	job, err := a.db.RebuildIndex(c.Context(), ref.Table, columns, schema.IndexType(ref.Type))
	if err != nil {
		return err
	}
	return sendWork(c, wait, indexWork{Table: ref.Table, Columns: columns}, job)
}

func (a *API) reindex(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	req, err := rest.Decode[reindexRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	job, err := a.db.Reindex(c.Context(), req.Table)
	if err != nil {
		return err
	}
	return sendWork(c, wait, indexWork{Table: req.Table}, job)
}

func (a *API) indexStats(c fiber.Ctx) error {
	infos, err := a.db.IndexStats(c.Context(), rest.QueryText(c, "table"))
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, indexList{indexesOf(infos)})
}

func indexesOf(infos []engine.IndexInfo) []index {
	out := make([]index, 0, len(infos))
	for i := range infos {
		out = append(out, indexOf(&infos[i]))
	}
	return out
}

func indexOf(info *engine.IndexInfo) index {
	out := index{
		Table: info.Table, Columns: info.Columns, Type: string(info.Type), Unique: info.Unique,
		Config: configOf(&info.IndexDef), State: string(info.State),
		EntryCount: info.EntryCount, SizeBytes: info.SizeBytes,
	}
	if len(info.Columns) == 1 {
		out.Column = info.Columns[0]
	}
	return out
}

func configOf(def *schema.IndexDef) *indexConfig {
	switch {
	case def.Vector != nil:
		v := def.Vector
		return &indexConfig{
			Dimension: v.Dimension, Metric: v.Metric, M: v.M, EfConstruction: v.EfConstruction,
			Ef: v.Ef, Quantization: v.Quantization, Engine: v.Engine,
		}
	case def.Type == schema.TTL:
		return &indexConfig{TTLSeconds: def.TTLSeconds}
	}
	return nil
}
