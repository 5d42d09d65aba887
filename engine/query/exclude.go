package query

import "github.com/vccdb/vccdb/engine/schema"

// Where ids are wanted and no documents, a condition that no index finds may still
// be one that an index leaves out: the documents that don't have a value are all
// but those that do. With several values in a document that holds too, for a
// negation is of the whole document.

// excluded is the condition whose negation e is, nil if e is no negation that an
// index may know.
func excluded(e *Expr) *Expr {
	switch {
	case e.Kind == NotOf:
		return e.Children[0]
	case e.Kind != Leaf:
		return nil
	}
	p := *e.Leaf
	switch {
	case p.Op == Ne:
		p.Op = Eq
	case p.Op == Nin:
		p.Op = In
	case p.Op == Exists && !p.Value.Bool():
		p.Value = schema.BoolOf(true)
	default:
		return nil
	}
	return leaf(&p)
}

// exclusion is the way to exactly the documents that don't meet a condition, nil if
// no index is one.
func (b *builder) exclusion(condition *Expr) (*access, error) {
	positive := excluded(condition)
	if positive == nil {
		return nil, nil
	}
	candidates, err := b.candidates([]*Expr{positive})
	if err != nil {
		return nil, err
	}
	for _, a := range candidates {
		if a.exact {
			return a, nil
		}
	}
	return nil, nil
}

// exclude takes away from a what the conditions left over leave out, where that costs
// less than looking at the documents.
func (b *builder) exclude(a *access, conditions []*Expr) (*access, []*Expr, error) {
	if !b.opt.IDs {
		return a, conditions, nil
	}
	var rest []*Expr
	for _, condition := range conditions {
		without, err := b.exclusion(condition)
		if err != nil {
			return nil, nil, err
		}
		if without == nil || without.cost >= float64(a.count)*documentCost {
			rest = append(rest, condition)
			continue
		}
		a = a.without(without)
	}
	return a, rest, nil
}

// onlyExclude is the way to what conditions that all leave something out let through;
// nil if one of them is another.
func (b *builder) onlyExclude(conditions []*Expr) (*access, []*Expr, error) {
	if !b.opt.IDs || len(conditions) == 0 {
		return nil, conditions, nil
	}
	everything := &FullScan{}
	entities := b.est.Entities()
	a := &access{node: everything, exact: true, count: entities, cost: float64(entities),
		steps: []Step{{Action: "all_ids", EstimatedCount: entities, Node: everything}}}
	for _, condition := range conditions {
		without, err := b.exclusion(condition)
		if err != nil || without == nil {
			return nil, conditions, err
		}
		a = a.without(without)
	}
	return a, nil, nil
}

// without takes away the ids of other. If there may be more of them than expected,
// so may be left: the count stays.
func (a *access) without(other *access) *access {
	if other.nothing() {
		return a
	}
	out := *a
	difference := &Difference{From: a.node, Without: other.node}
	out.node = difference
	out.countExact = false
	out.cost += other.cost
	out.steps = append(append(out.steps[:len(out.steps):len(out.steps)], other.steps...),
		Step{Action: "exclude", Inputs: 2, EstimatedCount: out.count, Node: difference})
	return &out
}
