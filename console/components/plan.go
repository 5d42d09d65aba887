package components

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
)

// Plan is how a query or a search was carried out, as a tree of steps: the
// root, which yields the answer, first, and what feeds a step below it.
type Plan struct {
	// Verdict is a sentence; Kind the kind of alert that it deserves, empty for
	// none.
	Verdict, Kind string
	Steps         []PlanStep
	// Most is the greatest actual count; Estimates says that any step has one.
	Most      int
	Estimates bool
}

// PlanStep is a step of a Plan.
type PlanStep struct {
	// Depth in the tree, 0 for the root.
	Depth int
	// Title is what is done, Subject what with; Text is a condition or a reason.
	Title, Subject, Text string
	// Estimated and Actual count what the step yields; -1 is unknown.
	Estimated, Actual int
	// Costly steps are those that an index would spare.
	Costly bool
	// Times is how many times the estimate the actual count is, where the planner was
	// far off; 0 otherwise.
	Times int
}

// maxPlanSteps bounds the steps that are shown; an or of thousands of values has
// as many.
const maxPlanSteps = 200

// farOff is the actual count from which a wrong estimate matters.
const farOff = 1000

// planDepth is the greatest depth that is drawn.
const planDepth = 8

// QueryPlan is the plan of a query or of a filter. A nil report gives an empty
// plan.
func QueryPlan(report *engine.PlanReport) Plan {
	if report == nil || report.Plan == nil {
		return Plan{}
	}
	p := Plan{}
	p.Verdict, p.Kind = verdict(report)
	p.Verdict += " " + format.Plural(report.RowsScanned, "entity was read.", "entities were read.")
	p.add(report.Tree(), 0)
	for i := range p.Steps {
		p.Steps[i].Costly = p.Kind != "" && p.Steps[i].Title == fullScan
	}
	return p
}

const fullScan = "Full scan"

func verdict(report *engine.PlanReport) (text, kind string) {
	switch report.Mode {
	case query.ModeEmpty:
		return "The indexes know that nothing matches.", ""
	case query.ModeFullScan:
		switch {
		case report.Residual != nil:
			return "No index serves this: the table was read from its beginning.", "warn"
		case len(report.Steps) > 1:
			return "No index has this order: the whole table was read and sorted.", "warn"
		}
		return "Everything matches: the table was read from its beginning.", ""
	case query.ModeRangeAware:
		return "A range of an index serves this.", ""
	case query.ModeIndexParallel:
		return "An index serves this; the entities were fetched in parallel.", ""
	}
	return "An index serves this.", ""
}

// SearchPlan is the plan of a vector search: the search, and below it the filter
// that it was narrowed by. Hits is how many results it had.
func SearchPlan(plan *engine.SearchPlan, hits int) Plan {
	if plan == nil {
		return Plan{}
	}
	p := Plan{Verdict: searchWork(plan)}
	p.put(PlanStep{Title: searchTitle(plan.Mode), Text: format.Sentence(plan.Reason), Estimated: -1, Actual: hits})
	if plan.ExactFallback {
		p.Verdict += " The graph cost as much as a scan would, so it was finished by one."
	}
	if plan.Device != nil {
		p.Verdict += " " + searchedBy(plan.Device)
	}
	if plan.Filter != nil {
		p.put(PlanStep{Depth: 1, Title: "Allowed by the filter", Estimated: -1, Actual: plan.Matching,
			Text: "of " + format.Plural(plan.Live, "vector", "vectors")})
		p.add(plan.Filter.Tree(), 2)
	} else {
		p.put(PlanStep{Depth: 1, Title: "All vectors", Estimated: -1, Actual: plan.Live})
	}
	return p
}

func searchTitle(mode string) string {
	switch mode {
	case "graph":
		return "Graph search"
	case "filtered_graph":
		return "Graph search through allowed vectors"
	case "gpu_scan":
		return "Scan on the GPU"
	case "exact":
		return "Exact scan"
	case "scan":
		return "Scan of all allowed vectors"
	case "empty":
		return "Nothing to search"
	}
	return mode
}

