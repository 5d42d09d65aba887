// K2: the scans for 8 to 128 queries in tensor cores. A block of 8 warps multiplies 128 rows
// by its queries, in steps of 64 bytes of each, which come through four stages of shared memory
// with cp.async: three steps are on their way while one is used, over the borders of tiles too.
// Distances stay in registers, and only those below the query's threshold leave them.
//
// A stage has rows of 64 bytes, in which 16-byte chunk c of row r lies at c ^ (r / 2 % 4), so that
// eight rows' chunks are in all 32 banks, when they are written as when ldmatrix reads them.
// The bytes of s8 and bf16 lie the same in the operands of mma (m16n8k32 and m16n8k16),
// so all but the sums is the same code.
//
// Expected: 8 to 32 queries are bound by memory, with 24 KiB of rows on their way in each of
// four blocks on a multiprocessor. 128 queries are bound by shared memory and mma: per
// 32 bytes a warp reads 3 KiB (24 cycles) for 16 mma (16 cycles at the full rate of int8), so two
// thirds of the peak at most, of which mma.sync has about as much on Hopper. Two blocks
// (128 registers a thread) hide one's epilogue behind the other's products.
#pragma once

#include "device.cuh"

constexpr u32 kStages = 4;
constexpr u32 kStageBytes = 64; // of a row
constexpr u32 kTileThreads = 256;

// Bound is what the scores of a query are compared with.
struct Bound {
  u64 threshold;
  u64 filter;
  float2 limit; // the threshold's distance and the scale of the query's code
  u32 filter_words;
  u32 unused;
};

DEVICE Bound bound_for(const ScanArgs& a, u32 query) {
  if (query >= a.num_queries) return {0, 0, make_float2(bound_of(0), 0), 0, 0};
  const Query& q = at<const Query>(a.queries)[query];
  return {q.threshold, q.filter, make_float2(bound_of(q.threshold), q.scale), q.filter_words, 0};
}

// Stage is a step's part of the rows and the queries. Factors and ids are there with the
// last step of a tile.
template <int kQueries>
struct Stage {
  unsigned char rows[kTileRows * kStageBytes];
  unsigned char queries[kQueries * kStageBytes];
  float2 factors[kTileRows];
  u32 ids[kTileRows];
};

// swizzled is where a row's chunk is in a stage.
DEVICE u32 swizzled(u32 row, u32 chunk) { return row * kStageBytes + (chunk ^ (row / 2 % 4)) * 16; }

// Loader brings steps into stages: all of a tile, then those of the block's next tile.
// A thread copies one chunk of two rows and of up to two queries.
template <int kQueries>
struct Loader {
  static constexpr u32 kReach = kTileThreads / 4; // rows that the threads of a block copy at once

  const ScanArgs& args;
  const u32 steps; // of a tile
  const u32 slot;  // of this thread in a stage's rows, and in its queries
  u32 position, step;                                  // that are next
  const unsigned char *row, *query;                    // where they are, for this thread
  u32 query_bytes[(kQueries + kReach - 1) / kReach];   // 16, or 0 where there is no such query

  DEVICE Loader(const ScanArgs& a, u32 first_query)
      : args(a), steps(a.row_bytes / kStageBytes), slot(swizzled(threadIdx.x / 4, threadIdx.x % 4)), position(a.first + blockIdx.y), step(0), row(nullptr) {
    const u32 mine = first_query + threadIdx.x / 4;
#pragma unroll
    for (u32 i = 0; i < kQueries; i += kReach) query_bytes[i / kReach] = mine + i < a.num_queries ? 16 : 0;
    // There may be no such query, but nothing is read of it then.
    query = at<const unsigned char>(a.codes) + (u64)mine * a.row_bytes + threadIdx.x % 4 * 16;
  }

  DEVICE void load(Stage<kQueries>& stage) {
    if (position >= args.first + args.count) return;
    if (step == 0) {
      const u32 first = tile_at(args, position) * kTileRows;
      row = at<const unsigned char>(segment_of(args.segments, first).codes) + (u64)(first % kSegmentRows + threadIdx.x / 4) * args.row_bytes + threadIdx.x % 4 * 16;
    }
    const u64 reach = (u64)kReach * args.row_bytes;
    cp_async(stage.rows + slot, row, 16);
    cp_async(stage.rows + slot + kReach * kStageBytes, row + reach, 16);
    if (kQueries >= kReach || threadIdx.x < kQueries * 4) {
      cp_async(stage.queries + slot, query, query_bytes[0]);
      if (kQueries > kReach) cp_async(stage.queries + slot + kReach * kStageBytes, query + reach, query_bytes[kQueries / kReach - 1]);
    }
    row += kStageBytes;
    query += kStageBytes;
    if (++step == steps) finish(stage);
  }

