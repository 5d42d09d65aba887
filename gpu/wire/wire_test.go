package wire_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

var device = wire.DeviceInfo{
	Name: "H100", Driver: "12.4", Kernels: "sm_90", ComputeMajor: 9, ComputeMinor: 1, Multiprocessors: 132,
	MemoryTotal: 80 << 30, MemoryFree: 79 << 30, MemoryUsed: 1 << 30, MemoryLimit: 8 << 30,
}

// messages are one of each, with what decodes their payload.
var messages = []struct {
	t      wire.Type
	m      wire.Message
	decode func([]byte) (any, error)
}{
	{wire.TypeHello, wire.Hello{Version: wire.Version, ArenaBytes: 64 << 20}, decoded(wire.DecodeHello)},
	{wire.TypeWelcome, wire.Welcome{Version: wire.Version, Device: device}, decoded(wire.DecodeWelcome)},
	{wire.TypePing, nil, empty},
	{wire.TypePong, wire.Pong{SearchBusy: 3, UpdateBusy: time.Second}, decoded(wire.DecodePong)},
	{wire.TypeCreate, wire.Create{Spec: wire.IndexSpec{Dim: 768, Metric: wire.Dot, Codes: wire.BF16, Seed: 0x1122334455667788}}, decoded(wire.DecodeCreate)},
	{wire.TypeCreated, wire.IndexRef{Index: 7}, decoded(wire.DecodeIndexRef)},
	{wire.TypeDrop, wire.IndexRef{Index: 8}, decoded(wire.DecodeIndexRef)},
	{wire.TypePut, wire.Rows{Index: 7, Count: 1000, IDs: 64, Vectors: 4096}, decoded(wire.DecodeRows)},
	{wire.TypeDelete, wire.Rows{Index: 7, Count: 1000, IDs: 64}, decoded(wire.DecodeRows)},
	{wire.TypeDone, nil, empty},
	{wire.TypeQuery, wire.Query{Index: 7, K: 40, Exact: true, Background: true, Filtered: true, AllowOffset: 128, AllowWords: 3, Vector: []float32{1, -2}}, decoded(wire.DecodeQuery)},
	{wire.TypeAnswer, wire.Answer{Hits: []wire.Hit{{ID: 5, Distance: 0.5}, {ID: 4, Distance: 1}}, BatchSize: 32, Queued: 10, Device: 20, First: true}, decoded(wire.DecodeAnswer)},
	{wire.TypeCancel, nil, empty},
	{wire.TypeStats, nil, empty},
	{wire.TypeState, wire.State{Device: device, Indexes: []wire.IndexStats{{Index: 7, Rows: 1000, Bytes: 1 << 20}}}, decoded(wire.DecodeState)},
	{wire.TypeFailed, wire.Errorf(wire.OutOfMemory, "no room for %d rows", 3), decoded(wire.DecodeError)},
}

func decoded[M any](decode func([]byte) (M, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return decode(b) }
}

func empty(b []byte) (any, error) { return nil, wire.DecodeEmpty(b) }

const goldenFile = "testdata/frames.golden"

