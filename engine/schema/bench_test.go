package schema

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// benchmarkDocument is an entity with a few fields around a 768-d vector.
func benchmarkDocument(b *testing.B) []byte {
	b.Helper()
	doc := fmt.Sprintf(`{"title":"A title of some length","lang":"en","year":1999,"tags":["a","b","c"],"embedding":%s,"price":12.5,"author":{"name":"Someone"}}`, benchmarkVector(32))
	compacted, err := ValidateDocument([]byte(doc))
	if err != nil {
		b.Fatal(err)
	}
	return compacted
}

func BenchmarkValidateDocument(b *testing.B) {
	doc := benchmarkDocument(b)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ValidateDocument(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExtract(b *testing.B) {
	doc := benchmarkDocument(b)
	for name, paths := range map[string][]string{"before": {"lang", "year"}, "after": {"price", "author.name"}} {
		x := NewExtractor(paths...)
		var out Extracted
		b.Run(name+"Vector", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := x.Extract(doc, &out); err != nil {
					b.Fatal(err)
				}
				out.Values(0)
				out.Values(1)
			}
		})
	}
	// What a validating decoder needs only to skip through.
	b.Run("jsontextSkip", func(b *testing.B) {
		r := bytes.NewReader(doc)
		dec := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true))
		for b.Loop() {
			r.Reset(doc)
			dec.Reset(r, jsontext.AllowDuplicateNames(true))
			if err := dec.SkipValue(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStrip(b *testing.B) {
	doc := benchmarkDocument(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Without([]string{"embedding"}).Of(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMergePatch(b *testing.B) {
	doc := benchmarkDocument(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := MergePatch(doc, []byte(`{"year":2000,"author":{"name":"Other"}}`)); err != nil {
			b.Fatal(err)
		}
	}
}
