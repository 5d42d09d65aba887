package query

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vccdb/vccdb/engine/schema"
)

// Costs in units of reading one index entry, from measurements on RocksDB with
// a warm cache. They are ratios and needn't be exact: a wrong choice costs time.
const (
	// documentCost is fetching one document by id and looking at it.
	documentCost = 16
	// scannedDocumentCost is the same in a full scan, where they lie in a row.
	scannedDocumentCost = 4
	// residualSelectivity is the share of documents that a condition without an
	// index is assumed to let through.
	residualSelectivity = 0.1
	// orderScanAdvantage is how much cheaper walking an index in order must look
	// than fetching and sorting, because matches may all lie at the far end.
	orderScanAdvantage = 2
	// maxPrefixes bounds the combinations of in operands on a composite index.
	maxPrefixes = 256
	// maxCounted bounds the ranges of one scan that are counted one by one.
	maxCounted = 64
	// inMemoryCost is reading an entry of a range whose ids are in memory.
	inMemoryCost = 1.0 / 256
)

type builder struct {
	ctx       context.Context
	indexes   []*schema.IndexDef
	est       Estimator
	opt       Options
	estimates []Estimate
}

// access is a way to get a superset of the ids that match some conditions.
type access struct {
	node  Node
	steps []Step
	// covers are the numbers of the conditions, in their conjunction.
	covers []int
	// exact: the ids are exactly those of the conditions' conjunction.
	exact bool
	// ranged: driven by a range of values rather than single ones.
	ranged bool
	count  int
	// countExact: count isn't estimated.
	countExact bool
	// cost is of reading it.
	cost float64
}

func (a *access) nothing() bool { return a.countExact && a.count == 0 }

func (b *builder) build(e *Expr, order []Order, limit int) (*Plan, error) {
	if e.Kind == OrOf && len(e.Children) == 0 {
		return b.emptyPlan("the filter can't match anything"), nil
	}
	conditions := conjuncts(e)
	a, rest, err := b.conjunction(conditions)
	if err != nil {
		return nil, err
	}
	if a != nil && a.nothing() {
		return b.emptyPlan("an index has no entry for a condition"), nil
	}
	if plan, err := b.orderPlan(conditions, a, order, limit); plan != nil || err != nil {
		return plan, err
	}
	plan := &Plan{Mode: ModeFullScan, Root: &FullScan{}, Residual: conjoin(rest), Estimates: b.estimates}
	switch {
	case a == nil:
		plan.Steps = []Step{{Action: "full_scan", EstimatedCount: b.est.Entities(), Node: plan.Root}}
	case a.ranged:
		plan.Mode, plan.Root, plan.Steps = ModeRangeAware, a.node, a.steps
	default:
		plan.Mode, plan.Root, plan.Steps = ModeIndex, a.node, a.steps
	}
	plan.finish(order)
	return plan, nil
}

// finish adds the steps that are the same in every plan.
func (p *Plan) finish(order []Order) {
	if p.Residual != nil {
		p.Steps = append(p.Steps, Step{Action: "filter", Inputs: 1, Answers: p.Residual})
	}
	if len(order) > 0 {
		p.Steps = append(p.Steps, Step{Action: "sort", Inputs: 1, Detail: orderText(order)})
	}
	if p.Estimates == nil {
		p.Estimates = []Estimate{}
	}
}

func orderText(order []Order) string {
	var columns []string
	for _, o := range order {
		if o.Desc {
			columns = append(columns, o.Column+" desc")
		} else {
			columns = append(columns, o.Column+" asc")
		}
	}
	return strings.Join(columns, ", ")
}

func (b *builder) emptyPlan(why string) *Plan {
	root := &Empty{}
	plan := &Plan{Mode: ModeEmpty, Root: root, Estimates: b.estimates, Steps: []Step{{Action: "empty", Detail: why, Node: root}}}
	plan.finish(nil)
	return plan
}

// conjuncts are the conditions that must all hold.
func conjuncts(e *Expr) []*Expr {
	if e.Kind == AndOf {
		return e.Children
	}
	return []*Expr{e}
}

// conjoin is the inverse of conjuncts; nil for none.
func conjoin(conditions []*Expr) *Expr { return And(conditions...) }

// conjunction finds the cheapest way to the documents that meet all conditions,
// nil if there is no index for any. rest are the conditions it leaves open.
func (b *builder) conjunction(conditions []*Expr) (best *access, rest []*Expr, err error) {
	candidates, err := b.candidates(conditions)
	if err != nil {
		return nil, nil, err
	}
	if len(candidates) == 0 {
		return b.onlyExclude(conditions)
	}
	slices.SortStableFunc(candidates, func(x, y *access) int {
		return cmp.Or(cmp.Compare(x.count, y.count), -cmp.Compare(len(x.covers), len(y.covers)))
	})
	if candidates[0].nothing() {
		return candidates[0], nil, nil
	}
	chosen := b.choose(candidates)
	best = intersect(chosen)
	for i, condition := range conditions {
		if !answered(chosen, i) {
			rest = append(rest, condition)
		}
	}
	if best, rest, err = b.exclude(best, rest); err != nil {
		return nil, nil, err
	}
	best.exact = len(rest) == 0
	return best, rest, nil
}

