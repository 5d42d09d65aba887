package jsonfloat

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// tail is long enough for the numbers before it to be read in whole words.
const tail = `   ,"after":"................................"}`

func sameBits(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}

func TestArray(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	for _, c := range []struct {
		in   string
		want []float32
	}{
		{`[1]`, []float32{1}},
		{"[ 1 ,\t-2.5\n, 1e2\r]", []float32{1, -2.5, 100}},
		{`[0.5, -0.25, 12.5,3]`, []float32{0.5, -0.25, 12.5, 3}},
		{`[0,-0,0.0,-0.0,0e10,-0.0e-5,0.00000000,-0.0000000000000000]`, []float32{0, negativeZero, 0, negativeZero, 0, negativeZero, 0, negativeZero}},
		{`[0.1234567,0.12345678,0.123456789,0.1234567890123456,0.12345678901234567,0.1234567890123456789,0.12345678901234567890123]`,
			[]float32{0.1234567, 0.12345678, 0.123456789, 0.1234567890123456, 0.12345678901234567, 0.1234567890123456789, 0.12345678901234567890123}},
		{`[9.999999999999999999,9.9999999999999999999,1.8446744073709551615,1.8446744073709551616]`, []float32{10, 10, 1.8446744073709551615, 1.8446744073709551616}},
		{`[1234567.5,12345678,123456789,1234567890123456789,12345678901234567890,0.000000000000000000000000000001]`,
			[]float32{1234567.5, 12345678, 123456789, 1234567890123456789, 12345678901234567890, 1e-30}},
		{`[3.4028234663852886e38,-3.4028235e38,3.40282356e38,3.4028235677973366e38]`, []float32{math.MaxFloat32, -math.MaxFloat32, math.MaxFloat32, math.MaxFloat32}},
		{`[1e-45,1e-46,7.006492321624085e-46,7.006492321624086e-46,1.17549435e-38,1.1754942e-38,1.1754942807573643e-38,5e-324]`,
			[]float32{math.SmallestNonzeroFloat32, 0, 0, math.SmallestNonzeroFloat32, 0x1p-126, 0x1.fffffcp-127, 0x1p-126, 0}},
		// Between two float32: to the even one, and by the last digit.
		{`[16777217,16777219,33554434.0,16777217.0000000000000000000000001]`, []float32{16777216, 16777220, 33554434, 16777218}},
		{`[1.00000005960464477539,1.000000059604644775390625,1.00000017881393432617,1.000000178813934326171875]`, []float32{1, 1, 0x1.000002p0, 0x1.000004p0}},
		{`[1.00000005960464477540,1.0000000596046447753906250000000001,0.500000029802322387695313]`, []float32{0x1.000002p0, 0x1.000002p0, 0x1.000002p-1}},
		// The float64 nearest to these are beside a tie, or on it.
		{`[9007199791611905,0.30000001192092896,1.000000059604644775390624999999]`, []float32{9007199791611905, 0.3, 1}},
	} {
		for _, after := range []string{"", tail, strings.Repeat("]", usualSize)} {
			got, end, ok := Array([]byte("x"+c.in+after), 1)
			if !ok || !sameBits(got, c.want) || end != 1+len(c.in) {
				t.Errorf("%s%s: %v to %d, %v, want %v", c.in, after, got, end, ok, c.want)
			}
		}
	}
}

