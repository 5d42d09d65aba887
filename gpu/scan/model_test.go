package scan_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/wire"
)

// model is a device as its documents have it, in plain Go: memory that nobody may
// leave, streams that do nothing until they are waited for, and the kernels as abi.h
// describes them. It runs blocks one after the other, in any case the same order.
type model struct {
	t     testing.TB
	total int64
	mu    struct {
		sync.Mutex
		next, used int64
		blocks     map[scan.Ptr][]byte
		streams    int
		// fail is an error that the next Sync returns; allocs that many Allocs succeed.
		fail error
		// launched counts kernels by name.
		launched map[string]int
	}
}

func newModel(t testing.TB, total int64) *model {
	m := &model{t: t, total: total}
	m.mu.next = 1 << 20
	m.mu.blocks, m.mu.launched = map[scan.Ptr][]byte{}, map[string]int{}
	return m
}

func (m *model) Info() scan.Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	return scan.Info{Name: "model", Driver: "1.0", Kernels: "go", Major: 8, Multiprocessors: 3, MemoryTotal: m.total, MemoryFree: m.total - m.mu.used}
}

func (m *model) Alloc(n int64) (scan.Ptr, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.used+n > m.total {
		return 0, wire.Errorf(wire.OutOfMemory, "the model is full")
	}
	p := scan.Ptr(m.mu.next)
	m.mu.next += (n + 8191) / 4096 * 4096 // what lies between belongs to nobody
	m.mu.used += n
	m.mu.blocks[p] = slices.Repeat([]byte{0xA5}, int(n))
	return p, nil
}

func (m *model) Free(p scan.Ptr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.mu.blocks[p]
	if !ok {
		m.t.Errorf("%#x is freed, but wasn't allocated", p)
	}
	m.mu.used -= int64(len(b))
	delete(m.mu.blocks, p)
}

func (m *model) Pin([]byte) error                { return nil }
func (m *model) AllocHost(n int) ([]byte, error) { return make([]byte, n), nil }
func (m *model) FreeHost([]byte)                 {}
func (m *model) NewStream() (scan.Stream, error) { m.count(1); return &modelStream{m: m}, nil }
func (m *model) count(streams int)               { m.mu.Lock(); m.mu.streams += streams; m.mu.Unlock() }
func (m *model) failing(err error)               { m.mu.Lock(); m.mu.fail = err; m.mu.Unlock() }
func (m *model) launches(kernel string) (times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.launched[kernel]
}

func (m *model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.streams != 0 {
		m.t.Errorf("%d streams are open", m.mu.streams)
	}
	return nil
}

// at is n bytes of memory.
func (m *model) at(p scan.Ptr, n int64) []byte {
	if n == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for base, b := range m.mu.blocks {
		if p >= base && int64(p-base)+n <= int64(len(b)) {
			return b[p-base:][:n:n]
		}
	}
	panic(fmt.Sprintf("%d bytes at %#x aren't anybody's", n, p))
}

func (m *model) u32(p scan.Ptr, i uint32) uint32 {
	return binary.LittleEndian.Uint32(m.at(p+4*scan.Ptr(i), 4))
}

func (m *model) setU32(p scan.Ptr, i, v uint32) {
	binary.LittleEndian.PutUint32(m.at(p+4*scan.Ptr(i), 4), v)
}

func (m *model) floats(p scan.Ptr, n uint32) []float32 { return floats(m.at(p, 4*int64(n))) }

func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func (m *model) setFloats(p scan.Ptr, v []float32) {
	b := m.at(p, 4*int64(len(v)))
	for i, f := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(f))
	}
}

// modelStream is a queue of functions.
type modelStream struct {
	m    *model
	todo []func()
}

func (s *modelStream) do(f func()) { s.todo = append(s.todo, f) }
func (s *modelStream) CopyIn(dst scan.Ptr, src []byte) {
	s.do(func() { copy(s.m.at(dst, int64(len(src))), src) })
}
func (s *modelStream) CopyOut(dst []byte, src scan.Ptr) {
	s.do(func() { copy(dst, s.m.at(src, int64(len(dst)))) })
}
func (s *modelStream) Copy(dst, src scan.Ptr, n int64) {
	s.do(func() { copy(s.m.at(dst, n), s.m.at(src, n)) })
}
func (s *modelStream) Fill(p scan.Ptr, value byte, n int64) {
	s.do(func() { copy(s.m.at(p, n), bytes.Repeat([]byte{value}, int(n))) })
}

