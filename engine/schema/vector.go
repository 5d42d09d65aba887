package schema

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/jsonfloat"
)

// FloatVector is a vector in a request body, in either form that ParseVector
// reads.
type FloatVector []float32

// UnmarshalJSONFrom implements the streaming form of json.Unmarshaler.
func (v *FloatVector) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	*v, err = ParseVector(raw)
	return err
}

// ParseVector reads a vector from JSON: an array of at least one number, or
// {"b64": "<base64 of little-endian float32>"}. Each number is rounded once,
// correctly, to float32. Errors are Invalid "invalid_vector" and name the
// element: anything but a number, NaN, Inf, or a number beyond float32.
func ParseVector(raw []byte) ([]float32, error) {
	i := jsonfloat.Space(raw, 0)
	if i == len(raw) {
		return nil, vectorError("", "a vector can't be empty text")
	}
	switch raw[i] {
	case '[':
		return parseFloats(raw, i)
	case '{':
		return parseBase64(raw)
	}
	return nil, vectorError("", `a vector is an array of numbers or {"b64": "..."}`)
}

func vectorError(pointer, format string, args ...any) error {
	return errs.Field("invalid_vector", pointer, format, args...)
}

func elementError(n int, format string, args ...any) error {
	return vectorError("/"+strconv.Itoa(n), "element %d of the vector %s", n, fmt.Sprintf(format, args...))
}

// parseFloats reads the array that opens at raw[i], and nothing after it.
func parseFloats(raw []byte, i int) ([]float32, error) {
	v, end, ok := jsonfloat.Array(raw, i)
	if !ok {
		return nil, badArray(raw, i)
	}
	if jsonfloat.Space(raw, end) != len(raw) {
		return nil, vectorError("", "there is more text after the vector")
	}
	return v, nil
}

// badArray says what is wrong with the array that opens at raw[i].
func badArray(raw []byte, i int) error {
	for n := 0; ; n++ {
		i = jsonfloat.Space(raw, i+1) // past '[' or ','
		_, end, ok := jsonfloat.Number(raw, i)
		if !ok {
			return badElement(raw, i, end, n)
		}
		if i = jsonfloat.Space(raw, end); i == len(raw) || raw[i] != ',' {
			return vectorError("", "the vector is not valid JSON after element %d", n)
		}
	}
}

func badElement(raw []byte, i, end, n int) error {
	switch {
	case n == 0 && i < len(raw) && raw[i] == ']':
		return vectorError("", "a vector needs at least one element")
	case i >= len(raw):
		return vectorError("", "the vector ends too early, after %d elements", n)
	case end > i:
		return elementError(n, "is %s, which is beyond float32", clip(raw[i:end]))
	}
	return elementError(n, "is not a number: %s", clip(raw[i:max(i+1, tokenEnd(raw, i))]))
}

func clip(text []byte) string {
	const most = 32
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "..."
	}
	return strconv.Quote(string(text))
}

// parseBase64 reads {"b64": "..."}.
func parseBase64(raw []byte) ([]float32, error) {
	text, err := compact(raw)
	if err != nil {
		return nil, vectorError("", "the vector is not valid JSON")
	}
	c := cursor{text: text}
	var encoded []byte
	for name := c.member(true); name != nil; name = c.member(false) {
		if string(name) != `"b64"` {
			return nil, vectorError("", `a vector object has only the field "b64", not %s`, name)
		}
		encoded = c.value()
	}
	data, ok := unquote(encoded)
	if !ok || encoded[0] != '"' {
		return nil, vectorError("/b64", "b64 must be a string")
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Decode(b, data)
	if err != nil {
		return nil, vectorError("/b64", "b64 is not standard base64 with padding: %v", err)
	}
	return decodeFloats(b[:n])
}

func decodeFloats(b []byte) ([]float32, error) {
	const size = 4 // bytes of a float32
	if len(b) == 0 || len(b)%size != 0 {
		return nil, vectorError("/b64", "b64 holds %d bytes; it needs 4 for each element, and at least one element", len(b))
	}
	v := make([]float32, len(b)/size)
	for i := range v {
		word := binary.LittleEndian.Uint32(b[i*size:])
		if word>>23&0xff == 0xff {
			return nil, elementError(i, "is NaN or infinite")
		}
		v[i] = math.Float32frombits(word)
	}
	return v, nil
}