func TestArrayRefuses(t *testing.T) {
	for _, in := range []string{
		``, ` `, `1`, `"x"`, `null`, `{}`, ` [1]`, `[]`, `[ ]`, `[`, `[1`, `[1,`, `[1 2]`, `[,1]`, `[1,]`, `[1,null]`, `[1,"2"]`, `[[1]]`, `[true]`, `[{}]`,
		`[NaN]`, `[1,Infinity]`, `[-]`, `[--1]`, `[+1]`, `[.5]`, `[-.5]`, `[1.]`, `[01]`, `[-01.5]`, `[00.5]`, `[1e]`, `[1e+]`, `[0.5e]`, `[0.12345678e]`, `[1.5.5]`, `[0.1x]`,
		`[0.12345678x]`, `[0.1234567 8]`, `[0x10]`, `[1_000]`, `[0.1-2]`, `[0,0,1e39]`, `[3.5e38]`, `[3.4028235677973367e38]`, `[-1e999]`, `[1e99999999999999999999]`,
		"[\u00a01]", "[1\u00a0]", "[1\v]", "[1\x00]", "[0.\u0661]", "[0.1\xb0]", "[0.\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7]", "[0.::::::::]", "[0.////////]", "[0.1234567:]",
	} {
		for _, after := range []string{"", strings.Repeat(".", usualSize)} {
			if got, end, ok := Array([]byte(in+after), 0); ok && end <= len(in) {
				t.Errorf("%q is read as %v", in, got)
			}
		}
	}
	if _, _, ok := Array([]byte("[1]"), 3); ok {
		t.Error("an array is read behind the end")
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		in  string
		end int
		ok  bool
	}{{`1.5,`, 3, true}, {`-1.5e3]`, 6, true}, {`1e39,`, 4, false}, {`x`, 0, false}, {``, 0, false}, {`-`, 0, false}, {`01`, 0, false}, {`1.`, 0, false}, {`12345678`, 8, true}} {
		if f, end, ok := Number([]byte(c.in), 0); end != c.end || ok != c.ok {
			t.Errorf("%s: %v to %d, %v, want %d, %v", c.in, f, end, ok, c.end, c.ok)
		}
	}
}

func TestDigitsEnd(t *testing.T) {
	for _, digits := range []string{"", "0", "1234567", "12345678", "123456789", "1234567890123456", "12345678901234567890"} {
		for _, after := range []string{"", ".", ",12345678", ":", "/........", "\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8", "\x00\x7f\xff\x80\x0a000000"} {
			if end := DigitsEnd([]byte("12"+digits+after), 2); end != 2+len(digits) {
				t.Errorf("%q: %d, want %d", digits+after, end, 2+len(digits))
			}
		}
	}
}

