package schema

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/internal/errs"
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

// LiftVector takes the member with that name out of an object: it returns the
// numbers of the array there and the text around it, with a vector of one number
// in its place. So whoever decodes the rest needn't go through a long array a
// second time. It isn't ok if there is no such array or anything is odd; then the
// whole text has to be decoded, which also says what is wrong. (If the rest is
// valid JSON, so was the whole: a value was replaced by a value.)
func LiftVector(text []byte, name string) (vector []float32, rest []byte, ok bool) {
	c := cursor{text: text}
	if c.peek() != '{' {
		return nil, nil, false
	}
	for member := c.member(true); member != nil; member = c.member(false) {
		if string(member[1:len(member)-1]) != name {
			c.value()
			continue
		}
		if c.peek() != '[' {
			return nil, nil, false
		}
		end, flat := flatArrayEnd(text, c.pos)
		if !flat {
			return nil, nil, false
		}
		vector, err := parseFloats(text[:end], c.pos)
		return vector, slices.Concat(text[:c.pos], []byte("[0]"), text[end:]), err == nil
	}
	return nil, nil, false
}

// ParseVector reads a vector from JSON: an array of at least one number, or
// {"b64": "<base64 of little-endian float32>"}. Each number is rounded once,
// correctly, to float32. Errors are Invalid "invalid_vector" and name the
// element: anything but a number, NaN, Inf, or a number beyond float32.
func ParseVector(raw []byte) ([]float32, error) {
	i := skipSpace(raw, 0)
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
	v := make([]float32, 0, bytes.Count(raw[i:], []byte{','})+1)
	for {
		i = skipSpace(raw, i+1) // past '[' or ','
		f, end, ok := parseFloat32(raw, i)
		if !ok {
			return nil, badElement(raw, i, end, len(v))
		}
		v = append(v, f)
		i = skipSpace(raw, end)
		if i < len(raw) && raw[i] == ',' {
			continue
		}
		if i < len(raw) && raw[i] == ']' {
			break
		}
		return nil, vectorError("", "the vector is not valid JSON after element %d", len(v)-1)
	}
	if skipSpace(raw, i+1) != len(raw) {
		return nil, vectorError("", "there is more text after the vector")
	}
	return v, nil
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

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\t' || raw[i] == '\r') {
		i++
	}
	return i
}

// parseFloat32 reads the JSON number at raw[i] and returns it rounded to
// float32 and the index after it. When it isn't ok, end is i if there is no JSON
// number and beyond the number if it is too large.
func parseFloat32(raw []byte, i int) (f float32, end int, ok bool) {
	d, end := scanDecimal(raw, i)
	if end == i {
		return 0, i, false
	}
	if f, ok := d.float32(); ok {
		return f, end, true
	}
	slow, err := strconv.ParseFloat(string(raw[i:end]), 32)
	return float32(slow), end, err == nil
}

// decimal is (-1)^negative * digits * 10^exponent.
type decimal struct {
	digits   uint64
	exponent int
	negative bool
	// overflow: there are too many digits for a uint64.
	overflow bool
}

// scanDecimal reads a number by the grammar of RFC 8259; end is i if there is none.
func scanDecimal(raw []byte, i int) (d decimal, end int) {
	start := i
	if i < len(raw) && raw[i] == '-' {
		d.negative = true
		i++
	}
	first := i
	d.digits, i = scanDigits(raw, i, 0)
	if i == first || raw[first] == '0' && i > first+1 {
		return d, start
	}
	if i < len(raw) && raw[i] == '.' {
		point := i
		d.digits, i = scanDigits(raw, i+1, d.digits)
		if d.exponent = point + 1 - i; d.exponent == 0 {
			return d, start
		}
	}
	const maxDigits = 19 // always fit into 64 bits
	if i-first > maxDigits {
		d.overflow = len(bytes.TrimLeft(raw[first:i], "0.")) > maxDigits
	}
	if i < len(raw) && raw[i]|0x20 == 'e' {
		exponent, after := scanExponent(raw, i+1)
		if after == i+1 {
			return d, start
		}
		d.exponent += exponent
		i = after
	}
	return d, i
}

// scanDigits appends a run of decimal digits to n.
func scanDigits(raw []byte, i int, n uint64) (uint64, int) {
	for ; i < len(raw) && raw[i]-'0' <= 9; i++ {
		n = n*10 + uint64(raw[i]-'0')
	}
	return n, i
}

// scanExponent reads what follows the e; after is i if that isn't an exponent.
func scanExponent(raw []byte, i int) (exponent, after int) {
	start, negative := i, false
	if i < len(raw) && (raw[i] == '+' || raw[i] == '-') {
		negative = raw[i] == '-'
		i++
	}
	first := i
	for ; i < len(raw) && raw[i]-'0' <= 9; i++ {
		exponent = min(exponent*10+int(raw[i]-'0'), 100_000)
	}
	if i == first {
		return 0, start
	}
	if negative {
		exponent = -exponent
	}
	return exponent, i
}

// pow10 holds the powers of ten that float64 has exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float32 rounds d to float32, if that can be done by one float64 operation. It
// is Clinger's fast path (How to read floating point numbers accurately, PLDI
// 1990), widened: digits is rounded to float64 and then scaled by an exact
// power of ten, two errors of half a unit in the last place each. float32 keeps
// 29 bits less, so this decides the rounding unless the 29 bits are within two
// units of the tie.
func (d *decimal) float32() (float32, bool) {
	if d.overflow || d.exponent < -22 || d.exponent > 22 {
		return 0, false
	}
	if d.digits == 0 {
		return float32(math.Copysign(0, d.sign())), true
	}
	f := float64(d.digits)
	if d.exponent < 0 {
		f /= pow10[-d.exponent]
	} else {
		f *= pow10[d.exponent]
	}
	const dropped, tie, doubt = 1<<29 - 1, 1 << 28, 2
	distance := int64(math.Float64bits(f)&dropped) - tie
	if -doubt <= distance && distance <= doubt {
		return 0, false
	}
	// Below the smallest normal float32 more bits are dropped.
	if f < 0x1p-126 || f > math.MaxFloat32 {
		return 0, false
	}
	return float32(d.sign() * f), true
}

func (d *decimal) sign() float64 {
	if d.negative {
		return -1
	}
	return 1
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
