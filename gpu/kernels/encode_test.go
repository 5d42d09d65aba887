package kernels_test

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// rotation is the definition of vecindex/quant.Rotation again, which nothing here may import:
// a test of vecindex/quant compares that with these kernels.
type rotation struct {
	padded, block int
	factors       [4][]float32
	turns         []float32
}

func newRotation(rng *rand.Rand, padded int) rotation {
	r := rotation{padded: padded, block: 1 << (bits.Len(uint(padded)) - 1)}
	signs := func() []float32 {
		s := make([]float32, padded)
		for i := range s {
			s[i] = float32(1 - 2*rng.IntN(2))
		}
		return s
	}
	for round := range r.factors {
		r.factors[round] = signs()
		for i := range r.window(r.factors[round], round) {
			r.window(r.factors[round], round)[i] *= float32(1 / math.Sqrt(float64(r.block)))
		}
	}
	if r.block < padded {
		r.turns = signs()
		for i := range padded / 2 {
			r.turns[i] *= math.Sqrt2 / 2
			r.turns[padded-padded/2+i] *= math.Sqrt2 / 2
		}
	}
	return r
}

func (r *rotation) window(v []float32, round int) []float32 {
	if round%2 == 0 {
		return v[:r.block]
	}
	return v[r.padded-r.block:]
}

func butterfly(a, b []float32) {
	for i := range a {
		a[i], b[i] = a[i]+b[i], a[i]-b[i]
	}
}

func (r *rotation) apply(v []float32) []float32 {
	x := append(slices.Clone(v), make([]float32, r.padded-len(v))...)
	for round := range 4 {
		if round == 2 && r.turns != nil {
			for i := range x {
				x[i] *= r.turns[i]
			}
			half := r.padded / 2
			butterfly(x[:half], x[r.padded-half:])
		}
		for i := range x {
			x[i] *= r.factors[round][i]
		}
		w := r.window(x, round)
		for half := 1; half < len(w); half *= 2 {
			for at := 0; at < len(w); at += 2 * half {
				butterfly(w[at:at+half], w[at+half:at+2*half])
			}
		}
	}
	return x
}

// upload returns the rotation as kernels take it.
func (r *rotation) upload(d *device) kernels.Rotation {
	k := kernels.Rotation{Factors: d.put(bytesOf(slices.Concat(r.factors[:]...))), Padded: uint32(r.padded), Block: uint32(r.block)}
	if r.turns != nil {
		k.Turns = d.put(bytesOf(r.turns))
	}
	return k
}

// encoding is what a vector becomes.
type encoding struct {
	vector     []float32
	code       []byte
	scale, add float32
}

func (r *rotation) encode(code kernels.Code, metric kernels.Metric, v []float32) encoding {
	e := encoding{vector: slices.Clone(v), code: make([]byte, kernels.RowBytes(code, r.padded)), scale: 1}
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if metric == kernels.Cosine {
		for i, x := range v {
			e.vector[i] = float32(float64(x) * (1 / math.Sqrt(squares)))
		}
	}
	if metric == kernels.L2 {
		e.add = float32(squares)
	}
	if code == kernels.BF16 {
		square, product := 0.0, 0.0
		for i, x := range e.vector {
			b := math.Float32bits(x)
			b = (b + 0x7FFF + b>>16&1) >> 16
			e.code[2*i], e.code[2*i+1] = byte(b), byte(b>>8)
			square += float64(x) * float64(x)
			product += float64(x) * float64(math.Float32frombits(b<<16))
		}
		if e.scale = 0; product > 0 {
			e.scale = float32(square / product)
		}
		return e
	}
	r.encodeS8(&e, metric)
	return e
}

// encodeS8 is the definition of vecindex/quant.Int8 again, with sums in 16 lanes.
func (r *rotation) encodeS8(e *encoding, metric kernels.Metric) {
	x := r.apply(e.vector)
	largest := float32(0)
	for _, v := range x {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	steps := 127 / largest
	if steps > math.MaxFloat32 {
		e.scale, e.add = 0, 0
		return
	}
	var squares, products [16]float32
	for i, v := range x {
		y := v * steps
		n := int8(math.Float32bits(y + 3<<22))
		e.code[i] = byte(n)
		squares[i%16] += float32(y * y)
		products[i%16] += float32(y * float32(n))
	}
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			squares[i] += squares[i+half]
			products[i] += products[i+half]
		}
	}
	step := float64(largest) / 127
	e.scale = float32(float64(squares[0]) / float64(products[0]) * step)
	if metric == kernels.L2 {
		e.add = float32(float64(squares[0]) * step * step)
	}
}

