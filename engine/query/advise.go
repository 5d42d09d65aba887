package query

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/vccdb/vccdb/engine/schema"
)

// Advice is an index that would spare most of what a plan had to read.
type Advice struct {
	Columns []string         `json:"columns"`
	Type    schema.IndexType `json:"type"`
	// Reason is a sentence.
	Reason string `json:"reason"`
}

// Run is what was asked of a plan and what it took to carry it out.
type Run struct {
	Order []Order
	// Limit is how many of the first matches were wanted, 0 for all.
	Limit int
	// Indexes are all of the table, also those still being built: what one of them
	// will serve isn't advised again.
	Indexes []*schema.IndexDef
	// Scanned entities were read, Passed of them matched.
	Scanned, Passed int
}

const (
	// An index pays where at most this share of what a plan reads is a match: a
	// document by its id costs so much more than the next one of a full scan.
	fullScanShare = documentCost / scannedDocumentCost
	// Beside an index that is used already, another is advised from this many
	// entities read and this many read for each match.
	advisedScan  = 1000
	advisedShare = 10
	// advisedEqual bounds the columns of an advised composite index that are
	// compared with single values; one for a range may follow.
	advisedEqual = 3
)

// Advise names the indexes that a plan lacks, all of which are needed together;
// none if it reads little more than it finds, or if no index can serve what was
// asked. Planned again with them, the query is no full scan.
func Advise(p *Plan, run Run) []Advice {
	full := p.Mode == ModeFullScan
	switch {
	case full && p.Residual == nil:
		return adviseOrder(run)
	case p.Residual == nil:
		return nil
	case full && run.Passed*fullScanShare > run.Scanned:
		return nil
	case !full && (run.Scanned < advisedScan || run.Passed*advisedShare > run.Scanned):
		return nil
	}
	if full {
		reason := fmt.Sprintf("No index serves the filter: %s entities were read to find %s.", grouped(run.Scanned), grouped(run.Passed))
		if served(conjuncts(p.Residual), run.Indexes) { // by one that is being built
			return nil
		}
		return adviseAll(conjuncts(p.Residual), run.Indexes, reason)
	}
	reason := fmt.Sprintf("The index in use leaves much to check: %s entities were read to find %s.", grouped(run.Scanned), grouped(run.Passed))
	return adviseBeside(p, run.Indexes, reason)
}

// grouped writes a count for people: 12,345.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// adviseOrder is for queries that sort a whole table to return the beginning.
func adviseOrder(run Run) []Advice {
	if len(run.Order) != 1 || run.Limit == 0 || run.Limit*(1+documentCost)*orderScanAdvantage >= run.Scanned*scannedDocumentCost {
		return nil
	}
	column := run.Order[0].Column
	ordered := func(def *schema.IndexDef) bool {
		return (def.Type == schema.Range || def.Type == schema.Equality) && def.Columns[0] == column
	}
	if slices.ContainsFunc(run.Indexes, ordered) {
		return nil
	}
	return []Advice{{Columns: []string{column}, Type: schema.Range,
		Reason: fmt.Sprintf("No index has the order: %s entities were read and sorted to return the first %s.", grouped(run.Scanned), grouped(run.Limit))}}
}

// adviseAll are the indexes for a conjunction that no index serves: one for its
// most telling conditions, or one for each branch of an alternative.
func adviseAll(conditions []*Expr, indexes []*schema.IndexDef, reason string) []Advice {
	if a, ok := adviseOne(conditions, reason); ok {
		return []Advice{a}
	}
	for _, c := range conditions {
		if c.Kind != OrOf {
			continue
		}
		if all := adviseBranches(c, indexes, reason); all != nil {
			return all
		}
	}
	return nil
}

func adviseBranches(or *Expr, indexes []*schema.IndexDef, reason string) []Advice {
	var all []Advice
	for _, child := range or.Children {
		if served(conjuncts(child), indexes) {
			continue
		}
		branch := adviseAll(conjuncts(child), indexes, reason)
		if branch == nil {
			return nil
		}
		for _, a := range branch {
			if !slices.ContainsFunc(all, a.same) {
				all = append(all, a)
			}
		}
	}
	return all
}

func (a Advice) same(b Advice) bool { return a.Type == b.Type && slices.Equal(a.Columns, b.Columns) }

// adviseBeside extends what the plan's one scan already reads by the conditions
// that it leaves open.
func adviseBeside(p *Plan, indexes []*schema.IndexDef, reason string) []Advice {
	open := conjuncts(p.Residual)
	a, ok := adviseOne(open, reason)
	if !ok {
		return nil
	}
	if _, single := p.Root.(*TermScan); single && a.Type != schema.Geo {
		both := slices.Clone(open)
		for _, step := range p.Steps {
			if step.Action == "index_scan" {
				both = append(conjuncts(step.Answers), both...)
			}
		}
		a, _ = adviseOne(both, reason)
	}
	has := func(def *schema.IndexDef) bool {
		return def.Type == a.Type && len(def.Columns) >= len(a.Columns) && slices.Equal(def.Columns[:len(a.Columns)], a.Columns)
	}
	if slices.ContainsFunc(indexes, has) {
		return nil
	}
	return []Advice{a}
}

// adviseOne is the index for conditions that must all hold: first the columns
// that are compared with single values, then one with a range, as in this order
// all of them narrow the scan.
func adviseOne(conditions []*Expr, reason string) (Advice, bool) {
	var equal, ranged, present, places []string
	add := func(list *[]string, column string) {
		if !slices.Contains(*list, column) {
			*list = append(*list, column)
		}
	}
	for _, c := range conditions {
		if c.Kind != Leaf {
			continue
		}
		switch p := c.Leaf; {
		case p.geo():
			add(&places, p.Column)
		case !p.indexable():
		case p.points():
			add(&equal, p.Column)
		case p.Op == Exists:
			add(&present, p.Column)
		default:
			add(&ranged, p.Column)
		}
	}
	columns := equal[:min(len(equal), advisedEqual)]
	for _, column := range ranged {
		if !slices.Contains(columns, column) {
			columns = append(slices.Clip(columns), column)
			break
		}
	}
	switch {
	case len(columns) > 1:
		return Advice{columns, schema.Composite, reason}, true
	case len(equal) == 1:
		return Advice{columns, schema.Equality, reason}, true
	case len(columns) == 1:
		return Advice{columns, schema.Range, reason}, true
	case len(places) > 0:
		return Advice{places[:1], schema.Geo, reason}, true
	case len(present) > 0:
		return Advice{present[:1], schema.Equality, reason}, true
	}
	return Advice{}, false
}

// served says whether an index finds the documents that meet all conditions.
func served(conditions []*Expr, indexes []*schema.IndexDef) bool {
	return slices.ContainsFunc(conditions, func(c *Expr) bool {
		if c.Kind == OrOf {
			return !slices.ContainsFunc(c.Children, func(child *Expr) bool { return !served(conjuncts(child), indexes) })
		}
		return c.Kind == Leaf && slices.ContainsFunc(indexes, c.Leaf.servedBy)
	})
}

func (p *Predicate) servedBy(def *schema.IndexDef) bool {
	if def.Columns[0] != p.Column {
		return false
	}
	switch def.Type {
	case schema.Equality, schema.Range, schema.Composite:
		return p.indexable()
	case schema.Sparse:
		return p.indexable() && !containsNull(p.ranges())
	case schema.Geo:
		return p.geo()
	}
	return false
}
