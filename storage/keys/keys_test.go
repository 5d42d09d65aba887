package keys

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// golden holds the bytes on disk. A change here is a format change: it needs a
// new format stamp and a migration.
var golden = []struct {
	name string
	term []byte
	want string
}{
	{"missing", AppendMissing(nil), "01"},
	{"null", AppendNull(nil), "10"},
	{"false", AppendBool(nil, false), "20"},
	{"true", AppendBool(nil, true), "21"},
	{"-max float", AppendFloat(nil, -math.MaxFloat64), "3000100000000000008000"},
	{"min int64", AppendInt(nil, math.MinInt64), "303c1fffffffffffff8000"},
	{"min int64 + 1", AppendInt(nil, math.MinInt64+1), "303c1fffffffffffff8001"},
	{"-1", AppendInt(nil, -1), "30400fffffffffffff8000"},
	{"-tiny", AppendFloat(nil, -math.SmallestNonzeroFloat64), "307ffffffffffffffe8000"},
	{"0", AppendInt(nil, 0), "3080000000000000008000"},
	{"tiny", AppendFloat(nil, math.SmallestNonzeroFloat64), "3080000000000000018000"},
	{"1", AppendInt(nil, 1), "30bff00000000000008000"},
	{"1.5", AppendFloat(nil, 1.5), "30bff80000000000008000"},
	{"2^53", AppendInt(nil, 1<<53), "30c3400000000000008000"},
	{"2^53+1", AppendInt(nil, 1<<53+1), "30c3400000000000008001"},
	{"max int64", AppendInt(nil, math.MaxInt64), "30c3e00000000000007fff"},
	{"2^63", AppendFloat(nil, 1<<63), "30c3e00000000000008000"},
	{"empty string", AppendString(nil, ""), "400001"},
	{"zero byte", AppendString(nil, "\x00"), "4000ff0001"},
	{"a", AppendString(nil, "a"), "40610001"},
	{"a, zero, b", AppendString(nil, "a\x00b"), "406100ff620001"},
	{"ab", AppendString(nil, "ab"), "4061620001"},
	{"é", AppendString(nil, "é"), "40c3a90001"},
	{"object", AppendObject(nil), "50"},
}

func TestGoldenTerms(t *testing.T) {
	for i, g := range golden {
		if got := hex.EncodeToString(g.term); got != g.want {
			t.Errorf("%s: %s, want %s", g.name, got, g.want)
		}
		if i > 0 && bytes.Compare(golden[i-1].term, g.term) >= 0 {
			t.Errorf("%s does not sort before %s", golden[i-1].name, g.name)
		}
	}
}

func TestGoldenKeys(t *testing.T) {
	for _, g := range []struct{ name, got, want string }{
		{"scope", string(AppendScope(nil, 0x01020304)), "01020304"},
		{"entity", string(AppendEntity(nil, 7, 258)), "0000000700000102"},
		{"pk", string(AppendPK(nil, 7, "alice")), "00000007616c696365"},
		{"term", string(AppendTerm(nil, 9, AppendNull(nil), 258)), "000000091000000102"},
		{"samples", string(AppendSamples(nil, 9, 2)), "0000000902"},
		{"vector", string(AppendVector(nil, 9, 258)), "0000000900000102"},
		{"seq", string(AppendSeq(nil, 258)), "0000000000000102"},
	} {
		if got := hex.EncodeToString([]byte(g.got)); got != g.want {
			t.Errorf("%s: %s, want %s", g.name, got, g.want)
		}
	}
}

func TestSplit(t *testing.T) {
	if table, id, err := SplitID(AppendEntity(nil, 7, 258)); table != 7 || id != 258 || err != nil {
		t.Error(table, id, err)
	}
	term := AppendString(nil, "x\x00y")
	index, got, id, err := SplitTerm(AppendTerm(nil, 9, term, math.MaxUint32))
	if index != 9 || !bytes.Equal(got, term) || id != math.MaxUint32 || err != nil {
		t.Error(index, got, id, err)
	}
	if table, pk, err := SplitPK(AppendPK(nil, 7, "alice")); table != 7 || string(pk) != "alice" || err != nil {
		t.Error(table, pk, err)
	}
	if seq, err := SplitSeq(AppendSeq(nil, 1<<40)); seq != 1<<40 || err != nil {
		t.Error(seq, err)
	}
	for _, short := range [][]byte{nil, {1}, {1, 2, 3}} {
		_, _, idErr := SplitID(short)
		_, _, _, termErr := SplitTerm(short)
		_, _, pkErr := SplitPK(short)
		_, seqErr := SplitSeq(short)
		if idErr == nil || termErr == nil || pkErr == nil || seqErr == nil {
			t.Errorf("%x is taken for a key", short)
		}
	}
}

// number is an exact value with its term, for the cross-kind order tests.
type number struct {
	exact *big.Float
	term  []byte
}

func intNumber(v int64) number {
	return number{new(big.Float).SetPrec(2048).SetInt64(v), AppendInt(nil, v)}
}

func floatNumber(v float64) number {
	return number{new(big.Float).SetPrec(2048).SetFloat64(v), AppendFloat(nil, v)}
}

