package components

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestValuesInJSON(t *testing.T) {
	got, err := json.Marshal(Values{0, 1.23456, math.NaN(), math.Inf(1), 123456789.5, 0.000123456, -2})
	if want := `[0,1.235,null,null,123456789,0.0001235,-2]`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestChartIsDrawn(t *testing.T) {
	c := Chart{
		ID: "c", Title: "Latency", Unit: "ms", Times: []int64{100, 105, 110, 115},
		Series: []Series{{"p50", Values{1, 2, math.NaN(), 4}}, {"p99", Values{0, 0, 0, 8}}},
	}
	if got := strings.Join(c.lines(c.Series[0]), "|"); got != "0.0,104.4 200.0,89.8|600.0,60.5" {
		t.Errorf("the line is %s", got)
	}
	if got := c.spoken(); got != "Latency: p50 4 ms, p99 8 ms; the most was 8 ms." {
		t.Error(got)
	}
	var out strings.Builder
	if err := TimeChart(c).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "<polyline") != 3 || !strings.Contains(got, `{"unit":"ms","times":[100,105,110,115],"series":[{"name":"p50","values":[1,2,null,4]}`) {
		t.Error(got)
	}
}

func TestChartOfNothing(t *testing.T) {
	var out strings.Builder
	if err := TimeChart(Chart{ID: "c", Series: []Series{{Name: "a"}}}).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "<polyline") || !strings.Contains(out.String(), `"times":[],"series":[{"name":"a","values":[]}]`) {
		t.Error(out.String())
	}
}
