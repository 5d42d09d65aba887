package schema

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/internal/errs"
)

// MaxDepth is how deep a document may nest; the document itself is depth 1.
const MaxDepth = 64

// ValidateDocument checks one entity: strict JSON (RFC 8259, valid UTF-8, no
// name twice in one object) whose top level is an object, at most MaxDepth deep,
// with every number inside the range of float64. It returns the document
// without white space and with strings in their shortest form, in memory of its
// own; number texts are untouched. Errors are Invalid with the code
// invalid_json, not_an_object, too_deep or number_out_of_range and the JSON
// pointer of the place.
func ValidateDocument(raw []byte) ([]byte, error) {
	if doc := plainDocument(raw); doc != nil {
		return doc, nil
	}
	return validateDocument(raw)
}

// validateDocument decides about every text, and says what is wrong.
func validateDocument(raw []byte) ([]byte, error) {
	doc, err := compact(raw)
	if err != nil {
		return nil, err
	}
	if doc[0] != '{' {
		return nil, errs.Field("not_an_object", "",
			"an entity must be a JSON object, not %s; nothing was kept", describe(doc))
	}
	if err := checkDepth(doc, MaxDepth); err != nil {
		return nil, err
	}
	if offset := outOfRangeNumber(doc); offset >= 0 {
		return nil, numberRangeError(pointerAt(doc, offset), doc[offset:tokenEnd(doc, offset)])
	}
	return doc, nil
}

// compact validates one JSON text and returns it in its shortest form in fresh
// memory, number texts untouched.
func compact(raw []byte) ([]byte, error) {
	text, err := jsontext.AppendFormat(nil, raw)
	if err != nil {
		return nil, syntaxError(err)
	}
	return text, nil
}

func syntaxError(err error) error {
	pointer, offset, reason := "", int64(0), err.Error()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		pointer, offset = string(syntax.JSONPointer), syntax.ByteOffset
		if syntax.Err != nil {
			reason = syntax.Err.Error()
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		reason = "the text ends too early"
	}
	return errs.Field("invalid_json", pointer, "not valid JSON at byte %d: %s; nothing was kept", offset, reason)
}

func describe(doc []byte) string {
	switch doc[0] {
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	default:
		return "a number"
	}
}

// checkDepth expects valid JSON.
func checkDepth(doc []byte, limit int) error {
	depth := 0
	for i := 0; i < len(doc); {
		switch doc[i] {
		case '"':
			i = stringEnd(doc, i)
			continue
		case '[', '{':
			if end, ok := flatArrayEnd(doc, i); ok && depth < limit {
				i = end
				continue
			}
			depth++
			if depth > limit {
				return errs.Field("too_deep", pointerAt(doc, i),
					"the JSON nests deeper than %d levels; nothing was kept", limit)
			}
		case ']', '}':
			depth--
		}
		i++
	}
	return nil
}

// maxPlainDigits is how long a number without exponent may be and is surely
// finite: 10^308 is below the largest float64.
const maxPlainDigits = 308

// outOfRangeNumber is the offset of the first number of a valid JSON text that
// float64 can't hold, -1 if there is none. Only an exponent or some three
// hundred digits can make one, so the texts without either aren't parsed.
func outOfRangeNumber(doc []byte) int {
	for i := 0; i < len(doc); {
		switch c := doc[i]; {
		case c == '"':
			i = stringEnd(doc, i)
		case c == '-' || '0' <= c && c <= '9':
			end := tokenEnd(doc, i)
			if !finite(doc[i:end]) {
				return i
			}
			i = end
		case c == '[':
			if end, ok := flatArrayEnd(doc, i); ok && plainNumbers(doc[i:end]) {
				i = end
				continue
			}
			i++
		default:
			i++
		}
	}
	return -1
}

func finite(number []byte) bool {
	if len(number) <= maxPlainDigits && noExponent(number) {
		return true
	}
	f, err := strconv.ParseFloat(string(number), 64)
	return err == nil && !math.IsInf(f, 0)
}

func noExponent(text []byte) bool {
	return bytes.IndexByte(text, 'e') < 0 && bytes.IndexByte(text, 'E') < 0
}

// plainNumbers says whether every number of a flat array is surely finite,
// without going through them one by one; false may mean unknown.
func plainNumbers(array []byte) bool {
	if !noExponent(array) {
		return false
	}
	for len(array) > maxPlainDigits {
		comma := bytes.LastIndexByte(array[:maxPlainDigits+1], ',')
		if comma < 0 {
			return false
		}
		array = array[comma+1:]
	}
	return true
}

// pointerAt is the JSON pointer of the value that starts at an offset.
func pointerAt(doc []byte, offset int) string {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	for {
		if _, err := dec.ReadToken(); err != nil || dec.InputOffset() > int64(offset) {
			return string(dec.StackPointer())
		}
	}
}
