package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotWidth  = 760
	plotHeight = 440
	plotLeft   = 70
	plotRight  = 620 // the names of the curves are on the right of it
	plotTop    = 40
	plotBottom = 390
)

// plotColours are told apart by people with colour-blindness too (Okabe and Ito).
func plotColours() []string {
	return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}
}

// plot draws speed over recall as an SVG. Both axes are logarithmic: recall by what
// is missed, since from 0.98 to 0.99 is as far as from 0.8 to 0.9.
func (c *comparison) plot(w io.Writer) error {
	low, high := c.speedRange()
	x := func(recall float64) float64 {
		share := math.Log(0.3/min(max(1-recall, 0.003), 0.3)) / math.Log(0.3/0.003)
		return plotLeft + share*(plotRight-plotLeft)
	}
	y := func(qps float64) float64 {
		return plotBottom - math.Log(qps/low)/math.Log(high/low)*(plotBottom-plotTop)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="14">%s: %d vectors of dimension %d, one thread</text>`+"\n",
		plotLeft, c.Set.Name, c.Set.Vectors, c.Set.Dimension)
	for _, recall := range []float64{0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995} {
		fmt.Fprintf(&b, `<path d="M%.1f %d V%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n",
			x(recall), plotTop, plotBottom, x(recall), plotBottom+16, recall)
	}
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if qps := decade * step; qps >= low && qps <= high {
				fmt.Fprintf(&b, `<path d="M%d %.1f H%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
					plotLeft, y(qps), plotRight, plotLeft-6, y(qps)+4, qps)
			}
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">recall@%d</text>`+"\n", (plotLeft+plotRight)/2, plotBottom+36, c.K)
	fmt.Fprintf(&b, `<text x="16" y="%d" text-anchor="middle" transform="rotate(-90 16 %d)">searches a second</text>`+"\n",
		(plotTop+plotBottom)/2, (plotTop+plotBottom)/2)
	colours := plotColours()
	for i, s := range c.Standings {
		if s.Missing == "" {
			drawCurve(&b, s, colours[i%len(colours)], plotTop+20*(i+1), x, y)
		}
	}
	fmt.Fprintln(&b, "</svg>")
	_, err := io.WriteString(w, b.String())
	return err
}

func drawCurve(b *strings.Builder, s *standing, colour string, legend int, x, y func(float64) float64) {
	var points []string
	for _, p := range s.Curve {
		if p.Recall >= 0.7 {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(p.Recall), y(p.QPS)))
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
	fmt.Fprintf(b, `<path d="M%d %d h18" stroke="%s" stroke-width="2"/><text x="%d" y="%d">%s</text>`+"\n",
		plotRight+14, legend-4, colour, plotRight+38, legend, s.Name)
}

// speedRange is from the slowest to the fastest point that is drawn, with some air.
func (c *comparison) speedRange() (low, high float64) {
	low, high = math.Inf(1), 0
	for _, s := range c.Standings {
		for _, p := range s.Curve {
			if p.Recall >= 0.7 {
				low, high = min(low, p.QPS), max(high, p.QPS)
			}
		}
	}
	if high == 0 {
		return 1, 10
	}
	return low / 1.2, high * 1.2
}
