package tables

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Layout is a JSON document as one edits it: a member a line, arrays of scalars in
// one. Numbers and strings keep their text. What isn't JSON stays as it is.
func Layout(doc []byte) string {
	l := layouter{decoder: jsontext.NewDecoder(bytes.NewReader(doc))}
	if err := l.value(0); err != nil {
		return string(doc)
	}
	return l.out.String()
}

type layouter struct {
	decoder *jsontext.Decoder
	out     strings.Builder
}

func (l *layouter) value(depth int) error {
	switch l.decoder.PeekKind() {
	case '{':
		return l.list(depth, '}', "{", func() error {
			name, err := l.decoder.ReadValue()
			if err != nil {
				return err
			}
			l.out.Write(name)
			l.out.WriteString(": ")
			return l.value(depth + 1)
		})
	case '[':
		raw, err := l.decoder.ReadValue()
		if err != nil {
			return err
		}
		if flat(raw) {
			l.out.Write(bytes.ReplaceAll(raw, []byte{'\n'}, nil))
			return nil
		}
		inner := layouter{decoder: jsontext.NewDecoder(bytes.NewReader(raw))}
		err = inner.list(depth, ']', "[", func() error { return inner.value(depth + 1) })
		l.out.WriteString(inner.out.String())
		return err
	}
	raw, err := l.decoder.ReadValue()
	l.out.Write(raw)
	return err
}

// list lays out what stands between brackets.
func (l *layouter) list(depth int, end jsontext.Kind, open string, item func() error) error {
	if _, err := l.decoder.ReadToken(); err != nil {
		return err
	}
	l.out.WriteString(open)
	count := 0
	for ; l.decoder.PeekKind() != end; count++ {
		if count > 0 {
			l.out.WriteByte(',')
		}
		l.out.WriteString("\n" + strings.Repeat("  ", depth+1))
		if err := item(); err != nil {
			return err
		}
	}
	if count > 0 {
		l.out.WriteString("\n" + strings.Repeat("  ", depth))
	}
	token, err := l.decoder.ReadToken()
	if err == nil {
		l.out.WriteString(token.String())
	}
	return err
}

// flat says whether an array holds scalars alone.
func flat(raw jsontext.Value) bool {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for {
		switch d.PeekKind() {
		case ']':
			return true
		case '{', '[', 0:
			return false
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
}