// choose takes the smallest candidate and every further one that costs less to
// read than the documents it spares.
func (b *builder) choose(candidates []*access) []*access {
	entities := max(1, b.est.Entities())
	chosen := candidates[:1:1]
	left := float64(candidates[0].count)
	for _, c := range candidates[1:] {
		if !slices.ContainsFunc(c.covers, func(i int) bool { return !answered(chosen, i) }) {
			continue
		}
		share := min(1, float64(c.count)/float64(entities))
		if c.cost < left*(1-share)*documentCost {
			chosen = append(chosen, c)
			left *= share
		}
	}
	return chosen
}

// answered says whether one of the accesses decides condition i by itself.
func answered(chosen []*access, i int) bool {
	return slices.ContainsFunc(chosen, func(a *access) bool { return a.exact && slices.Contains(a.covers, i) })
}

func intersect(chosen []*access) *access {
	first := chosen[0]
	if len(chosen) == 1 {
		whole := *first
		return &whole
	}
	out := &access{ranged: first.ranged, count: first.count}
	children := &Intersection{}
	for _, a := range chosen {
		out.cost += a.cost
		children.Children = append(children.Children, a.node)
		out.steps = append(out.steps, a.steps...)
	}
	out.node = children
	out.steps = append(out.steps, Step{Action: "intersect", Inputs: len(chosen), EstimatedCount: out.count, Node: children})
	return out
}

// candidates are the ways to use an index for some of the conditions. If one is
// known to find nothing, it is the only one.
func (b *builder) candidates(conditions []*Expr) ([]*access, error) {
	var scans []*scan
	for _, def := range b.indexes {
		switch def.Type {
		case schema.Equality, schema.Range, schema.Sparse, schema.Composite:
			scans = append(scans, b.valueScans(def, conditions)...)
		case schema.Geo:
			scans = append(scans, geoScans(def, conditions)...)
		}
	}
	var out []*access
	for _, s := range withoutTwins(scans) {
		a, err := b.estimate(s, conditions)
		if err != nil {
			return nil, err
		}
		if a.nothing() {
			return []*access{a}, nil
		}
		out = append(out, a)
	}
	for i, condition := range conditions {
		if condition.Kind != OrOf {
			continue
		}
		a, err := b.union(condition)
		if err != nil {
			return nil, err
		}
		if a == nil {
			continue
		}
		a.covers = []int{i}
		if a.nothing() {
			return []*access{a}, nil
		}
		out = append(out, a)
	}
	return out, nil
}

// union is the way to an Or: every child needs an index.
func (b *builder) union(or *Expr) (*access, error) {
	out := &access{exact: true, countExact: true}
	union := &Union{}
	for _, child := range or.Children {
		a, _, err := b.conjunction(conjuncts(child))
		if err != nil || a == nil {
			return nil, err
		}
		if a.nothing() {
			continue
		}
		union.Children = append(union.Children, a.node)
		out.steps = append(out.steps, a.steps...)
		out.exact = out.exact && a.exact
		out.ranged = out.ranged || a.ranged
		out.count += a.count
		out.cost += a.cost
		out.countExact = out.countExact && a.countExact
	}
	out.node = union
	out.steps = append(out.steps, Step{Action: "union", Inputs: len(union.Children), EstimatedCount: out.count, Node: union})
	return out, nil
}

// scan is a TermScan that isn't costed yet.
type scan struct {
	def    *schema.IndexDef
	ranges []Range
	covers []int
	exact  bool
	ranged bool
}

// withoutTwins keeps one of several scans that cover the same conditions, the
// first: their indexes hold the same terms.
func withoutTwins(scans []*scan) []*scan {
	var out []*scan
	for _, s := range scans {
		if !slices.ContainsFunc(out, func(o *scan) bool { return slices.Equal(o.covers, s.covers) && o.exact == s.exact }) {
			out = append(out, s)
		}
	}
	return out
}

func geoScans(def *schema.IndexDef, conditions []*Expr) []*scan {
	var scans []*scan
	for i, c := range conditions {
		if c.Kind == Leaf && c.Leaf.geo() && c.Leaf.Column == def.Columns[0] {
			scans = append(scans, &scan{def: def, ranges: c.Leaf.covering(), covers: []int{i}})
		}
	}
	return scans
}

// bound is what conditions say about one column of an index.
type bound struct {
	ranges []Range
	covers []int
	points bool
}

