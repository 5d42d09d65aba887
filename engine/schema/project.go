package schema

// Strip returns the document without the given columns, as they are named by
// dotted paths, also inside each object of an array. Objects that lose all
// their members stay as {}. Without paths it is doc itself.
func Strip(doc []byte, paths []string) ([]byte, error) {
	return project(doc, paths, false)
}

// Project returns the document with only the given columns, in the document's
// order and inside the objects and arrays they stand in; what else these arrays
// hold is left out. Without fields it is doc itself.
func Project(doc []byte, fields []string) ([]byte, error) {
	return project(doc, fields, true)
}

func project(doc []byte, paths []string, keep bool) ([]byte, error) {
	if len(paths) == 0 {
		return doc, nil
	}
	p := projection{keep: keep, doc: cursor{text: doc}, dst: make([]byte, 0, len(doc))}
	if p.doc.peek() != '{' {
		return nil, corrupt()
	}
	p.object(compilePaths(paths), 1)
	if p.doc.bad {
		return nil, corrupt()
	}
	return p.dst, nil
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
