// Package system is the console's page about what the server is made of and stands
// on: the storage inside, the process and Go's runtime, the processor and GPU
// devices, the build, and the licences of what is built in. Admins may flush and
// compact from it.
//
// Everything is read when it is asked for. The package owns no goroutines and no
// locks.
package system

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/charts"
	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/web"
)

// Database is what is shown and kept in order; *engine.Engine is one.
type Database interface {
	Internals() (engine.Internals, error)
	Flush() error
	StartCompaction() (*jobs.Job, error)
	Jobs() *jobs.Registry
}

// Options are what the page shows.
type Options struct {
	Database Database
	Ops      *ops.Ops
	History  *history.History
	// Licences are those of the scripts.
	Licences []web.Licence
}

// System serves the page. Make one with New.
type System struct {
	frame *page.Frame
	o     Options
	// What doesn't change while the program runs.
	machine  Machine
	modules  []Module
	settings []debug.BuildSetting
}

// New returns the page.
func New(f *page.Frame, o Options) *System {
	s := &System{frame: f, o: o, machine: readMachine()}
	s.modules, s.settings = readModules()
	return s
}

// Routes lists every route.
func (s *System) Routes() []rest.Route {
	f := s.frame
	return []rest.Route{
		f.Route(http.MethodGet, "system", auth.ReadOnly, s.show),
		f.Route(http.MethodGet, "system/stream", auth.ReadOnly, s.stream),
		f.Route(http.MethodGet, "system/licences", auth.ReadOnly, s.licences),
		f.Route(http.MethodPost, "system/flush", auth.Admin, s.flush),
		f.Route(http.MethodPost, "system/compact", auth.Admin, s.compact),
	}
}

// View is the page.
type View struct {
	Storage   []Fact
	Levels    []LevelRow
	Families  []storageFamily
	Compacts  []jobs.Status
	Process   []Fact
	Runtime   []Fact
	Charts    []components.Chart
	Machine   Machine
	GPU       ops.GPUStats
	Build     ops.Build
	GoVersion string
	Settings  []debug.BuildSetting
	Modules   int
}

// storageFamily is a column family, written out.
type storageFamily struct{ Name, Holds, Keys, Files, Size, Memtables string }

func (s *System) show(c fiber.Ctx) error {
	v, err := s.view(c.Context())
	if err != nil {
		return err
	}
	return s.frame.Show(c, page.Page{Title: "System", Nav: "system"}, content(v))
}

func (s *System) view(ctx context.Context) (View, error) {
	stats, err := s.o.Ops.Stats(ctx)
	if err != nil {
		return View{}, err
	}
	in, err := s.o.Database.Internals()
	if err != nil {
		return View{}, err
	}
	process, samples := readProcess(), s.o.History.Samples()
	v := View{
		Storage: storageFacts(&stats, &in), Levels: levelRows(&in), Families: families(&in),
		Process: processFacts(&process, &stats.Server, samples), Runtime: runtimeFacts(&process.Go), Charts: charts.Fill(chartList(), samples, "system/stream"),
		Machine: s.machine, GPU: stats.GPU, Build: s.o.Ops.Build(), GoVersion: goVersion(), Settings: s.settings, Modules: len(s.modules),
	}
	for _, j := range s.o.Database.Jobs().List() {
		if j.Kind == engine.CompactKind && j.State == jobs.Running {
			v.Compacts = append(v.Compacts, j)
		}
	}
	return v, nil
}

func families(in *engine.Internals) []storageFamily {
	var list []storageFamily
	for _, f := range in.Families {
		list = append(list, storageFamily{
			f.Name, holds(f.Name), format.Count(f.Keys), format.Count(f.Files), format.Bytes(f.FileBytes),
			format.Bytes(f.MemtableBytes),
		})
	}
	return list
}

func (s *System) flush(c fiber.Ctx) error {
	began := time.Now()
	if err := s.o.Database.Flush(); err != nil {
		return err
	}
	return s.frame.Done(c, "Memtables were written to files in "+format.Duration(time.Since(began))+".", "system")
}

func (s *System) compact(c fiber.Ctx) error {
	job, err := s.o.Database.StartCompaction()
	if err != nil {
		return err
	}
	return s.frame.Done(c, "The compaction has begun.", "jobs/"+job.Status().ID)
}

func (s *System) licences(c fiber.Ctx) error {
	p := page.Page{Title: "Licences", Nav: "system", Crumbs: []page.Crumb{{Title: "System", Path: "system"}}}
	return s.frame.Show(c, p, licencePage(s.o.Licences, s.modules, goVersion()))
}
