// Package kernels has the device code of the GPU engine: CUDA C++ sources (in cuda), what
// nvcc makes of them, embedded, the structs that kernels are launched with, and the rules
// for how they are launched. Nothing here needs CUDA; gpu/worker hands the embedded code to
// the driver, gpu/kernels/hostrun runs the sources on the CPU for tests.
//
// A search is a number of scans, each of a larger part of the rows, with a select after
// each: a scan appends the keys below a query's threshold to its candidates, select keeps
// the best and lowers the threshold to the worst of these. The k-th best of a part of the
// rows is never better than that of all, so nothing is lost, and the distances of all rows
// are never written down. Rerank and another select follow. All of it is deterministic: what is
// appended depends on the order of blocks, but not what select makes of it.
//
// Everything is immutable; there are no goroutines and no locks.
package kernels

import "fmt"

// BlockThreads is the number of threads in a block, but for select, which has
// SelectThreads, and for encode of few coordinates.
const (
	BlockThreads  = 256
	SelectThreads = 512
)

// RowBytes is the size of the code of a vector with padded coordinates. For F32 it is that of
// the vector, VectorStride floats.
func RowBytes(code Code, padded int) int {
	switch code {
	case S8:
		return (padded + 63) / 64 * 64
	case BF16:
		return (2*padded + 63) / 64 * 64
	}
	return 4 * VectorStride(padded)
}

// VectorStride is how many floats apart vectors lie.
func VectorStride(dim int) int { return (dim + 3) / 4 * 4 }

// Launch is how a kernel is launched: blocks, threads in each, and bytes of dynamic shared
// memory.
type Launch struct {
	Kernel      string
	Grid, Block [3]int
	Shared      int
}

// Scan is one of the kernels that visit rows.
type Scan struct {
	// Queries is how many a block has; more are more groups, which read the rows again,
	// from the cache as far as that goes.
	Queries int
	Code    Code
	// Tensor says that it multiplies in tensor cores.
	Tensor bool
}

// Scans are all there are of a code, by the number of queries.
func Scans(code Code) []Scan {
	scans := []Scan{{1, code, false}, {2, code, false}, {4, code, false}}
	if code != F32 {
		for n := 8; n <= 128; n *= 2 {
			scans = append(scans, Scan{n, code, true})
		}
	}
	return scans
}

// ScanFor is the scan for a number of queries: the smallest that takes them all, else the
// largest.
func ScanFor(code Code, queries int) Scan {
	scans := Scans(code)
	for _, s := range scans {
		if s.Queries >= queries {
			return s
		}
	}
	return scans[len(scans)-1]
}

// Kernel is the name.
func (s Scan) Kernel() string {
	shape := "b"
	if s.Tensor {
		shape = "tile"
	}
	return fmt.Sprintf("scan_%s_%s%d", [...]string{"s8", "bf16", "f32"}[s.Code], shape, s.Queries)
}

const (
	tileStages   = 4  // of cuda/tile_scan.cuh
	stageBytes   = 64 // of a row or a query in a stage
	boundBytes   = 32 // of a query: what its scores are compared with
	idBytes      = 4
	warpRows     = 32 // that a warp of a scan without tensor cores has at once
	blockWarps   = BlockThreads / 32
	selectKeys   = 4096 // that select sorts at once
	selectDigits = 2048 // and the counters it finds them with
)

// shared is the dynamic shared memory of a block, for rows of so many bytes.
func (s Scan) shared(rowBytes int) int {
	if !s.Tensor {
		return s.Queries * rowBytes
	}
	return tileStages*((TileRows+s.Queries)*stageBytes+TileRows*(FactorBytes+idBytes)) + s.Queries*boundBytes
}

// MaxShared is the most shared memory that the scan asks for, for any dimension. Above 48 KiB a
// driver wants to know before.
func (s Scan) MaxShared() int { return s.shared(RowBytes(s.Code, MaxDim)) }

// perSM is how many blocks run on a multiprocessor at once: as many as the kernel is
// compiled for (its second KERNEL argument); with fewer nothing breaks.
func (s Scan) perSM() int {
	switch s.Queries {
	case 64, 128:
		return 2
	case 2, 4, 32:
		return 3
	}
	return 4
}

// Launch is how tiles are scanned for queries on a device of so many multiprocessors: with
// as many blocks as run at once, each of which takes tiles until there are no more.
func (s Scan) Launch(rowBytes, queries, tiles, multiprocessors int) Launch {
	groups := (queries + s.Queries - 1) / s.Queries
	useful := tiles
	if !s.Tensor {
		useful = (tiles*TileRows/warpRows + blockWarps - 1) / blockWarps
	}
	blocks := max(1, min(useful, multiprocessors*s.perSM()/groups))
	return Launch{s.Kernel(), [3]int{groups, blocks, 1}, [3]int{BlockThreads, 1, 1}, s.shared(rowBytes)}
}

// LaunchSelect is how select_nearest is launched.
func LaunchSelect(queries int) Launch {
	return Launch{"select_nearest", [3]int{queries, 1, 1}, [3]int{SelectThreads, 1, 1}, selectKeys*KeyBytes + selectDigits*4 + 256}
}

// LaunchRerank is how rerank is launched for at most keep candidates of each query.
func LaunchRerank(queries, keep int) Launch {
	return Launch{"rerank", [3]int{(keep + blockWarps - 1) / blockWarps, queries, 1}, [3]int{BlockThreads, 1, 1}, 0}
}

// LaunchEncode is how encode is launched for codes of so many coordinates.
func LaunchEncode(count, padded int) Launch {
	return Launch{"encode", [3]int{count, 1, 1}, [3]int{encodeThreads(padded), 1, 1}, encodeShared(padded)}
}

// LaunchEncodeQueries is the same for queries.
func LaunchEncodeQueries(count, padded int) Launch {
	return Launch{"encode_queries", [3]int{count, 1, 1}, [3]int{encodeThreads(padded), 1, 1}, encodeShared(padded)}
}

// encodeThreads is one for each pair of coordinates, in whole warps.
func encodeThreads(padded int) int { return max(32, min((padded/2+31)/32*32, BlockThreads)) }

// encodeShared is a vector in whole lanes, and what the warps tell each other.
func encodeShared(padded int) int { return (padded+15)/16*16*4 + 512 }

// LaunchErase is how erase is launched.
func LaunchErase(count int) Launch {
	return Launch{"erase", [3]int{(count + BlockThreads - 1) / BlockThreads, 1, 1}, [3]int{BlockThreads, 1, 1}, 0}
}