func (s *modelStream) Sync() error {
	s.m.mu.Lock()
	err := s.m.mu.fail
	s.m.mu.fail = nil
	s.m.mu.Unlock()
	if err == nil {
		for _, f := range s.todo {
			f()
		}
	}
	s.todo = nil
	return err
}

func (s *modelStream) Close() error { s.m.count(-1); return s.Sync() }

func (s *modelStream) Launch(kernel string, grid, block [3]int, shared int, args []byte) {
	s.m.mu.Lock()
	s.m.mu.launched[kernel]++
	s.m.mu.Unlock()
	if grid[0] < 1 || grid[1] < 1 || grid[2] != 1 || grid[1] > 65535 {
		s.m.t.Errorf("%s has a grid of %v", kernel, grid)
	}
	args = slices.Clone(args)
	s.do(func() { s.m.run(kernel, grid, args) })
}

func read[T kernels.Struct](b []byte) (s T) {
	if _, err := binary.Decode(b, binary.LittleEndian, &s); err != nil {
		panic(err)
	}
	return s
}

func (m *model) run(kernel string, grid [3]int, b []byte) {
	switch kernel {
	case kernels.LaunchEncode(1, 1).Kernel:
		m.encode(read[kernels.EncodeArgs](b))
	case kernels.LaunchEncodeQueries(1, 1).Kernel:
		m.encodeQueries(read[kernels.EncodeQueriesArgs](b))
	case kernels.LaunchErase(1).Kernel:
		m.erase(read[kernels.EraseArgs](b))
	case kernels.LaunchSelect(1).Kernel:
		m.choose(read[kernels.SelectArgs](b))
	case kernels.LaunchRerank(1, 1).Kernel:
		m.rerank(read[kernels.RerankArgs](b), 8*grid[0])
	default:
		for _, code := range []kernels.Code{kernels.S8, kernels.BF16, kernels.F32} {
			for _, s := range kernels.Scans(code) {
				if s.Kernel() == kernel {
					m.scan(code, s.Queries*grid[0], read[kernels.ScanArgs](b))
					return
				}
			}
		}
		m.t.Errorf("there is no kernel %s", kernel)
	}
}

// row is where row r lies.
func (m *model) row(segments scan.Ptr, r uint32) (s kernels.Segment, i uint32) {
	at := segments + kernels.SegmentBytes*scan.Ptr(r/kernels.SegmentRows)
	return read[kernels.Segment](m.at(at, kernels.SegmentBytes)), r % kernels.SegmentRows
}

// prepared is a vector as it is stored and coded.
func (m *model) prepared(v []float32, metric kernels.Metric, code kernels.Code, r kernels.Rotation, rowBytes uint32) (vector []float32, codes []byte, scale, square float32) {
	vector = slices.Clone(v)
	if metric == kernels.Cosine {
		length := math.Sqrt(dot(v, v))
		for i := range vector {
			vector[i] = float32(float64(vector[i]) / length)
		}
	}
	codes = make([]byte, rowBytes)
	square = float32(dot(vector, vector))
	if code == kernels.BF16 {
		product := 0.0
		for i, f := range vector {
			b := math.Float32bits(f)
			b = (b + 0x7FFF + b>>16&1) >> 16
			binary.LittleEndian.PutUint16(codes[2*i:], uint16(b))
			product += float64(f) * float64(math.Float32frombits(b<<16))
		}
		return vector, codes, float32(float64(square) / product), square
	}
	rotated := m.rotate(vector, r)
	largest := float32(0)
	for _, f := range rotated {
		largest = max(largest, float32(math.Abs(float64(f))))
	}
	product := 0.0
	for i, f := range rotated {
		c := math.RoundToEven(float64(f) * 127 / float64(largest))
		codes[i] = byte(int8(c))
		product += c * float64(f)
	}
	return vector, codes, float32(float64(square) / product), square
}

func (m *model) rotate(v []float32, r kernels.Rotation) []float32 {
	n, block := r.Padded, r.Block
	x := make([]float32, n)
	copy(x, v)
	times := func(by []float32) {
		for i := range x {
			x[i] *= by[i]
		}
	}
	for round := range uint32(4) {
		if round == 2 && r.Turns != 0 {
			times(m.floats(r.Turns, n))
			low, high := x[:n/2], x[n-n/2:]
			for i := range low {
				low[i], high[i] = low[i]+high[i], low[i]-high[i]
			}
		}
		times(m.floats(r.Factors+scan.Ptr(4*round*n), n))
		part := x[:block]
		if round%2 == 1 {
			part = x[n-block:]
		}
		for width := 1; width < len(part); width *= 2 {
			for i := range part {
				if i&width == 0 {
					part[i], part[i+width] = part[i]+part[i+width], part[i]-part[i+width]
				}
			}
		}
	}
	return x
}

