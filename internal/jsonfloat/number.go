package jsonfloat

import (
	"bytes"
	"math"
	"strconv"
)

// Number reads the JSON number at text[i] (RFC 8259, section 6) and returns it
// rounded once, correctly, to float32, and the index after it; what follows isn't
// looked at. When it isn't ok, end is i if there is no number, and beyond the
// number if it is too large for float32.
func Number(text []byte, i int) (f float32, end int, ok bool) {
	d, end := scan(text, i)
	if end == i {
		return 0, i, false
	}
	if f, ok := d.float32(); ok {
		return f, end, true
	}
	slow, err := strconv.ParseFloat(string(text[i:end]), 32)
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

// maxDigits always fit into 64 bits.
const maxDigits = 19

// scan reads a number; end is i if there is none.
func scan(text []byte, i int) (d decimal, end int) {
	start := i
	if i < len(text) && text[i] == '-' {
		d.negative = true
		i++
	}
	first := i
	d.digits, i = scanDigits(text, i, 0)
	if i == first || text[first] == '0' && i > first+1 {
		return d, start
	}
	if i < len(text) && text[i] == '.' {
		point := i
		d.digits, i = scanDigits(text, i+1, d.digits)
		if d.exponent = point + 1 - i; d.exponent == 0 {
			return d, start
		}
	}
	if i-first > maxDigits {
		d.overflow = len(bytes.TrimLeft(text[first:i], "0.")) > maxDigits
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		exponent, after := scanExponent(text, i+1)
		if after == i+1 {
			return d, start
		}
		d.exponent += exponent
		i = after
	}
	return d, i
}

// scanDigits appends a run of decimal digits to n, which may overflow.
func scanDigits(text []byte, i int, n uint64) (uint64, int) {
	for i+wordSize <= len(text) {
		value, count := leadingDigits(text[i : i+wordSize])
		n, i = n*tens[count]+value, i+count
		if count < wordSize {
			return n, i
		}
	}
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		n = n*10 + uint64(text[i]-'0')
	}
	return n, i
}

// scanExponent reads what follows the e; after is i if that isn't an exponent.
func scanExponent(text []byte, i int) (exponent, after int) {
	start, negative := i, false
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		negative = text[i] == '-'
		i++
	}
	first := i
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		exponent = min(exponent*10+int(text[i]-'0'), 100_000)
	}
	if i == first {
		return 0, start
	}
	if negative {
		exponent = -exponent
	}
	return exponent, i
}

// maxPower is the largest n for which float64 has 10^n exactly.
const maxPower = 22

var powers = [maxPower + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float32 rounds d to float32, if that can be done by one float64 operation. It
// is Clinger's fast path (How to read floating point numbers accurately, PLDI
// 1990), widened: digits is rounded to float64 and then scaled by an exact power
// of ten, two errors of half a unit in the last place each. float32 keeps 29 bits
// less, so this decides the rounding unless they are beside the tie.
func (d *decimal) float32() (float32, bool) {
	if d.overflow || d.exponent < -maxPower || d.exponent > maxPower {
		return 0, false
	}
	if d.digits == 0 {
		return float32(math.Copysign(0, d.sign())), true
	}
	f := float64(d.digits)
	if d.exponent < 0 {
		f /= powers[-d.exponent]
	} else {
		f *= powers[d.exponent]
	}
	// Below the smallest normal float32 more bits are dropped.
	if besideTie(f) || f < 0x1p-126 || f > math.MaxFloat32 {
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

// besideTie reports whether f is within two units in its last place of the middle
// between two float32 that are normal.
func besideTie(f float64) bool {
	const dropped, tie, doubt = 1<<29 - 1, 1 << 28, 2
	return math.Float64bits(f)&dropped-(tie-doubt) <= 2*doubt
}
