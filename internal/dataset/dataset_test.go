package dataset

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func collect(t *testing.T, words iter.Seq2[Word, error]) []Word {
	t.Helper()
	var all []Word
	for w, err := range words {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func TestFvecsGolden(t *testing.T) {
	m := Matrix{Dim: 2, Data: []float32{1, -2, 0.5, float32(math.Inf(1))}}
	var b bytes.Buffer
	if err := WriteFvecs(&b, m); err != nil {
		t.Fatal(err)
	}
	const golden = "02000000" + "0000803f" + "000000c0" + "02000000" + "0000003f" + "0000807f"
	if got := hex.EncodeToString(b.Bytes()); got != golden {
		t.Fatalf("got %s, want %s", got, golden)
	}
	one, err := ReadFvecs(bytes.NewReader(b.Bytes()), 1)
	if err != nil || one.Len() != 1 || !slices.Equal(one.Row(0), m.Row(0)) {
		t.Fatalf("the first vector is %v, %v", one, err)
	}
}

func TestVecsRefused(t *testing.T) {
	for name, file := range map[string]string{
		"cut short":         "\x02\x00\x00\x00\x00\x00\x80\x3f",
		"cut in the length": "\x01\x00\x00\x00\x00\x00\x80\x3f\x01\x00",
		"other dimension":   "\x01\x00\x00\x00abcd\x02\x00\x00\x00abcdabcd",
		"no dimension":      "\x00\x00\x00\x00",
		"another kind":      "{\"a\": 1, \"b\": 2}",
	} {
		if m, err := ReadFvecs(strings.NewReader(file), 0); err == nil {
			t.Errorf("%s: read as %v", name, m)
		}
	}
}

func FuzzFvecs(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00abcd\x01\x00\x00\x00efgh"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := ReadFvecs(bytes.NewReader(file), 0)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteFvecs(&again, m); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), file) {
			t.Fatalf("%x was read and written as %x", file, again.Bytes())
		}
	})
}

func FuzzIvecs(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00abcd\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, err := ReadIvecs(bytes.NewReader(file), 0)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteIvecs(&again, rows); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), file) {
			t.Fatalf("%x was read and written as %x", file, again.Bytes())
		}
	})
}

func TestSyntheticIsReproducible(t *testing.T) {
	base, queries := Synthetic{Dim: 7, Clusters: 3, Seed: 1}.Make(20, 4)
	if base.Len() != 20 || queries.Len() != 4 || queries.Dim != 7 {
		t.Fatalf("got %d and %d vectors of dimension %d", base.Len(), queries.Len(), queries.Dim)
	}
	var b bytes.Buffer
	if err := WriteFvecs(&b, base); err != nil {
		t.Fatal(err)
	}
	if err := WriteFvecs(&b, queries); err != nil {
		t.Fatal(err)
	}
	const golden = 0xecf22115
	if got := crc32.ChecksumIEEE(b.Bytes()); got != golden {
		t.Errorf("seed 1 now makes other vectors: checksum %#x, it was %#x", got, golden)
	}
	other, _ := Synthetic{Dim: 7, Clusters: 3, Seed: 2}.Make(20, 4)
	if reflect.DeepEqual(base, other) {
		t.Error("two seeds make the same vectors")
	}
}