// searchedBy says which side answered, and why.
func searchedBy(d *engine.SearchDevice) string {
	text := "The CPU answered"
	if d.Engine == schema.EngineGPU {
		text = "The GPU answered"
		if d.Batch > 1 {
			text += ", together with " + format.Plural(d.Batch-1, "other search", "other searches")
		}
	}
	if d.Reason == "" {
		return text + "."
	}
	return text + ": " + d.Reason + "."
}

// searchWork says what a search cost.
func searchWork(plan *engine.SearchPlan) string {
	text := format.Plural(plan.Distances, "distance was computed", "distances were computed")
	if plan.Hops > 0 {
		text += " over " + format.Plural(plan.Hops, "node", "nodes") + " of the graph, with ef " + format.Count(plan.Ef)
		if plan.Slack > 0 {
			text += fmt.Sprintf(" and an end at %v times the distance of the last hit", plan.Slack)
		}
		if plan.Recall > 0 {
			text += ", for a recall of " + format.Percent(plan.Recall)
		}
	}
	text += "."
	if plan.Pending > 0 {
		text += " " + format.Plural(plan.Pending, "vector isn't in the graph yet and was", "vectors aren't in the graph yet and were") + " compared one by one."
	}
	if plan.StaleDropped > 0 {
		text += " " + format.Plural(plan.StaleDropped, "hit had", "hits had") + " changed meanwhile."
	}
	return text
}

func (p *Plan) add(tree query.StepTree, depth int) {
	if tree.Action == "" {
		return
	}
	if len(p.Steps) == maxPlanSteps {
		p.put(PlanStep{Depth: min(depth, planDepth), Title: "Further steps aren't shown", Estimated: -1, Actual: -1})
	}
	if len(p.Steps) > maxPlanSteps {
		return
	}
	p.put(planStep(tree.Step, depth))
	for _, child := range tree.Children {
		p.add(child, depth+1)
	}
}

func (p *Plan) put(s PlanStep) {
	p.Steps = append(p.Steps, s)
	p.Most = max(p.Most, s.Actual)
	p.Estimates = p.Estimates || s.Estimated >= 0
}

func planStep(s query.Step, depth int) PlanStep {
	step := PlanStep{Depth: min(depth, planDepth), Title: s.Action, Subject: s.Index, Text: s.Answers.Text(), Estimated: -1, Actual: -1}
	switch s.Action {
	case "index_scan":
		step.Title = "Index scan"
		if s.Ranges > 1 {
			step.Text += " (" + format.Count(s.Ranges) + " ranges)"
		}
		if s.InMemory > 0 {
			step.Text += ", in memory"
		}
	case "order_scan":
		step.Title, step.Text = "Walk along an index", s.Detail
	case "full_scan":
		step.Title = fullScan
	case "intersect":
		step.Title = "In all of these"
	case "exclude":
		step.Title = "In the first and not in the second"
	case "all_ids":
		step.Title = "All entities, without reading them"
	case "union":
		step.Title = "In any of these"
	case "filter":
		step.Title = "Check each entity"
	case "sort":
		step.Title, step.Text = "Sort", s.Detail
	case "empty":
		step.Title, step.Text = "Nothing to read", format.Sentence(s.Detail)
	}
	// A filter and a sort have no estimate.
	if s.Node != nil {
		step.Estimated = s.EstimatedCount
	}
	if s.ActualCount != nil {
		step.Actual = *s.ActualCount
	}
	if step.Estimated >= 0 && step.Actual >= farOff && step.Actual >= 10*max(1, step.Estimated) {
		step.Times = step.Actual / max(1, step.Estimated)
	}
	return step
}

// count is empty for an unknown one.
func count(n int) string {
	if n < 0 {
		return ""
	}
	return format.Count(n)
}

func (s PlanStep) class() string { return "plan-step plan-depth-" + strconv.Itoa(s.Depth) }

// indexOf names an advised index.
func indexOf(table string, a query.Advice) Index {
	return Index{Table: table, Columns: a.Columns, Type: string(a.Type)}
}

func adviceLabel(a query.Advice) string {
	return "Create " + string(a.Type) + " index on " + format.Shorten(strings.Join(a.Columns, ", "), 80)
}
