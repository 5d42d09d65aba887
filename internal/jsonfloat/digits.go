package jsonfloat

import (
	"encoding/binary"
	"math/bits"
)

// wordSize is how many characters are looked at together.
const wordSize = 8

var tens = [wordSize + 1]uint64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000}

const zeros = 0x3030303030303030

// DigitsEnd is the index of the first character from i on that isn't a digit.
func DigitsEnd(text []byte, i int) int {
	for ; i+wordSize <= len(text); i += wordSize {
		if others := nonDigits(binary.LittleEndian.Uint64(text[i:]) ^ zeros); others != 0 {
			return i + bits.TrailingZeros64(others)/8
		}
	}
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return i
}

// PassNumbers goes past numbers of the usual form, each with a comma right behind
// it, and returns where the first element begins that isn't one. Those passed are
// valid JSON; a number is one digit, the point and 1 to 23 digits.
func PassNumbers(text []byte, i int) int {
	for len(text)-i >= usualSize {
		t := text[i : i+usualSize]
		at := 0
		if t[0] == '-' {
			at = 1
		}
		if t[at]-'0' > 9 || t[at+1] != '.' {
			return i
		}
		at += len("0.")
		first := at
		others := nonDigits(binary.LittleEndian.Uint64(t[at:]) ^ zeros)
		for others == 0 && at-first < 2*wordSize {
			at += wordSize
			others = nonDigits(binary.LittleEndian.Uint64(t[at:]) ^ zeros)
		}
		at += bits.TrailingZeros64(others|1<<63) / 8
		if at == first || t[at] != ',' {
			return i
		}
		i += at + 1
	}
	return i
}

// leadingDigits reads the decimal digits that eight characters begin with, without
// a branch: their value, and how many there are.
//
// Each byte of the word is a character, the first one lowest. Exclusive or with '0'
// leaves the value of a digit; what is left of others exceeds 9, so adding 118 sets
// the high bit, if it isn't set. (The carry of a byte reaches only those behind a
// character that is no digit.) The digits are shifted to the end, as if there were
// zeros in front, and added up in pairs, fours and eights.
func leadingDigits(text []byte) (value uint64, count int) {
	word := binary.LittleEndian.Uint64(text) ^ zeros
	others := nonDigits(word)
	if others == 0 {
		return sum(word), wordSize
	}
	count = bits.TrailingZeros64(others) / 8
	return sum(leading(word, count)), count
}

func nonDigits(word uint64) uint64 {
	const (
		over9    = 0x7676767676767676
		highBits = 0x8080808080808080
	)
	return (word + over9 | word) & highBits
}

// leading keeps the first count bytes, fewer than eight, as the last.
func leading(word uint64, count int) uint64 {
	return word << 8 << ((7 - count) * 8 & 63)
}

// sum is the number that eight digits, a byte each, make.
func sum(digits uint64) uint64 {
	const (
		pairs = 0x00ff00ff00ff00ff
		fours = 0x0000ffff0000ffff
	)
	digits = digits * (10<<8 + 1) >> 8 & pairs
	digits = digits * (100<<16 + 1) >> 16 & fours
	return digits * (10_000<<32 + 1) >> 32
}
