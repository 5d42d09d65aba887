package query

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

// MaxOrderColumns bounds order_by.
const MaxOrderColumns = 4

// Order is one column to sort by. Of several values at the column the smallest
// counts when ascending, the largest when descending. Entities without the
// column come last either way.
type Order struct {
	Column string `json:"column"`
	Desc   bool   `json:"desc,omitzero"`
}

// ParseOrder reads order_by: "column", "-column" (descending), {"column",
// "direction": "asc" or "desc"}, or an array of 1 to MaxOrderColumns of these.
// Empty text and null give no order.
func ParseOrder(raw []byte) ([]Order, error) {
	if absent(raw) {
		return nil, nil
	}
	value := jsontext.Value(raw)
	if value.Kind() != '[' {
		o, err := parseOneOrder("/order_by", value)
		if err != nil {
			return nil, err
		}
		return []Order{o}, nil
	}
	var items []jsontext.Value
	if err := json.Unmarshal(value, &items); err != nil {
		return nil, errs.Field("invalid_json", "/order_by", "not valid JSON: %v", err)
	}
	if len(items) == 0 || len(items) > MaxOrderColumns {
		return nil, invalidOrder("/order_by", "order_by takes 1 to %d columns, not %d", MaxOrderColumns, len(items))
	}
	orders := make([]Order, len(items))
	for i, item := range items {
		at := fmt.Sprintf("/order_by/%d", i)
		o, err := parseOneOrder(at, item)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(orders[:i], func(other Order) bool { return other.Column == o.Column }) {
			return nil, invalidOrder(at, "the column %q is named twice", o.Column)
		}
		orders[i] = o
	}
	return orders, nil
}

func invalidOrder(at, format string, args ...any) error {
	return errs.Field("invalid_order", at, format, args...)
}

func parseOneOrder(at string, value jsontext.Value) (Order, error) {
	var o struct {
		Column    string  `json:"column"`
		Direction *string `json:"direction"`
	}
	const forms = `order_by takes "column", "-column" or {"column", "direction": "asc" or "desc"}`
	var err error
	switch value.Kind() {
	case '"':
		err = json.Unmarshal(value, &o.Column)
	case '{':
		err = json.Unmarshal(value, &o, json.RejectUnknownMembers(true))
	default:
		return Order{}, invalidOrder(at, forms)
	}
	if err != nil {
		return Order{}, invalidOrder(at, forms)
	}
	order := Order{Column: o.Column}
	switch {
	case value.Kind() == '"':
		order.Column, order.Desc = strings.CutPrefix(o.Column, "-")
	case o.Direction != nil && *o.Direction == "desc":
		order.Desc = true
	case o.Direction != nil && *o.Direction != "asc":
		return Order{}, invalidOrder(at+"/direction", `direction is "asc" or "desc", not %q`, *o.Direction)
	}
	if _, err := schema.ParsePath(order.Column); err != nil {
		return Order{}, invalidOrder(at, "%v", err)
	}
	return order, nil
}

// Sorter turns entities into sort keys: byte strings whose order is the wanted
// order. Entities equal in all columns are ordered by id, downwards if the
// first column is descending, so that an index can be walked either way. Keys
// are therefore distinct, and a key is a place to continue from. It is safe for
// concurrent use.
type Sorter struct {
	orders    []Order
	extractor *schema.Extractor
	scratch   sync.Pool // *schema.Extracted
}

// NewSorter makes a Sorter; without orders it sorts by id.
func NewSorter(orders []Order) *Sorter {
	columns := make([]string, len(orders))
	for i, o := range orders {
		columns[i] = o.Column
	}
	return &Sorter{
		orders:    slices.Clone(orders),
		extractor: schema.NewExtractor(columns...),
		scratch:   sync.Pool{New: func() any { return new(schema.Extracted) }},
	}
}

// A sort key is for each column a present byte and the value's term, inverted
// if descending, or the absent byte; then the id, big-endian, inverted if the
// first column is descending. Terms are prefix-free, so inverting reverses
// their order.
const (
	keyPresent = 0x00
	keyAbsent  = 0x01
)

// AppendKey appends the sort key of an entity.
func (s *Sorter) AppendKey(dst, doc []byte, id uint32) ([]byte, error) {
	if len(s.orders) == 0 {
		return s.appendID(dst, id), nil
	}
	x := s.scratch.Get().(*schema.Extracted)
	defer s.scratch.Put(x)
	if err := s.extractor.Extract(doc, x); err != nil {
		return nil, err
	}
	for i, o := range s.orders {
		values := x.Values(i)
		switch {
		case len(values) == 0:
			dst = append(dst, keyAbsent)
		case o.Desc:
			dst = appendDesc(dst, slices.MaxFunc(values, schema.Compare))
		default:
			dst = slices.MinFunc(values, schema.Compare).AppendTerm(append(dst, keyPresent))
		}
	}
	return s.appendID(dst, id), nil
}

func appendDesc(dst []byte, v schema.Value) []byte {
	dst = append(dst, keyPresent)
	start := len(dst)
	dst = v.AppendTerm(dst)
	invert(dst[start:])
	return dst
}

func (s *Sorter) desc() bool { return len(s.orders) > 0 && s.orders[0].Desc }

func (s *Sorter) appendID(dst []byte, id uint32) []byte {
	if s.desc() {
		id = ^id
	}
	return binary.BigEndian.AppendUint32(dst, id)
}

// AppendTermKey appends the sort key of the entity id whose value in the one
// order column has that index term. In an OrderScan an entity with several
// terms belongs where this is its AppendKey.
func (s *Sorter) AppendTermKey(dst, term []byte, id uint32) []byte {
	dst = append(dst, keyPresent)
	start := len(dst)
	dst = append(dst, term...)
	if s.desc() {
		invert(dst[start:])
	}
	return s.appendID(dst, id)
}

// Position takes a key of a Sorter with one order column apart: the index term
// and the id. term is nil for an entity without the column. ok is false if it
// can't be such a key.
func (s *Sorter) Position(key []byte) (term []byte, id uint32, ok bool) {
	if len(s.orders) != 1 || len(key) < 5 || key[0] > keyAbsent {
		return nil, 0, false
	}
	body := bytes.Clone(key)
	if s.desc() {
		invert(body[1:])
	}
	end := len(body) - 4
	id = binary.BigEndian.Uint32(body[end:])
	if key[0] == keyAbsent {
		return nil, id, end == 1
	}
	return body[1:end], id, end > 1
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}