// encodeCase is one launch of encode, and of encode_queries with the same vectors.
type encodeCase struct {
	code        kernels.Code
	metric      kernels.Metric
	dim, padded int
	vectors     [][]float32
	ids, rows   []uint32
}

func newEncodeCase(rng *rand.Rand, code kernels.Code, metric kernels.Metric, dim, padded int) *encodeCase {
	c := &encodeCase{code: code, metric: metric, dim: dim, padded: padded}
	rows := rng.Perm(300)
	for i := range 6 {
		v := make([]float32, dim)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
			switch {
			case i == 1 && metric == kernels.Cosine:
				v[j] *= 1e-30
			case i == 2:
				v[j] *= 1e15
			case i == 3 && metric != kernels.Cosine:
				v[j] = 0
			case i == 4 && metric == kernels.Cosine:
				v[j] *= 1e30
			}
		}
		c.vectors = append(c.vectors, v)
		c.ids, c.rows = append(c.ids, uint32(i*5+1)), append(c.rows, uint32(rows[i]))
	}
	return c
}

func (c *encodeCase) check(d *device, rng *rand.Rand) error {
	r := newRotation(rng, c.padded)
	rowBytes, stride := kernels.RowBytes(c.code, c.padded), kernels.VectorStride(c.dim)
	const room, ids = 384, 40
	segment := kernels.Segment{
		Codes: d.room(room*rowBytes, 0x55), Vectors: d.room(room*stride*4, 0x55), Factors: d.room(room*8, 0x55), IDs: d.room(room*4, 0x55),
	}
	n := len(c.vectors)
	args := kernels.EncodeArgs{
		Input: d.put(bytesOf(slices.Concat(c.vectors...))), IDs: d.put(bytesOf(c.ids)), Rows: d.put(bytesOf(c.rows)),
		Segments: d.put(kernels.Append(nil, segment)), RowOf: d.room(ids*4, 0xFF), Rotation: r.upload(d),
		Dim: uint32(c.dim), RowBytes: uint32(rowBytes), Stride: uint32(stride), Metric: c.metric, Code: c.code, Count: uint32(n),
	}
	if c.code == kernels.BF16 {
		args.Rotation.Factors, args.Rotation.Turns = 0, 0
	}
	launch(d, kernels.LaunchEncode(n, c.padded), args)
	queries := kernels.EncodeQueriesArgs{
		Input: args.Input, Vectors: d.room(n*stride*4, 0x55), Codes: d.room(n*rowBytes, 0x55), Queries: d.room(n*kernels.QueryBytes, 0),
		Rotation: args.Rotation, Dim: args.Dim, RowBytes: args.RowBytes, Stride: args.Stride, Metric: c.metric, Code: c.code, Count: args.Count,
	}
	launch(d, kernels.LaunchEncodeQueries(n, c.padded), queries)
	states := readQueries(d.get(queries.Queries, n*kernels.QueryBytes))
	rowOf := valuesOf[uint32](d.get(args.RowOf, ids*4), ids)
	for i, v := range c.vectors {
		want, row := r.encode(c.code, c.metric, v), int(c.rows[i])
		vector := append(slices.Clone(want.vector), make([]float32, stride-c.dim)...)
		mul := -want.scale
		if c.metric == kernels.L2 {
			mul *= 2
		}
		factors := valuesOf[float32](d.get(segment.Factors+kernels.Ptr(row*8), 8), 2)
		switch {
		case !near(valuesOf[float32](d.get(segment.Vectors+kernels.Ptr(row*stride*4), stride*4), stride), vector):
			return fmt.Errorf("vector %d is another", i)
		case !slices.Equal(d.get(segment.Codes+kernels.Ptr(row*rowBytes), rowBytes), want.code):
			return fmt.Errorf("the code of vector %d is another", i)
		case !near(factors, []float32{mul, want.add}):
			return fmt.Errorf("vector %d has factors %v, want %v and %v", i, factors, mul, want.add)
		case rowOf[c.ids[i]] != c.rows[i]:
			return fmt.Errorf("vector %d is said to be in row %d, not %d", i, rowOf[c.ids[i]], row)
		case valuesOf[uint32](d.get(segment.IDs+kernels.Ptr(row*4), 4), 1)[0] != c.ids[i]:
			return fmt.Errorf("vector %d has another id in its row", i)
		case !near(valuesOf[float32](d.get(queries.Vectors+kernels.Ptr(i*stride*4), stride*4), stride), vector):
			return fmt.Errorf("query %d is another", i)
		case !slices.Equal(d.get(queries.Codes+kernels.Ptr(i*rowBytes), rowBytes), want.code):
			return fmt.Errorf("the code of query %d is another", i)
		case states[i] != kernels.Query{Scale: want.scale}:
			return fmt.Errorf("query %d has the state %+v, want a scale of %v", i, states[i], want.scale)
		}
	}
	d.free(segment.Codes, segment.Vectors, segment.Factors, segment.IDs, args.Input, args.IDs, args.Rows, args.Segments, args.RowOf,
		queries.Vectors, queries.Codes, queries.Queries)
	return nil
}

