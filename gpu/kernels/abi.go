package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Sizes that cuda/abi.h and this file share.
const (
	// SegmentRows is how many rows a segment has: row r is in segment r / SegmentRows.
	SegmentRows = 16384
	// TileRows is what a scan visits at once. Segments have memory for whole tiles.
	TileRows = 128
	// MaxKeep is the largest Query.Keep and Query.K, MaxCapacity the largest number of
	// candidates there is room for.
	MaxKeep     = 2048
	MaxCapacity = 65536
	// None is the id of a dead row and the row of an id that has none.
	None = 0xFFFFFFFF
	// MaxDim is the largest dimension of vectors and of their codes.
	MaxDim = 4096
)

// Ptr is an address in the device's memory; 0 is none.
type Ptr uint64

// Metric is how distances are measured, as in vecindex.
type Metric uint32

const (
	Cosine Metric = iota
	L2            // squared
	Dot           // negated
)

// Code is what a scan reads of rows: signed bytes, bfloat16, or the vectors.
type Code uint32

const (
	S8 Code = iota
	BF16
	F32 // scans only
)

// Overflowed in Query.Flags says that there were more candidates than their capacity:
// some are missing, but Threshold is a bound for the Keep nearest.
const Overflowed = 1

// Segment is where the rows of a segment lie; see cuda/abi.h, as for all that follow.
type Segment struct {
	Codes, Vectors, Factors, IDs Ptr
}

// Query is the state of one query of a batch.
type Query struct {
	Threshold   uint64
	Filter      Ptr
	FilterWords uint32
	Scale       float32
	Count       uint32
	Flags       uint32
	Keep        uint32
	K           uint32
}

// ScanArgs are the arguments of the scans.
type ScanArgs struct {
	Segments, Queries, Codes, Candidates Ptr
	Rows, RowBytes, NumQueries, Capacity uint32
	First, Count, Tiles, TileStep        uint32
	Metric                               Metric
	Unused                               uint32
}

// SelectArgs are the arguments of select_nearest.
type SelectArgs struct {
	Queries, Candidates, Out               Ptr
	NumQueries, Capacity, OutStride, Final uint32
}

// RerankArgs are the arguments of rerank.
type RerankArgs struct {
	Queries, Candidates, Vectors, Segments, RowOf Ptr
	IDs, NumQueries, Capacity, Stride             uint32
	Metric                                        Metric
	Unused                                        uint32
}

// Rotation is a vecindex/quant.Rotation in the device's memory.
type Rotation struct {
	Factors, Turns Ptr
	Padded, Block  uint32
}

// EncodeArgs are the arguments of encode.
type EncodeArgs struct {
	Input, IDs, Rows, Segments, RowOf Ptr
	Rotation                          Rotation
	Dim, RowBytes, Stride             uint32
	Metric                            Metric
	Code                              Code
	Count                             uint32
}

// EncodeQueriesArgs are the arguments of encode_queries.
type EncodeQueriesArgs struct {
	Input, Vectors, Codes, Queries Ptr
	Rotation                       Rotation
	Dim, RowBytes, Stride          uint32
	Metric                         Metric
	Code                           Code
	Count                          uint32
}

// EraseArgs are the arguments of erase.
type EraseArgs struct {
	IDs, Segments, RowOf Ptr
	RowOfIDs, Count      uint32
}

// Struct is what has a mirror in cuda/abi.h.
type Struct interface {
	Segment | Query | ScanArgs | SelectArgs | RerankArgs | EncodeArgs | EncodeQueriesArgs | EraseArgs
}

// Append appends s as the device has it, without padding, to b.
func Append[T Struct](b []byte, s T) []byte {
	b, err := binary.Append(b, binary.LittleEndian, s)
	if err != nil {
		panic(fmt.Sprintf("kernels: a struct that isn't of fixed size: %v", err)) // no Struct is
	}
	return b
}

// ReadQuery is the first Query in b, the inverse of Append.
func ReadQuery(b []byte) Query {
	le := binary.LittleEndian
	return Query{
		Threshold: le.Uint64(b), Filter: Ptr(le.Uint64(b[8:])), FilterWords: le.Uint32(b[16:]),
		Scale: math.Float32frombits(le.Uint32(b[20:])), Count: le.Uint32(b[24:]), Flags: le.Uint32(b[28:]),
		Keep: le.Uint32(b[32:]), K: le.Uint32(b[36:]),
	}
}

// Bytes of the structs that lie in arrays.
const (
	SegmentBytes = 32
	QueryBytes   = 40
	FactorBytes  = 8 // of a row: mul, add
	KeyBytes     = 8 // of a candidate
)

// Key is what candidates are sorted by: the distance, then the id.
func Key(distance float32, id uint32) uint64 {
	b := math.Float32bits(distance + 0) // there is no negative zero
	if b>>31 == 1 {
		b = ^b
	} else {
		b |= 1 << 31
	}
	return uint64(b)<<32 | uint64(id)
}

// SplitKey is the inverse of Key.
func SplitKey(key uint64) (distance float32, id uint32) {
	b := uint32(key >> 32)
	if b>>31 == 1 {
		b &^= 1 << 31
	} else {
		b = ^b
	}
	return math.Float32frombits(b), uint32(key)
}
