package components

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console/view"
)

func TestScatterKeepsItsScale(t *testing.T) {
	s := Scatter{Points: []ScatterPoint{{X: -1, Y: 0}, {X: 1, Y: 0}, {X: 0, Y: 0.5}}}
	dots := s.dots()
	var at []string
	for _, d := range dots {
		at = append(at, d.CX+","+d.CY)
	}
	// 392 units for 2, so 98 for half of one.
	if got := strings.Join(at, " "); got != "24.0,219.0 416.0,219.0 220.0,121.0" {
		t.Errorf("points at %s", got)
	}
	one := Scatter{Points: []ScatterPoint{{X: 3, Y: 3}, {X: 3, Y: 3}}}.dots()
	if one[0].CX != "220.0" || one[0].CY != "170.0" {
		t.Errorf("a single place is drawn at %s, %s", one[0].CX, one[0].CY)
	}
}

func TestScatterLabels(t *testing.T) {
	s := Scatter{ID: "x", Title: "Places", Groups: []string{"a", "b"}}
	for i := range 5 {
		s.Points = append(s.Points, ScatterPoint{X: float64(i), Label: fmt.Sprint("<b>", i), Path: "tables/t", Query: []string{"pk", "a&b"}})
	}
	s.Points = append(s.Points, s.Points[4]) // at the same place: no room on the same side
	seen := map[string]bool{}
	for _, d := range s.dots() {
		if d.Text == "" || seen[d.TX+d.TY] {
			t.Errorf("no label of its own: %+v", d)
		}
		seen[d.TX+d.TY] = true
	}
	text := render(t, &view.View{Root: "../"}, ScatterPlot(s))
	if strings.Contains(text, "<b>") || !strings.Contains(text, `href="../tables/t?pk=a%26b"`) || strings.Contains(text, "data-scatter-source") {
		t.Error(text)
	}
	for i := range 100 {
		s.Points = append(s.Points, ScatterPoint{X: float64(i), Y: 2, Label: "</script><script>alert(1)</script>", Group: 1})
	}
	if text := render(t, &view.View{Root: "../"}, ScatterPlot(s)); strings.Contains(text, "<script>alert") || !strings.Contains(text, `data-scatter-source="#x-data"`) {
		t.Error(text)
	}
	if text := render(t, &view.View{}, ScatterPlot(Scatter{ID: "none"})); strings.Contains(text, "circle") {
		t.Error(text)
	}
}