  // finish brings what a tile's last step has as well, and goes on to the next tile.
  DEVICE void finish(Stage<kQueries>& stage) {
    const u32 first = tile_at(args, position) * kTileRows;
    const Segment& segment = segment_of(args.segments, first);
    const u32 factors = kTileRows * sizeof(float2) / 16, ids = kTileRows * sizeof(u32) / 16, thread = threadIdx.x;
    if (thread < factors) {
      cp_async(stage.factors + thread * 2, at<const float2>(segment.factors) + first % kSegmentRows + thread * 2, 16);
    } else if (thread < factors + ids) {
      cp_async(stage.ids + (thread - factors) * 4, at<const u32>(segment.ids) + first % kSegmentRows + (thread - factors) * 4, 16);
    }
    query -= args.row_bytes;
    step = 0;
    position += gridDim.y;
  }
};
static_assert(kTileRows == 2 * (kTileThreads / 4), "a thread copies a chunk of two rows");

// Warp is the part of a tile that a warp has: 16 * kRows rows and 8 * kColumns queries. Of a
// product of 16 x 8, a lane has rows lane/4 and 8 more, and columns lane%4*2 and the next.
template <typename Sum, int kQueries>
struct Warp {
  static constexpr u32 kAcross = kQueries == 128 ? 4 : kQueries == 64 ? 2 : 1; // warps side by side over the queries
  static constexpr u32 kDown = kTileThreads / 32 / kAcross;
  static constexpr u32 kRows = kTileRows / kDown / 16;
  static constexpr u32 kColumns = kQueries / kAcross / 8;

  Sum sums[kRows][kColumns][4];

  static DEVICE u32 first_row() { return warp_id() / kAcross * kRows * 16; }
  static DEVICE u32 first_column() { return warp_id() % kAcross * kColumns * 8; }
  static DEVICE u32 row(u32 i, u32 half) { return first_row() + i * 16 + half * 8 + lane_id() / 4; }
  static DEVICE u32 column(u32 j, u32 odd) { return first_column() + j * 8 + lane_id() % 4 * 2 + odd; }

  DEVICE void clear() {
#pragma unroll
    for (u32 i = 0; i < kRows; i++)
#pragma unroll
      for (u32 j = 0; j < kColumns; j++)
#pragma unroll
        for (u32 e = 0; e < 4; e++) sums[i][j][e] = 0;
  }

