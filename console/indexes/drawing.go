package indexes

import (
	"math"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/console/format"
)

// The drawing of a curve without scripts: ef from left to right on a logarithmic
// scale, recall from the least upwards, latencies from zero.
const (
	drawnWidth  = 600.0
	drawnHeight = 160.0
)

// drawing is a curve laid out.
type drawing struct {
	Recall, P50, P99 string
	// Low is the recall at the bottom, Slow the latency at the top.
	Low  float64
	Slow float64
}

func (c *curve) drawing() drawing {
	d := drawing{Low: 1}
	for _, p := range c.Points {
		d.Low = min(d.Low, p.Recall)
		d.Slow = max(d.Slow, p.P99Ms)
	}
	// A little room below, at round figures.
	d.Low = max(0, math.Floor(20*(d.Low-0.01))/20)
	first, last := math.Log(float64(c.Points[0].Ef)), math.Log(float64(c.Points[len(c.Points)-1].Ef))
	line := func(share func(i int) float64) string {
		var b strings.Builder
		for i, p := range c.Points {
			x := drawnWidth / 2
			if last > first {
				x = drawnWidth * (math.Log(float64(p.Ef)) - first) / (last - first)
			}
			y := drawnHeight - 2 - (drawnHeight-4)*share(i)
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64))
		}
		return b.String()
	}
	d.Recall = line(func(i int) float64 { return (c.Points[i].Recall - d.Low) / (1 - d.Low) })
	d.P50 = line(func(i int) float64 { return c.Points[i].P50Ms / max(d.Slow, 1e-9) })
	d.P99 = line(func(i int) float64 { return c.Points[i].P99Ms / max(d.Slow, 1e-9) })
	return d
}

// spoken is the curve in words.
func (c *curve) spoken() string {
	var parts []string
	for _, p := range c.Points {
		parts = append(parts, "ef "+format.Count(p.Ef)+": "+format.Percent(p.Recall)+" in "+format.Millis(p.P50Ms))
	}
	return "Recall and median latency by ef. " + strings.Join(parts, "; ") + "."
}

// bar is a column of a histogram.
type bar struct {
	// X, Y, Width and Height lay it out over 600 by 120 units.
	X, Y, Width, Height string
	// Label is what it counts, Count how many.
	Label string
	Count int
}

const (
	histogramWidth  = 600.0
	histogramHeight = 120.0
	// maxBars bounds a histogram; finer ones are put together.
	maxBars = 33
)

// histogram lays counts out, several to a bar where there are too many.
func histogram(counts []int) []bar {
	if len(counts) == 0 {
		return nil
	}
	each := (len(counts) + maxBars - 1) / maxBars
	var bars []bar
	top := 0
	for from := 0; from < len(counts); from += each {
		to := min(from+each, len(counts))
		b := bar{Label: strconv.Itoa(from)}
		if to-from > 1 {
			b.Label += "–" + strconv.Itoa(to-1)
		}
		for _, n := range counts[from:to] {
			b.Count += n
		}
		top = max(top, b.Count)
		bars = append(bars, b)
	}
	step := histogramWidth / float64(len(bars))
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	for i := range bars {
		height := histogramHeight * float64(bars[i].Count) / float64(max(top, 1))
		if bars[i].Count > 0 {
			height = max(height, 1.5) // one node among millions can be seen
		}
		bars[i].X, bars[i].Y = number(float64(i)*step+step*0.1), number(histogramHeight-height)
		bars[i].Width, bars[i].Height = number(step*0.8), number(height)
	}
	return bars
}
