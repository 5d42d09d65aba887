package query

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

// Limits of a filter.
const (
	MaxDepth  = 32
	MaxLeaves = 1000
	// MaxValues bounds the operands of one in or nin.
	MaxValues = 10_000
)

// ParseFilter reads a filter from its wire form: predicates is an array of
// leaves that must all match, filter a tree of {"and": [..]}, {"or": [..]},
// {"not": ..} and leaves {"column", "op" (default eq), "value"}. Either may be
// empty or null; with both, both must match; with neither the filter is nil.
// Errors are Invalid with the JSON pointer of the place as it is in a request
// body, or NotSupported for the operator match.
func ParseFilter(predicates, filter []byte) (*Expr, error) {
	p := parser{}
	var all []*Expr
	if !absent(predicates) {
		p.begin("/predicates", predicates)
		leaves, err := p.predicates()
		if err != nil {
			return nil, err
		}
		all = leaves
	}
	if !absent(filter) {
		p.begin("/filter", filter)
		e, err := p.whole()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return And(all...), nil
}

func absent(raw []byte) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// parser reads one JSON value after the other with the limits of all of them.
type parser struct {
	dec *jsontext.Decoder
	// base is where dec's text stands in the request.
	base   string
	leaves int
}

func (p *parser) begin(base string, text []byte) {
	p.base = base
	p.dec = jsontext.NewDecoder(bytes.NewReader(text))
}

func (p *parser) pointer() string { return p.base + string(p.dec.StackPointer()) }

func (p *parser) invalid(pointer, format string, args ...any) error {
	return errs.Field("invalid_filter", pointer, format, args...)
}

// syntax turns an error of the decoder into ours.
func (p *parser) syntax(err error) error {
	pointer, reason := p.base, err.Error()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		pointer += string(syntax.JSONPointer)
		if syntax.Err != nil {
			reason = syntax.Err.Error()
		}
	}
	return errs.Field("invalid_json", pointer, "not valid JSON: %s", reason)
}

// whole reads one filter and nothing after it.
func (p *parser) whole() (*Expr, error) {
	e, err := p.expr(1)
	if err != nil {
		return nil, err
	}
	return e, p.end()
}

func (p *parser) end() error {
	if p.dec.PeekKind() == jsontext.KindInvalid {
		if _, err := p.dec.ReadToken(); err != nil && !errors.Is(err, io.EOF) {
			return p.syntax(err)
		}
		return nil
	}
	return p.invalid(p.base, "there is more text after the value")
}

func (p *parser) predicates() ([]*Expr, error) {
	if p.dec.PeekKind() != '[' {
		return nil, p.unexpected("predicates must be an array")
	}
	leaves, err := p.list(1, func(depth int) (*Expr, error) {
		e, err := p.expr(depth)
		if err == nil && e.Kind != Leaf {
			err = p.invalid(p.pointer(), `predicates take {"column", "op", "value"} only; use filter for and, or, not`)
		}
		return e, err
	})
	if err != nil {
		return nil, err
	}
	return leaves, p.end()
}

// unexpected is the error for a value of the wrong type, or no value at all.
func (p *parser) unexpected(detail string) error {
	if p.dec.PeekKind() == jsontext.KindInvalid {
		_, err := p.dec.ReadToken()
		return p.syntax(err)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return p.syntax(err)
	}
	return p.invalid(p.pointer(), "%s", detail)
}

