// Package charts makes charts of the server's history: the last hour as it stands in
// a page, and each new sample by the page's stream. It owns no goroutines and no
// locks.
package charts

import (
	"context"
	"math"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/ops/history"
)

// Chart is what a chart shows of a sample. ID is the name of its event, too.
type Chart struct {
	ID, Title, Unit string
	Lines           []Line
}

// Line is a series of a chart.
type Line struct {
	Name string
	Of   func(*history.Sample) float64
}

// maxPoints bounds what a page carries of each series; an hour has three times as
// many samples.
const maxPoints = 240

// Fill draws charts of the samples, which follow a stream, a path below /console/.
func Fill(list []Chart, samples []history.Sample, stream string) []components.Chart {
	group := max(1, (len(samples)+maxPoints-1)/maxPoints)
	var out []components.Chart
	for _, c := range list {
		filled := components.Chart{ID: "chart-" + c.ID, Title: c.Title, Unit: c.Unit, Stream: stream, Event: c.ID}
		for chunk := range slices.Chunk(samples, group) {
			filled.Times = append(filled.Times, chunk[len(chunk)-1].Time.Unix())
		}
		for _, l := range c.Lines {
			s := components.Series{Name: l.Name}
			for chunk := range slices.Chunk(samples, group) {
				s.Values = append(s.Values, mean(chunk, l.Of))
			}
			filled.Series = append(filled.Series, s)
		}
		out = append(out, filled)
	}
	return out
}

// mean leaves out what isn't a number; it is none itself if nothing is left.
func mean(samples []history.Sample, of func(*history.Sample) float64) float64 {
	var sum, n float64
	for i := range samples {
		if v := of(&samples[i]); !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / n
}

// Follow answers with the stream: each new sample, to each chart what it shows of it.
func Follow(f *page.Frame, c fiber.Ctx, past *history.History, list []Chart) error {
	last, _ := past.Last()
	return f.Stream(c, func(ctx context.Context, s *page.Stream) error {
		for {
			sample, err := past.Next(ctx, last.Time)
			if err != nil {
				return err
			}
			last = sample
			for i := range list {
				data, err := json.Marshal(list[i].point(&sample))
				if err != nil {
					return err
				}
				if err := s.Text(list[i].ID, "", string(data)); err != nil {
					return err
				}
			}
		}
	})
}

func (c *Chart) point(s *history.Sample) components.Point {
	p := components.Point{Time: s.Time.Unix()}
	for _, l := range c.Lines {
		p.Values = append(p.Values, l.Of(s))
	}
	return p
}
