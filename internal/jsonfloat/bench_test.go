package jsonfloat

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

func BenchmarkArray(b *testing.B) {
	for _, form := range []struct {
		name string
		bits int
		verb byte
		gap  string
	}{{"shortest32", 32, 'g', ","}, {"shortest64", 64, 'g', ", "}, {"exponent", 32, 'e', ","}} {
		rng := rand.New(rand.NewPCG(1, 2))
		texts := make([][]byte, 500)
		for t := range texts {
			text := []byte{'['}
			for n := range 512 {
				if n > 0 {
					text = append(text, form.gap...)
				}
				text = strconv.AppendFloat(text, float64(float32(rng.NormFloat64()*0.044)), form.verb, -1, form.bits)
			}
			text = append(text, "]}"...)
			texts[t] = text
		}
		i := 0
		b.Run(form.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				text := texts[i%len(texts)]
				i++
				if _, _, ok := Array(text, 0); !ok {
					b.Fatal("refused")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/512, "ns/number")
		})
	}
}