// compare prefers single values, which let the next column of a composite index
// be used too, and few of them.
func (x bound) compare(y bound) int {
	switch {
	case x.points && !y.points:
		return -1
	case y.points && !x.points:
		return 1
	}
	return cmp.Compare(len(x.ranges), len(y.ranges))
}

// bounds are the alternatives for one column: one for each condition, or, if no
// document has two values, all of them as one.
func (b *builder) bounds(def *schema.IndexDef, column string, conditions []*Expr) []bound {
	var out []bound
	for i, c := range conditions {
		if c.Kind == Leaf && c.Leaf.indexable() && c.Leaf.Column == column {
			out = append(out, bound{ranges: c.Leaf.ranges(), covers: []int{i}, points: c.Leaf.points()})
		}
	}
	if len(out) < 2 || !b.opt.SingleValued(def.ID) {
		return out
	}
	all := out[0]
	for _, other := range out[1:] {
		all.ranges = intersectRanges(all.ranges, other.ranges)
		all.covers = append(slices.Clone(all.covers), other.covers...)
		all.points = all.points || other.points
	}
	return []bound{all}
}

// valueScans are the scans of an index of values that conditions allow. A
// composite index is read under every combination of single values of its first
// columns and the ranges of the next.
func (b *builder) valueScans(def *schema.IndexDef, conditions []*Expr) []*scan {
	if def.Type != schema.Composite {
		return b.columnScans(def, conditions)
	}
	whole := &scan{def: def, exact: true}
	prefixes := [][]byte{nil}
	for _, column := range def.Columns {
		alternatives := b.bounds(def, column, conditions)
		if len(alternatives) == 0 {
			break
		}
		at := slices.MinFunc(alternatives, bound.compare)
		if len(whole.covers) > 0 && len(prefixes)*len(at.ranges) > maxPrefixes {
			break
		}
		whole.covers = append(whole.covers, at.covers...)
		whole.ranges = underPrefixes(prefixes, at.ranges)
		whole.ranged = !at.points
		if whole.ranged || len(whole.ranges) > maxPrefixes {
			break
		}
		prefixes = prefixes[:0]
		for _, r := range whole.ranges {
			prefixes = append(prefixes, r.Lo)
		}
	}
	if len(whole.covers) == 0 {
		return nil
	}
	slices.SortFunc(whole.ranges, func(x, y Range) int { return bytes.Compare(x.Lo, y.Lo) })
	slices.Sort(whole.covers)
	return []*scan{whole}
}

func (b *builder) columnScans(def *schema.IndexDef, conditions []*Expr) []*scan {
	var scans []*scan
	for _, at := range b.bounds(def, def.Columns[0], conditions) {
		if def.Type == schema.Sparse && containsNull(at.ranges) {
			continue
		}
		scans = append(scans, &scan{def: def, ranges: at.ranges, covers: at.covers, exact: true, ranged: !at.points})
	}
	return scans
}

// estimate counts what a scan would read.
func (b *builder) estimate(s *scan, conditions []*Expr) (*access, error) {
	n, exact, err := b.count(s.def.ID, s.ranges)
	if err != nil {
		return nil, err
	}
	var covered []*Expr
	for _, i := range s.covers {
		covered = append(covered, conditions[i])
	}
	answers := conjoin(covered)
	op, value, err := answers.operand()
	if err != nil {
		return nil, err
	}
	b.estimates = append(b.estimates, Estimate{Column: strings.Join(answers.Columns(), ","), Op: op, Value: value, Count: n, Exact: exact})
	node := &TermScan{Index: s.def.ID, Ranges: s.ranges, Exact: s.exact}
	return &access{
		node:   node,
		covers: s.covers, exact: s.exact, ranged: s.ranged, count: n, countExact: exact, cost: b.readCost(n, exact),
		steps: []Step{{Action: "index_scan", Index: indexText(s.def), Ranges: len(s.ranges), EstimatedCount: n, Answers: answers, Node: node}},
	}, nil
}

// readCost is of reading n entries.
func (b *builder) readCost(n int, exact bool) float64 {
	if exact && n > b.opt.CountLimit {
		return float64(n) * inMemoryCost
	}
	return float64(n)
}

func indexText(def *schema.IndexDef) string {
	return fmt.Sprintf("%s (%s)", strings.Join(def.Columns, ","), def.Type)
}

// count adds up ranges until the limit or maxCounted and scales the sum up.
func (b *builder) count(index uint32, ranges []Range) (total int, exact bool, err error) {
	exact = true
	for i, r := range ranges {
		if i == maxCounted || total > b.opt.CountLimit {
			return max(1, total*len(ranges)/i), false, nil
		}
		n, all, err := b.est.Count(b.ctx, index, r, b.opt.CountLimit)
		if err != nil {
			return 0, false, err
		}
		total += n
		exact = exact && all
	}
	return total, exact, nil
}

