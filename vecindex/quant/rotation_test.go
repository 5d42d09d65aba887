package quant_test

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/vccdb/vccdb/vecindex/quant"
)

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

var shapes = []struct{ dim, padded int }{
	{1, 1}, {1, 2}, {2, 2}, {2, 3}, {3, 3}, {5, 5}, {7, 16}, {31, 31}, {64, 64}, {65, 65}, {100, 100}, {100, 128},
	{100, 256}, {128, 128}, {300, 320}, {511, 511}, {768, 768}, {960, 960}, {1536, 1536}, {4095, 4095}, {4096, 4096},
}

// TestRotationIsAnIsometry: lengths and angles stay what they were.
func TestRotationIsAnIsometry(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range shapes {
		r := quant.NewRotation(s.dim, s.padded, 7)
		a, b := random(rng, s.dim+3), random(rng, s.dim)
		for i := range min(s.dim, 3) { // a spike, as sparse vectors have
			a[i] *= 100
		}
		ra, rb := make([]float32, s.padded), make([]float32, s.padded)
		r.Apply(ra, a) // what is behind the dimension doesn't count
		copy(rb, b)
		r.Apply(rb, rb) // in place
		a = a[:s.dim]
		size := math.Sqrt(dot(a, a) * dot(b, b))
		for _, c := range []struct{ got, want, size float64 }{
			{dot(ra, ra), dot(a, a), dot(a, a)}, {dot(rb, rb), dot(b, b), dot(b, b)}, {dot(ra, rb), dot(a, b), size},
		} {
			if math.Abs(c.got-c.want) > 1e-5*c.size {
				t.Errorf("%d into %d: the product is %v, was %v", s.dim, s.padded, c.got, c.want)
			}
		}
	}
}

// TestRotationSpreads: whichever unit vector goes in, over many seeds each
// coordinate has its share of the squared length, and a fourth moment like that of a
// uniformly random direction, whose coordinates are nearly normal.
func TestRotationSpreads(t *testing.T) {
	const seeds = 400
	for _, s := range []struct{ dim, padded int }{{100, 100}, {100, 128}, {96, 96}, {768, 768}, {65, 65}, {127, 127}, {129, 129}, {1000, 1000}} {
		for _, at := range []int{0, s.dim / 2, s.dim - 1} {
			second, fourth := make([]float64, s.padded), 0.0
			src, dst := make([]float32, s.dim), make([]float32, s.padded)
			for seed := range uint64(seeds) {
				clear(src)
				src[at] = 1
				quant.NewRotation(s.dim, s.padded, seed).Apply(dst, src)
				for i, v := range dst {
					x := float64(v) * float64(v) * float64(s.padded)
					second[i] += x / seeds
					fourth += x * x / (seeds * float64(s.padded))
				}
			}
			for i, share := range second {
				if share < 0.55 || share > 1.6 {
					t.Errorf("%d into %d: coordinate %d has %.2f of its share of e%d", s.dim, s.padded, i, share, at)
				}
			}
			// 3(1-2/(n+2)) on the sphere.
			if fourth < 2.6 || fourth > 3.2 {
				t.Errorf("%d into %d: fourth moment %.2f of e%d, a random direction has nearly 3", s.dim, s.padded, fourth, at)
			}
		}
	}
}

// TestRotationOfASeed pins the maps, which stored codes are made with.
func TestRotationOfASeed(t *testing.T) {
	for _, c := range []struct {
		dim, padded int
		seed        uint64
		crc         uint32
	}{{100, 100, 1, 0x9fe5b45}, {100, 128, 1, 0x952fd923}, {768, 768, 2, 0x4ac75cb1}} {
		src := make([]float32, c.dim)
		for i := range src {
			src[i] = float32(i%17) - 8
		}
		dst := make([]float32, c.padded)
		quant.NewRotation(c.dim, c.padded, c.seed).Apply(dst, src)
		bytes := unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), 4*len(dst))
		if got := crc32.ChecksumIEEE(bytes); got != c.crc {
			t.Errorf("%d into %d, seed %d: checksum %#x, want %#x", c.dim, c.padded, c.seed, got, c.crc)
		}
	}
}

func BenchmarkRotation(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []struct{ dim, padded int }{{100, 100}, {100, 128}, {128, 128}, {768, 768}, {1536, 1536}} {
		b.Run(fmt.Sprintf("%d-%d", s.dim, s.padded), func(b *testing.B) {
			r := quant.NewRotation(s.dim, s.padded, 1)
			src, dst := random(rng, s.dim), make([]float32, s.padded)
			for range b.N {
				r.Apply(dst, src)
			}
		})
	}
}
