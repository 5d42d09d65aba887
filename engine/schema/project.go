package schema

import "bytes"

// Projection reduces documents by columns, as they are named by dotted paths, also
// inside each object of an array. The zero value changes nothing. It is immutable
// and safe for concurrent use.
type Projection struct {
	paths *pathNode
	keep  bool
}

// Without leaves the columns out. Objects that lose all their members stay as {}.
func Without(columns []string) Projection { return newProjection(columns, false) }

// Only keeps nothing but the columns, in the document's order and inside the
// objects and arrays they stand in; what else these arrays hold is left out.
// Without columns it changes nothing.
func Only(columns []string) Projection { return newProjection(columns, true) }

func newProjection(columns []string, keep bool) Projection {
	if len(columns) == 0 {
		return Projection{}
	}
	return Projection{compilePaths(columns), keep}
}

// firstBytes is what a reduced document gets at first: what is left out is mostly
// the bulk of it.
const firstBytes = 512

// Of is the reduced document, in memory of its own.
func (p Projection) Of(doc []byte) ([]byte, error) {
	if p.paths == nil {
		return bytes.Clone(doc), nil
	}
	c := projection{keep: p.keep, doc: cursor{text: doc}, dst: make([]byte, 0, min(len(doc), firstBytes))}
	if c.doc.peek() != '{' {
		return nil, corrupt()
	}
	c.object(p.paths, 1)
	if c.doc.bad {
		return nil, corrupt()
	}
	return c.dst, nil
}

// projection copies a document to dst, keeping only the paths or all but them.
type projection struct {
	keep bool
	doc  cursor
	dst  []byte
}

func (p *projection) object(node *pathNode, depth int) {
	p.dst = append(p.dst, '{')
	empty := true
	for name := p.doc.member(true); name != nil; name = p.doc.member(false) {
		before := len(p.dst)
		if !empty {
			p.dst = append(p.dst, ',')
		}
		p.dst = append(p.dst, name...)
		p.dst = append(p.dst, ':')
		if p.value(node.child(name), depth) {
			empty = false
		} else {
			p.dst = p.dst[:before]
		}
	}
	p.dst = append(p.dst, '}')
}

// value copies the value under the cursor, whose place is node (nil: on no
// path), and says whether it copied anything.
func (p *projection) value(node *pathNode, depth int) bool {
	onPath := node != nil && len(node.ends) > 0
	container := p.doc.peek() == '{' || p.doc.peek() == '['
	if onPath || node == nil || !container {
		raw := p.doc.value()
		if onPath != p.keep {
			return false
		}
		p.dst = append(p.dst, raw...)
		return true
	}
	if p.doc.peek() == '{' {
		p.object(node, depth+1)
	} else {
		p.array(node, depth+1)
	}
	return true
}

func (p *projection) array(node *pathNode, depth int) {
	if depth > MaxDepth {
		p.doc.fail()
		return
	}
	p.dst = append(p.dst, '[')
	empty := true
	for ok := p.doc.element(true); ok; ok = p.doc.element(false) {
		before := len(p.dst)
		if !empty {
			p.dst = append(p.dst, ',')
		}
		if p.value(node, depth) {
			empty = false
		} else {
			p.dst = p.dst[:before]
		}
	}
	p.dst = append(p.dst, ']')
}
