package schema

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/keys"
)

// Kind is the JSON type of a Value. The order of the constants is the order of
// values across types.
type Kind uint8

const (
	KindNull Kind = iota
	KindBool
	KindNumber
	KindString
	// KindObject is anything present that isn't a scalar: an object or an empty
	// array. Two objects compare equal, because only their presence is known.
	KindObject
)

var kindNames = [...]string{"null", "bool", "number", "string", "object"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Value is one JSON scalar, or the mark that something else stands there. The
// zero Value is null. Values are canonical: two Values are == exactly when
// Compare says 0, so they can be map keys. Numbers hold an int64 or a float64
// and compare by their exact value, so 2^53+1 lies between its neighbours and
// 1 equals 1.0.
type Value struct {
	kind Kind
	// fractional numbers, and those outside int64, keep their float64 in bits;
	// all other numbers are int64.
	float bool
	bits  uint64
	str   string
}

// Null is the JSON null.
func Null() Value { return Value{} }

// Object marks a value that is present but not a scalar.
func Object() Value { return Value{kind: KindObject} }

// BoolOf is a JSON boolean.
func BoolOf(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.bits = 1
	}
	return v
}

// IntOf is a JSON number.
func IntOf(i int64) Value { return Value{kind: KindNumber, bits: uint64(i)} }

// FloatOf is a JSON number. f must be finite, as every number of a valid
// document is. Minus zero is zero.
func FloatOf(f float64) Value {
	if f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
		return IntOf(int64(f))
	}
	return Value{kind: KindNumber, float: true, bits: math.Float64bits(f)}
}

// StringOf is a JSON string.
func StringOf(s string) Value { return Value{kind: KindString, str: s} }

// Kind is the value's JSON type.
func (v Value) Kind() Kind { return v.kind }

// Bool is the value of a boolean, false for other kinds.
func (v Value) Bool() bool { return v.kind == KindBool && v.bits != 0 }

// Int is the value of a number that is exactly an int64.
func (v Value) Int() (int64, bool) {
	if v.kind != KindNumber || v.float {
		return 0, false
	}
	return int64(v.bits), true
}

// Float is the value of a number, rounded to float64; 0 for other kinds.
func (v Value) Float() float64 {
	switch {
	case v.kind != KindNumber:
		return 0
	case v.float:
		return math.Float64frombits(v.bits)
	default:
		return float64(int64(v.bits))
	}
}

// Text is the value of a string, empty for other kinds.
func (v Value) Text() string { return v.str }

// Compare orders two values: null < bool < number < string < object, false
// before true, numbers by exact value, strings by their bytes (which for UTF-8
// is code point order).
func Compare(a, b Value) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case KindBool:
		return cmp.Compare(a.bits, b.bits)
	case KindNumber:
		return compareNumbers(a, b)
	case KindString:
		return strings.Compare(a.str, b.str)
	default:
		return 0
	}
}

func compareNumbers(a, b Value) int {
	switch {
	case !a.float && !b.float:
		return cmp.Compare(int64(a.bits), int64(b.bits))
	case a.float && b.float:
		return cmp.Compare(math.Float64frombits(a.bits), math.Float64frombits(b.bits))
	case a.float:
		return -compareIntFloat(int64(b.bits), math.Float64frombits(a.bits))
	default:
		return compareIntFloat(int64(a.bits), math.Float64frombits(b.bits))
	}
}

// compareIntFloat never converts i to float64, which would round it. f is
// fractional or outside int64, so it never equals i.
func compareIntFloat(i int64, f float64) int {
	switch {
	case f >= 1<<63:
		return -1
	case f < -1<<63:
		return 1
	}
	floor := math.Floor(f)
	if i <= int64(floor) {
		return -1
	}
	return 1
}

// AppendTerm appends the value's order-preserving index term.
func (v Value) AppendTerm(dst []byte) []byte {
	switch v.kind {
	case KindNull:
		return keys.AppendNull(dst)
	case KindBool:
		return keys.AppendBool(dst, v.bits != 0)
	case KindNumber:
		if v.float {
			return keys.AppendFloat(dst, math.Float64frombits(v.bits))
		}
		return keys.AppendInt(dst, int64(v.bits))
	case KindString:
		return keys.AppendString(dst, v.str)
	default:
		return keys.AppendObject(dst)
	}
}

// MarshalJSON writes the value as JSON; the object mark becomes {}.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.kind {
	case KindNull:
		return []byte("null"), nil
	case KindBool:
		return strconv.AppendBool(nil, v.bits != 0), nil
	case KindNumber:
		if v.float {
			return jsontext.AppendFloat(nil, math.Float64frombits(v.bits), 64), nil
		}
		return strconv.AppendInt(nil, int64(v.bits), 10), nil
	case KindString:
		return jsontext.AppendQuote(nil, v.str)
	default:
		return []byte("{}"), nil
	}
}

// String is the value as JSON, for people.
func (v Value) String() string {
	text, err := v.MarshalJSON()
	if err != nil { // a string that isn't UTF-8
		return strconv.Quote(v.str)
	}
	return string(text)
}

// ParseValue reads one JSON value strictly. Arrays and objects give the object
// mark.
func ParseValue(raw []byte) (Value, error) {
	text, err := compact(raw)
	if err != nil {
		return Value{}, err
	}
	if text[0] == '[' {
		return Object(), nil
	}
	if offset := outOfRangeNumber(text); offset >= 0 {
		return Value{}, numberRangeError("", text[offset:])
	}
	return scalar(text), nil
}

// scalar decodes one valid JSON text that isn't an array. Text that isn't valid
// after all becomes the object mark: present, but equal to nothing.
func scalar(raw []byte) Value {
	switch raw[0] {
	case 'n':
		return Null()
	case 't':
		return BoolOf(true)
	case 'f':
		return BoolOf(false)
	case '"':
		if text, ok := unquote(raw); ok {
			return StringOf(string(text))
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return number(raw)
	}
	return Object()
}

// number decodes a JSON number: an int64 if it is written as one and fits, else
// the nearest float64.
func number(raw []byte) Value {
	if n, ok := integer(raw); ok {
		return IntOf(n)
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return Object()
	}
	return FloatOf(f)
}

// integer reads an int64 written without fraction and exponent.
func integer(raw []byte) (int64, bool) {
	digits, negative := bytes.CutPrefix(raw, []byte{'-'})
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	const maxDigits = 19 // of an int64; they can't overflow a uint64
	switch {
	case len(digits) == 0 || len(digits) > maxDigits:
		return 0, false
	case negative && n <= 1<<63:
		return -int64(n), true
	case !negative && n < 1<<63:
		return int64(n), true
	}
	return 0, false
}

// unquote decodes a JSON string with its quotes. Without escapes the result
// points into raw.
func unquote(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[len(raw)-1] != '"' {
		return nil, false
	}
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' {
			text, err := jsontext.AppendUnquote(nil, raw)
			return text, err == nil
		}
	}
	return inner, true
}

func numberRangeError(pointer string, text []byte) error {
	if len(text) > 32 {
		text = text[:32]
	}
	return errs.Field("number_out_of_range", pointer,
		"the number %s is too large for a 64-bit float; nothing was kept", text)
}
