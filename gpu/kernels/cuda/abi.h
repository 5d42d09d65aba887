// The structs that kernels are launched with, one by value each, and the layout of what
// they point to. abi.go, a folder up, mirrors this file, and a test compares every offset.
//
// All pointers are device addresses in 64 bits. Structs have no padding that isn't named.
#ifndef VCCDB_KERNELS_ABI_H
#define VCCDB_KERNELS_ABI_H

typedef unsigned long long u64;
typedef unsigned int u32;

enum : u32 {
  kSegmentRows = 16384, // rows of a segment: row r is in segment r / kSegmentRows
  kTileRows = 128,      // what a scan visits at once; segments have memory for whole tiles
  kMaxKeep = 2048,      // the largest Query.keep and Query.k
  kMaxCapacity = 65536, // the largest capacity of candidates
  kNone = 0xFFFFFFFFu,  // the id of a dead row, the row of an id that has none
};

enum : u32 { kCosine = 0, kL2 = 1, kDot = 2 };
enum : u32 { kS8 = 0, kBF16 = 1 };

enum : u32 { kOverflowed = 1 }; // Query.flags

// Segment is where the rows of a segment lie. Rows from ScanArgs.rows on count as dead,
// and may hold anything; there must be memory for them up to a multiple of kTileRows.
struct Segment {
  u64 codes;   // row_bytes for each row, aligned to 16
  u64 vectors; // float[stride] for each row, aligned to 16; normalised under cosine, zeros behind dim
  u64 factors; // float2 {mul, add} for each row, aligned to 16
  u64 ids;     // u32 for each row, kNone: dead; aligned to 16
};

// Query is the state of one query of a batch. Scans append to its candidates what has a key
// below threshold, and select tightens that.
//
// A key is the distance as an unsigned number of the same order, shifted left by 32,
// plus the id: smaller is nearer, and ties go by the id.
struct Query {
  u64 threshold;    // at the start ~0
  u64 filter;       // u64[filter_words], bit id%64 of word id/64 allows an id; 0: all are
  u32 filter_words; // ids behind these aren't allowed
  float scale;      // of the query's code, set by encode_queries
  u32 count;        // candidates; over the capacity when more were found than kept
  u32 flags;
  u32 keep; // how many candidates select keeps, 1..kMaxKeep
  u32 k;    // how many it keeps where SelectArgs.final is set
};

// ScanArgs: scan_{s8,bf16}_{b1,b2,b4,tile8,..,tile128} and scan_f32_{b1,b2,b4}.
// grid {groups of queries, any, 1}, block {256}: block x takes the queries from x * (queries of the variant) on.
//
// Visited are the tiles (p * tile_step) % tiles for p of first..first+count-1.
struct ScanArgs {
  u64 segments; // Segment[]
  u64 queries;  // Query[num_queries]
  u64 codes;    // of the queries, row_bytes each; for f32 their vectors
  u64 candidates; // u64[num_queries][capacity]
  u32 rows;      // in all segments
  u32 row_bytes; // of codes, a multiple of 64; for f32 of vectors, a multiple of 16
  u32 num_queries;
  u32 capacity;
  u32 first, count;
  u32 tiles;     // of all rows: rows / kTileRows, rounded up
  u32 tile_step; // has no divisor in common with tiles
  u32 metric;    // for f32
  u32 unused;
};

// SelectArgs: select_nearest, grid {num_queries}, block {512}. For each query the smallest
// candidates, as many as keep (k where final is set), are sorted and put in front; count
// says how many there are, threshold becomes the last one's key if they are complete and
// it is smaller than before, and flags gets kOverflowed if count was over the capacity.
struct SelectArgs {
  u64 queries;
  u64 candidates;
  u64 out; // u64[num_queries][out_stride] that get what is kept as well, or 0
  u32 num_queries;
  u32 capacity; // a multiple of 2
  u32 out_stride;
  u32 final;
};

// RerankArgs: rerank, grid {keep / 8, rounded up, num_queries}, block {256}. The first
// min(count, capacity) candidates get the distances of the vectors, or the largest key if
// the id has no row any more. count may not be over 8 * grid x.
struct RerankArgs {
  u64 queries;
  u64 candidates;
  u64 vectors; // of the queries, float[num_queries][stride]
  u64 segments;
  u64 row_of; // u32[ids], kNone: no row
  u32 ids;
  u32 num_queries;
  u32 capacity;
  u32 stride; // floats, a multiple of 4
  u32 metric;
  u32 unused;
};

// Rotation is vecindex/quant.Rotation: four rounds of factors, the turns between the
// second and the third, and the Hadamard transforms of `block` coordinates. bf16 has none.
struct Rotation {
  u64 factors; // float[4][padded]
  u64 turns;   // float[padded], or 0 where block is padded
  u32 padded;  // coordinates of a code
  u32 block;   // the largest power of two in padded
};

// EncodeArgs: encode, grid {count}, block {32 to 256, a multiple of 32}. Vector i becomes row rows[i], whose
// id is ids[i], and row_of[ids[i]] is set. What the row held before is overwritten; if
// the id had another row, that one is erased before.
struct EncodeArgs {
  u64 input; // float[count][dim], any that are finite, not zero under cosine
  u64 ids;   // u32[count]
  u64 rows;  // u32[count]
  u64 segments;
  u64 row_of;
  Rotation rotation;
  u32 dim;
  u32 row_bytes;
  u32 stride;
  u32 metric;
  u32 code;
  u32 count;
};

// EncodeQueriesArgs: encode_queries, grid {count}, block {32 to 256, a multiple of 32}. Sets vectors, codes and
// Query.scale.
struct EncodeQueriesArgs {
  u64 input; // float[count][dim]
  u64 vectors; // float[count][stride]
  u64 codes;   // row_bytes each
  u64 queries;
  Rotation rotation;
  u32 dim;
  u32 row_bytes;
  u32 stride;
  u32 metric;
  u32 code;
  u32 count;
};

// EraseArgs: erase, grid {count / 256, rounded up}, block {256}. The rows of these ids
// become dead, and the ids have none any more; those without one are fine.
struct EraseArgs {
  u64 ids; // u32[count], distinct
  u64 segments;
  u64 row_of;
  u32 row_of_ids; // ids from here on have no row
  u32 count;
};

#endif
