package system

import (
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/charts"
	"github.com/vccdb/vccdb/server/ops/history"
)

func chartList() []charts.Chart {
	return []charts.Chart{
		{ID: "goroutines", Title: "Goroutines", Unit: "count", Lines: []charts.Line{{Name: "now", Of: func(s *history.Sample) float64 { return s.Goroutines }}}},
		{ID: "heap", Title: "Go heap", Unit: "bytes", Lines: []charts.Line{{Name: "now", Of: func(s *history.Sample) float64 { return s.GoHeap }}}},
	}
}

func (s *System) stream(c fiber.Ctx) error {
	return charts.Follow(s.frame, c, s.o.History, chartList())
}
