package components

import (
	"math"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/console/format"
)

// Chart shows figures over time. Without scripts it is a drawing.
type Chart struct {
	// ID is unique in the page.
	ID, Title string
	// Unit is bytes, ms, percent or count.
	Unit string
	// Times are in Unix seconds; each series has a value for each.
	Times  []int64
	Series []Series
	// Stream is the path below /console/ that sends new points as the event Event,
	// each a Point; empty is a chart that stays as it is. Charts of a page share the
	// stream.
	Stream, Event string
}

// Series is a line of a chart. NaN is a gap.
type Series struct {
	Name   string `json:"name"`
	Values Values `json:"values"`
}

// Point is a later point of a chart, a value for each of its series.
type Point struct {
	Time   int64  `json:"time"`
	Values Values `json:"values"`
}

// Values are figures, written with as many digits as a chart shows.
type Values []float64

// MarshalJSON writes null for what isn't a number.
func (v Values) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 8*len(v)+2), '[')
	for i, x := range v {
		if i > 0 {
			out = append(out, ',')
		}
		switch {
		case math.IsNaN(x) || math.IsInf(x, 0):
			out = append(out, "null"...)
		case math.Abs(x) >= 1e4:
			out = strconv.AppendInt(out, int64(x), 10)
		default:
			out = strconv.AppendFloat(out, x, 'g', 4, 64)
		}
	}
	return append(out, ']'), nil
}

// chartData is what the script reads.
type chartData struct {
	Unit   string   `json:"unit"`
	Times  []int64  `json:"times"`
	Series []Series `json:"series"`
}

// data has empty lists for none.
func (c Chart) data() chartData {
	return chartData{c.Unit, append([]int64{}, c.Times...), append([]Series{}, c.Series...)}
}

func (c Chart) most() float64 {
	most := 0.0
	for _, s := range c.Series {
		for _, v := range s.Values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				most = max(most, v)
			}
		}
	}
	return most
}

// now is a series' newest value in words.
func (c Chart) now(s Series) string {
	if len(s.Values) == 0 {
		return "–"
	}
	return inUnit(s.Values[len(s.Values)-1], c.Unit)
}

func inUnit(value float64, unit string) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return "–"
	}
	switch unit {
	case "bytes":
		return format.Size(value)
	case "ms":
		return format.Millis(value)
	case "percent":
		return format.Number(value) + " %"
	}
	return format.Number(value)
}

// spoken is the drawing in words.
func (c Chart) spoken() string {
	var parts []string
	for _, s := range c.Series {
		parts = append(parts, s.Name+" "+c.now(s))
	}
	return c.Title + ": " + strings.Join(parts, ", ") + "; the most was " + inUnit(c.most(), c.Unit) + "."
}

// lines lays a series out over 600 by 120 units, as runs of points without gaps.
func (c Chart) lines(s Series) []string {
	if len(c.Times) < 2 {
		return nil
	}
	first, most := c.Times[0], c.most()
	span := float64(max(1, c.Times[len(c.Times)-1]-first))
	var runs []string
	var run strings.Builder
	end := func() {
		if run.Len() > 0 {
			runs = append(runs, run.String())
			run.Reset()
		}
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			end()
			continue
		}
		y := 119.0
		if most > 0 {
			y -= 117 * max(v, 0) / most
		}
		if run.Len() > 0 {
			run.WriteByte(' ')
		}
		x := 600 * float64(c.Times[i]-first) / span
		run.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64))
	}
	end()
	return runs
}