  // multiply adds the products of a stage.
  DEVICE void multiply(const Stage<kQueries>& stage) {
    const u32 lane = lane_id();
    u32 b[kColumns][4]; // all 64 bytes of 8 queries
#pragma unroll
    for (u32 j = 0; j < kColumns; j++) ldmatrix(b[j], stage.queries + swizzled(first_column() + j * 8 + lane % 8, lane / 8));
#pragma unroll
    for (u32 k = 0; k < 2; k++) {
#pragma unroll
      for (u32 i = 0; i < kRows; i++) {
        u32 a[4]; // 32 bytes of 16 rows
        ldmatrix(a, stage.rows + swizzled(first_row() + i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
        for (u32 j = 0; j < kColumns; j++) mma(sums[i][j], a, b[j][k * 2], b[j][k * 2 + 1]);
      }
    }
  }

  DEVICE float score(u32 r, u32 c, float2 factors, float scale) const {
    return __fmaf_rn(factors.x, __fmul_rn(scale, (float)sums[r / 2][c / 2][r % 2 * 2 + c % 2]), factors.y);
  }

  // offer appends what is below its query's bound. A lane has 2 * kRows scores of each of
  // its columns; the eight lanes of a column take their slots together. Most tiles have
  // nothing to offer, so the first part, the comparison, is what takes time.
  DEVICE void offer(const ScanArgs& a, u32 first_query, u32 tile, const Stage<kQueries>& stage, const Bound* bounds) const {
    float2 factors[kRows * 2];
#pragma unroll
    for (u32 r = 0; r < kRows * 2; r++) factors[r] = stage.factors[row(r / 2, r % 2)];
    bool any[4] = {}; // several, so that comparisons needn't wait for each other
#pragma unroll
    for (u32 c = 0; c < kColumns * 2; c++) {
      const float2 limit = bounds[column(c / 2, c % 2)].limit;
#pragma unroll
      for (u32 r = 0; r < kRows * 2; r++) any[r % 4] |= score(r, c, factors[r], limit.y) <= limit.x;
    }
    if (!__any_sync(kWarp, any[0] || any[1] || any[2] || any[3])) return;

    u32 ids[kRows * 2];
#pragma unroll
    for (u32 r = 0; r < kRows * 2; r++) {
      ids[r] = tile * kTileRows + row(r / 2, r % 2) < a.rows ? stage.ids[row(r / 2, r % 2)] : kNone;
    }
    // First all columns ask for slots, then the answers are used: the waits overlap.
    u32 slots[kColumns * 2];  // in the last lane of a column: where its slots begin
    u32 before[kColumns * 2]; // slots of the column's lanes before this one
    u32 near[kColumns * 2];   // bit r: that row is a candidate
#pragma unroll
    for (u32 c = 0; c < kColumns * 2; c++) {
      const Bound& bound = bounds[column(c / 2, c % 2)];
      slots[c] = before[c] = near[c] = 0;
#pragma unroll
      for (u32 r = 0; r < kRows * 2; r++) {
        const float distance = score(r, c, factors[r], bound.limit.y);
        if (distance <= bound.limit.x && ids[r] != kNone && key_of(distance, ids[r]) < bound.threshold &&
            allowed(bound.filter, bound.filter_words, ids[r])) {
          near[c] |= 1u << r;
        }
      }
      if (!__any_sync(kWarp, near[c] != 0)) continue;
      const u32 own = __popc(near[c]);
      u32 sum = own;
#pragma unroll
      for (u32 d = 4; d < 32; d *= 2) {
        const u32 lower = __shfl_up_sync(kWarp, sum, d);
        if (lane_id() >= d) sum += lower;
      }
      before[c] = sum - own;
      if (lane_id() >= 28 && sum != 0) {
        slots[c] = atomicAdd(&at<Query>(a.queries)[first_query + column(c / 2, c % 2)].count, sum);
      }
    }
#pragma unroll
    for (u32 c = 0; c < kColumns * 2; c++) {
      if (!__any_sync(kWarp, near[c] != 0)) continue;
      u32 slot = __shfl_sync(kWarp, slots[c], 28 + lane_id() % 4) + before[c];
      const u32 query = first_query + column(c / 2, c % 2);
      u64* candidates = at<u64>(a.candidates) + (u64)query * a.capacity;
      const float scale = bounds[column(c / 2, c % 2)].limit.y;
#pragma unroll
      for (u32 r = 0; r < kRows * 2; r++) {
        if (near[c] >> r & 1) {
          if (slot < a.capacity) candidates[slot] = key_of(score(r, c, factors[r], scale), ids[r]);
          slot++;
        }
      }
    }
  }
};

template <typename Sum, int kQueries>
DEVICE void scan_tiles(const ScanArgs& a) {
  auto* stages = reinterpret_cast<Stage<kQueries>*>(shared_memory);
  auto* bounds = reinterpret_cast<Bound*>(stages + kStages);
  const u32 first_query = blockIdx.x * kQueries;
  if (threadIdx.x < kQueries) bounds[threadIdx.x] = bound_for(a, first_query + threadIdx.x);

  Loader<kQueries> loader(a, first_query);
#pragma unroll
  for (u32 i = 0; i < kStages - 1; i++) {
    loader.load(stages[i]);
    cp_async_commit();
  }
  Warp<Sum, kQueries> warp;
  u32 stage = 0; // that is used next
  for (u32 position = a.first + blockIdx.y; position < a.first + a.count; position += gridDim.y) {
    warp.clear();
    for (u32 step = 0; step < loader.steps; step++) {
      cp_async_wait<kStages - 2>(); // the oldest step has come, for this thread,
      __syncthreads();              // for all; and all are done with the stage before
      loader.load(stages[(stage + kStages - 1) % kStages]);
      cp_async_commit(); // also if there was nothing: waits count groups
      warp.multiply(stages[stage]);
      if (step + 1 < loader.steps) stage = (stage + 1) % kStages;
    }
    warp.offer(a, first_query, tile_at(a, position), stages[stage], bounds);
    stage = (stage + 1) % kStages;
  }
  cp_async_wait<0>();
}

#define TILE_SCAN(code, Sum, queries, blocks) \
  KERNEL(kTileThreads, blocks) scan_##code##_tile##queries(const ScanArgs a) { scan_tiles<Sum, queries>(a); }
#define TILE_SCANS(code, Sum)   \
  TILE_SCAN(code, Sum, 8, 4)    \
  TILE_SCAN(code, Sum, 16, 4)   \
  TILE_SCAN(code, Sum, 32, 3)   \
  TILE_SCAN(code, Sum, 64, 2)   \
  TILE_SCAN(code, Sum, 128, 2)

TILE_SCANS(s8, int)
TILE_SCANS(bf16, float)
