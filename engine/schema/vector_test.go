package schema

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/internal/errs"
)

func TestParseVector(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []float32
	}{
		{`[1]`, []float32{1}},
		{" [ 1 ,\t-2.5\n, 1e2 ] ", []float32{1, -2.5, 100}},
		{`[0,-0,0.0,0e10,-0.0e-5]`, []float32{0, float32(math.Copysign(0, -1)), 0, 0, float32(math.Copysign(0, -1))}},
		{`[3.4028234663852886e38,-3.4028235e38,3.40282356e38]`, []float32{math.MaxFloat32, -math.MaxFloat32, math.MaxFloat32}},
		{`[1e-45,1e-46,1.17549435e-38,5e-324]`, []float32{math.SmallestNonzeroFloat32, 0, 0x1p-126, 0}},
		{`[16777217,16777219,33554434.0]`, []float32{16777216, 16777220, 33554434}},
		{`[0.10000000000000000000000000000000000001]`, []float32{0.1}},
		{`[123456789012345678901234567890]`, []float32{123456789012345678901234567890}},
		{`{"b64":"AACAPwAAAEA="}`, []float32{1, 2}},
		{` { "\u006264" : "AACAPwAAAE\u0041=" } `, []float32{1, 2}},
	} {
		got, err := ParseVector([]byte(c.in))
		if err != nil || !sameBits(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.in, got, err, c.want)
		}
	}
}

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

func TestParseVectorRefuses(t *testing.T) {
	nan := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0), 0x7fc00001)
	for _, c := range []struct{ in, pointer string }{
		{``, ""}, {` `, ""}, {`1`, ""}, {`"x"`, ""}, {`null`, ""},
		{`[]`, ""}, {`[ ]`, ""}, {`[`, ""}, {`[1`, ""}, {`[1,`, ""}, {`[1 2]`, ""}, {`[1]]`, ""}, {`[1],`, ""},
		{`[,1]`, "/0"}, {`[1,]`, "/1"}, {`[1,null]`, "/1"}, {`[1,"2"]`, "/1"}, {`[[1]]`, "/0"}, {`[true]`, "/0"}, {`[{}]`, "/0"},
		{`[NaN]`, "/0"}, {`[1,Infinity]`, "/1"}, {`[-]`, "/0"}, {`[+1]`, "/0"}, {`[.5]`, "/0"}, {`[1.]`, "/0"}, {`[01]`, "/0"},
		{`[1e]`, "/0"}, {`[1e+]`, "/0"}, {`[0,0,1e39]`, "/2"}, {`[3.5e38]`, "/0"}, {`[-1e999]`, "/0"}, {`[1e99999999999999999999]`, "/0"},
		{`{}`, "/b64"}, {`{"b64":1}`, "/b64"}, {`{"b64":""}`, "/b64"}, {`{"b64":"AAA="}`, "/b64"}, {`{"b64":"!"}`, "/b64"},
		{`{"b64":"AACAPw==","x":1}`, ""}, {`{"b64":`, ""}, {`{"b64":"AACAPw=="} 1`, ""},
		{`{"b64":"` + base64.StdEncoding.EncodeToString(nan) + `"}`, "/1"},
	} {
		got, err := ParseVector([]byte(c.in))
		if errs.CodeOf(err) != "invalid_vector" || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v, %v", c.in, got, err)
			continue
		}
		if p := pointerOf(err); p != c.pointer {
			t.Errorf("%s: pointer %q, want %q (%v)", c.in, p, c.pointer, err)
		}
	}
}

// randomNumber writes numbers the way clients do, and ones near the ties
// between two float32 values, where rounding twice goes wrong.
func randomNumber(rng *rand.Rand) string {
	f := rng.NormFloat64()
	switch rng.IntN(9) {
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
	default:
		return fmt.Sprintf("%de%d", rng.Uint64()>>rng.IntN(64), rng.IntN(100)-60)
	}
}

func TestParseVectorAgainstStrconv(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 100_000 {
		text := randomNumber(rng)
		want, err := strconv.ParseFloat(text, 32)
		got, gotErr := ParseVector([]byte("[" + text + "]"))
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("%s: %v, strconv says %v", text, gotErr, err)
		}
		if err == nil && math.Float32bits(got[0]) != math.Float32bits(float32(want)) {
			t.Fatalf("%s: %v, strconv says %v", text, got[0], float32(want))
		}
	}
}

func FuzzParseVector(f *testing.F) {
	for _, seed := range []string{`[1,2.5,-3e-5]`, `[]`, `{"b64":"AACAPw=="}`, `[1e39]`, `[0.1,`, `[00]`, `[-]`, `[1]x`, `{"b64":"AA`, ` [ 1 ] `,
		`[9007199791611905,0.30000001192092896]`, `[12345678901234567890123e-30]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := ParseVector(in)
		var numbers []json.Number
		if jsonErr := json.Unmarshal(in, &numbers); jsonErr != nil {
			if err == nil && !json.Valid(in) {
				t.Fatalf("%q accepted", in)
			}
			return
		}
		var want []float32
		valid := len(numbers) > 0
		for _, n := range numbers {
			v, err := strconv.ParseFloat(n.String(), 32)
			valid = valid && err == nil && n != "" // null leaves it empty
			want = append(want, float32(v))
		}
		if strings.ContainsRune(string(in), '"') { // encoding/json takes "1" for a number
			return
		}
		if valid != (err == nil) || valid && !sameBits(got, want) {
			t.Fatalf("%q: %v, %v, want %v", in, got, err, want)
		}
	})
}

func TestFloatVectorInBody(t *testing.T) {
	var body struct {
		Vector  FloatVector   `json:"vector"`
		Vectors []FloatVector `json:"vectors"`
		K       int           `json:"k"`
	}
	err := jsonv2.Unmarshal([]byte(`{"vector":[1,2],"vectors":[{"b64":"AACAPw=="},[3]],"k":5}`), &body)
	if err != nil || !sameBits(body.Vector, []float32{1, 2}) || !sameBits(body.Vectors[0], []float32{1}) || body.K != 5 {
		t.Fatalf("%+v, %v", body, err)
	}
	if err := jsonv2.Unmarshal([]byte(`{"vector":[1,"2"]}`), &body); err == nil || !strings.Contains(err.Error(), "element 1") {
		t.Errorf("the error %v doesn't name the element", err)
	}
}

// benchmarkVector is a 768-d body as a client that works in float32 writes it
// (digits -1) or in float64 after a conversion.
func benchmarkVector(bits int) []byte {
	rng := rand.New(rand.NewPCG(11, 12))
	b := []byte{'['}
	for i := range 768 {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(float32(rng.NormFloat64()/20)), 'g', -1, bits)
	}
	return append(b, ']')
}

func BenchmarkVector768(b *testing.B) {
	for _, bits := range []int{32, 64} {
		body := benchmarkVector(bits)
		bench := func(name string, fn func() error) {
			b.Run(fmt.Sprintf("%s/float%d", name, bits), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := fn(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		bench("ParseVector", func() error { _, err := ParseVector(body); return err })
		bench("FloatVector", func() error { var v FloatVector; return jsonv2.Unmarshal(body, &v) })
		bench("jsonv2", func() error { var v []float32; return jsonv2.Unmarshal(body, &v) })
		bench("encodingjson", func() error { var v []float32; return json.Unmarshal(body, &v) })
	}
}
