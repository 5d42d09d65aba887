package system

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/ops/history"
)

// chart is one figure over the last hour.
type chart struct {
	id, title, unit string
	of              func(*history.Sample) float64
}

func chartList() []chart {
	return []chart{
		{"goroutines", "Goroutines", "count", func(s *history.Sample) float64 { return s.Goroutines }},
		{"heap", "Go heap", "bytes", func(s *history.Sample) float64 { return s.GoHeap }},
	}
}

// charts are filled with at most every third sample.
func charts(samples []history.Sample) []components.Chart {
	var list []components.Chart
	step := max(1, len(samples)/240)
	for _, c := range chartList() {
		filled := components.Chart{ID: "chart-" + c.id, Title: c.title, Unit: c.unit, Event: c.id, Series: []components.Series{{Name: "now"}}}
		for i := len(samples)%step + step - 1; i < len(samples); i += step {
			filled.Times = append(filled.Times, samples[i].Time.Unix())
			filled.Series[0].Values = append(filled.Series[0].Values, c.of(&samples[i]))
		}
		list = append(list, filled)
	}
	return list
}

// live ties a chart to the page's stream.
func live(ctx context.Context, c components.Chart) components.Chart {
	c.Stream = view.URL(ctx, "system/stream")
	return c
}

// stream sends each new sample to the charts.
func (s *System) stream(c fiber.Ctx) error {
	list := chartList()
	last, _ := s.o.History.Last()
	return s.frame.Stream(c, func(ctx context.Context, out *page.Stream) error {
		for {
			sample, err := s.o.History.Next(ctx, last.Time)
			if err != nil {
				return err
			}
			last = sample
			for i := range list {
				data, err := json.Marshal(components.Point{Time: sample.Time.Unix(), Values: components.Values{list[i].of(&sample)}})
				if err != nil {
					return err
				}
				if err := out.Text(list[i].id, "", string(data)); err != nil {
					return err
				}
			}
		}
	})
}
