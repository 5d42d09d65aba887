package schema

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/vccdb/vccdb/internal/giveway"
	"github.com/vccdb/vccdb/internal/jsonfloat"
)

// plain goes through a JSON text that is what nearly all clients send: strings
// without escapes by number, numbers far inside float64, few members in an object. What it
// accepts is valid by all rules of ValidateDocument and would come out of it
// unchanged but for white space. What it doesn't accept may be valid or not; the
// general decoder, which takes three times as long, has the last word on that and
// says what is wrong.
type plain struct {
	text []byte
	// spaced is set when there is white space outside of strings.
	spaced bool
}

const (
	// plainNames is how many members an object may have: each name is compared
	// with those before it.
	plainNames = 16
	// plainNumberBytes and an exponent of two digits keep a number below 10^299.
	plainNumberBytes = 200
)

// notPlain is the end of what isn't accepted.
const notPlain = -1

// Lift takes the member with that name out of an object: it returns the value there
// and the text around it, with 0 in its place. So whoever decodes the rest needn't
// go through a long value, and copies none. It isn't ok if there is no such member
// or anything is odd; then the whole text has to be decoded, which also says what
// is wrong. (If the rest is valid JSON, so was the whole: a valid value was replaced
// by another.) The value points into text.
func Lift(text []byte, name string) (value, rest []byte, ok bool) {
	l := lifter{cursor: cursor{text: text}, name: name}
	value = l.object()
	return value, l.end(), value != nil && !l.bad
}

// LiftEach is Lift for each object in the array that is the member list of an
// object: values holds nil for those without the member.
func LiftEach(text []byte, list, name string) (values [][]byte, rest []byte, ok bool) {
	l := lifter{cursor: cursor{text: text}, name: name}
	for member := l.member(true); member != nil; member = l.member(false) {
		if string(member[1:len(member)-1]) != list {
			l.value()
			continue
		}
		for more := l.element(true); more; more = l.element(false) {
			giveway.Before(len(values))
			values = append(values, l.object())
		}
	}
	return values, l.end(), len(values) > 0 && !l.bad
}

// lifter is a cursor that copies what it passes, but for the values lifted.
type lifter struct {
	cursor
	name string
	rest []byte
	// copied is how far rest has got.
	copied int
}

// object passes the object under the cursor and returns its member, nil if it has
// none.
func (l *lifter) object() (value []byte) {
	for member := l.member(true); member != nil; member = l.member(false) {
		if value != nil || string(member[1:len(member)-1]) != l.name {
			l.value()
			continue
		}
		l.peek()
		p := plain{text: l.text}
		end := p.value(l.pos, 1)
		if end == notPlain {
			l.fail()
			return nil
		}
		value = l.text[l.pos:end:end]
		l.rest = append(append(l.rest, l.text[l.copied:l.pos]...), '0')
		l.pos, l.copied = end, end
	}
	return value
}

// end is the rest with what follows the cursor.
func (l *lifter) end() []byte { return append(l.rest, l.text[l.copied:]...) }

// plainDocument is the document without white space and in memory of its own; nil if
// it isn't plain or no object.
func plainDocument(raw []byte) []byte {
	p := plain{text: raw}
	start := p.space(0)
	if start == len(raw) || raw[start] != '{' {
		return nil
	}
	end := p.value(start, 1)
	if end == notPlain || p.space(end) != len(raw) {
		return nil
	}
	if !p.spaced {
		return bytes.Clone(raw)
	}
	return withoutSpace(raw[start:end])
}

// withoutSpace expects valid JSON.
func withoutSpace(text []byte) []byte {
	dst := make([]byte, 0, len(text))
	for from := 0; from < len(text); {
		i := from
		for i < len(text) && text[i] > ' ' {
			if text[i] == '"' {
				i = stringEnd(text, i)
			} else {
				i++
			}
		}
		dst = append(dst, text[from:i]...)
		from = jsonfloat.Space(text, i)
	}
	return dst
}