// TestGolden holds every byte of the protocol: a change of it needs another Version.
func TestGolden(t *testing.T) {
	var got strings.Builder
	for i, c := range messages {
		frame := wire.Append(nil, c.t, uint64(i)+1, time.Duration(i)*time.Millisecond, c.m)
		got.WriteString(c.t.String() + " " + hex.EncodeToString(frame) + "\n")
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil || got.String() != string(want) {
		t.Errorf("%v: the frames are\n%s", err, got.String())
	}
}

// TestRoundTrip: what is written is read again.
func TestRoundTrip(t *testing.T) {
	var stream []byte
	for i, c := range messages {
		stream = wire.Append(stream, c.t, uint64(i)<<40, time.Duration(i)*time.Hour, c.m)
	}
	r := wire.NewReader(bytes.NewReader(stream))
	for i, c := range messages {
		f, err := r.Next()
		if err != nil || f.Type != c.t || f.ID != uint64(i)<<40 || f.Deadline != time.Duration(i)*time.Hour {
			t.Fatalf("%v: %+v, %v", c.t, f, err)
		}
		m, err := c.decode(f.Payload)
		if err != nil || c.m != nil && !reflect.DeepEqual(m, any(c.m)) {
			t.Errorf("%v: %+v, %v, want %+v", c.t, m, err, c.m)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestMalformed: a payload that is shorter or longer than its message is refused, and so
// is each value out of range; a frame that breaks off is no clean end.
func TestMalformed(t *testing.T) {
	broken := func(what string, err error) {
		t.Helper()
		var e *wire.ProtocolError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range messages {
		payload := wire.Append(nil, c.t, 1, 0, c.m)[24:]
		for n := range payload {
			_, err := c.decode(payload[:n])
			broken(c.t.String()+" cut", err)
		}
		_, err := c.decode(append(payload, 0))
		broken(c.t.String()+" longer", err)
	}
	for what, change := range map[string]func(frame []byte){
		"length":   func(b []byte) { b[2] = 0xFF },
		"type 0":   func(b []byte) { b[4] = 0 },
		"type 200": func(b []byte) { b[4] = 200 },
		"reserved": func(b []byte) { b[6] = 1 },
		"deadline": func(b []byte) { b[23] = 0x80 },
	} {
		frame := wire.Append(nil, wire.TypePing, 1, 1, nil)
		change(frame)
		_, err := wire.NewReader(bytes.NewReader(frame)).Next()
		broken(what, err)
	}
	for what, c := range map[string]struct {
		message, at int
		value       byte
	}{
		"k of 0":             {10, 4, 0},
		"k beyond MaxK":      {10, 5, 9},
		"an unknown flag":    {10, 8, 0xF},
		"a wrong dimension":  {10, 12, 3},
		"a filter unflagged": {10, 8, 3},
		"reserved":           {10, 28, 1},
		"no batch":           {11, 0, 0},
		"a huge batch":       {11, 2, 1},
		"first of 2":         {11, 4, 2},
		"a negative time":    {11, 15, 0x80},
		"another count":      {11, 24, 1},
		"an unknown code":    {15, 0, 99},
		"another magic":      {0, 0, 0},
	} {
		m := messages[c.message]
		payload := wire.Append(nil, m.t, 1, 0, m.m)[24:]
		payload[c.at] = c.value
		_, err := m.decode(payload)
		broken(what, err)
	}
	frame := wire.Append(nil, wire.TypeCreated, 1, 0, wire.IndexRef{Index: 1})
	for n := 1; n < len(frame); n++ {
		if _, err := wire.NewReader(bytes.NewReader(frame[:n])).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestVersion: another version is told apart from everything else, whatever follows it.
func TestVersion(t *testing.T) {
	payload := wire.Append(nil, wire.TypeHello, 1, 0, wire.Hello{Version: 9})[24:]
	for _, decode := range []func([]byte) (any, error){decoded(wire.DecodeHello), decoded(wire.DecodeWelcome)} {
		_, err := decode(append(payload, "what a later version has"...))
		var version *wire.VersionError
		if !errors.As(err, &version) || version.Peer != 9 || version.Own != wire.Version {
			t.Errorf("%v", err)
		}
	}
}

// TestBounds: what is too long for a frame is cut between characters, and negative
// numbers become 0.
func TestBounds(t *testing.T) {
	long := wire.Errorf(wire.Failed, "%s%s", strings.Repeat("a", wire.MaxText-1), "äöü\xff")
	e, err := wire.DecodeError(wire.Append(nil, wire.TypeFailed, 1, 0, long)[24:])
	if err != nil || len(e.Text) != wire.MaxText-1 {
		t.Errorf("%v, %v", e, err)
	}
	info := wire.DeviceInfo{Name: strings.Repeat("x", 1000), MemoryFree: -1, ComputeMajor: math.MinInt}
	w, err := wire.DecodeWelcome(wire.Append(nil, wire.TypeWelcome, 1, 0, wire.Welcome{Version: wire.Version, Device: info})[24:])
	if err != nil || len(w.Device.Name) != 256 || w.Device.MemoryFree != 0 || w.Device.ComputeMajor != 0 {
		t.Errorf("%+v, %v", w, err)
	}
	for what, m := range map[string]wire.Message{
		"hits":    wire.Answer{BatchSize: 1, Hits: make([]wire.Hit, wire.MaxK)},
		"vector":  wire.Query{K: wire.MaxK, Vector: make([]float32, wire.MaxDim)},
		"indexes": wire.State{Device: info, Indexes: make([]wire.IndexStats, wire.MaxIndexes)},
	} {
		if n := len(wire.Append(nil, wire.TypeAnswer, 1, 0, m)) - 24; n > wire.MaxPayload {
			t.Errorf("the most %s take %d bytes", what, n)
		}
	}
	if f, err := wire.NewReader(bytes.NewReader(wire.Append(nil, wire.TypePing, 1, -5, nil))).Next(); err != nil || f.Deadline != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestErrors(t *testing.T) {
	for code, want := range map[wire.Code]error{wire.Deadline: context.DeadlineExceeded, wire.Cancelled: context.Canceled} {
		if err := error(wire.Errorf(code, "x")); !errors.Is(err, want) || errors.Is(err, io.EOF) {
			t.Errorf("%v isn't %v", code, want)
		}
	}
	if wire.Busy.String() != "busy" || wire.Code(99).String() != "code(99)" {
		t.Error("names of codes")
	}
	if c, ok := wire.ParseCodes("bf16"); !ok || c != wire.BF16 {
		t.Error("bf16")
	}
	if _, ok := wire.ParseCodes("pq"); ok {
		t.Error("pq")
	}
	for _, spec := range []wire.IndexSpec{{}, {Dim: 4097}, {Dim: 1, Metric: 3}, {Dim: 1, Codes: 2}} {
		if spec.Validate() == nil {
			t.Errorf("%+v is valid", spec)
		}
	}
	if err := (wire.IndexSpec{Dim: 4096, Metric: wire.Dot, Codes: wire.BF16}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestCheckHits(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		hits []wire.Hit
		why  string
	}{
		{nil, ""},
		{[]wire.Hit{{1, -2}, {2, 0.5}, {64, 0.5}}, ""},
		{[]wire.Hit{{1, 1}, {2, 2}, {3, 3}, {64, 4}}, "4 hits"},
		{[]wire.Hit{{1, nan}}, "NaN"},
		{[]wire.Hit{{1, 1}, {2, 0}}, "sorted"},
		{[]wire.Hit{{2, 1}, {1, 1}}, "by id"},
		{[]wire.Hit{{1, 1}, {1, 1}}, "by id"},
		{[]wire.Hit{{1, 1}, {2, 2}, {1, 3}}, "twice"},
		{[]wire.Hit{{5, 1}}, "excludes"},
		{[]wire.Hit{{128, 1}}, "excludes"},
		{[]wire.Hit{{math.MaxUint32, 1}}, "excludes"},
	} {
		err := wire.CheckHits(c.hits, 3, []uint64{0b1110, 1})
		if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%v: %v, want %q", c.hits, err, c.why)
		}
	}
	if err := wire.CheckHits([]wire.Hit{{math.MaxUint32, 1}}, 1, nil); err != nil {
		t.Error(err)
	}
}

// FuzzReader: whatever arrives, reading ends without a panic; what decodes encodes to
// the same bytes again.
func FuzzReader(f *testing.F) {
	for i, c := range messages {
		f.Add(wire.Append(nil, c.t, uint64(i), time.Second, c.m))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := wire.NewReader(bytes.NewReader(stream))
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			for _, c := range messages {
				m, err := c.decode(frame.Payload)
				message, ok := m.(wire.Message)
				if err != nil || !ok {
					continue
				}
				again := wire.Append(nil, frame.Type, 1, 0, message)[24:]
				// Text that isn't UTF-8 was replaced, so it may differ, but not any more.
				second, err := c.decode(again)
				if err != nil || !bytes.Equal(wire.Append(nil, frame.Type, 1, 0, second.(wire.Message))[24:], again) {
					t.Fatalf("%v: %x is %+v, then %x: %v", c.t, frame.Payload, m, again, err)
				}
			}
		}
	})
}
