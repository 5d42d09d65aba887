package dataset

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
)

// Manifold describes made-up vectors that are as hard to search as learned
// embeddings: topics within topics, some thirty degrees of freedom of unequal
// weight, bent into many dimensions by two layers of a random network, and a
// little noise in every dimension. What makes it hard is that neighbourhoods
// have many dimensions (LocalDimension measures how many), as in embeddings and
// unlike in mixtures of round clusters; and that its clusters overlap.
//
// The zero value is usable.
type Manifold struct {
	// Dim is 768 when 0.
	Dim int
	// Latent is how many degrees of freedom there are; 32 when 0.
	Latent int
	// Noise is the standard deviation of the noise in each dimension, against 1
	// of what the network gives; 0.1 when 0.
	Noise float64
	Seed  uint64
}

const (
	// manifoldHidden is the width of the network's first layer.
	manifoldHidden = 128
	// manifoldTopics and manifoldParts are how many topics there are, and of how
	// many parts in all; each part lies around one of the topics.
	manifoldTopics = 64
	manifoldParts  = 2048
	// manifoldApart is how far apart topics, and parts of one topic, are, against 1
	// of the vectors of a part.
	manifoldApart = 0.6
	// manifoldBlock is how many vectors are drawn from one stream of random
	// numbers, so that the vectors don't depend on how many threads make them.
	manifoldBlock = 1024
)

// manifold is the surface itself: where its parts are and the network.
type manifold struct {
	Manifold
	weights       []float64 // of the degrees of freedom
	parts         Matrix    // centres in the latent space
	first, second Matrix    // of the network; rows are outputs
}

// Make returns n vectors and, of the same surface but none of them among the n,
// the given number of queries. It works on all cores.
func (m Manifold) Make(n, queries int) (base, query Matrix) {
	if m.Dim == 0 {
		m.Dim = 768
	}
	if m.Latent == 0 {
		m.Latent = 32
	}
	if m.Noise == 0 {
		m.Noise = 0.1
	}
	surface := m.surface()
	return surface.draw(n, 1), surface.draw(queries, 2)
}

func (m Manifold) surface() *manifold {
	rng := rand.New(rand.NewPCG(m.Seed, 0))
	s := &manifold{Manifold: m, weights: make([]float64, m.Latent)}
	for i := range s.weights {
		// The spectra of embeddings fall as a power of i too.
		s.weights[i] = 1 / math.Sqrt(math.Sqrt(float64(i+1)))
	}
	topics := normal(rng, manifoldTopics, m.Latent)
	s.parts = normal(rng, manifoldParts, m.Latent)
	for i := range s.parts.Len() {
		part, topic := s.parts.Row(i), topics.Row(rng.IntN(manifoldTopics))
		for j := range part {
			part[j] = float32(manifoldApart * s.weights[j] * float64(topic[j]+part[j]))
		}
	}
	s.first = normal(rng, manifoldHidden, m.Latent)
	s.second = normal(rng, m.Dim, manifoldHidden)
	return s
}

// draw makes n vectors, which are the same for the same kind and n or more.
func (s *manifold) draw(n int, kind uint64) Matrix {
	m := Matrix{Dim: s.Dim, Data: make([]float32, n*s.Dim)}
	blocks := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for from := range blocks {
				rng := rand.New(rand.NewPCG(s.Seed, kind<<48|uint64(from)))
				s.fill(rng, m.Slice(from, min(n, from+manifoldBlock)))
			}
		})
	}
	for from := 0; from < n; from += manifoldBlock {
		blocks <- from
	}
	close(blocks)
	workers.Wait()
	return m
}

func (s *manifold) fill(rng *rand.Rand, rows Matrix) {
	latent, hidden := make([]float32, s.Latent), make([]float32, manifoldHidden)
	for i := range rows.Len() {
		// Squaring makes some parts far bigger than others.
		u := rng.Float64()
		part := s.parts.Row(int(u * u * manifoldParts))
		for j := range latent {
			latent[j] = part[j] + float32(s.weights[j]*rng.NormFloat64())
		}
		layer(hidden, s.first, latent)
		for j, x := range hidden {
			hidden[j] = x / (1 + max(x, -x)) // bends like tanh, and is exact
		}
		row := rows.Row(i)
		layer(row, s.second, hidden)
		for j := range row {
			row[j] += float32(s.Noise * rng.NormFloat64())
		}
	}
}

// layer sets out to weights times in, scaled so that lengths stay about what
// they are. The conversions keep a compiler from fusing products and sums, which
// would make other vectors on other processors.
func layer(out []float32, weights Matrix, in []float32) {
	scale := float32(1 / math.Sqrt(float64(len(in))))
	for i := range out {
		w := weights.Row(i)[:len(in)]
		var a, b, c, d float32
		j := 0
		for ; j+4 <= len(in); j += 4 {
			a += float32(w[j] * in[j])
			b += float32(w[j+1] * in[j+1])
			c += float32(w[j+2] * in[j+2])
			d += float32(w[j+3] * in[j+3])
		}
		for ; j < len(in); j++ {
			a += float32(w[j] * in[j])
		}
		out[i] = float32(scale * (float32(a+b) + float32(c+d)))
	}
}
