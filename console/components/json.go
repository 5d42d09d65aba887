package components

import (
	"bytes"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/format"
)

const (
	// foldFrom is the number of numbers in a row from which an array is folded.
	foldFrom = 16
	// maxText bounds what one document shows; the rest is said to be missing.
	maxText = 256 << 10
	// maxString bounds one string in it.
	maxString = 4 << 10
)

// piece is a part of a document with the class it is shown in.
type piece struct{ class, text string }

// pieces lays a JSON document out: two spaces for each level, long arrays of
// numbers as a count, long strings cut. Text that isn't JSON is shown as it is.
func pieces(doc []byte) []piece {
	p := &printer{decoder: jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
	for p.size < maxText {
		if err := p.value(0); err == io.EOF {
			return p.out
		} else if err != nil {
			return []piece{{"", format.Shorten(string(doc), maxText)}}
		}
	}
	p.put("json-folded", "\n… the document is longer than what is shown")
	return p.out
}

type printer struct {
	decoder *jsontext.Decoder
	out     []piece
	size    int
}

func (p *printer) put(class, text string) {
	p.size += len(text)
	if last := len(p.out) - 1; last >= 0 && p.out[last].class == class {
		p.out[last].text += text
		return
	}
	p.out = append(p.out, piece{class, text})
}

// value prints the next value.
func (p *printer) value(depth int) error {
	switch p.decoder.PeekKind() {
	case '{':
		return p.list(depth, '}', "{", "}", func() error {
			name, err := p.decoder.ReadToken()
			if err != nil {
				return err
			}
			quoted, err := jsontext.AppendQuote(nil, format.Shorten(name.String(), maxString))
			if err != nil {
				return err
			}
			p.put("json-key", string(quoted))
			p.put("", ": ")
			return p.value(depth + 1)
		})
	case '[':
		return p.array(depth)
	}
	raw, err := p.decoder.ReadValue()
	if err != nil {
		return err
	}
	p.put(classOf(raw), format.Shorten(string(raw), maxString))
	return nil
}

// list prints what stands between two brackets, an item a line.
func (p *printer) list(depth int, end jsontext.Kind, open, closing string, item func() error) error {
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	p.put("", open)
	indent, count := strings.Repeat("  ", depth+1), 0
	for ; p.decoder.PeekKind() != end; count++ {
		if count > 0 {
			p.put("", ",")
		}
		p.put("", "\n"+indent)
		if p.size > maxText {
			p.put("json-folded", "… the document is longer than what is shown")
			return io.EOF
		}
		if err := item(); err != nil {
			return err
		}
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	if count > 0 {
		p.put("", "\n"+strings.Repeat("  ", depth))
	}
	p.put("", closing)
	return nil
}

// array prints short arrays of scalars in one line and folds long ones of numbers.
func (p *printer) array(depth int) error {
	raw, err := p.decoder.ReadValue()
	if err != nil {
		return err
	}
	items, scalar, numbers := scalars(raw)
	switch {
	case numbers && len(items) >= foldFrom:
		p.put("", "[")
		p.put("json-number", strings.Join(items[:3], ", "))
		p.put("json-folded", " … "+format.Count(len(items))+" numbers")
		p.put("", "]")
		return nil
	case scalar && len(raw) <= 80:
		p.put("", "[")
		for i, item := range items {
			if i > 0 {
				p.put("", ", ")
			}
			p.put(classOf(jsontext.Value(item)), item)
		}
		p.put("", "]")
		return nil
	}
	inner := &printer{decoder: jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)), out: p.out, size: p.size}
	err = inner.list(depth, ']', "[", "]", func() error { return inner.value(depth + 1) })
	p.out, p.size = inner.out, inner.size
	return err
}

// scalars are the items of an array without objects and arrays in it.
func scalars(raw jsontext.Value) (items []string, scalar, numbers bool) {
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return nil, false, false
	}
	numbers = true
	for {
		switch d.PeekKind() {
		case ']':
			return items, true, numbers
		case '{', '[', 0:
			return nil, false, false
		case '0':
		default:
			numbers = false
		}
		item, err := d.ReadValue()
		if err != nil {
			return nil, false, false
		}
		items = append(items, string(item))
	}
}

func classOf(raw jsontext.Value) string {
	switch raw.Kind() {
	case '"':
		return "json-string"
	case '0':
		return "json-number"
	}
	return "json-word"
}
