package schema

import (
	"github.com/go-json-experiment/json/jsontext"
)

// Extractor pulls the values at many paths out of a document in one pass. It is
// immutable and safe for concurrent use.
type Extractor struct {
	root  *pathNode
	paths int
}

// NewExtractor compiles dotted paths. A path's number, its position here, names
// it in the Extracted.
func NewExtractor(paths ...string) *Extractor {
	return &Extractor{root: compilePaths(paths), paths: len(paths)}
}

// Extracted is what an Extractor found in one document. The zero value is ready
// and may be reused for one document after the other, by one goroutine. What it
// hands out is valid until the next Extract and while the document is unchanged.
type Extracted struct {
	columns []extractedColumn
	depth   int
}

type extractedColumn struct {
	// raws are the JSON texts at the path: one, or one for each object of an
	// array that the path goes through.
	raws    [][]byte
	through bool
	values  []Value
	decoded bool
}

// Extract fills out from a document that ValidateDocument accepted. On a text
// that isn't JSON it may return a Corrupt error.
func (x *Extractor) Extract(doc []byte, out *Extracted) error {
	out.reset(x.paths)
	c := cursor{text: doc}
	if c.peek() != '{' {
		return corrupt()
	}
	out.object(&c, x.root, false)
	if c.bad {
		return corrupt()
	}
	return nil
}

func (out *Extracted) reset(paths int) {
	if cap(out.columns) < paths {
		out.columns = make([]extractedColumn, paths)
	}
	out.columns = out.columns[:paths]
	for i := range out.columns {
		col := &out.columns[i]
		col.raws, col.through, col.values, col.decoded = col.raws[:0], false, col.values[:0], false
	}
	out.depth = 0
}

// object visits the members of the object under the cursor. The top-level
// object is left as soon as every name in it has been found.
func (out *Extracted) object(c *cursor, node *pathNode, through bool) {
	left := len(node.children)
	for name := c.member(true); name != nil; name = c.member(false) {
		child := node.child(name)
		if child == nil {
			c.value()
			continue
		}
		out.visit(c, child, through)
		if left--; left == 0 && out.depth == 0 {
			return
		}
	}
}

func (out *Extracted) visit(c *cursor, node *pathNode, through bool) {
	start := c.pos
	if len(node.children) == 0 {
		c.value()
	} else {
		out.descend(c, node, through)
	}
	for _, i := range node.ends {
		col := &out.columns[i]
		col.raws = append(col.raws, c.text[start:c.pos])
		col.through = through
	}
}

// descend goes on from the value under the cursor to the children of its node,
// in an object or in each object of an array.
func (out *Extracted) descend(c *cursor, node *pathNode, through bool) {
	out.depth++
	defer func() { out.depth-- }()
	switch c.peek() {
	case '{':
		out.object(c, node, through)
	case '[':
		if out.depth > MaxDepth {
			c.fail()
			return
		}
		for ok := c.element(true); ok; ok = c.element(false) {
			out.descend(c, node, true)
		}
	default:
		c.value()
	}
}

// Present reports whether path i leads anywhere; null counts.
func (out *Extracted) Present(i int) bool { return len(out.columns[i].raws) > 0 }

// Raw is the JSON text at path i; nil if the path is absent or leads through an
// array of objects.
func (out *Extracted) Raw(i int) []byte {
	col := &out.columns[i]
	if len(col.raws) == 0 || col.through {
		return nil
	}
	return col.raws[0]
}

// Values are the values at path i, in document order: the scalar there, or each
// element of the array there, elements of nested arrays included. An object or
// an empty array gives one object mark. No values mean the path is absent.
func (out *Extracted) Values(i int) []Value {
	col := &out.columns[i]
	if !col.decoded {
		col.decoded = true
		for _, raw := range col.raws {
			col.values = appendValues(col.values, raw)
		}
	}
	return col.values
}

// Points are the geographic points at path i; values that aren't points are
// left out.
func (out *Extracted) Points(i int) []GeoPoint {
	var points []GeoPoint
	for _, raw := range out.columns[i].raws {
		points = appendPoints(points, raw)
	}
	return points
}

func appendValues(dst []Value, raw []byte) []Value {
	if raw[0] != '[' {
		return append(dst, scalar(raw))
	}
	c := cursor{text: raw}
	ok := c.element(true)
	if !ok {
		return append(dst, Object())
	}
	depth := 1
	for depth > 0 {
		switch {
		case !ok:
			depth--
		case c.peek() == '[':
			if ok = c.element(true); ok {
				depth++
				continue
			}
			dst = append(dst, Object())
		default:
			if element := c.value(); len(element) > 0 {
				dst = append(dst, scalar(element))
			}
		}
		if depth > 0 {
			ok = c.element(false)
		}
	}
	return dst
}

func quote(s string) string {
	// Invalid UTF-8 can't be in a document; its replacement matches nothing else.
	text, _ := jsontext.AppendQuote(nil, s)
	return string(text)
}
