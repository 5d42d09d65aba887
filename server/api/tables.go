package api

import (
	"net/http"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of tables.
type (
	table struct {
		Name      string  `json:"name"`
		Entities  uint64  `json:"entities"`
		SizeBytes uint64  `json:"size_bytes" doc:"What its entities and indexes take in storage, estimated."`
		Indexes   []index `json:"indexes"`
	}
	tableList struct {
		Tables []table `json:"tables"`
	}
	tableDropped struct {
		Table   string `json:"table"`
		Dropped bool   `json:"dropped"`
	}
)

const (
	tagTables    = "Tables"
	exampleTable = `{"name":"users","entities":2,"size_bytes":4096,"indexes":[` + exampleIndex + `]}`
)

var tableParam = openapi.Param{Name: "table", In: "path", Required: true, Description: "The table's name."}

func (a *API) tableRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/tables", Role: auth.ReadOnly, ID: "listTables", Tag: tagTables,
			Summary: "List the tables with counts, sizes and indexes",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[tableList](`{"tables":[` + exampleTable + `]}`)}}},
		}, Handle: a.listTables},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/tables/{table}", Role: auth.ReadOnly, ID: "getTable", Tag: tagTables,
			Summary: "Describe one table",
			Params:  []openapi.Param{tableParam},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[table](exampleTable)}}},
		}, Handle: a.getTable},
		{Operation: openapi.Operation{
			Method: "DELETE", Path: "/tables/{table}", Role: auth.ReadWrite, ID: "dropTable", Tag: tagTables,
			Summary: "Drop a table with all its entities and indexes",
			Params:  []openapi.Param{tableParam},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[tableDropped](`{"table":"users","dropped":true}`)}}},
		}, Handle: a.dropTable},
	}
}

func (a *API) listTables(c fiber.Ctx) error {
	infos, err := a.db.Tables(c.Context())
	if err != nil {
		return err
	}
	out := tableList{Tables: []table{}}
	for i := range infos {
		out.Tables = append(out.Tables, tableOf(&infos[i]))
	}
	return rest.Answer(c, http.StatusOK, out)
}

func tableOf(info *engine.TableInfo) table {
	return table{info.Name, info.Entities, info.SizeBytes, indexesOf(info.Indexes)}
}

func (a *API) getTable(c fiber.Ctx) error {
	name, err := rest.PathText(c, "table")
	if err != nil {
		return err
	}
	info, err := a.db.Table(c.Context(), name)
	if err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, tableOf(info))
}

func (a *API) dropTable(c fiber.Ctx) error {
	name, err := rest.PathText(c, "table")
	if err != nil {
		return err
	}
	if err := a.db.DropTable(c.Context(), name); err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, tableDropped{name, true})
}
