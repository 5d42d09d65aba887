// Package devices is the console's page of the GPU: the worker that searches on it
// and why it doesn't, the devices of the machine, the indexes that are there, what
// searches take on either side, and why the CPU answered instead. Admins may start
// the worker anew.
//
// Everything is read when it is asked for. The package owns no goroutines and no
// locks.
package devices

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/charts"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
	"github.com/vccdb/vccdb/server/ops/history"
	"github.com/vccdb/vccdb/server/rest"
)

// Options are what the page shows. All of them are needed.
type Options struct {
	Ops     *ops.Ops
	History *history.History
	// Device is the number of the one that searches use, as gpu.device says.
	Device int
}

// Devices serves the page. Make one with New.
type Devices struct {
	frame *page.Frame
	o     Options
}

// New returns the page.
func New(f *page.Frame, o Options) *Devices { return &Devices{f, o} }

// Routes lists every route.
func (d *Devices) Routes() []rest.Route {
	f := d.frame
	return []rest.Route{
		f.Route(http.MethodGet, "gpu", auth.ReadOnly, d.show),
		f.Route(http.MethodGet, "gpu/now", auth.ReadOnly, d.now),
		f.Route(http.MethodGet, "gpu/stream", auth.ReadOnly, d.stream),
		f.Route(http.MethodPost, "gpu/restart", auth.Admin, d.restart),
	}
}

func (d *Devices) view(c fiber.Ctx) (View, error) {
	s, err := d.o.Ops.Stats(c.Context())
	if err != nil {
		return View{}, err
	}
	return newView(&s.GPU, d.o.Device, time.Now()), nil
}

func (d *Devices) show(c fiber.Ctx) error {
	v, err := d.view(c)
	if err != nil {
		return err
	}
	if v.Wanted || len(v.Devices) > 0 {
		v.Charts = charts.Fill(chartList(), d.o.History.Samples(), "gpu/stream")
	}
	return d.frame.Show(c, page.Page{Title: "GPU", Nav: "gpu", Actions: actions(v)}, content(v))
}

// now is the part of the page that changes.
func (d *Devices) now(c fiber.Ctx) error {
	v, err := d.view(c)
	if err != nil {
		return err
	}
	return d.frame.Part(c, present(v))
}

func (d *Devices) stream(c fiber.Ctx) error {
	return charts.Follow(d.frame, c, d.o.History, chartList())
}

func chartList() []charts.Chart {
	return []charts.Chart{
		{ID: "answers", Title: "Searches a second", Unit: "count", Lines: []charts.Line{
			{Name: "by the GPU", Of: func(s *history.Sample) float64 { return s.GPUSearches }},
			{Name: "by the CPU", Of: func(s *history.Sample) float64 { return s.CPUSearches }},
		}},
		{ID: "busy", Title: "Devices busy", Unit: "percent", Lines: []charts.Line{{Name: "mean", Of: func(s *history.Sample) float64 { return s.GPUPercent }}}},
		{ID: "memory", Title: "Device memory", Unit: "bytes", Lines: []charts.Line{{Name: "used", Of: func(s *history.Sample) float64 { return s.GPUMemory }}}},
	}
}

// restartWord is what has to be typed to start the worker anew.
const restartWord = "restart"

func (d *Devices) restart(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	if err := page.Confirmed(form, restartWord); err != nil {
		return err
	}
	if _, err := d.o.Ops.RestartWorker(); err != nil {
		return err
	}
	return d.frame.Done(c, "The worker is started anew; the CPU answers searches until it runs.", "gpu")
}