// space is the index after white space.
func (p *plain) space(i int) int {
	if i < len(p.text) && p.text[i] <= ' ' {
		after := jsonfloat.Space(p.text, i)
		p.spaced = p.spaced || after > i
		return after
	}
	return i
}

// at is the byte at i, 0 behind the end.
func (p *plain) at(i int) byte {
	if i < len(p.text) {
		return p.text[i]
	}
	return 0
}

// value is the index after the value at i, notPlain if that isn't accepted.
// A container there is at that depth.
func (p *plain) value(i, depth int) (end int) {
	switch c := p.at(i); c {
	case '{':
		return p.object(i, depth)
	case '[':
		return p.array(i, depth)
	case '"':
		return p.string(i)
	case 't':
		return p.literal(i, "true")
	case 'f':
		return p.literal(i, "false")
	case 'n':
		return p.literal(i, "null")
	default:
		return p.number(i)
	}
}

func (p *plain) literal(i int, word string) (end int) {
	if end = i + len(word); end <= len(p.text) && string(p.text[i:end]) == word {
		return end
	}
	return notPlain
}

func (p *plain) object(i, depth int) (end int) {
	var names [plainNames][]byte
	if depth > MaxDepth {
		return notPlain
	}
	i = p.space(i + 1)
	if p.at(i) == '}' {
		return i + 1
	}
	for n := range names {
		if p.at(i) != '"' {
			return notPlain
		}
		if end = p.string(i); end == notPlain {
			return notPlain
		}
		names[n] = p.text[i:end]
		for _, other := range names[:n] {
			if bytes.Equal(other, names[n]) {
				return notPlain
			}
		}
		if i = p.space(end); p.at(i) != ':' {
			return notPlain
		}
		if end = p.value(p.space(i+1), depth+1); end == notPlain {
			return notPlain
		}
		switch i = p.space(end); p.at(i) {
		case '}':
			return i + 1
		case ',':
			i = p.space(i + 1)
		default:
			return notPlain
		}
	}
	return notPlain
}

func (p *plain) array(i, depth int) (end int) {
	if depth > MaxDepth {
		return notPlain
	}
	i = p.space(i + 1)
	if p.at(i) == ']' {
		return i + 1
	}
	for {
		i = jsonfloat.PassNumbers(p.text, i)
		if end = p.value(i, depth+1); end == notPlain {
			return notPlain
		}
		switch i = p.space(end); p.at(i) {
		case ']':
			return i + 1
		case ',':
			i = p.space(i + 1)
		default:
			return notPlain
		}
	}
}

func (p *plain) string(i int) (end int) {
	end = stringEnd(p.text, i)
	if p.text[end-1] != '"' || end < i+2 {
		return notPlain
	}
	inside := p.text[i+1 : end-1]
	var all byte
	for j := 0; j < len(inside); j++ {
		c := inside[j]
		if c == '\\' {
			if j++; j == len(inside) || strings.IndexByte(`"\bfnrt`, inside[j]) < 0 {
				return notPlain
			}
		}
		if c < ' ' {
			return notPlain
		}
		all |= c
	}
	if all >= utf8.RuneSelf && !utf8.Valid(inside) {
		return notPlain
	}
	return end
}

func (p *plain) number(start int) (end int) {
	text, i := p.text, start
	if p.at(i) == '-' {
		i++
	}
	first := i
	if i = jsonfloat.DigitsEnd(text, i); i == first || text[first] == '0' && i > first+1 {
		return notPlain
	}
	if p.at(i) == '.' {
		point := i
		if i = jsonfloat.DigitsEnd(text, i+1); i == point+1 {
			return notPlain
		}
	}
	if i-start > plainNumberBytes {
		return notPlain
	}
	if p.at(i)|0x20 == 'e' {
		if i++; p.at(i) == '+' || p.at(i) == '-' {
			i++
		}
		first = i
		if i = jsonfloat.DigitsEnd(text, i); i == first || i > first+2 {
			return notPlain
		}
	}
	return i
}
