package query

import (
	"strconv"
	"strings"
)

// Text writes the filter for people: year < 1968 and tags = "classic". A nil
// filter is empty.
func (e *Expr) Text() string { return e.text(false) }

// Shape is Text with ? for every operand: what queries with different values
// have in common.
func (e *Expr) Shape() string { return e.text(true) }

func (e *Expr) text(shape bool) string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	e.appendText(&b, shape)
	return b.String()
}

func (e *Expr) appendText(b *strings.Builder, shape bool) {
	switch e.Kind {
	case Leaf:
		e.Leaf.appendText(b, shape)
	case NotOf:
		b.WriteString("not (")
		e.Children[0].appendText(b, shape)
		b.WriteByte(')')
	case AndOf:
		e.appendChildren(b, shape, " and ", "everything")
	case OrOf:
		e.appendChildren(b, shape, " or ", "nothing")
	}
}

func (e *Expr) appendChildren(b *strings.Builder, shape bool, word, none string) {
	if len(e.Children) == 0 {
		b.WriteString(none)
	}
	for i, child := range e.Children {
		if i > 0 {
			b.WriteString(word)
		}
		group := (child.Kind == AndOf || child.Kind == OrOf) && len(e.Children) > 1
		if group {
			b.WriteByte('(')
		}
		child.appendText(b, shape)
		if group {
			b.WriteByte(')')
		}
	}
}

func (p *Predicate) appendText(b *strings.Builder, shape bool) {
	b.WriteString(p.Column)
	if p.Op == Exists {
		if p.Value.Bool() {
			b.WriteString(" exists")
		} else {
			b.WriteString(" is missing")
		}
		return
	}
	b.WriteString(p.Op.words())
	switch {
	case shape:
		b.WriteByte('?')
	case p.Op == Between:
		b.WriteString(p.bound(0) + " and " + p.bound(1))
	case p.Op == GeoRadius:
		b.WriteString(decimal(p.Circle.RadiusM) + " m of " + decimal(p.Circle.Lat) + ", " + decimal(p.Circle.Lon))
	case p.Op == GeoBox:
		b.WriteString(decimal(p.Box.MinLat) + ", " + decimal(p.Box.MinLon) + " to " + decimal(p.Box.MaxLat) + ", " + decimal(p.Box.MaxLon))
	default:
		operand, err := p.operand()
		if err != nil {
			operand = []byte("?")
		}
		b.Write(operand)
	}
}

// bound is an operand of between as JSON.
func (p *Predicate) bound(i int) string {
	text, err := p.Values[i].MarshalJSON()
	if err != nil {
		return "?"
	}
	return string(text)
}

// words are the operator between a column and its operand.
func (o Op) words() string {
	switch o {
	case Eq:
		return " = "
	case Ne:
		return " != "
	case Nin:
		return " not in "
	case Lt:
		return " < "
	case Lte:
		return " <= "
	case Gt:
		return " > "
	case Gte:
		return " >= "
	case Prefix:
		return " starts with "
	case GeoRadius:
		return " within "
	case GeoBox:
		return " inside "
	}
	return " " + string(o) + " "
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
