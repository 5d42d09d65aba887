// Package keys is the codec of everything that is compared as bytes: index
// terms, whose byte order is the order of the values they stand for, and the
// physical keys of each column family. storage/FORMAT.md draws the bytes.
//
// What it promises of terms:
//
//   - bytes.Compare(a, b) is the order of the values, across types
//     missing < null < false < true < number < string < object;
//   - no term is a prefix of another, so a concatenation of terms (a composite
//     index) orders as the tuple does and a term followed by an id is unambiguous;
//   - equal values encode identically: 1 and 1.0, 0 and -0.
//
// The package is a leaf of pure functions: no goroutines, no locks, no state.
// Every Append function appends to dst and returns the extended slice.
package keys

import (
	"encoding/binary"
	"math"
	"strings"
)

// Kind tells what a term stands for. The values are the tag bytes on disk, in
// sort order and with gaps for types to come.
type Kind byte

// The kinds of terms.
const (
	// Missing marks an absent column inside a composite term.
	Missing Kind = 0x01
	Null    Kind = 0x10
	False   Kind = 0x20
	True    Kind = 0x21
	Number  Kind = 0x30
	String  Kind = 0x40
	// Object marks a value that is present but not a scalar.
	Object Kind = 0x50
)

// Strings are escaped as CockroachDB and FoundationDB do: a zero byte inside
// becomes 00 FF, and 00 01 ends the string. The end sorts before every
// continuation, so a string sorts before its extensions.
const (
	escape     = 0x00
	escapeZero = 0xFF
	escapeEnd  = 0x01
)

// numberLen is the length of a number term: tag, sortable float64, residual.
const numberLen = 1 + 8 + 2

// AppendMissing appends the term of an absent column. It is used inside
// composite terms only: a single-column index has no term for it.
func AppendMissing(dst []byte) []byte { return append(dst, byte(Missing)) }

// AppendNull appends the term of JSON null.
func AppendNull(dst []byte) []byte { return append(dst, byte(Null)) }

// AppendBool appends the term of a boolean.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, byte(True))
	}
	return append(dst, byte(False))
}

// AppendObject appends the term of a value that is present but not a scalar.
func AppendObject(dst []byte) []byte { return append(dst, byte(Object)) }

// AppendInt appends the term of an integer.
//
// A number is its nearest float64 followed by what rounding lost. Rounding is
// monotone, so the float64 decides unless two numbers share it, and then the
// residual does. The residual of an int64 is at most 512 in magnitude (the
// spacing of float64 just below 2^63 is 1024), so an int16 holds it.
func AppendInt(dst []byte, v int64) []byte {
	f := float64(v)
	return appendNumber(dst, f, residual(v, f))
}

// AppendFloat appends the term of a floating-point number. JSON has no NaN and
// no infinity and the engine refuses both before they get here; their order
// among the other terms is unspecified.
func AppendFloat(dst []byte, v float64) []byte {
	if v == 0 {
		v = 0 // -0 is 0
	}
	return appendNumber(dst, v, 0)
}

// residual returns v - f for f = float64(v). At the upper end f is 2^63, which
// int64 can't hold; the difference still fits, so it is taken modulo 2^64.
func residual(v int64, f float64) int16 {
	if f == 1<<63 {
		return int16(uint64(v) - 1<<63)
	}
	return int16(v - int64(f))
}

func appendNumber(dst []byte, f float64, residual int16) []byte {
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		bits = ^bits // negative: larger magnitude sorts first
	} else {
		bits |= 1 << 63
	}
	dst = append(dst, byte(Number))
	dst = binary.BigEndian.AppendUint64(dst, bits)
	return binary.BigEndian.AppendUint16(dst, uint16(residual)^0x8000)
}

// AppendString appends the term of a string. The order is that of the bytes,
// which for UTF-8 is the order of the code points.
func AppendString(dst []byte, s string) []byte {
	return append(AppendStringPrefix(dst, s), escape, escapeEnd)
}

// AppendStringPrefix appends the bytes that every string term whose string has
// the given prefix starts with, and no other term does.
func AppendStringPrefix(dst []byte, prefix string) []byte {
	dst = append(dst, byte(String))
	for {
		i := strings.IndexByte(prefix, escape)
		if i < 0 {
			return append(dst, prefix...)
		}
		dst = append(dst, prefix[:i]...)
		dst = append(dst, escape, escapeZero)
		prefix = prefix[i+1:]
	}
}

// PrefixEnd returns the smallest key that is greater than every key with the
// prefix b, in fresh memory. It returns nil if there is none, that is, if b
// has nothing but FF bytes.
func PrefixEnd(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xFF {
			end := make([]byte, i+1)
			copy(end, b)
			end[i]++
			return end
		}
	}
	return nil
}
