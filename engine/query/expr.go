package query

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
)

// Op is the operator of a predicate, as it is written in requests.
type Op string

const (
	Eq        Op = "eq"
	Ne        Op = "ne"
	In        Op = "in"
	Nin       Op = "nin"
	Lt        Op = "lt"
	Lte       Op = "lte"
	Gt        Op = "gt"
	Gte       Op = "gte"
	Between   Op = "between"
	Exists    Op = "exists"
	Prefix    Op = "prefix"
	Contains  Op = "contains"
	GeoRadius Op = "geo_radius"
	GeoBox    Op = "geo_box"
)

// Kind is what an Expr is: a predicate, or a combination of others.
type Kind uint8

const (
	// Leaf is a predicate on one column.
	Leaf Kind = iota
	// AndOf matches if all children do; without children, always.
	AndOf
	// OrOf matches if any child does; without children, never.
	OrOf
	// NotOf matches if its one child doesn't.
	NotOf
)

// Expr is a filter. It is immutable once made. A nil *Expr matches everything.
type Expr struct {
	Kind     Kind
	Children []*Expr
	// Leaf is set for kind Leaf only.
	Leaf *Predicate
}

// Predicate is a condition on one column.
type Predicate struct {
	Column string
	Op     Op
	// Value is the operand of eq, ne, lt, lte, gt, gte, prefix, contains, and of
	// exists (a boolean).
	Value schema.Value
	// Values are the operands of in and nin, sorted and without repetition, and
	// of between: the lower and the upper bound, both inclusive.
	Values []schema.Value
	// Circle is the operand of geo_radius, Box that of geo_box.
	Circle *Circle
	Box    *Box
}

// And combines filters; nil ones, which match everything, are left out.
func And(children ...*Expr) *Expr {
	children = slices.DeleteFunc(slices.Clone(children), func(e *Expr) bool { return e == nil })
	switch len(children) {
	case 0:
		return nil
	case 1:
		return children[0]
	}
	return &Expr{Kind: AndOf, Children: children}
}

func leaf(p *Predicate) *Expr { return &Expr{Kind: Leaf, Leaf: p} }

// Columns are the columns the filter looks at, in order of appearance.
func (e *Expr) Columns() []string {
	var columns []string
	e.walk(func(p *Predicate) {
		if !slices.Contains(columns, p.Column) {
			columns = append(columns, p.Column)
		}
	})
	return columns
}

func (e *Expr) walk(fn func(*Predicate)) {
	if e == nil {
		return
	}
	if e.Kind == Leaf {
		fn(e.Leaf)
	}
	for _, child := range e.Children {
		child.walk(fn)
	}
}

// MarshalJSON writes the filter in the form that ParseFilter reads.
func (e *Expr) MarshalJSON() ([]byte, error) {
	switch e.Kind {
	case AndOf:
		return json.Marshal(map[string][]*Expr{"and": e.children()})
	case OrOf:
		return json.Marshal(map[string][]*Expr{"or": e.children()})
	case NotOf:
		return json.Marshal(map[string]*Expr{"not": e.Children[0]})
	default:
		return json.Marshal(e.Leaf)
	}
}

func (e *Expr) children() []*Expr {
	if e.Children == nil {
		return []*Expr{}
	}
	return e.Children
}

// MarshalJSON writes the predicate in the form that ParseFilter reads.
func (p *Predicate) MarshalJSON() ([]byte, error) {
	operand, err := p.operand()
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Column string         `json:"column"`
		Op     Op             `json:"op"`
		Value  jsontext.Value `json:"value"`
	}{p.Column, p.Op, operand})
}

// operand is the predicate's value as JSON.
func (p *Predicate) operand() (jsontext.Value, error) {
	switch p.Op {
	case In, Nin, Between:
		if p.Values == nil {
			return jsontext.Value("[]"), nil
		}
		return json.Marshal(p.Values)
	case GeoRadius:
		return json.Marshal(p.Circle)
	case GeoBox:
		return json.Marshal(p.Box)
	default:
		return p.Value.MarshalJSON()
	}
}

// operand is the operator and operand of a leaf, or "and" and the conditions.
func (e *Expr) operand() (Op, jsontext.Value, error) {
	if e.Kind == Leaf {
		value, err := e.Leaf.operand()
		return e.Leaf.Op, value, err
	}
	value, err := json.Marshal(e.children())
	return "and", value, err
}

// String is the filter as JSON, for people.
func (e *Expr) String() string {
	if e == nil {
		return "{}"
	}
	text, err := e.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// normalise brings a filter into negation normal form: Not stands at leaves
// only and only where the operator has no negation of its own, nested Ands and
// Ors are one, and what is always or never true is an empty And or Or. All of
// it is plain boolean algebra over whole documents, so it holds for arrays and
// missing columns too.
func normalise(e *Expr, negate bool) *Expr {
	switch {
	case e == nil:
		return constant(!negate)
	case e.Kind == NotOf:
		return normalise(e.Children[0], !negate)
	case e.Kind == Leaf:
		return normaliseLeaf(e, negate)
	}
	kind := e.Kind
	if negate {
		kind = AndOf + OrOf - kind
	}
	out := &Expr{Kind: kind}
	for _, child := range e.Children {
		child = normalise(child, negate)
		switch {
		case child.Kind == kind: // also the constant that changes nothing
			out.Children = append(out.Children, child.Children...)
		case child.isConstant(): // the one that decides
			return child
		default:
			out.Children = append(out.Children, child)
		}
	}
	if len(out.Children) == 1 {
		return out.Children[0]
	}
	return out
}

func constant(value bool) *Expr {
	if value {
		return &Expr{Kind: AndOf}
	}
	return &Expr{Kind: OrOf}
}

func (e *Expr) isConstant() bool {
	return (e.Kind == AndOf || e.Kind == OrOf) && len(e.Children) == 0
}

func normaliseLeaf(e *Expr, negate bool) *Expr {
	p := *e.Leaf
	if negate {
		switch p.Op {
		case Eq:
			p.Op = Ne
		case Ne:
			p.Op = Eq
		case In:
			p.Op = Nin
		case Nin:
			p.Op = In
		case Exists:
			p.Value = schema.BoolOf(!p.Value.Bool())
		default:
			return &Expr{Kind: NotOf, Children: []*Expr{e}}
		}
	}
	if (p.Op == In || p.Op == Nin) && len(p.Values) == 0 {
		return constant(p.Op == Nin)
	}
	return leaf(&p)
}
