package engine

import "fmt"

// The modes of a vector search, one counter each.
const (
	searchEmpty         = "empty"
	searchExact         = "exact"
	searchGraph         = "graph"
	searchFilteredGraph = "filtered_graph"
)

// exactScanLimit is the number of matches up to which scoring them all beats a
// filtered graph walk: about a millisecond on one core.
const exactScanLimit = 20_000

// planSearch decides how one vector search is answered. matching is the exact
// number S of ids that the filter lets through, live the number N of vectors;
// they are equal when there is no filter.
//
// A filtered walk that has cost as much as scoring all S would is finished that
// way by the index itself, so whatever is chosen here costs at most twice the
// best plan and keeps the recall.
func planSearch(req *SearchRequest, filtered bool, matching, live, ef int) SearchPlan {
	p := SearchPlan{Matching: matching, Live: live, Ef: ef}
	switch {
	case matching == 0 || live == 0:
		p.Mode, p.Reason = searchEmpty, "nothing matches"
	case req.Exact:
		p.Mode, p.Reason = searchExact, "the request asks for it"
	case matching <= req.K*ef:
		p.Mode, p.Reason = searchExact, fmt.Sprintf("%d candidates are no more than k*ef = %d", matching, req.K*ef)
	case filtered && matching <= exactScanLimit:
		p.Mode, p.Reason = searchExact, fmt.Sprintf("the filter leaves %d candidates, at most %d are scored one by one", matching, exactScanLimit)
	case filtered:
		p.Mode, p.Reason = searchFilteredGraph, fmt.Sprintf("the filter leaves %.1f %% of the vectors", 100*float64(matching)/float64(live))
	default:
		p.Mode, p.Reason = searchGraph, "there is no filter"
	}
	return p
}
