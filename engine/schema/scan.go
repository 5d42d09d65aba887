package schema

import (
	"bytes"

	"github.com/vccdb/vccdb/internal/errs"
)

// cursor walks a JSON text that was validated before. On a text that wasn't, it
// sets bad and ends, or gives slices that aren't JSON, but never panics.
//
// Stored documents are read far more often than they are written, so reading
// doesn't validate them again: this is several times as fast as a validating
// decoder on documents that carry vectors.
type cursor struct {
	text []byte
	pos  int
	bad  bool
}

// peek is the next byte after white space, 0 at the end.
func (c *cursor) peek() byte {
	for c.pos < len(c.text) {
		switch b := c.text[c.pos]; b {
		case ' ', '\t', '\r', '\n':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

func (c *cursor) fail() {
	c.bad = true
	c.pos = len(c.text)
}

// member moves into the object under the cursor (first) or past the comma to
// the next member, and returns its quoted name with the cursor on its value.
// At the end of the object it is past the brace and returns nil.
func (c *cursor) member(first bool) []byte {
	if !c.next(first, '{', '}') {
		return nil
	}
	if c.peek() != '"' {
		c.fail()
		return nil
	}
	start := c.pos
	c.pos = stringEnd(c.text, c.pos)
	name := c.text[start:c.pos]
	if c.peek() != ':' {
		c.fail()
		return nil
	}
	c.pos++
	if c.peek() == 0 {
		c.fail()
		return nil
	}
	return name
}

// element is member for arrays: true with the cursor on the next element, false
// with the cursor past the end of the array.
func (c *cursor) element(first bool) bool {
	if !c.next(first, '[', ']') {
		return false
	}
	if c.peek() == 0 {
		c.fail()
	}
	return !c.bad
}

func (c *cursor) next(first bool, open, end byte) bool {
	b := c.peek()
	switch {
	case first && b == open:
		c.pos++
		if c.peek() != end {
			return true
		}
		c.pos++
		return false
	case !first && b == ',':
		c.pos++
		return true
	case !first && b == end:
		c.pos++
		return false
	}
	c.fail()
	return false
}

// value returns the value under the cursor and moves past it.
func (c *cursor) value() []byte {
	first := c.peek()
	start := c.pos
	switch first {
	case '"':
		c.pos = stringEnd(c.text, c.pos)
	case '{', '[':
		c.pos = containerEnd(c.text, c.pos)
	default:
		c.pos = tokenEnd(c.text, c.pos)
	}
	if c.pos == start {
		c.fail()
	}
	return c.text[start:c.pos]
}

// stringEnd is the index after the string that starts with the quote at i.
func stringEnd(text []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text)
		}
		escapes := 0
		for escapes < n && text[i+n-1-escapes] == '\\' {
			escapes++
		}
		i += n
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// tokenEnd is the index after the number or literal at i.
func tokenEnd(text []byte, i int) int {
	for i < len(text) {
		switch text[i] {
		case ',', ']', '}', ':', '"', '[', '{', ' ', '\t', '\r', '\n':
			return i
		}
		i++
	}
	return i
}

// containerEnd is the index after the array or object that opens at i.
func containerEnd(text []byte, i int) int {
	if end, ok := flatArrayEnd(text, i); ok {
		return end
	}
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return i
}

// flatArrayEnd is the end of an array of numbers and literals, which is what a
// vector is: found by vector instructions instead of byte by byte.
func flatArrayEnd(text []byte, i int) (int, bool) {
	if text[i] != '[' {
		return 0, false
	}
	n := bytes.IndexByte(text[i:], ']')
	if n < 0 {
		return 0, false
	}
	inside := text[i+1 : i+n]
	if bytes.IndexByte(inside, '"') >= 0 || bytes.IndexByte(inside, '[') >= 0 || bytes.IndexByte(inside, '{') >= 0 {
		return 0, false
	}
	return i + n + 1, true
}

func corrupt() error {
	return errs.New(errs.Corrupt, "corrupt_document",
		"a stored document is not valid JSON; run the server with --verify to find what else is damaged")
}
