package components

import (
	"context"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/view"
)

// Scatter shows points in the plane that lead to pages. Few points are drawn with
// their labels; of many, scripts make a picture that answers to the pointer.
type Scatter struct {
	// ID is unique in the page; Title says what is seen.
	ID, Title string
	Points    []ScatterPoint
	// Groups name the colours, MaxGroups at most.
	Groups []string
}

// MaxGroups is the number of colours that can be told apart.
const MaxGroups = 6

// ScatterPoint is a point of a Scatter. Both coordinates have the same scale, and
// Y grows upwards.
type ScatterPoint struct {
	X, Y  float64
	Label string
	// Group is a place in Groups.
	Group int
	// Path and Query are the page that the point leads to, as for view.URL; an
	// empty path leads nowhere.
	Path  string
	Query []string
	// Marked points stand out.
	Marked bool
}

const (
	// scatterMargin is kept free around the points.
	scatterMargin = 24.0
	// labelled is the greatest number of points that are drawn with labels.
	labelled = 60
	// labelRunes bounds a label in the drawing; charWidth and labelHeight are about
	// what its characters take.
	labelRunes             = 22
	charWidth, labelHeight = 7.1, 15.0
)

// size is that of the drawing. One with labels is smaller, because it has to be
// read on a phone too, where it is scaled down.
func (s Scatter) size() (width, height float64) {
	if s.live() {
		return 640, 420
	}
	return 440, 340
}

func (s Scatter) viewBox() string {
	width, height := s.size()
	return "0 0 " + decimal(width) + " " + decimal(height)
}

func (s Scatter) live() bool { return len(s.Points) > labelled }

// scatterData is what the script reads.
type scatterData struct {
	Points []scatterDataPoint `json:"points"`
	Groups []string           `json:"groups"`
}

type scatterDataPoint struct {
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	Label string  `json:"label"`
	Group int     `json:"group"`
	Href  string  `json:"href,omitempty"`
}

func (s Scatter) data(ctx context.Context) scatterData {
	d := scatterData{Points: make([]scatterDataPoint, len(s.Points)), Groups: s.Groups}
	for i, p := range s.Points {
		d.Points[i] = scatterDataPoint{X: fourDigits(p.X), Y: fourDigits(p.Y), Label: format.Shorten(p.Label, 120), Group: p.Group}
		if p.Path != "" {
			d.Points[i].Href = string(view.URL(ctx, p.Path, p.Query...))
		}
	}
	return d
}

func fourDigits(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// dot is a point in the drawing.
type dot struct {
	ScatterPoint
	CX, CY string
	// Text is empty where there is no room for a label.
	Text, TX, TY, Anchor string
}

func (d dot) class() string {
	class := "scatter-dot scatter-" + strconv.Itoa(d.Group%MaxGroups+1)
	if d.Marked {
		class += " scatter-marked"
	}
	return class
}

func (d dot) radius() string {
	if d.Marked {
		return "6"
	}
	return "4"
}

// name is the point in words.
func (s Scatter) name(p ScatterPoint) string {
	name := format.Shorten(p.Label, 120)
	if len(s.Groups) > 1 && p.Group < len(s.Groups) {
		name += " (" + format.Shorten(s.Groups[p.Group], 60) + ")"
	}
	return name
}

// dots lays the points out, in one scale for both axes.
func (s Scatter) dots() []dot {
	if len(s.Points) == 0 {
		return nil
	}
	left, right, bottom, top := s.Points[0].X, s.Points[0].X, s.Points[0].Y, s.Points[0].Y
	for _, p := range s.Points {
		left, right = min(left, p.X), max(right, p.X)
		bottom, top = min(bottom, p.Y), max(top, p.Y)
	}
	width, height := s.size()
	scale := min((width-2*scatterMargin)/max(right-left, 1e-9), (height-2*scatterMargin)/max(top-bottom, 1e-9))
	if right-left < 1e-9 && top-bottom < 1e-9 {
		scale = 0
	}
	dots := make([]dot, len(s.Points))
	var taken []box
	places := make([][2]float64, len(s.Points))
	for i, p := range s.Points {
		x := width/2 + (p.X-(left+right)/2)*scale
		y := height/2 - (p.Y-(bottom+top)/2)*scale
		places[i] = [2]float64{x, y}
		dots[i] = dot{ScatterPoint: p, CX: decimal(x), CY: decimal(y)}
		taken = append(taken, box{x - 4, y - 4, x + 4, y + 4})
	}
	if s.live() {
		return dots
	}
	for i := range dots {
		taken = dots[i].place(places[i][0], places[i][1], taken, box{0, 0, width, height})
	}
	return dots
}

// box is a part of the drawing that is taken.
type box struct{ left, top, right, bottom float64 }

func (b box) meets(c box) bool {
	return b.left < c.right && c.left < b.right && b.top < c.bottom && c.top < b.bottom
}

// place finds room for the label beside the point: right, left, below, above.
func (d *dot) place(x, y float64, taken []box, within box) []box {
	text := d.Label
	if utf8.RuneCountInString(text) > labelRunes {
		text = string([]rune(text)[:labelRunes]) + "…"
	}
	width := charWidth * float64(utf8.RuneCountInString(text))
	beside := 8.0
	if d.Marked {
		beside = 11
	}
	for _, try := range []struct {
		anchor    string
		tx, ty    float64
		left, top float64
	}{
		{"start", x + beside, y + 4, x + beside - 1, y - labelHeight/2},
		{"end", x - beside, y + 4, x - beside + 1 - width, y - labelHeight/2},
		{"middle", x, y + 19, x - width/2, y + 8},
		{"middle", x, y - 11, x - width/2, y - 8 - labelHeight},
	} {
		b := box{try.left, try.top, try.left + width, try.top + labelHeight}
		if b.left < within.left || b.top < within.top || b.right > within.right || b.bottom > within.bottom {
			continue
		}
		free := true
		for _, t := range taken {
			free = free && !b.meets(t)
		}
		if free {
			d.Text, d.TX, d.TY, d.Anchor = text, decimal(try.tx), decimal(try.ty), try.anchor
			return append(taken, b)
		}
	}
	return taken
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }
