package api

import (
	"slices"

	"github.com/vccdb/vccdb/internal/jsonfloat"
)

// liftVector takes the member with that name out of an object: it returns the
// numbers of the array there, and the text around it with an array of one number in
// its place. So whoever decodes the rest needn't go through a long array a second
// time. It isn't ok if there is no such array or anything is odd; then the whole
// text has to be decoded, which also says what is wrong. (If the rest is valid JSON,
// so was the whole: a valid value was replaced by another.)
func liftVector(text []byte, name string) (vector []float32, rest []byte, ok bool) {
	start := memberStart(text, name)
	vector, end, ok := jsonfloat.Array(text, start)
	if !ok {
		return nil, nil, false
	}
	return vector, slices.Concat(text[:start], []byte("[0]"), text[end:]), true
}

// memberStart is where the value of the member with that name begins in an object
// that is valid JSON; the end of the text if there is none.
func memberStart(text []byte, name string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			start := i + 1
			for i = start; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if i >= len(text) || depth != 1 || string(text[start:i]) != name {
				continue
			}
			if colon := jsonfloat.Space(text, i+1); colon < len(text) && text[colon] == ':' {
				return jsonfloat.Space(text, colon+1)
			}
		}
	}
	return len(text)
}