// near allows for lengths that were added up in another order, in double precision.
func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x)-float64(y)) <= 1e-7*math.Abs(float64(y)) })
}

// TestEncode compares rows and queries with the definitions: codes to the bit, whatever
// the dimension, long vectors, short ones and none.
func TestEncode(t *testing.T) {
	for seed := range *seeds {
		d := newDevice(t, seed)
		rng := rand.New(rand.NewPCG(seed, 5))
		for _, dims := range [][2]int{{1, 1}, {2, 2}, {3, 3}, {5, 16}, {47, 47}, {64, 64}, {100, 100}, {130, 144}, {768, 768}, {4096, 4096}} {
			if dims[0] > 500 && seed > 0 {
				continue
			}
			for _, code := range []kernels.Code{kernels.S8, kernels.BF16} {
				metric := kernels.Metric(rng.IntN(3))
				if err := newEncodeCase(rng, code, metric, dims[0], dims[1]).check(d, rng); err != nil {
					t.Errorf("seed %d, code %d, metric %d, %d dimensions in %d: %v", seed, code, metric, dims[0], dims[1], err)
				}
			}
		}
	}
}

// TestErase: the rows of ids become dead, and no others.
func TestErase(t *testing.T) {
	d := newDevice(t, 1)
	rng := rand.New(rand.NewPCG(6, 6))
	const rows = 700
	ids, rowOf := make([]uint32, rows), slices.Repeat([]uint32{kernels.None}, 2*rows)
	var gone []uint32
	for row, id := range rng.Perm(2 * rows)[:rows] {
		ids[row], rowOf[id] = uint32(id), uint32(row)
	}
	wantIDs, wantRows := slices.Clone(ids), slices.Clone(rowOf)
	for _, id := range rng.Perm(2*rows + 50)[:300] { // many without a row
		gone = append(gone, uint32(id))
		if id < 2*rows && rowOf[id] != kernels.None {
			wantIDs[rowOf[id]], wantRows[id] = kernels.None, kernels.None
		}
	}
	segment := kernels.Segment{IDs: d.put(bytesOf(ids))}
	args := kernels.EraseArgs{IDs: d.put(bytesOf(gone)), Segments: d.put(kernels.Append(nil, segment)), RowOf: d.put(bytesOf(rowOf)),
		RowOfIDs: 2 * rows, Count: uint32(len(gone))}
	launch(d, kernels.LaunchErase(len(gone)), args)
	if !slices.Equal(valuesOf[uint32](d.get(segment.IDs, 4*rows), rows), wantIDs) ||
		!slices.Equal(valuesOf[uint32](d.get(args.RowOf, 8*rows), 2*rows), wantRows) {
		t.Error("other rows than those of the ids are dead")
	}
}
