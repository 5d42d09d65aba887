package components_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/server/auth"
)

func actual(n int) *int { return &n }

// report is a plan with each kind of step, as the engine reports it.
func report(t *testing.T) *engine.PlanReport {
	filter, err := query.ParseFilter(nil, []byte(`{"column":"a","op":"eq","value":"<script>alert(1)</script>"}`))
	if err != nil {
		t.Fatal(err)
	}
	var node query.Node = &query.TermScan{}
	return &engine.PlanReport{RowsScanned: 1, Plan: &query.Plan{Mode: query.ModeIndex, Steps: []query.Step{
		{Action: "index_scan", Index: "a (equality)", Ranges: 2, EstimatedCount: 1200, ActualCount: actual(1300), Answers: filter, Node: node},
		{Action: "index_scan", Index: "b (range)", EstimatedCount: 0, ActualCount: actual(7), Answers: filter, Node: node},
		{Action: "intersect", Inputs: 2, EstimatedCount: 7, ActualCount: actual(1), Node: node},
		{Action: "filter", Inputs: 1, ActualCount: actual(1), Answers: filter},
		{Action: "sort", Inputs: 1, ActualCount: actual(1), Detail: "a asc"},
	}}}
}

func TestQueryPlan(t *testing.T) {
	p := components.QueryPlan(report(t))
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, fmt.Sprintf("%d %s %s %d %d", s.Depth, s.Title, s.Subject, s.Estimated, s.Actual))
	}
	want := `0 Sort  -1 1
1 Check each entity  -1 1
2 In all of these  7 1
3 Index scan a (equality) 1200 1300
3 Index scan b (range) 0 7`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("the plan is\n%s\nnot\n%s", got, want)
	}
	if p.Most != 1300 || p.Kind != "" || !strings.Contains(p.Verdict, "1 entity was read.") {
		t.Errorf("%+v", p)
	}
	text := consoletest.Render(t, auth.ReadOnly, components.PlanTree(p))
	if strings.Contains(text, "<script") || !strings.Contains(text, "1,300") || !strings.Contains(text, "&lt;script&gt;") {
		t.Error(text)
	}
	r := report(t)
	r.Steps[1].ActualCount = actual(5000)
	if p := components.QueryPlan(r); p.Steps[4].Times != 5000 || p.Steps[3].Times != 0 {
		t.Errorf("%+v", p.Steps)
	}
	if empty := components.QueryPlan(nil); len(empty.Steps) != 0 || empty.Verdict != "" {
		t.Errorf("%+v", empty)
	}
}

func TestLongPlansAreCut(t *testing.T) {
	r := &engine.PlanReport{Plan: &query.Plan{Mode: query.ModeFullScan}}
	for range 5000 {
		r.Steps = append(r.Steps, query.Step{Action: "index_scan"})
	}
	r.Steps = append(r.Steps, query.Step{Action: "union", Inputs: 5000})
	if p := components.QueryPlan(r); len(p.Steps) != 201 || p.Steps[200].Title != "Further steps aren't shown" {
		t.Errorf("%d steps", len(p.Steps))
	}
}

func TestFullScansDifferInWorth(t *testing.T) {
	scan := query.Step{Action: "full_scan", ActualCount: actual(5)}
	for want, plan := range map[string]query.Plan{
		"Everything matches": {Steps: []query.Step{scan}},
		"No index has this":  {Steps: []query.Step{scan, {Action: "sort", Inputs: 1}}},
		"No index serves":    {Steps: []query.Step{scan, {Action: "filter", Inputs: 1}}, Residual: &query.Expr{}},
	} {
		plan.Mode = query.ModeFullScan
		p := components.QueryPlan(&engine.PlanReport{Plan: &plan})
		bad := want != "Everything matches"
		if !strings.HasPrefix(p.Verdict, want) || (p.Kind == "warn") != bad || p.Steps[len(p.Steps)-1].Costly != bad {
			t.Errorf("%s: %+v", want, p)
		}
	}
}

func TestSearchPlan(t *testing.T) {
	p := components.SearchPlan(&engine.SearchPlan{Mode: "filtered_graph", Reason: "many match", Matching: 40, Live: 100, Ef: 64, Distances: 1234, Hops: 9, Pending: 1, Filter: report(t)}, 10)
	if want := "1,234 distances were computed over 9 nodes of the graph, with ef 64. 1 vector isn't in the graph yet and was compared one by one."; p.Verdict != want {
		t.Errorf("%s\nnot\n%s", p.Verdict, want)
	}
	if len(p.Steps) != 7 || p.Steps[0].Text != "Many match." || p.Steps[1].Actual != 40 || p.Steps[2].Depth != 2 {
		t.Errorf("%+v", p.Steps)
	}
	for want, d := range map[string]engine.SearchDevice{
		"The CPU answered: the device has no memory.":                                      {Engine: "cpu", Reason: "the device has no memory"},
		"The GPU answered, together with 2 other searches: it takes 1 ms, the other 9 ms.": {Engine: "gpu", Reason: "it takes 1 ms, the other 9 ms", Batch: 3},
		"The GPU answered.": {Engine: "gpu", Batch: 1},
	} {
		p := components.SearchPlan(&engine.SearchPlan{Mode: "gpu_scan", Live: 5, Distances: 5, Device: &d}, 5)
		if p.Verdict != "5 distances were computed. "+want || p.Steps[0].Title != "Scan on the GPU" {
			t.Errorf("%+v, want %s", p, want)
		}
	}
	if p := components.SearchPlan(&engine.SearchPlan{Mode: "exact", Live: 5, Distances: 5}, 5); len(p.Steps) != 2 || p.Steps[1].Actual != 5 {
		t.Errorf("%+v", p)
	}
}
