package kernels_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/kernels/hostrun"
	"github.com/vccdb/vccdb/gpu/scan"
)

var sanitize = flag.Bool("kernels.sanitize", false, "run the kernels with the sanitizers for addresses and undefined behaviour")

var seeds = flag.Uint64("kernels.seeds", 2, "in how many orders of threads, with as many other numbers, the kernels are run")

// device is an emulated one, whose work is waited for and has to go well.
type device struct {
	t        *testing.T
	launcher *hostrun.Launcher
	stream   scan.Stream
}

func newDevice(t *testing.T, seed uint64) *device {
	t.Helper()
	if testing.Short() {
		t.Skip("nothing here runs beside anything else, for the race detector to see")
	}
	l, err := hostrun.New(hostrun.Options{Seed: seed, Sanitize: *sanitize})
	if errors.Is(err, hostrun.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := l.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	return &device{t, l, s}
}

func (d *device) sync() {
	d.t.Helper()
	if err := d.stream.Sync(); err != nil {
		d.t.Fatal(err)
	}
}

// room is memory with a value in all of its bytes.
func (d *device) room(bytes int, value byte) scan.Ptr {
	d.t.Helper()
	p, err := d.launcher.Alloc(int64(max(bytes, 1)))
	if err != nil {
		d.t.Fatal(err)
	}
	d.stream.Fill(p, value, int64(bytes))
	return p
}

// put is memory with this content.
func (d *device) put(content []byte) scan.Ptr {
	d.t.Helper()
	p := d.room(len(content), 0)
	d.stream.CopyIn(p, content)
	d.sync()
	return p
}

func (d *device) get(p scan.Ptr, bytes int) []byte {
	d.t.Helper()
	content := make([]byte, bytes)
	d.stream.CopyOut(content, p)
	d.sync()
	return content
}

// free takes back everything, for tests of many cases.
func (d *device) free(all ...scan.Ptr) {
	for _, p := range all {
		d.launcher.Free(p)
	}
}

func launch[T kernels.Struct](d *device, l kernels.Launch, args T) {
	d.t.Helper()
	d.stream.Launch(l.Kernel, l.Grid, l.Block, l.Shared, kernels.Append(nil, args))
	d.sync()
}

func bytesOf[T any](values []T) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		panic(err)
	}
	return b
}

func valuesOf[T any](b []byte, n int) []T {
	values := make([]T, n)
	if _, err := binary.Decode(b, binary.LittleEndian, values); err != nil {
		panic(err)
	}
	return values
}

func appendAll[T kernels.Struct](all []T) []byte {
	var b []byte
	for _, s := range all {
		b = kernels.Append(b, s)
	}
	return b
}

func readQueries(b []byte) []kernels.Query {
	var all []kernels.Query
	for ; len(b) > 0; b = b[kernels.QueryBytes:] {
		all = append(all, kernels.ReadQuery(b))
	}
	return all
}

// rowData is an index in the host's memory, in numbers small enough for sums in float32 to
// be exact in any order.
type rowData struct {
	code     kernels.Code
	metric   kernels.Metric
	dim      int
	rows     [][]float32 // codes or vectors
	factors  [][2]float32
	ids      []uint32
	rowBytes int
}

func randomRows(rng *rand.Rand, code kernels.Code, metric kernels.Metric, dim, rows int) *rowData {
	r := &rowData{code: code, metric: metric, dim: dim, rowBytes: kernels.RowBytes(code, dim)}
	r.rows, r.factors, r.ids = make([][]float32, rows), make([][2]float32, rows), make([]uint32, rows)
	order := rng.Perm(rows)
	for i := range rows {
		r.rows[i] = randomNumbers(rng, code, dim)
		if i > 0 && rng.IntN(4) == 0 {
			r.rows[i] = r.rows[rng.IntN(i)] // a tie, if the factors are the same too
		}
		// Few different factors, all powers of two.
		r.factors[i] = [2]float32{float32(math.Ldexp(-1, rng.IntN(2)-8)), float32(rng.IntN(2))}
		r.ids[i] = uint32(order[i] * 3)
		if rng.IntN(9) == 0 {
			r.ids[i] = kernels.None
		}
	}
	return r
}

