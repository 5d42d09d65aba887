package engine

import (
	"fmt"

	"github.com/vccdb/vccdb/vecindex"
)

// searchEmpty is the mode of a vector search that has nothing to look at. The other
// modes are the plans of the index, which decides: it knows what scoring a vector
// costs and what a step through the graph does.
const searchEmpty = "empty"

// note notes what the index did. A search that is repeated keeps the plan of
// the first time.
func (p *SearchPlan) note(stats *vecindex.SearchStats, exact, filtered bool) {
	p.Distances += stats.Distances
	p.Visited += stats.Visited
	p.Hops += stats.Hops
	p.Pending += stats.Pending
	p.ExactFallback = p.ExactFallback || stats.ExactFallback
	p.Device = searchDevice(&stats.Placement)
	if p.Mode != "" {
		return
	}
	p.Mode = stats.Plan.String()
	switch {
	case exact:
		p.Reason = "the request asks for it"
	case stats.Plan == vecindex.PlanExact || stats.Plan == vecindex.PlanScan:
		p.Reason = fmt.Sprintf("%d candidates are so few that they are scored one by one", p.Matching)
	case filtered:
		p.Reason = fmt.Sprintf("the filter leaves %.1f %% of the vectors", 100*float64(p.Matching)/float64(p.Live))
	default:
		p.Reason = "there is no filter"
	}
}
