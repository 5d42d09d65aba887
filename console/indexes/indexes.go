// Package indexes is the console's pages of indexes: the list of all, the form that
// makes one with what a sample of the table suggests, and the page of one index. A
// vector index's page also shows its graph from inside, changes ef while searches go
// on, and measures recall and latency by ef.
//
// What takes long is a job of the engine: pages show its progress and look again
// when it has ended. Each page is built as a plain view of what the engine says and
// rendered afterwards. The package owns no goroutines and no locks.
package indexes

import (
	"net/http"
	"slices"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Options are what the pages work on.
type Options struct {
	Database *engine.Engine
}

// Indexes serves the pages. Make one with New.
type Indexes struct {
	frame *page.Frame
	db    *engine.Engine
}

// New returns the pages.
func New(f *page.Frame, o Options) *Indexes {
	return &Indexes{f, o.Database}
}

// nav is the menu entry of all pages here.
const nav = "indexes"

// Routes lists every route, with the roles that their REST twins have.
func (x *Indexes) Routes() []rest.Route {
	f := x.frame
	return []rest.Route{
		f.Route(http.MethodGet, "indexes", auth.ReadOnly, x.list),
		f.Route(http.MethodGet, "indexes/new", auth.ReadOnly, x.form),
		f.Route(http.MethodPost, "indexes/create", auth.ReadWrite, x.create),
		// Where the form stands when it has to be filled in again, for whoever reloads.
		f.Route(http.MethodGet, "indexes/create", auth.ReadOnly, x.form),
		f.Route(http.MethodGet, "indexes/index", auth.ReadOnly, x.show),
		f.Route(http.MethodPost, "indexes/rebuild", auth.ReadWrite, x.rebuild),
		f.Route(http.MethodPost, "indexes/reindex", auth.ReadWrite, x.reindex),
		f.Route(http.MethodPost, "indexes/drop", auth.ReadWrite, x.drop),
		f.Route(http.MethodPost, "indexes/ef", auth.ReadWrite, x.setEf),
		f.Route(http.MethodPost, "indexes/engine", auth.ReadWrite, x.setEngine),
		f.Route(http.MethodPost, "indexes/recall", auth.ReadWrite, x.measure),
	}
}

// indexOf names the index that an info describes.
func indexOf(info *engine.IndexInfo) components.Index {
	return components.Index{Table: info.Table, Columns: info.Columns, Type: string(info.Type)}
}

// fromQuery is the index that the page's URL names.
func fromQuery(c fiber.Ctx) components.Index {
	i := components.Index{Table: page.Query(c, "table"), Type: page.Query(c, "type")}
	for _, column := range c.Request().URI().QueryArgs().PeekMulti("column") {
		if len(column) > 0 {
			i.Columns = append(i.Columns, string(column))
		}
	}
	return i
}

// fromForm is the index that a form names.
func fromForm(f page.Form) components.Index {
	i := components.Index{Table: f.Text("table"), Type: f.Text("type")}
	for _, column := range f.Values["column"] {
		if column != "" {
			i.Columns = append(i.Columns, column)
		}
	}
	return i
}

// find describes the index named; the one that serves, if it is being rebuilt.
func find(infos []engine.IndexInfo, i components.Index) (info *engine.IndexInfo, rebuildJob string, err error) {
	for n := range infos {
		this := &infos[n]
		if !slices.Equal(this.Columns, i.Columns) || string(this.Type) != i.Type {
			continue
		}
		if this.Rebuild {
			rebuildJob = this.JobID
		} else {
			info = this
		}
	}
	if info == nil {
		return nil, "", errs.New(errs.NotFound, "index_not_found", "There is no index %s. It was dropped, or its build failed or was canceled; the page of jobs says which.", i.Name())
	}
	return info, rebuildJob, nil
}

// status is a job's status, nil if it isn't known any more.
func (x *Indexes) status(id string) *jobs.Status {
	if id == "" {
		return nil
	}
	job, ok := x.db.Jobs().Get(id)
	if !ok {
		return nil
	}
	s := job.Status()
	return &s
}

// typeNote says in a few words what an index of a type is for.
func typeNote(t schema.IndexType) string {
	switch t {
	case schema.Equality:
		return "Finds equal values, one of several, prefixes and ranges of one column. The usual choice."
	case schema.Range:
		return "For numbers, times and texts that are compared or sorted by: less, greater, between, order by."
	case schema.Composite:
		return "Finds combinations of values in up to 8 columns, which filters name together."
	case schema.Sparse:
		return "Like equality, without null: small where most entities lack the column."
	case schema.TTL:
		return "Entities vanish when the time in the column, plus the seconds you give, has come."
	case schema.Geo:
		return "Finds points in a radius or a box: {\"lat\", \"lon\"}, GeoJSON or [lon, lat]."
	case schema.Vector:
		return "Finds the nearest vectors: embeddings of texts, images or anything else."
	}
	return ""
}

// types are those an index can have, in the order of the form.
func types() []schema.IndexType {
	return []schema.IndexType{schema.Equality, schema.Range, schema.Composite, schema.Sparse, schema.TTL, schema.Geo, schema.Vector}
}