func (m *model) encode(a kernels.EncodeArgs) {
	for i := range a.Count {
		v := m.floats(a.Input+scan.Ptr(4*i*a.Dim), a.Dim)
		vector, codes, scale, square := m.prepared(v, a.Metric, a.Code, a.Rotation, a.RowBytes)
		r, id := m.u32(a.Rows, i), m.u32(a.IDs, i)
		s, at := m.row(a.Segments, r)
		copy(m.at(s.Codes+scan.Ptr(at*a.RowBytes), int64(a.RowBytes)), codes)
		m.setFloats(s.Vectors+scan.Ptr(4*at*a.Stride), append(vector, make([]float32, a.Stride-a.Dim)...))
		mul, add := -scale, float32(0)
		if a.Metric == kernels.L2 {
			mul, add = -2*scale, square
		}
		m.setFloats(s.Factors+scan.Ptr(8*at), []float32{mul, add})
		m.setU32(s.IDs, at, id)
		m.setU32(a.RowOf, id, r)
	}
}

func (m *model) encodeQueries(a kernels.EncodeQueriesArgs) {
	for i := range a.Count {
		v := m.floats(a.Input+scan.Ptr(4*i*a.Dim), a.Dim)
		vector, codes, scale, _ := m.prepared(v, a.Metric, a.Code, a.Rotation, a.RowBytes)
		m.setFloats(a.Vectors+scan.Ptr(4*i*a.Stride), append(vector, make([]float32, a.Stride-a.Dim)...))
		copy(m.at(a.Codes+scan.Ptr(i*a.RowBytes), int64(a.RowBytes)), codes)
		q := m.query(a.Queries, i)
		q.Scale = scale
		m.setQuery(a.Queries, i, q)
	}
}

func (m *model) query(p scan.Ptr, i uint32) kernels.Query {
	return kernels.ReadQuery(m.at(p+kernels.QueryBytes*scan.Ptr(i), kernels.QueryBytes))
}

func (m *model) setQuery(p scan.Ptr, i uint32, q kernels.Query) {
	copy(m.at(p+kernels.QueryBytes*scan.Ptr(i), kernels.QueryBytes), kernels.Append(nil, q))
}

func (m *model) erase(a kernels.EraseArgs) {
	for i := range a.Count {
		if id := m.u32(a.IDs, i); id < a.RowOfIDs && m.u32(a.RowOf, id) != kernels.None {
			s, at := m.row(a.Segments, m.u32(a.RowOf, id))
			m.setU32(s.IDs, at, kernels.None)
			m.setU32(a.RowOf, id, kernels.None)
		}
	}
}

// estimate is what a scan makes of a row for a query.
func estimate(code kernels.Code, row, query []byte, scale, mul, add float32) float32 {
	if code == kernels.S8 {
		sum := int32(0)
		for i, c := range row {
			sum += int32(int8(c)) * int32(int8(query[i]))
		}
		return add + mul*(scale*float32(sum))
	}
	sum := 0.0
	for i := 0; i < len(row); i += 2 {
		a := math.Float32frombits(uint32(binary.LittleEndian.Uint16(row[i:])) << 16)
		b := math.Float32frombits(uint32(binary.LittleEndian.Uint16(query[i:])) << 16)
		sum += float64(a) * float64(b)
	}
	return add + mul*(scale*float32(sum))
}

func (m *model) scan(code kernels.Code, most int, a kernels.ScanArgs) {
	if int(a.NumQueries) > most || a.Capacity > kernels.MaxCapacity || gcd(a.TileStep, a.Tiles) != 1 || a.First+a.Count > a.Tiles {
		m.t.Errorf("a scan of %+v by %d", a, most)
	}
	for i := range a.NumQueries {
		q := m.query(a.Queries, i)
		var filter []byte
		if q.Filter != 0 {
			filter = m.at(q.Filter, 8*int64(q.FilterWords))
		}
		query := m.at(a.Codes+scan.Ptr(i*a.RowBytes), int64(a.RowBytes))
		candidates := m.at(a.Candidates+scan.Ptr(8*i*a.Capacity), int64(8*a.Capacity))
		for p := a.First; p < a.First+a.Count; p++ {
			first := uint32(uint64(p) * uint64(a.TileStep) % uint64(a.Tiles) * kernels.TileRows)
			for id, d := range m.tile(code, a, first, query, q.Scale) {
				if q.Filter != 0 && (id/64 >= q.FilterWords || filter[id/8]>>(id%8)&1 == 0) {
					continue
				}
				if key := kernels.Key(d, id); key < q.Threshold {
					if q.Count < a.Capacity {
						binary.LittleEndian.PutUint64(candidates[8*q.Count:], key)
					}
					q.Count++
				}
			}
		}
		m.setQuery(a.Queries, i, q)
	}
}

