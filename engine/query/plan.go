package query

import (
	"context"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
)

// Mode is the kind of a plan, as explain reports it.
type Mode string

const (
	// Empty plans read nothing: the indexes know that nothing matches.
	ModeEmpty Mode = "empty"
	// ModeFullScan plans read every entity of the table.
	ModeFullScan Mode = "full_scan_fallback"
	// ModeRangeAware plans are driven by a range of an index.
	ModeRangeAware Mode = "range_aware"
	// ModeIndex plans are driven by single terms of an index, or by a region.
	ModeIndex Mode = "index_optimized"
	// ModeIndexParallel is ModeIndex with so many candidates that the executor
	// fetches them in parallel. Build never sets it.
	ModeIndexParallel Mode = "index_parallel"
)

// Node yields entity ids: TermScan, Intersection, Union, Difference, OrderScan,
// FullScan or Empty.
type Node interface{ node() }

// TermScan yields the ids of all index terms in the ranges. An id comes once
// for each of its terms.
type TermScan struct {
	Index uint32
	// Ranges are ascending and disjoint.
	Ranges []Range
	// Exact says that these are the ids of exactly the matching documents, not
	// more.
	Exact bool
}

// Intersection yields the ids that all children yield; the first is the
// smallest.
type Intersection struct{ Children []Node }

// Union yields the ids that any child yields.
type Union struct{ Children []Node }

// Difference yields the ids of From that Without doesn't yield.
type Difference struct{ From, Without Node }

// OrderScan yields ids in the order of the request's one order column, by
// walking its index. It is the Root of a plan only. An id comes once for each of
// its terms and belongs where its sort key is the one of
// Sorter.AppendTermKey; a walk that ends early has found the first of the order.
type OrderScan struct {
	Index uint32
	// Range bounds the walk; nil Lo and Hi are open.
	Range Range
	Desc  bool
	// MissingLast asks for the entities that aren't in the index, after the walk
	// and by id, in the direction of the walk.
	MissingLast bool
}

// FullScan yields every id of the table, in order.
type FullScan struct{}

// Empty yields nothing.
type Empty struct{}

func (*TermScan) node()     {}
func (*Intersection) node() {}
func (*Union) node()        {}
func (*Difference) node()   {}
func (*OrderScan) node()    {}
func (*FullScan) node()     {}
func (*Empty) node()        {}

// Plan says how a filter is answered. It marshals as the plan of the REST
// contract.
type Plan struct {
	Mode Mode `json:"mode"`
	Root Node `json:"-"`
	// Residual must be checked on each document that Root yields; nil if the
	// terms answer exactly.
	Residual *Expr `json:"residual,omitempty"`
	// Steps describe the plan in the order of its execution.
	Steps     []Step     `json:"steps"`
	Estimates []Estimate `json:"estimates"`
}

// Step is one step of a plan, for people.
type Step struct {
	// Action is index_scan, intersect, union, order_scan, full_scan, empty, filter
	// or sort.
	Action string `json:"action"`
	// Index is the index that is read: "column (type)".
	Index string `json:"index,omitempty"`
	// Ranges is the number of term ranges that are read.
	Ranges int `json:"ranges,omitzero"`
	// Inputs is how many of the steps before feed this one, the nearest that feed
	// no other: the list is the plan's tree in post-order.
	Inputs int `json:"inputs,omitzero"`
	// EstimatedCount is what the planner reckoned with: index entries of a scan,
	// ids of a union or an intersection, entities of a full scan.
	EstimatedCount int `json:"estimated_count,omitzero"`
	// ActualCount is what the step yielded when the plan was carried out: entries
	// read, ids found, entities that passed. nil before. It may be far below the
	// estimate where the page was full early.
	ActualCount *int `json:"actual_count,omitempty"`
	// InMemory is how many of the ranges were found in memory when the plan was
	// carried out.
	InMemory int `json:"in_memory,omitzero"`
	// Answers is the part of the filter that the step answers or checks.
	Answers *Expr `json:"answers,omitempty"`
	// Detail is what else there is to say.
	Detail string `json:"detail,omitempty"`
	// Node is the node of the plan that the step describes; nil for filter and
	// sort.
	Node Node `json:"-"`
}

// StepTree is a step with those that feed it.
type StepTree struct {
	Step
	Children []StepTree
}

// Tree is the plan as a tree: the last step is the root.
func (p *Plan) Tree() StepTree {
	var stack []StepTree
	for _, step := range p.Steps {
		from := max(0, len(stack)-step.Inputs)
		children := slices.Clone(stack[from:])
		stack = append(stack[:from], StepTree{Step: step, Children: children})
	}
	if len(stack) == 0 {
		return StepTree{}
	}
	return stack[len(stack)-1]
}

// Estimate is how many index entries a part of the filter selects.
type Estimate struct {
	// Column is the column, or several joined by commas.
	Column string `json:"column"`
	// Op and Value are the predicate; for several they are "and" and their list.
	Op    Op             `json:"op"`
	Value jsontext.Value `json:"value"`
	Count int            `json:"estimated_count"`
	Exact bool           `json:"exact"`
}

// Estimator knows how much there is of what. Its figures only choose between
// right plans, except that an exact count of 0 means that nothing matches, so
// it must be of the snapshot that the plan is carried out on.
type Estimator interface {
	// Count is the number of entries of the index in the range. It may stop
	// counting at limit and estimate the rest, and is then not exact. An exact
	// count beyond the limit says that the range's ids are in memory, where reading
	// them costs next to nothing.
	Count(ctx context.Context, index uint32, r Range, limit int) (n int, exact bool, err error)
	// Entities is the number of entities in the table.
	Entities() int
}

// Options adjust the planner. The zero value is usable.
type Options struct {
	// CountLimit is where counting gives way to estimating; 1000 when 0.
	CountLimit int
	// IDs says that the ids of all matches are wanted and no documents. Then what
	// an index says is left out is taken away from what others find.
	IDs bool
	// SingleValued says that no document in the snapshot has more than one term
	// in the index. It lets two bounds on one column become one range, and lets a
	// bound cut off the beginning of an OrderScan; on documents with arrays both
	// would be wrong: [1, 10] matches gt 3 and lt 5. Nil: unknown for all.
	SingleValued func(index uint32) bool
}

const defaultCountLimit = 1000

// Build plans a filter (nil: everything) over the ready indexes of one table.
// order is what the result is to be sorted by; if limit isn't 0, only the first
// limit are wanted, and an index in that order may be walked instead.
func Build(ctx context.Context, e *Expr, order []Order, limit int, indexes []*schema.IndexDef, est Estimator, opt Options) (*Plan, error) {
	if opt.CountLimit == 0 {
		opt.CountLimit = defaultCountLimit
	}
	if opt.SingleValued == nil {
		opt.SingleValued = func(uint32) bool { return false }
	}
	b := &builder{ctx: ctx, indexes: indexes, est: est, opt: opt}
	return b.build(normalise(e, false), order, limit)
}
