package keys

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Value is a decoded term. It serves Check and diagnostics; queries compare
// terms as bytes.
type Value struct {
	Kind Kind
	// IsInt says that a number is integral and within int64; Int holds it then.
	IsInt bool
	Int   int64
	// Float is the number rounded to the nearest float64.
	Float float64
	// Str is the string.
	Str string
}

// String renders the value for a person: JSON, with "missing" and "object" for
// the two markers.
func (v Value) String() string {
	switch v.Kind {
	case Missing:
		return "missing"
	case Null:
		return "null"
	case False:
		return "false"
	case True:
		return "true"
	case Number:
		if v.IsInt {
			return strconv.FormatInt(v.Int, 10)
		}
		return strconv.FormatFloat(v.Float, 'g', -1, 64)
	case String:
		return strconv.Quote(v.Str)
	case Object:
		return "object"
	}
	return fmt.Sprintf("kind(%#x)", byte(v.Kind))
}

// Decode reads the first value of a term and returns it with the bytes that
// follow, which are the next columns' values in a composite term. It accepts
// exactly the bytes that the Append functions write.
func Decode(term []byte) (v Value, rest []byte, err error) {
	if len(term) == 0 {
		return Value{}, nil, fmt.Errorf("keys: empty term")
	}
	v.Kind = Kind(term[0])
	switch v.Kind {
	case Missing, Null, False, True, Object:
		return v, term[1:], nil
	case Number:
		return decodeNumber(term)
	case String:
		return decodeString(term)
	}
	return Value{}, nil, fmt.Errorf("keys: unknown tag %#x", term[0])
}

func decodeNumber(term []byte) (Value, []byte, error) {
	if len(term) < numberLen {
		return Value{}, nil, fmt.Errorf("keys: number of %d bytes, want %d", len(term), numberLen)
	}
	bits := binary.BigEndian.Uint64(term[1:])
	if bits>>63 == 1 {
		bits &^= 1 << 63
	} else {
		bits = ^bits
	}
	res := int16(binary.BigEndian.Uint16(term[9:]) ^ 0x8000)
	v := Value{Kind: Number, Float: math.Float64frombits(bits)}
	v.Int, v.IsInt = integer(v.Float, res)
	if res != 0 && !v.IsInt || math.IsNaN(v.Float) || bits == 1<<63 {
		return Value{}, nil, fmt.Errorf("keys: no number is written as %x", term[:numberLen])
	}
	return v, term[numberLen:], nil
}

// integer returns f + residual if f is the rounding of that int64.
func integer(f float64, res int16) (int64, bool) {
	if f < -1<<63 || f > 1<<63 || f != math.Trunc(f) {
		return 0, false
	}
	i := int64(uint64(res) + 1<<63) // f is 2^63, beyond int64; taken modulo 2^64
	if f != 1<<63 {
		i = int64(f) + int64(res)
	}
	return i, float64(i) == f && residual(i, f) == res
}

func decodeString(term []byte) (Value, []byte, error) {
	var s strings.Builder
	for i := 1; i+1 < len(term); i++ {
		if term[i] != escape {
			s.WriteByte(term[i])
			continue
		}
		i++
		switch term[i] {
		case escapeZero:
			s.WriteByte(0)
		case escapeEnd:
			return Value{Kind: String, Str: s.String()}, term[i+1:], nil
		default:
			return Value{}, nil, fmt.Errorf("keys: bad escape 00 %02x in a string", term[i])
		}
	}
	return Value{}, nil, fmt.Errorf("keys: string without an end")
}