// tile are the live ids of a tile and their distances.
func (m *model) tile(code kernels.Code, a kernels.ScanArgs, first uint32, query []byte, scale float32) iter.Seq2[uint32, float32] {
	return func(yield func(uint32, float32) bool) {
		n := min(kernels.TileRows, a.Rows-first)
		s, at := m.row(a.Segments, first)
		ids := m.at(s.IDs+scan.Ptr(4*at), int64(4*n))
		factors := m.at(s.Factors+scan.Ptr(8*at), int64(8*n))
		codes, width := s.Codes, a.RowBytes
		if code == kernels.F32 {
			codes = s.Vectors
		}
		rows := m.at(codes+scan.Ptr(at*width), int64(n*width))
		for i := range n {
			id := binary.LittleEndian.Uint32(ids[4*i:])
			if id == kernels.None {
				continue
			}
			row := rows[i*width:][:width]
			var d float32
			if code == kernels.F32 {
				d = distance(wire.Metric(a.Metric), floats(query), floats(row))
			} else {
				f := floats(factors[8*i:][:8])
				d = estimate(code, row, query, scale, f[0], f[1])
			}
			if !yield(id, d) {
				return
			}
		}
	}
}

func (m *model) setKey(p scan.Ptr, i uint32, key uint64) {
	binary.LittleEndian.PutUint64(m.at(p+8*scan.Ptr(i), 8), key)
}

func (m *model) choose(a kernels.SelectArgs) {
	for i := range a.NumQueries {
		q := m.query(a.Queries, i)
		if q.Count > a.Capacity {
			q.Count, q.Flags = a.Capacity, q.Flags|kernels.Overflowed
		}
		keys := make([]uint64, q.Count)
		for j := range keys {
			keys[j] = binary.LittleEndian.Uint64(m.at(a.Candidates+scan.Ptr(8*(i*a.Capacity+uint32(j))), 8))
		}
		slices.Sort(keys)
		keep := q.Keep
		if a.Final != 0 {
			keep = q.K
		}
		if len(keys) >= int(keep) {
			keys = keys[:keep]
			q.Threshold = min(q.Threshold, keys[keep-1])
		}
		q.Count = uint32(len(keys))
		for j, key := range keys {
			m.setKey(a.Candidates, i*a.Capacity+uint32(j), key)
			if a.Out != 0 {
				m.setKey(a.Out, i*a.OutStride+uint32(j), key)
			}
		}
		m.setQuery(a.Queries, i, q)
	}
}

func (m *model) rerank(a kernels.RerankArgs, most int) {
	for i := range a.NumQueries {
		n := min(m.query(a.Queries, i).Count, a.Capacity)
		if int(n) > most {
			m.t.Errorf("%d candidates are reranked by %d", n, most)
		}
		q := m.floats(a.Vectors+scan.Ptr(4*i*a.Stride), a.Stride)
		for j := range n {
			at := i*a.Capacity + j
			_, id := kernels.SplitKey(binary.LittleEndian.Uint64(m.at(a.Candidates+scan.Ptr(8*at), 8)))
			s, r := m.row(a.Segments, m.u32(a.RowOf, id))
			d := distance(wire.Metric(a.Metric), q, m.floats(s.Vectors+scan.Ptr(4*r*a.Stride), a.Stride))
			m.setKey(a.Candidates, at, kernels.Key(d, id))
		}
	}
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// distance is the distance of vectors that are normalised under cosine.
func distance(metric wire.Metric, a, b []float32) float32 {
	switch metric {
	case wire.Cosine:
		return float32(1 - dot(a, b))
	case wire.L2:
		sum := 0.0
		for i := range a {
			d := float64(a[i]) - float64(b[i])
			sum += d * d
		}
		return float32(sum)
	}
	return float32(-dot(a, b))
}
