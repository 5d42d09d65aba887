package schema

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// ascending holds JSON texts in strictly ascending order of their values.
var ascending = []string{
	`null`, `false`, `true`,
	`-1.7976931348623157e308`, `-1e308`, `-9223372036854777856`, `-9223372036854775808`, `-9223372036854775807`,
	`-9007199254740993`, `-9007199254740992`, `-2.5`, `-2`, `-1`, `-1e-300`, `-5e-324`, `0`,
	`5e-324`, `0.1`, `0.5`, `1`, `1.0000000000000002`, `2`, `9007199254740991`, `9007199254740992`,
	`9007199254740993`, `9007199254740994`, `9223372036854775806`, `9223372036854775807`, `9223372036854775808`,
	`1e19`, `1e308`, `1.7976931348623157e308`,
	`""`, `"\u0000"`, `"\u0000a"`, `"A"`, `"a"`, `"a\u0000"`, `"a\u0000b"`, `"aa"`, `"b"`, `"é"`, `"\uffff"`, `"\ud83d\ude00"`,
	`{}`,
}

func mustParse(t *testing.T, text string) Value {
	t.Helper()
	v, err := ParseValue([]byte(text))
	if err != nil {
		t.Fatalf("ParseValue(%s): %v", text, err)
	}
	return v
}

func TestValueOrder(t *testing.T) {
	for i, a := range ascending {
		for j, b := range ascending {
			checkOrder(t, mustParse(t, a), mustParse(t, b), sign(i-j))
		}
	}
}

// checkOrder holds Compare, == and the terms against one order.
func checkOrder(t *testing.T, a, b Value, want int) {
	t.Helper()
	if got := Compare(a, b); got != want {
		t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
	}
	if got := bytes.Compare(a.AppendTerm(nil), b.AppendTerm(nil)); got != want {
		t.Errorf("terms of %v and %v compare as %d, want %d", a, b, got, want)
	}
	if (a == b) != (want == 0) {
		t.Errorf("%v == %v is %v, but they compare as %d", a, b, a == b, want)
	}
}

func sign(n int) int { return max(-1, min(n, 1)) }

func TestEqualNumbers(t *testing.T) {
	for _, same := range [][]string{
		{`1`, `1.0`, `1e0`, `10e-1`, `0.1e1`},
		{`0`, `-0`, `-0.0`, `0e5`, `1e-400`},
		{`100`, `1e2`, `1E+2`},
		{`-9223372036854775808`, `-9223372036854775808.0`},
		{`9223372036854775808`, `9223372036854775808.0`},
	} {
		for _, text := range same {
			checkOrder(t, mustParse(t, same[0]), mustParse(t, text), 0)
		}
	}
}

// TestNumbersAgainstBig compares random numbers, many of them neighbours, with
// exact arithmetic.
func TestNumbersAgainstBig(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() (Value, *big.Float) {
		exact := func() *big.Float { return new(big.Float).SetPrec(64) }
		i := int64(rng.Uint64()) >> rng.IntN(64)
		if rng.IntN(3) == 0 {
			i = int64(1)<<rng.IntN(63) + int64(rng.IntN(5)) - 2
		}
		if rng.IntN(2) == 0 {
			return IntOf(i), exact().SetInt64(i)
		}
		f := float64(i)
		switch rng.IntN(4) {
		case 0:
			f = math.Float64frombits(rng.Uint64())
		case 1:
			f = math.Nextafter(f, float64(rng.IntN(3)-1)*math.MaxFloat64)
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 0.5
		}
		return FloatOf(f), exact().SetFloat64(f)
	}
	for range 50_000 {
		a, exactA := random()
		b, exactB := random()
		checkOrder(t, a, b, exactA.Cmp(exactB))
		if t.Failed() {
			return
		}
	}
}

func TestValueAccessors(t *testing.T) {
	if v := mustParse(t, `true`); !v.Bool() || v.Kind() != KindBool {
		t.Error("true is not true")
	}
	if i, ok := mustParse(t, `9223372036854775807`).Int(); !ok || i != math.MaxInt64 {
		t.Errorf("max int64 is %d, %v", i, ok)
	}
	if _, ok := mustParse(t, `9223372036854775808`).Int(); ok {
		t.Error("2^63 is no int64")
	}
	if _, ok := mustParse(t, `1.5`).Int(); ok {
		t.Error("1.5 is no int64")
	}
	if f := mustParse(t, `9223372036854775808`).Float(); f != 1<<63 {
		t.Errorf("2^63 as float is %v", f)
	}
	if s := mustParse(t, `"a\nb"`).Text(); s != "a\nb" {
		t.Errorf("text is %q", s)
	}
	if v := mustParse(t, `[1]`); v != Object() {
		t.Errorf("an array is %v", v)
	}
	for k, name := range map[Kind]string{KindNull: "null", KindObject: "object", 99: "kind(99)"} {
		if k.String() != name {
			t.Errorf("kind %d is %q, want %q", k, k.String(), name)
		}
	}
}

func TestParseValueRefuses(t *testing.T) {
	for _, text := range []string{``, ` `, `nul`, `1 2`, `1e999`, `-1e999`, `NaN`, `+1`, `01`, `"`, `"\ud800"`, "\"\xff\"", `{"a":1,"a":2}`} {
		if v, err := ParseValue([]byte(text)); err == nil {
			t.Errorf("ParseValue(%q) = %v", text, v)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, text := range ascending {
		f.Add([]byte(text))
	}
	f.Add([]byte(" 1e400 "))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ParseValue(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("accepted %q", text)
		}
		again, err := ParseValue([]byte(v.String()))
		if err != nil || again != v {
			t.Fatalf("%q is %v, its JSON is %v (%v)", text, v, again, err)
		}
	})
}
