package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// magic begins Hello and Welcome: "THGW".
const magic = 0x57474854

// Bounds of lists and names.
const (
	// MaxIndexes is how many indexes a worker has.
	MaxIndexes = 512
	// maxName bounds each string of a DeviceInfo.
	maxName = 256
)

// Hello is the server's first frame. Magic and version stand first in every version.
type Hello struct {
	Version uint32
	// ArenaBytes is the size of the shared memory.
	ArenaBytes uint64
}

func (m Hello) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint32(b, m.Version)
	return binary.LittleEndian.AppendUint64(b, m.ArenaBytes)
}

// DecodeHello is the inverse of encoding, for a Hello of this version; of another
// one it returns a *VersionError.
func DecodeHello(payload []byte) (Hello, error) {
	d := decoder{b: payload}
	m := Hello{}
	if err := d.version(&m.Version); err != nil {
		return m, err
	}
	m.ArenaBytes = d.u64()
	return m, d.end("hello")
}

// Welcome is the worker's answer to Hello, once its device is ready.
type Welcome struct {
	Version uint32
	Device  DeviceInfo
}

func (m Welcome) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint32(b, m.Version)
	return m.Device.append(b)
}

// DecodeWelcome is the inverse of encoding, as DecodeHello.
func DecodeWelcome(payload []byte) (Welcome, error) {
	d := decoder{b: payload}
	m := Welcome{}
	if err := d.version(&m.Version); err != nil {
		return m, err
	}
	m.Device = d.device()
	return m, d.end("welcome")
}

func (i DeviceInfo) append(b []byte) []byte {
	b = appendText(b, i.Name, maxName)
	b = appendText(b, i.Driver, maxName)
	b = appendText(b, i.Kernels, maxName)
	for _, v := range []int{i.ComputeMajor, i.ComputeMinor, i.Multiprocessors} {
		b = binary.LittleEndian.AppendUint32(b, uint32(max(0, min(v, math.MaxInt32))))
	}
	for _, v := range []int64{i.MemoryTotal, i.MemoryFree, i.MemoryUsed, i.MemoryLimit} {
		b = binary.LittleEndian.AppendUint64(b, uint64(max(0, v)))
	}
	return b
}

func (d *decoder) device() DeviceInfo {
	return DeviceInfo{
		Name: d.text(maxName), Driver: d.text(maxName), Kernels: d.text(maxName),
		ComputeMajor: d.count(), ComputeMinor: d.count(), Multiprocessors: d.count(),
		MemoryTotal: d.i64(), MemoryFree: d.i64(), MemoryUsed: d.i64(), MemoryLimit: d.i64(),
	}
}

// Pong answers Ping.
type Pong struct {
	// SearchBusy is how long the longest search that is on the device has been there,
	// UpdateBusy the same of any other call. 0 without one.
	SearchBusy, UpdateBusy time.Duration
}

func (m Pong) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(max(0, m.SearchBusy)))
	return binary.LittleEndian.AppendUint64(b, uint64(max(0, m.UpdateBusy)))
}

// DecodePong is the inverse of encoding.
func DecodePong(payload []byte) (Pong, error) {
	d := decoder{b: payload}
	m := Pong{SearchBusy: time.Duration(d.i64()), UpdateBusy: time.Duration(d.i64())}
	return m, d.end("pong")
}

// Create asks for an index, which Created answers.
type Create struct{ Spec IndexSpec }

func (m Create) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Spec.Dim))
	b = append(b, byte(m.Spec.Metric), byte(m.Spec.Codes), 0, 0)
	return binary.LittleEndian.AppendUint64(b, m.Spec.Seed)
}

// DecodeCreate is the inverse of encoding. It doesn't validate the specification.
func DecodeCreate(payload []byte) (Create, error) {
	d := decoder{b: payload}
	m := Create{}
	m.Spec.Dim = d.count()
	m.Spec.Metric, m.Spec.Codes = Metric(d.u8()), Codes(d.u8())
	d.zero(2)
	m.Spec.Seed = d.u64()
	return m, d.end("create")
}

// IndexRef names an index: the payload of Created and of Drop.
type IndexRef struct{ Index uint32 }

func (m IndexRef) append(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, m.Index) }

// DecodeIndexRef is the inverse of encoding.
func DecodeIndexRef(payload []byte) (IndexRef, error) {
	d := decoder{b: payload}
	m := IndexRef{Index: d.u32()}
	return m, d.end("index")
}

// Rows names rows in the shared memory: the payload of Put and of Delete, which has no
// vectors. Ids are uint32 and ascending, vectors float32; both begin on multiples
// of ViewAlign.
type Rows struct {
	Index, Count uint32
	IDs, Vectors uint64
}

func (m Rows) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, m.Index)
	b = binary.LittleEndian.AppendUint32(b, m.Count)
	b = binary.LittleEndian.AppendUint64(b, m.IDs)
	return binary.LittleEndian.AppendUint64(b, m.Vectors)
}

// DecodeRows is the inverse of encoding. What it names may lie outside the shared
// memory: View checks that.
func DecodeRows(payload []byte) (Rows, error) {
	d := decoder{b: payload}
	m := Rows{Index: d.u32(), Count: d.u32(), IDs: d.u64(), Vectors: d.u64()}
	return m, d.end("rows")
}

