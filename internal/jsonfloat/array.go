// Package jsonfloat reads JSON arrays of numbers as float32, which is what most of
// the text is that a vector database gets.
//
// Each number is rounded once and correctly, as strconv.ParseFloat(s, 32) does, and
// what isn't JSON is refused. The usual forms take half of the time that digit by
// digit takes, or less: digits are read eight at a time (see leadingDigits) and
// scaled by one division. The rest is left to slower readers, in the end to
// strconv.
//
// It has no goroutines and no state.
package jsonfloat

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// Array reads the array of numbers that opens at text[i] and returns the index
// after it; what follows isn't looked at. It isn't ok if that isn't an array, if an
// element isn't a number or too large for float32, or if there are no elements.
func Array(text []byte, i int) (v []float32, end int, ok bool) {
	if i >= len(text) || text[i] != '[' {
		return nil, i, false
	}
	n := bytes.IndexByte(text[i:], ']')
	if n < 0 {
		return nil, i, false
	}
	v = make([]float32, 0, bytes.Count(text[i:i+n], []byte{','})+1)
	for i++; ; i++ { // past '[' or ','
		f, end := usual(text, i)
		if end == i {
			i = Space(text, i)
			if f, end, ok = Number(text, i); !ok {
				return nil, i, false
			}
		}
		v = append(v, f)
		if i = end; i < len(text) && text[i] == ',' {
			continue
		}
		if i = Space(text, i); i == len(text) || text[i] != ',' && text[i] != ']' {
			return nil, i, false
		}
		if text[i] == ']' {
			return v, i + 1, true
		}
	}
}

// Space is the index of the first character from i on that isn't white space.
func Space(text []byte, i int) int {
	for i < len(text) && text[i] <= ' ' && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// usualSize is what is looked at of the text for a number of the usual form: a
// space, a sign, a digit, the point, three words of digits and what follows.
const usualSize = 4 + 3*wordSize + 1

// usual is Number for what most numbers of a vector look like: one digit before
// the point and 1 to 18 behind it, or 19 behind 0. A space may precede it. Of all
// others end is i.
func usual(text []byte, i int) (f float32, end int) {
	if len(text)-i < usualSize {
		return 0, i
	}
	t := text[i : i+usualSize]
	at := 0
	if t[0] == ' ' {
		at = 1
	}
	var negative uint32
	if t[at] == '-' {
		negative = 1
	}
	at += int(negative)
	whole := uint64(t[at] - '0')
	if whole > 9 || t[at+1] != '.' {
		return 0, i
	}
	at += len("0.")
	first, digits := at, whole
	word := binary.LittleEndian.Uint64(t[at:]) ^ zeros
	others := nonDigits(word)
	if others == 0 {
		digits = digits*tens[wordSize] + sum(word)
		at += wordSize
		word = binary.LittleEndian.Uint64(t[at:]) ^ zeros
		others = nonDigits(word)
		if others == 0 {
			digits = digits*tens[wordSize] + sum(word)
			at += wordSize
			word = binary.LittleEndian.Uint64(t[at:]) ^ zeros
			others = nonDigits(word)
		}
	}
	if others == 0 {
		return 0, i
	}
	count := bits.TrailingZeros64(others) / 8
	digits = digits*tens[count] + sum(leading(word, count))
	at += count
	scale := at - first
	if scale == 0 || scale > maxDigits || scale == maxDigits && whole != 0 {
		return 0, i
	}
	if t[at]|0x20 == 'e' {
		return scaled(decimal{digits: digits, exponent: -scale, negative: negative != 0}, text, i, i+at+1)
	}
	wide := float64(digits) / powers[scale]
	if besideTie(wide) {
		return 0, i
	}
	// A zero keeps its sign.
	return math.Float32frombits(math.Float32bits(float32(wide)) | negative<<31), i + at
}

// scaled is a number whose exponent is at text[at]; end is i if there is none, or if
// the number needs a slower reader.
func scaled(d decimal, text []byte, i, at int) (f float32, end int) {
	exponent, end := scanExponent(text, at)
	if end == at {
		return 0, i
	}
	d.exponent += exponent
	if f, ok := d.float32(); ok {
		return f, end
	}
	return 0, i
}