func TestPassNumbers(t *testing.T) {
	for _, c := range []struct {
		in     string
		passed int
	}{
		{`0.5,-1.25,0.12345678,-9.123456789012345,0.12345678901234567890123,1]`, 5},
		{`0.5,1,`, 1}, {`0.5 ,`, 0}, {` 0.5,`, 0}, {`0.,`, 0}, {`-.5,`, 0}, {`0.5e1,`, 0}, {`00.5,`, 0}, {`0.5]`, 0}, {`12.5,`, 0}, {`--0.5,`, 0}, {`0.5.5,`, 0},
		{`0.1,x`, 1}, {`0.123456789012345678901234,`, 0}, {`0.1234567x,`, 0}, {`0.12345678x,`, 0}, {"0.1\xb0,", 0},
	} {
		want := 0
		for range min(c.passed, strings.Count(c.in, ",")) {
			want += strings.IndexByte(c.in[want:], ',') + 1
		}
		if got := PassNumbers([]byte("["+c.in+tail), 1); got != 1+want {
			t.Errorf("%s: passed to %d, want %d", c.in, got, 1+want)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		text := randomNumber(rng)
		if PassNumbers([]byte(text+","+tail), 0) > 0 && !json.Valid([]byte(text)) {
			t.Fatalf("%s is passed", text)
		}
	}
}

// randomNumber writes numbers the way clients do, and ones near the ties between
// two float32, where rounding twice goes wrong.
func randomNumber(rng *rand.Rand) string {
	f := rng.NormFloat64() * math.Pow(10, float64(-rng.IntN(4)))
	switch rng.IntN(10) {
	case 0:
		return strconv.FormatFloat(float64(float32(f)), 'g', -1, 32)
	case 1:
		return strconv.FormatFloat(f, 'g', -1, 64)
	case 2:
		return strconv.FormatFloat(float64(float32(f)), 'g', -1, 64)
	case 3:
		return strconv.FormatFloat(f, 'f', rng.IntN(25), 64)
	case 4:
		return strconv.FormatFloat(f, 'e', rng.IntN(25), 64)
	case 5: // a tie and its surroundings
		a := math.Float32frombits(rng.Uint32() & 0x7f7fffff)
		tie := (float64(a) + float64(math.Nextafter32(a, math.MaxFloat32))) / 2
		for range rng.IntN(3) {
			tie = math.Nextafter(tie, float64(rng.IntN(3)-1)*math.MaxFloat64)
		}
		return strconv.FormatFloat(tie, 'e', []int{-1, 17, 20, 30}[rng.IntN(4)], 64)
	case 6:
		return strconv.FormatInt(int64(rng.Uint64())>>rng.IntN(64), 10)
	case 7: // just beside a tie, in the digits that are dropped
		a := float32(rng.IntN(1<<24)) + 1<<23
		return fmt.Sprintf("%.1f%s%d", float64(a)+0.5, strings.Repeat("0", rng.IntN(20)), rng.IntN(2))
	case 8: // beside a tie below 10, with as many digits as are read in words
		a := float32(1 + 8*rng.Float64())
		tie := (float64(a) + float64(math.Nextafter32(a, 0))) / 2
		return strconv.FormatFloat(tie, 'f', 14+rng.IntN(8), 64)
	default:
		return fmt.Sprintf("%de%d", rng.Uint64()>>rng.IntN(64), rng.IntN(100)-60)
	}
}

func TestArrayAgainstStrconv(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 100_000 {
		text := randomNumber(rng)
		want, err := strconv.ParseFloat(text, 32)
		for _, after := range []string{"", tail} {
			got, _, ok := Array([]byte("["+text+"]"+after), 0)
			if (err == nil) != ok {
				t.Fatalf("%s: %v, strconv says %v", text, ok, err)
			}
			if ok && math.Float32bits(got[0]) != math.Float32bits(float32(want)) {
				t.Fatalf("%s: %v, strconv says %v", text, got[0], float32(want))
			}
		}
	}
}

// FuzzArray holds the reader against encoding/json and strconv, in the middle of a
// text and at its end, where other code reads.
func FuzzArray(f *testing.F) {
	for _, seed := range []string{`[1,2.5,-3e-5]`, `[]`, `[1e39]`, `[0.1,`, `[00]`, `[-]`, `[1]x`, `[ 1 ] `, `[9007199791611905,0.30000001192092896]`,
		`[12345678901234567890123e-30]`, `[0.12345678,-0.123456789, 1.12345678901234567]`, `[1.00000005960464477539]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, end, ok := Array(in, 0)
		long, longEnd, longOK := Array([]byte(string(in)+tail), 0)
		if ok && (!longOK || longEnd != end || !sameBits(got, long)) {
			t.Fatalf("%q: %v to %d, but %v to %d, %v where more follows", in, got, end, long, longEnd, longOK)
		}
		if !ok {
			want, valid := byStrconv(in)
			if valid && in[0] == '[' {
				t.Fatalf("%q: refused, want %v", in, want)
			}
			return
		}
		if want, valid := byStrconv(in[:end]); !valid || !sameBits(got, want) {
			t.Fatalf("%q: %v, want %v, %v", in[:end], got, want, valid)
		}
	})
}

func byStrconv(text []byte) (v []float32, valid bool) {
	var elements []json.RawMessage
	if json.Unmarshal(text, &elements) != nil {
		return nil, false
	}
	for _, element := range elements {
		if strings.IndexByte("-0123456789", element[0]) < 0 {
			return nil, false
		}
		f, err := strconv.ParseFloat(string(element), 32)
		if err != nil {
			return nil, false
		}
		v = append(v, float32(f))
	}
	return v, len(v) > 0
}
