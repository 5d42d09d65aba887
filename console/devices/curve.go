package devices

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/server/ops"
)

// Curve is what searches of one kind take in an index on either side, by the share of
// the vectors that their filter lets through.
type Curve struct {
	components.Index
	// ID is unique in the page; Kind says which searches these are.
	ID, Kind string
	// Bands begin at searches without a filter; the filters of each let less through.
	Bands []Band
}

// Band is a range of shares.
type Band struct {
	Name     string
	CPU, GPU Side
	// Choice is cpu or gpu; empty before the first search.
	Choice string
	// to is the largest share.
	to float64
}

// Side is what searches take there.
type Side struct {
	Ms      float64
	Samples uint64
}

// curvesOf are an index' curves: one for each kind of search, those with most of them
// first.
func curvesOf(place int, i *ops.GPUIndex) []Curve {
	var curves []Curve
	weights := map[string]uint64{}
	for _, p := range i.Curve {
		kind := kindOf(&p)
		at := slices.IndexFunc(curves, func(c Curve) bool { return c.Kind == kind })
		if at < 0 {
			at = len(curves)
			curves = append(curves, Curve{
				Index: components.Index{Table: i.Table, Columns: []string{i.Column}, Type: "vector"}, Kind: kind,
			})
		}
		curves[at].Bands = append(curves[at].Bands, Band{
			Name: bandName(p.ShareFrom, p.ShareTo), CPU: sideOf(p.CPU), GPU: sideOf(p.GPU), Choice: p.Choice, to: p.ShareTo,
		})
		weights[kind] += p.CPU.Samples + p.GPU.Samples
	}
	slices.SortStableFunc(curves, func(a, b Curve) int {
		switch x, y := weights[a.Kind], weights[b.Kind]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	for n := range curves {
		curves[n].ID = "curve-" + strconv.Itoa(place) + "-" + strconv.Itoa(n)
	}
	return curves
}

func sideOf(c ops.Cost) Side { return Side{c.MedianUs / 1000, c.Samples} }

// took is a side's time in words.
func (s Side) took() string {
	if s.Samples == 0 {
		return "–"
	}
	return format.Millis(s.Ms)
}

func kindOf(p *ops.CurvePoint) string {
	switch {
	case p.Exact:
		return "exact searches"
	case p.EfFrom >= p.Ef:
		return "ef " + strconv.Itoa(p.Ef)
	}
	return "ef " + strconv.Itoa(p.EfFrom) + " to " + strconv.Itoa(p.Ef)
}

const noFilter = "no filter"

// bandName is a range of shares in words.
func bandName(from, to float64) string {
	switch {
	case from >= 1:
		return noFilter
	case from <= 0:
		return "up to " + format.Percent(to)
	}
	return format.Percent(from) + " to " + format.Percent(to)
}

// mark is a range of shares in a few characters.
func (b *Band) mark() string {
	if b.Name == noFilter {
		return noFilter
	}
	return "≤ " + format.Percent(b.to)
}

// verdict is the curve in a sentence: where the sides part.
func (c *Curve) verdict() string {
	var on []string
	for _, b := range c.Bands {
		if b.Choice == "gpu" {
			on = append(on, b.Name)
		}
	}
	switch {
	case len(on) == 0:
		return "The CPU answers all of these."
	case len(on) == len(c.Bands):
		return "The GPU answers all of these."
	}
	return "The GPU answers where the filter lets through: " + strings.Join(on, "; ") + "."
}

// spoken is the curve in words.
func (c *Curve) spoken() string {
	var parts []string
	for _, b := range c.Bands {
		parts = append(parts, b.Name+": CPU "+b.CPU.took()+", GPU "+b.GPU.took())
	}
	return "Median time by what the filter lets through. " + strings.Join(parts, "; ") + "."
}

// data is what the script draws.
type data struct {
	X      string   `json:"x"`
	Xs     []int    `json:"xs"`
	Marks  []string `json:"marks"`
	Log    bool     `json:"log"`
	Series []series `json:"series"`
}

type series struct {
	Name   string            `json:"name"`
	Unit   string            `json:"unit"`
	Values components.Values `json:"values"`
}

func (c *Curve) data() data {
	d := data{X: "let through by the filter", Log: true, Series: []series{{Name: "CPU", Unit: "ms"}, {Name: "GPU", Unit: "ms"}}}
	for n := range c.Bands {
		b := &c.Bands[n]
		d.Xs = append(d.Xs, n)
		d.Marks = append(d.Marks, b.mark())
		for i, s := range []Side{b.CPU, b.GPU} {
			value := math.NaN()
			if s.Samples > 0 && s.Ms > 0 {
				value = s.Ms
			}
			d.Series[i].Values = append(d.Series[i].Values, value)
		}
	}
	return d
}

// The drawing without scripts: the bands side by side, times on a logarithmic scale.
const drawnWidth, drawnHeight = 600.0, 160.0

// drawing is a curve laid out.
type drawing struct {
	// Lines are of the CPU and the GPU; Low and High the times at bottom and top.
	Lines     [2]string
	Low, High float64
}

func (c *Curve) drawing() drawing {
	low, high := math.Inf(1), 0.0
	d := c.data()
	for _, s := range d.Series {
		for _, v := range s.Values {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	out := drawing{Low: low, High: high}
	if high == 0 {
		return drawing{}
	}
	for i, s := range d.Series {
		var points []string
		for n, v := range s.Values {
			if math.IsNaN(v) {
				continue
			}
			x, y := drawnWidth/2, drawnHeight/2
			if len(s.Values) > 1 {
				x = drawnWidth * float64(n) / float64(len(s.Values)-1)
			}
			if high > low {
				y = drawnHeight - 2 - (drawnHeight-4)*math.Log(v/low)/math.Log(high/low)
			}
			points = append(points, decimal(x)+","+decimal(y))
		}
		out.Lines[i] = strings.Join(points, " ")
	}
	return out
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// Bar is a column of a histogram.
type Bar struct {
	// X, Y, Width and Height lay it out over 600 by 120 units.
	X, Y, Width, Height string
	// Label is the batches' sizes, Count how many there were.
	Label string
	Count uint64
}

const barsWidth, barsHeight = 600.0, 120.0

// fewestBars is how many sizes a histogram has at least, so that it doesn't change
// its shape with each of the first batches.
const fewestBars = 7

// batches lays the sizes of batches out, from the least to the largest there was.
func batches(counts []ops.BatchCount) []Bar {
	last, top := -1, uint64(0)
	for i, c := range counts {
		if c.Count > 0 {
			last, top = i, max(top, c.Count)
		}
	}
	if top == 0 {
		return nil
	}
	last = min(max(last, fewestBars-1), len(counts)-1)
	var bars []Bar
	step, from := barsWidth/float64(last+1), 1
	for i, c := range counts[:last+1] {
		height := barsHeight * float64(c.Count) / float64(top)
		if c.Count > 0 {
			height = max(height, 1.5) // one among millions can be seen
		}
		label := strconv.Itoa(from)
		switch {
		case c.UpTo == 0:
			label += " and more"
		case c.UpTo > from:
			label += "–" + strconv.Itoa(c.UpTo)
		}
		from = c.UpTo + 1
		bars = append(bars, Bar{
			X: decimal(float64(i)*step + step*0.1), Y: decimal(barsHeight - height), Width: decimal(step * 0.8), Height: decimal(height),
			Label: label, Count: c.Count,
		})
	}
	return bars
}

// batchesSpoken is the histogram in words.
func batchesSpoken(bars []Bar) string {
	var parts []string
	for _, b := range bars {
		if b.Count > 0 {
			parts = append(parts, b.Label+": "+format.Count(b.Count))
		}
	}
	return "Passes by how many searches they answered at once. " + strings.Join(parts, "; ") + "."
}