// Query is a search as it is sent.
type Query struct {
	Index             uint32
	K                 int
	Exact, Background bool
	// Filtered says that the allowed ids are AllowWords words at AllowOffset in the
	// shared memory.
	Filtered    bool
	AllowOffset uint64
	AllowWords  uint32
	Vector      []float32
}

const (
	flagExact = 1 << iota
	flagBackground
	flagFiltered
	flagsAll = flagExact | flagBackground | flagFiltered
)

func (m Query) append(b []byte) []byte {
	var flags uint32
	for i, set := range []bool{m.Exact, m.Background, m.Filtered} {
		if set {
			flags |= 1 << i
		}
	}
	b = binary.LittleEndian.AppendUint32(b, m.Index)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.K))
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Vector)))
	b = binary.LittleEndian.AppendUint64(b, m.AllowOffset)
	b = binary.LittleEndian.AppendUint32(b, m.AllowWords)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, v := range m.Vector {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// DecodeQuery is the inverse of encoding. The vector is a copy.
func DecodeQuery(payload []byte) (Query, error) {
	d := decoder{b: payload}
	m := Query{Index: d.u32(), K: d.count()}
	flags, dim := d.u32(), d.u32()
	m.AllowOffset, m.AllowWords = d.u64(), d.u32()
	d.zero(4)
	if flags&^flagsAll != 0 || m.K < 1 || m.K > MaxK || dim < 1 || dim > MaxDim || len(d.b) != 4*int(dim) ||
		flags&flagFiltered == 0 && (m.AllowWords != 0 || m.AllowOffset != 0) {
		d.bad = true
	}
	if d.bad {
		return Query{}, d.end("query")
	}
	m.Exact, m.Background, m.Filtered = flags&flagExact != 0, flags&flagBackground != 0, flags&flagFiltered != 0
	m.Vector = make([]float32, dim)
	for i := range m.Vector {
		m.Vector[i] = math.Float32frombits(d.u32())
	}
	return m, d.end("query")
}

func (m Answer) append(b []byte) []byte {
	var first uint32
	if m.First {
		first = 1
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(m.BatchSize))
	b = binary.LittleEndian.AppendUint32(b, first)
	b = binary.LittleEndian.AppendUint64(b, uint64(max(0, m.Queued)))
	b = binary.LittleEndian.AppendUint64(b, uint64(max(0, m.Device)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Hits)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, h := range m.Hits {
		b = binary.LittleEndian.AppendUint32(b, h.ID)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(h.Distance))
	}
	return b
}

// DecodeAnswer is the inverse of encoding. The hits are a copy, and any bits: CheckHits
// judges them.
func DecodeAnswer(payload []byte) (Answer, error) {
	d := decoder{b: payload}
	m := Answer{BatchSize: d.count()}
	first := d.u32()
	m.Queued, m.Device = time.Duration(d.i64()), time.Duration(d.i64())
	n := d.u32()
	d.zero(4)
	if first > 1 || m.BatchSize < 1 || m.BatchSize > MaxBatch || n > MaxK || len(d.b) != 8*int(n) {
		d.bad = true
	}
	if d.bad {
		return Answer{}, d.end("answer")
	}
	m.First = first == 1
	m.Hits = make([]Hit, n)
	for i := range m.Hits {
		m.Hits[i] = Hit{ID: d.u32(), Distance: math.Float32frombits(d.u32())}
	}
	return m, d.end("answer")
}

// State answers Stats.
type State struct {
	Device DeviceInfo
	// Indexes are at most MaxIndexes.
	Indexes []IndexStats
}

func (m State) append(b []byte) []byte {
	b = m.Device.append(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Indexes)))
	for _, i := range m.Indexes {
		b = binary.LittleEndian.AppendUint32(b, i.Index)
		b = binary.LittleEndian.AppendUint64(b, uint64(max(0, i.Rows)))
		b = binary.LittleEndian.AppendUint64(b, uint64(max(0, i.Bytes)))
	}
	return b
}

// DecodeState is the inverse of encoding.
func DecodeState(payload []byte) (State, error) {
	d := decoder{b: payload}
	m := State{Device: d.device()}
	n := d.u32()
	if n > MaxIndexes || len(d.b) != 20*int(n) {
		d.bad = true
	}
	if d.bad {
		return State{}, d.end("state")
	}
	m.Indexes = make([]IndexStats, n)
	for i := range m.Indexes {
		m.Indexes[i] = IndexStats{Index: d.u32(), Rows: d.i64(), Bytes: d.i64()}
	}
	return m, d.end("state")
}

func (e *Error) append(b []byte) []byte {
	return appendText(append(b, byte(e.Code), 0), e.Text, MaxText)
}

// DecodeError is the inverse of encoding, for the payload of Failed.
func DecodeError(payload []byte) (*Error, error) {
	d := decoder{b: payload}
	m := &Error{Code: Code(d.u8())}
	d.zero(1)
	m.Text = d.text(MaxText)
	if m.Code >= errorCodes {
		d.bad = true
	}
	return m, d.end("error")
}

// DecodeEmpty checks the payload of a frame that has none.
func DecodeEmpty(payload []byte) error {
	d := decoder{b: payload}
	return d.end("empty")
}