// orderPlan walks an index in the wanted order, if that looks cheaper than what
// a, the best way without order, has to fetch and sort. It is nil otherwise.
func (b *builder) orderPlan(conditions []*Expr, a *access, order []Order, limit int) (*Plan, error) {
	if len(order) != 1 || limit <= 0 {
		return nil, nil
	}
	at := slices.IndexFunc(b.indexes, func(def *schema.IndexDef) bool {
		return (def.Type == schema.Range || def.Type == schema.Equality) && def.Columns[0] == order[0].Column
	})
	if at < 0 {
		return nil, nil
	}
	def := b.indexes[at]
	walk, covers := b.orderScan(def, order[0], conditions)
	entries, _, err := b.count(def.ID, []Range{walk.Range})
	if err != nil {
		return nil, err
	}
	lead, err := b.lead(walk, order[0], conditions)
	if err != nil {
		return nil, err
	}
	var rest []*Expr
	for i, condition := range conditions {
		if !slices.Contains(covers, i) {
			rest = append(rest, condition)
		}
	}
	if !b.walkIsCheaper(a, rest, entries, lead, limit) {
		return nil, nil
	}
	plan := &Plan{Mode: ModeRangeAware, Root: walk, Residual: conjoin(rest), Estimates: b.estimates}
	plan.Steps = []Step{{Action: "order_scan", Index: indexText(def), EstimatedCount: min(entries, limit), Detail: orderText(order), Node: walk}}
	plan.finish(nil)
	return plan, nil
}

// orderScan is the walk and the conditions that its range answers. Of an array
// only the smallest (descending: the largest) element tells where a document
// belongs, and a match may be due to another. So a condition may only cut off
// the end of the walk, unless no document has two values.
func (b *builder) orderScan(def *schema.IndexDef, order Order, conditions []*Expr) (walk *OrderScan, covers []int) {
	walk = &OrderScan{Index: def.ID, Desc: order.Desc, MissingLast: true}
	for _, c := range conditions {
		if c.Kind == Leaf && c.Leaf.Column == order.Column && c.Leaf.positive() {
			walk.MissingLast = false
		}
	}
	for _, at := range b.bounds(def, order.Column, conditions) {
		if len(at.ranges) == 0 {
			continue
		}
		whole := Range{Lo: at.ranges[0].Lo, Hi: at.ranges[len(at.ranges)-1].Hi}
		if b.opt.SingleValued(def.ID) {
			walk.Range = whole
			if len(at.ranges) == 1 {
				covers = at.covers
			}
			return walk, covers
		}
		if order.Desc {
			walk.Range.Lo = maxBytes(walk.Range.Lo, whole.Lo)
		} else if walk.Range.Hi == nil {
			walk.Range.Hi = whole.Hi
		} else {
			walk.Range.Hi = minBytes(walk.Range.Hi, whole.Hi)
		}
	}
	return walk, covers
}

// lead counts the entries that the walk passes before it can meet the first
// match, because a condition on the order column couldn't cut them off.
func (b *builder) lead(walk *OrderScan, order Order, conditions []*Expr) (int, error) {
	before := walk.Range
	for _, c := range conditions {
		if c.Kind != Leaf || c.Leaf.Column != order.Column || !c.Leaf.indexable() {
			continue
		}
		ranges := c.Leaf.ranges()
		if len(ranges) == 0 {
			continue
		}
		if order.Desc {
			before.Lo = maxBytes(before.Lo, ranges[len(ranges)-1].Hi)
		} else if before.Hi == nil || bytes.Compare(ranges[0].Lo, before.Hi) < 0 {
			before.Hi = ranges[0].Lo
		}
	}
	if before.empty() || bytes.Equal(before.Lo, walk.Range.Lo) && bytes.Equal(before.Hi, walk.Range.Hi) {
		return 0, nil
	}
	n, _, err := b.count(walk.Index, []Range{before})
	return n, err
}

// walkIsCheaper compares walking until limit entities have passed with fetching
// all that a finds (nil: everything) and sorting it.
func (b *builder) walkIsCheaper(a *access, rest []*Expr, entries, lead, limit int) bool {
	fetch := float64(b.est.Entities()) * scannedDocumentCost
	matches := float64(entries)
	if a != nil {
		fetch = float64(a.count) * (1 + documentCost)
		matches = min(matches, float64(a.count))
	}
	if a == nil && len(rest) > 0 || a != nil && !a.exact {
		matches *= residualSelectivity
	}
	// Apart from the lead, matches are taken to lie evenly over the walk.
	even := float64(max(0, entries-lead))
	walked := float64(lead) + min(even, float64(limit)*even/max(1, matches))
	return walked*(1+documentCost)*orderScanAdvantage < fetch
}