func randomNumbers(rng *rand.Rand, code kernels.Code, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		switch {
		case code == kernels.S8 && rng.IntN(3) == 0:
			v[i] = float32(127 - 254*rng.IntN(2))
		case code == kernels.S8:
			v[i] = float32(rng.IntN(255) - 127)
		default:
			v[i] = float32(rng.IntN(17) - 8)
		}
	}
	return v
}

// encoded is a row as the device has it.
func encoded(code kernels.Code, v []float32) []byte {
	b := make([]byte, kernels.RowBytes(code, len(v)))
	for i, x := range v {
		switch code {
		case kernels.S8:
			b[i] = byte(int8(x))
		case kernels.BF16:
			binary.LittleEndian.PutUint16(b[2*i:], uint16(math.Float32bits(x)>>16))
		default:
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
	}
	return b
}

// upload returns the segments, and what is to be freed. What is behind the rows is
// whatever the memory had.
func (r *rowData) upload(d *device) (segments scan.Ptr, all []scan.Ptr) {
	var list []kernels.Segment
	for from := 0; from < len(r.rows); from += kernels.SegmentRows {
		n := min(kernels.SegmentRows, len(r.rows)-from)
		room := (n + kernels.TileRows - 1) / kernels.TileRows * kernels.TileRows
		rows, factors, ids := make([]byte, 0, room*r.rowBytes), make([]byte, 0, 8*room), make([]byte, 0, 4*room)
		for i := from; i < from+n; i++ {
			rows = append(rows, encoded(r.code, r.rows[i])...)
			factors = append(factors, bytesOf(r.factors[i][:])...)
			ids = binary.LittleEndian.AppendUint32(ids, r.ids[i])
		}
		s := kernels.Segment{Factors: d.room(8*room, 0xBF), IDs: d.room(4*room, 0)}
		lines := d.room(room*r.rowBytes, 0x3F)
		d.stream.CopyIn(s.Factors, factors)
		d.stream.CopyIn(s.IDs, ids)
		d.stream.CopyIn(lines, rows)
		if r.code == kernels.F32 {
			s.Vectors = lines
		} else {
			s.Codes = lines
		}
		list = append(list, s)
		all = append(all, s.Factors, s.IDs, lines)
	}
	segments = d.put(appendAll(list))
	return segments, append(all, segments)
}

// key is what the device makes of a row and a query, or false if there is nothing in it.
func (r *rowData) key(row int, query []float32, scale float32) (uint64, bool) {
	if r.ids[row] == kernels.None {
		return 0, false
	}
	sum := 0.0
	for i, x := range r.rows[row] {
		if r.code == kernels.F32 && r.metric == kernels.L2 {
			sum += float64((x - query[i]) * (x - query[i]))
		} else {
			sum += float64(x * query[i])
		}
	}
	if r.code == kernels.F32 {
		return kernels.Key(distance(r.metric, sum), r.ids[row]), true
	}
	t := scale * float32(sum)
	return kernels.Key(float32(math.FMA(float64(r.factors[row][0]), float64(t), float64(r.factors[row][1]))), r.ids[row]), true
}

// distance is that of an inner product, or of a sum of squares.
func distance(m kernels.Metric, sum float64) float32 {
	switch m {
	case kernels.L2:
		return float32(sum)
	case kernels.Dot:
		return float32(-sum)
	}
	return min(max(1-float32(sum), 0), 2)
}

type bitset []uint64

func (b bitset) has(id uint32) bool {
	return b == nil || int(id/64) < len(b) && b[id/64]>>(id%64)&1 == 1
}