func TestWordsGolden(t *testing.T) {
	words := []Word{
		{Text: "king", Rank: 1, Vector: []float32{1.27, -0.635, 0}},
		{Text: "of", Rank: 2, Vector: []float32{0, 0, 0}},
	}
	var b bytes.Buffer
	if err := WriteWords(&b, words); err != nil {
		t.Fatal(err)
	}
	const golden = "5457524401000000" + "02000000" + "03000000" + "ee79857c" +
		"04" + "6b696e67" + "0ad7233c" + "7fc000" +
		"02" + "6f66" + "00000000" + "000000"
	if got := hex.EncodeToString(b.Bytes()); got != golden {
		t.Errorf("got  %s\nwant %s", got, golden)
	}
	got := collect(t, ReadWords(bytes.NewReader(b.Bytes())))
	want := slices.Clone(words)
	want[0].Vector = []float32{1.27, -0.64, 0} // 63.5 steps of 0.01 round to the even 64
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDamagedWordsRefused(t *testing.T) {
	var b bytes.Buffer
	err := WriteWords(&b, []Word{{Text: "a", Vector: []float32{1, 2}}, {Text: "bc", Vector: []float32{-1, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * b.Len() {
		damaged := bytes.Clone(b.Bytes())
		damaged[bit/8] ^= 1 << (bit % 8)
		if err := lastError(ReadWords(bytes.NewReader(damaged))); err == nil {
			t.Errorf("read in spite of a flipped bit in byte %d", bit/8)
		}
	}
	for n := range b.Len() {
		if err := lastError(ReadWords(bytes.NewReader(b.Bytes()[:n]))); err == nil {
			t.Errorf("read the first %d of %d bytes", n, b.Len())
		}
	}
}

func lastError(words iter.Seq2[Word, error]) error {
	var last error
	for _, err := range words {
		last = err
	}
	return last
}

// FuzzWords reads bodies whose checksum is right and whose content is anything.
func FuzzWords(f *testing.F) {
	f.Add(uint32(1), uint32(2), []byte("\x01a\x00\x00\x80\x3f\x01\xff"))
	f.Add(uint32(2), uint32(1), []byte("\xff"))
	f.Add(uint32(1<<31), uint32(1), []byte{})
	f.Fuzz(func(t *testing.T, count, dim uint32, body []byte) {
		file := []byte(wordsMagic)
		file = binary.LittleEndian.AppendUint32(file, count)
		file = binary.LittleEndian.AppendUint32(file, dim)
		file = binary.LittleEndian.AppendUint32(file, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		size, n := 0, uint32(0)
		for w, err := range ReadWords(bytes.NewReader(append(file, body...))) {
			if err != nil {
				return
			}
			n++
			size += 1 + len(w.Text) + 4 + len(w.Vector)
		}
		if n != count || size != len(body) {
			t.Fatalf("%d words of %d bytes came from %d of %d bytes", n, size, count, len(body))
		}
	})
}

func TestReadWink(t *testing.T) {
	const file = `{"precision":8,"size":4,"dimensions":2,"words":["the",",","a","b"],
		"vectors":{"the":[0.5,-1,1.118,0],",":[1,1,1,1],"a":[1e-1,2,2.1,2],"b":[1,1,1,3]},"unkVector":[0,0,0,-1]}`
	got := collect(t, ReadWink(strings.NewReader(file)))
	want := []Word{{"the", 1, []float32{0.5, -1}}, {"a", 2, []float32{0.1, 2}}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	all := collect(t, ReadWinkAll(strings.NewReader(file)))
	if len(all) != 4 || all[1].Text != "," || all[3].Text != "b" || all[3].Rank != 4 {
		t.Errorf("without leaving out any: got %v", all)
	}
}

func TestReadWinkRefused(t *testing.T) {
	for name, file := range map[string]string{
		"no object":       `[]`,
		"no vectors":      `{"dimensions":2}`,
		"no dimension":    `{"vectors":{"the":[1,2]}}`,
		"odd dimension":   `{"dimensions":"2","vectors":{}}`,
		"too short":       `{"dimensions":2,"vectors":{"the":[1]}}`,
		"no number":       `{"dimensions":2,"vectors":{"the":[1,"2"]}}`,
		"out of range":    `{"dimensions":2,"vectors":{"the":[1,1e99]}}`,
		"cut in a vector": `{"dimensions":2,"vectors":{"the":[1,`,
		"cut in a word":   `{"dimensions":2,"vectors":{"the":[1,2],"o`,
	} {
		if lastError(ReadWink(strings.NewReader(file))) == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

// TestEnglishWords holds that the words which the repository ships are there
// and mean what they mean.
func TestEnglishWords(t *testing.T) {
	words := collect(t, EnglishWords())
	if len(words) != 20_000 || words[0].Text != "the" || len(words[0].Vector) != 100 {
		t.Fatalf("%d words, the first is %q of dimension %d", len(words), words[0].Text, len(words[0].Vector))
	}
	position := map[string]int{}
	for i, w := range words {
		position[w.Text] = i
	}
	if len(position) != len(words) {
		t.Errorf("%d of %d words are different", len(position), len(words))
	}
	for text, want := range map[string][]string{
		"king":   {"prince", "queen", "son"},
		"coffee": {"tea", "drinks", "beer"},
		"paris":  {"france", "london", "brussels"},
	} {
		if got := nearestWords(words, words[position[text]], 3); !slices.Equal(got, want) {
			t.Errorf("nearest to %s are %v, want %v", text, got, want)
		}
	}
}

func nearestWords(words []Word, query Word, k int) []string {
	ranked := slices.Clone(words)
	slices.SortFunc(ranked, func(a, b Word) int {
		return cmp.Compare(cosine(query.Vector, b.Vector), cosine(query.Vector, a.Vector))
	})
	var texts []string
	for _, w := range ranked[1 : k+1] {
		texts = append(texts, w.Text)
	}
	return texts
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}
