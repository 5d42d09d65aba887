package query

import (
	"slices"
	"strings"
	"sync"

	"github.com/vccdb/vccdb/engine/schema"
)

// Matcher decides whether documents match a filter. It is safe for concurrent
// use.
type Matcher struct {
	extractor *schema.Extractor
	root      matchNode
	scratch   sync.Pool // *schema.Extracted
}

type matchNode struct {
	*Expr
	// column is the predicate's column in the extractor.
	column   int
	children []matchNode
}

// Compile prepares the filter for many documents. A nil filter matches all.
func (e *Expr) Compile() *Matcher {
	if e == nil {
		e = constant(true)
	}
	columns := e.Columns()
	return &Matcher{
		extractor: schema.NewExtractor(columns...),
		root:      compileNode(e, columns),
		scratch:   sync.Pool{New: func() any { return new(schema.Extracted) }},
	}
}

func compileNode(e *Expr, columns []string) matchNode {
	n := matchNode{Expr: e}
	if e.Kind == Leaf {
		n.column = slices.Index(columns, e.Leaf.Column)
	}
	for _, child := range e.Children {
		n.children = append(n.children, compileNode(child, columns))
	}
	return n
}

// Match compiles the filter for one document; see Compile for more.
func (e *Expr) Match(doc []byte) (bool, error) { return e.Compile().Match(doc) }

// Match says whether a valid document matches. It fails only for a document
// that isn't JSON.
func (m *Matcher) Match(doc []byte) (bool, error) {
	if m.root.isConstant() {
		return m.root.Kind == AndOf, nil
	}
	x := m.scratch.Get().(*schema.Extracted)
	defer m.scratch.Put(x)
	if err := m.extractor.Extract(doc, x); err != nil {
		return false, err
	}
	return m.root.match(x), nil
}

func (n *matchNode) match(x *schema.Extracted) bool {
	switch n.Kind {
	case AndOf:
		for i := range n.children {
			if !n.children[i].match(x) {
				return false
			}
		}
		return true
	case OrOf:
		for i := range n.children {
			if n.children[i].match(x) {
				return true
			}
		}
		return false
	case NotOf:
		return !n.children[0].match(x)
	default:
		return n.Leaf.match(x, n.column)
	}
}

func (p *Predicate) match(x *schema.Extracted, column int) bool {
	switch p.Op {
	case Exists:
		return x.Present(column) == p.Value.Bool()
	case Ne, Nin:
		return !slices.ContainsFunc(x.Values(column), p.equals)
	case GeoRadius:
		return slices.ContainsFunc(x.Points(column), p.Circle.Contains)
	case GeoBox:
		return slices.ContainsFunc(x.Points(column), p.Box.Contains)
	}
	for _, v := range x.Values(column) {
		if p.matchValue(v) {
			return true
		}
	}
	return false
}

// matchValue is for the operators that match if any value does.
func (p *Predicate) matchValue(v schema.Value) bool {
	switch p.Op {
	case Eq, In:
		return p.equals(v)
	case Prefix:
		return v.Kind() == schema.KindString && strings.HasPrefix(v.Text(), p.Value.Text())
	case Contains:
		if p.Value.Kind() == schema.KindString {
			return v.Kind() == schema.KindString && strings.Contains(v.Text(), p.Value.Text())
		}
		return v == p.Value
	case Between:
		return v.Kind() == p.Values[0].Kind() && schema.Compare(v, p.Values[0]) >= 0 && schema.Compare(v, p.Values[1]) <= 0
	}
	if v.Kind() != p.Value.Kind() {
		return false
	}
	switch c := schema.Compare(v, p.Value); p.Op {
	case Lt:
		return c < 0
	case Lte:
		return c <= 0
	case Gt:
		return c > 0
	case Gte:
		return c >= 0
	}
	return false
}

// equals is eq and ne for Value, in and nin for Values.
func (p *Predicate) equals(v schema.Value) bool {
	if p.Op == Eq || p.Op == Ne {
		return v == p.Value
	}
	_, found := slices.BinarySearchFunc(p.Values, v, schema.Compare)
	return found
}
