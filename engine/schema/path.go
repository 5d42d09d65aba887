package schema

import (
	"strings"
	"unicode/utf8"

	"github.com/vccdb/vccdb/internal/errs"
)

// Path is a dotted path to a column: "address.city" is the member city of the
// member address. Arrays are transparent: a path goes on in each object of an
// array, and an array at its end stands for its elements, nested arrays
// included. A member whose own name contains a dot can't be named.
type Path []string

// MaxPathBytes bounds the text of a path.
const MaxPathBytes = 512

// ParsePath checks and splits a dotted path.
func ParsePath(column string) (Path, error) {
	if column == "" || len(column) > MaxPathBytes || !utf8.ValidString(column) {
		return nil, errs.New(errs.Invalid, "invalid_column",
			"a column must be 1 to %d bytes of UTF-8", MaxPathBytes)
	}
	path := splitPath(column)
	for _, name := range path {
		if name == "" {
			return nil, errs.New(errs.Invalid, "invalid_column",
				"the column %q has an empty name between its dots", column)
		}
	}
	return path, nil
}

func splitPath(column string) Path { return strings.Split(column, ".") }

// String is the dotted form.
func (p Path) String() string { return strings.Join(p, ".") }

// pathNode is one member name in a set of paths, compiled to a tree.
type pathNode struct {
	// quoted is the name as ValidateDocument writes it, name the plain text.
	quoted, name string
	// ends are the numbers of the paths that end here.
	ends     []int
	children []*pathNode
}

func compilePaths(columns []string) *pathNode {
	root := &pathNode{}
	for i, column := range columns {
		node := root
		for _, name := range splitPath(column) {
			node = node.descend(name)
		}
		node.ends = append(node.ends, i)
	}
	return root
}

func (n *pathNode) descend(name string) *pathNode {
	for _, child := range n.children {
		if child.name == name {
			return child
		}
	}
	child := &pathNode{name: name, quoted: quote(name)}
	n.children = append(n.children, child)
	return child
}

// child finds the node of a quoted member name.
func (n *pathNode) child(quoted []byte) *pathNode {
	for _, child := range n.children {
		if string(quoted) == child.quoted {
			return child
		}
	}
	return n.childUnquoted(quoted)
}

// childUnquoted finds a name that is written with escapes it doesn't need, in a
// text that ValidateDocument hasn't compacted.
func (n *pathNode) childUnquoted(quoted []byte) *pathNode {
	if strings.IndexByte(string(quoted), '\\') < 0 {
		return nil
	}
	name, ok := unquote(quoted)
	for _, child := range n.children {
		if ok && string(name) == child.name {
			return child
		}
	}
	return nil
}