// TestNumbersCompareExactly holds every pair of awkward int64 and float64
// values against arbitrary-precision arithmetic.
func TestNumbersCompareExactly(t *testing.T) {
	var numbers []number
	for shift := range 64 {
		for delta := int64(-1030); delta <= 1030; delta += 103 {
			numbers = append(numbers, intNumber(1<<shift+delta), intNumber(-1<<shift+delta))
		}
		for _, f := range []float64{math.Ldexp(1, shift), -math.Ldexp(1, shift), math.Ldexp(1, -shift)} {
			numbers = append(numbers, floatNumber(f), floatNumber(math.Nextafter(f, math.Inf(1))),
				floatNumber(math.Nextafter(f, math.Inf(-1))))
		}
	}
	slices.SortFunc(numbers, func(a, b number) int { return a.exact.Cmp(b.exact) })
	for i := 1; i < len(numbers); i++ {
		a, b := numbers[i-1], numbers[i]
		if got, want := bytes.Compare(a.term, b.term), a.exact.Cmp(b.exact); got != want {
			t.Fatalf("%v and %v compare as %d, want %d", a.exact, b.exact, got, want)
		}
	}
}

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"ff", ""}, {"ffff", ""}, {"00", "01"}, {"01ff", "02"}, {"01ffff", "02"}, {"0102", "0103"},
	} {
		in, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(PrefixEnd(in)); got != c.want {
			t.Errorf("PrefixEnd(%s) = %s, want %s", c.in, got, c.want)
		}
	}
	if PrefixEnd([]byte{0xFF}) != nil {
		t.Error("there is no key beyond every FF")
	}
}

// FuzzStrings: order, prefix-freedom, concatenation and prefix bytes of any two
// strings.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "a", "ab", "\x00", "a\x00", "a\x00b", "a\x01", "\xff", "é", "a\x00\xff", "\x00\x01"} {
		f.Add(s, "a")
		f.Add("a\x00", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ta, tb := AppendString(nil, a), AppendString(nil, b)
		if got, want := bytes.Compare(ta, tb), strings.Compare(a, b); got != want {
			t.Fatalf("%q and %q compare as %d, want %d", a, b, got, want)
		}
		if a != b && bytes.HasPrefix(ta, tb) {
			t.Fatalf("the term of %q is a prefix of that of %q", b, a)
		}
		prefix := AppendStringPrefix(nil, b)
		if got, want := bytes.HasPrefix(ta, prefix), strings.HasPrefix(a, b); got != want {
			t.Fatalf("%q has the prefix %q: %v by its term", a, b, got)
		}
		if end := PrefixEnd(prefix); (bytes.Compare(ta, prefix) >= 0 && bytes.Compare(ta, end) < 0) != strings.HasPrefix(a, b) {
			t.Fatalf("[prefix, PrefixEnd) of %q is wrong for %q", b, a)
		}
		pair := AppendString(AppendString(nil, a), b)
		first, rest, err := Decode(pair)
		if err != nil || first.Str != a {
			t.Fatalf("%q decodes as %v, %v", a, first, err)
		}
		second, rest, err := Decode(rest)
		if err != nil || second.Str != b || len(rest) != 0 {
			t.Fatalf("%q decodes as %v, %v with %d bytes left", b, second, err, len(rest))
		}
	})
}

// FuzzNumbers: any int64 against any float64 and int64, exactly.
func FuzzNumbers(f *testing.F) {
	for _, v := range []int64{0, 1, -1, 1 << 53, 1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64, math.MaxInt64 - 511, math.MaxInt64 - 512} {
		f.Add(v, float64(v), v+1)
	}
	f.Fuzz(func(t *testing.T, i int64, x float64, j int64) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			t.Skip("JSON has neither NaN nor infinity")
		}
		a, b, c := intNumber(i), floatNumber(x), intNumber(j)
		if bytes.Compare(a.term, b.term) != a.exact.Cmp(b.exact) {
			t.Fatalf("%d and %v compare as %d", i, x, bytes.Compare(a.term, b.term))
		}
		if bytes.Compare(a.term, c.term) != cmp.Compare(i, j) {
			t.Fatalf("%d and %d compare as %d", i, j, bytes.Compare(a.term, c.term))
		}
		if v, rest, err := Decode(a.term); err != nil || !v.IsInt || v.Int != i || len(rest) != 0 {
			t.Fatalf("%d decodes as %+v, %v", i, v, err)
		}
		if v, rest, err := Decode(b.term); err != nil || v.Float != x || len(rest) != 0 {
			t.Fatalf("%v decodes as %+v, %v", x, v, err)
		}
	})
}

// FuzzDecode: whatever Decode accepts encodes back to the same bytes, so there
// is one spelling of each value.
func FuzzDecode(f *testing.F) {
	for _, g := range golden {
		f.Add(g.term)
	}
	f.Add([]byte{byte(Number), 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 0x00}) // -0
	f.Add([]byte{byte(Number), 0xff, 0xf8, 0, 0, 0, 0, 0, 0, 0x80, 0x00})                   // NaN
	f.Fuzz(func(t *testing.T, term []byte) {
		v, rest, err := Decode(term)
		if err != nil {
			t.Skip()
		}
		if v.String() == "" {
			t.Fatalf("%+v has no text", v)
		}
		again := appendValue(nil, v)
		if !bytes.Equal(append(again, rest...), term) {
			t.Fatalf("%x decodes as %+v, which encodes as %x", term, v, again)
		}
	})
}

func appendValue(dst []byte, v Value) []byte {
	switch {
	case v.Kind == String:
		return AppendString(dst, v.Str)
	case v.IsInt:
		return AppendInt(dst, v.Int)
	case v.Kind == Number:
		return AppendFloat(dst, v.Float)
	}
	return append(dst, byte(v.Kind))
}