// list reads an array; the decoder stands before it.
func (p *parser) list(depth int, item func(depth int) (*Expr, error)) ([]*Expr, error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, p.syntax(err)
	}
	var list []*Expr
	for p.dec.PeekKind() != ']' {
		e, err := item(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	_, err := p.dec.ReadToken()
	return list, err
}

// node is what one object of a filter holds.
type node struct {
	combined   *Expr
	column, op string
	value      jsontext.Value
	hasOp      bool
	fields     int
}

func (p *parser) expr(depth int) (*Expr, error) {
	if p.dec.PeekKind() != '{' {
		return nil, p.unexpected("a filter must be an object")
	}
	if depth > MaxDepth {
		return nil, p.invalid(p.pointer(), "the filter nests deeper than %d levels", MaxDepth)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, p.syntax(err)
	}
	at := p.pointer()
	var n node
	for p.dec.PeekKind() != '}' {
		if err := p.field(&n, depth); err != nil {
			return nil, err
		}
		n.fields++
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, p.syntax(err)
	}
	switch {
	case n.combined != nil && n.fields > 1:
		return nil, p.invalid(at, "and, or and not stand alone in their object")
	case n.combined != nil:
		return n.combined, nil
	}
	return p.leaf(at, &n)
}

func (p *parser) field(n *node, depth int) error {
	name, err := p.dec.ReadToken()
	if err != nil {
		return p.syntax(err)
	}
	switch field := name.String(); field {
	case "and", "or":
		n.combined, err = p.combination(field, depth)
	case "not":
		var child *Expr
		child, err = p.expr(depth + 1)
		n.combined = &Expr{Kind: NotOf, Children: []*Expr{child}}
	case "column":
		n.column, err = p.text("column must be a string")
	case "op":
		n.hasOp = true
		n.op, err = p.text("op must be a string")
	case "value":
		n.value, err = p.raw()
	default:
		return p.invalid(p.pointer(), "unknown field %q in a filter; known are column, op, value, and, or, not", field)
	}
	return err
}

func (p *parser) combination(field string, depth int) (*Expr, error) {
	if p.dec.PeekKind() != '[' {
		return nil, p.unexpected(field + " must be an array of filters")
	}
	children, err := p.list(depth+1, p.expr)
	if err != nil {
		return nil, err
	}
	if len(children) == 0 {
		return nil, p.invalid(p.pointer(), "%s needs at least one filter", field)
	}
	kind := AndOf
	if field == "or" {
		kind = OrOf
	}
	return &Expr{Kind: kind, Children: children}, nil
}

func (p *parser) text(detail string) (string, error) {
	if p.dec.PeekKind() != '"' {
		return "", p.unexpected(detail)
	}
	token, err := p.dec.ReadToken()
	if err != nil {
		return "", p.syntax(err)
	}
	return token.String(), nil
}

func (p *parser) raw() (jsontext.Value, error) {
	value, err := p.dec.ReadValue()
	if err != nil {
		return nil, p.syntax(err)
	}
	return value.Clone(), nil
}

func (p *parser) leaf(at string, n *node) (*Expr, error) {
	if p.leaves++; p.leaves > MaxLeaves {
		return nil, p.invalid(at, "a filter has at most %d predicates", MaxLeaves)
	}
	if n.column == "" {
		return nil, p.invalid(at, "a predicate needs a column")
	}
	if _, err := schema.ParsePath(n.column); err != nil {
		return nil, p.invalid(at+"/column", "%v", err)
	}
	op := Op(n.op)
	if !n.hasOp {
		op = Eq
	}
	pred := &Predicate{Column: n.column, Op: op}
	if err := pred.setOperand(at+"/op", at+"/value", n.value); err != nil {
		return nil, err
	}
	return leaf(pred), nil
}

// setOperand checks the operator and reads its operand; value is nil if absent.
func (p *Predicate) setOperand(opAt, valueAt string, value jsontext.Value) (err error) {
	if p.Op == Exists && value == nil {
		p.Value = schema.BoolOf(true)
		return nil
	}
	op, known := operators[p.Op]
	switch {
	case p.Op == "match":
		return errs.New(errs.NotSupported, "not_supported", "the operator match needs a fulltext index, which is not available yet")
	case !known:
		return errs.Field("invalid_filter", opAt, "unknown operator %q; known are %s", p.Op, knownOps())
	case value == nil:
		return errs.Field("invalid_filter", valueAt, "the operator %s needs a value", p.Op)
	}
	return op(p, valueAt, value)
}

// operators read the operand of each operator.
var operators = map[Op]func(*Predicate, string, jsontext.Value) error{
	Eq: (*Predicate).setScalar, Ne: (*Predicate).setScalar, Contains: (*Predicate).setScalar,
	Lt: (*Predicate).setScalar, Lte: (*Predicate).setScalar, Gt: (*Predicate).setScalar, Gte: (*Predicate).setScalar,
	In: (*Predicate).setList, Nin: (*Predicate).setList, Between: (*Predicate).setBounds,
	Exists: (*Predicate).setFlag, Prefix: (*Predicate).setPrefix,
	GeoRadius: (*Predicate).setCircle, GeoBox: (*Predicate).setBox,
}

func knownOps() string {
	var names []string
	for op := range operators {
		names = append(names, string(op))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// scalarAt reads a null, boolean, number or string.
func scalarAt(at string, value jsontext.Value) (schema.Value, error) {
	v, err := schema.ParseValue(value)
	if err != nil {
		return v, errs.Field(errs.CodeOf(err), at, "%v", err)
	}
	if v.Kind() == schema.KindObject {
		return v, errs.Field("invalid_filter", at, "the value must be null, a boolean, a number or a string")
	}
	return v, nil
}

func (p *Predicate) setScalar(at string, value jsontext.Value) (err error) {
	p.Value, err = scalarAt(at, value)
	return err
}

func (p *Predicate) setFlag(at string, value jsontext.Value) error {
	v, err := scalarAt(at, value)
	if err == nil && v.Kind() != schema.KindBool {
		err = errs.Field("invalid_filter", at, "exists takes true or false")
	}
	p.Value = v
	return err
}

func (p *Predicate) setPrefix(at string, value jsontext.Value) error {
	v, err := scalarAt(at, value)
	if err == nil && v.Kind() != schema.KindString {
		err = errs.Field("invalid_filter", at, "prefix takes a string")
	}
	p.Value = v
	return err
}

// scalars reads an array of scalars.
func scalars(at string, value jsontext.Value) ([]schema.Value, error) {
	if value.Kind() != '[' {
		return nil, errs.Field("invalid_filter", at, "the value must be an array")
	}
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var list []schema.Value
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		v, err := scalarAt(fmt.Sprintf("%s/%d", at, len(list)), raw)
		if err != nil {
			return nil, err
		}
		if len(list) == MaxValues {
			return nil, errs.Field("invalid_filter", at, "the array has more than %d values", MaxValues)
		}
		list = append(list, v)
	}
	return list, nil
}

func (p *Predicate) setList(at string, value jsontext.Value) error {
	list, err := scalars(at, value)
	if err != nil {
		return err
	}
	slices.SortFunc(list, schema.Compare)
	p.Values = slices.Compact(list)
	return nil
}

func (p *Predicate) setBounds(at string, value jsontext.Value) error {
	bounds, err := scalars(at, value)
	if err != nil {
		return err
	}
	if len(bounds) != 2 {
		return errs.Field("invalid_filter", at, "between takes two values, [lower, upper], not %d", len(bounds))
	}
	if bounds[0].Kind() != bounds[1].Kind() {
		return errs.Field("invalid_filter", at, "the bounds of between must have one type, not %s and %s", bounds[0].Kind(), bounds[1].Kind())
	}
	p.Values = bounds
	return nil
}
