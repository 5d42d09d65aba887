// Package tables is the console's pages of tables and their entities: lists,
// filters, single entities to read and write, bulk deletion, import and export.
//
// A page is worked out of what the engine says, as a plain view that its template
// shows. What takes long is a job of the engine's registry; an import is one too,
// and reads the body of the request that waits for it. Exports stream in the
// goroutine of their connection. The package's only state is how many of those
// there are, an atomic; it has no locks.
package tables

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Database is what the pages show and change; *engine.Engine is one.
type Database interface {
	Tables(context.Context) ([]engine.TableInfo, error)
	TableNames() []string
	Table(ctx context.Context, name string) (*engine.TableInfo, error)
	SampleColumns(ctx context.Context, table string, n int) (*engine.ColumnSample, error)
	Query(context.Context, engine.QueryRequest) (*engine.QueryResult, error)
	Get(ctx context.Context, keys []engine.Key, withVectors bool) ([]*engine.Entity, error)
	PrimaryKeys(ctx context.Context, table, prefix string, limit int) ([]string, error)
	Apply(ctx context.Context, ops []engine.Op, atomic bool) ([]engine.OpResult, error)
	Export(ctx context.Context, table string, filter *query.Expr, fn func(*engine.Entity) error) error
	StartDelete(table string, filter *query.Expr) (*jobs.Job, error)
	DropTable(ctx context.Context, name string) error
	Jobs() *jobs.Registry
}

// Options configure the pages. The zero value of each field means its default.
type Options struct {
	Database Database
	// ChunkTimeout and MaxLineBytes are those of imports over REST.
	ChunkTimeout func() time.Duration
	MaxLineBytes int
	// MaxExports bounds the exports under way; 16.
	MaxExports int
}

// Tables serves the pages. Make one with New.
type Tables struct {
	frame   *page.Frame
	db      Database
	o       Options
	exports atomic.Int64
}

// New returns the pages.
func New(f *page.Frame, o Options) *Tables {
	if o.ChunkTimeout == nil {
		o.ChunkTimeout = func() time.Duration { return 0 }
	}
	if o.MaxExports == 0 {
		o.MaxExports = 16
	}
	return &Tables{frame: f, db: o.Database, o: o}
}

// Routes lists every route.
func (t *Tables) Routes() []rest.Route {
	f := t.frame
	return []rest.Route{
		f.Route(http.MethodGet, "tables", auth.ReadOnly, t.list),
		f.Route(http.MethodGet, "tables/{table}", auth.ReadOnly, t.browse),
		f.Route(http.MethodGet, "tables/{table}/columns", auth.ReadOnly, t.columns),
		f.Route(http.MethodGet, "tables/{table}/manage", auth.ReadOnly, t.manage),
		f.Route(http.MethodPost, "tables/{table}/delete-matching", auth.ReadWrite, t.deleteMatching),
		f.Route(http.MethodPost, "tables/{table}/drop", auth.ReadWrite, t.drop),
		f.Route(http.MethodGet, "tables/{table}/export", auth.ReadOnly, t.export),

		f.Route(http.MethodGet, "tables/{table}/entity", auth.ReadOnly, t.entity),
		f.Route(http.MethodGet, "tables/{table}/edit", auth.ReadOnly, t.edit),
		f.Route(http.MethodPost, "tables/{table}/edit", auth.ReadWrite, t.save),
		f.Route(http.MethodPost, "tables/{table}/delete", auth.ReadWrite, t.delete),
		f.Route(http.MethodGet, "create", auth.ReadOnly, t.newEntity),
		f.Route(http.MethodPost, "create", auth.ReadWrite, t.create),

		f.Route(http.MethodGet, "import", auth.ReadOnly, t.importForm),
		f.Route(http.MethodPost, "import", auth.ReadWrite, t.importLines),
		f.Route(http.MethodGet, "import/running", auth.ReadOnly, t.importsRunning),
	}
}

// navigation of all pages here.
const nav = "tables"

// tableParam is the table that the path names.
func tableParam(c fiber.Ctx) (string, error) {
	name, err := rest.PathText(c, "table")
	if err != nil {
		return "", err
	}
	return name, engine.ValidateTable(name)
}

// keyParam is the entity that the path and the query name.
func keyParam(c fiber.Ctx) (engine.Key, error) {
	table, err := tableParam(c)
	if err != nil {
		return engine.Key{}, err
	}
	k := engine.Key{Table: table, PK: page.Query(c, "pk")}
	return k, k.Validate()
}

// tablePath is a page of a table, below /console/.
func tablePath(table, part string) string {
	path := "tables/" + view.Segment(table)
	if part != "" {
		path += "/" + part
	}
	return path
}

// tableCrumbs lead to a page of a table.
func tableCrumbs(table string) []page.Crumb {
	crumbs := []page.Crumb{{Title: "Tables", Path: "tables"}}
	if table != "" {
		crumbs = append(crumbs, page.Crumb{Title: table, Path: tablePath(table, "")})
	}
	return crumbs
}
