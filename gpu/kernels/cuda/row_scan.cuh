// K1: the scans for one, two or four queries. They are bound by memory: the rows are read once, with
// 16-byte loads, and the queries stay in shared memory.
//
// A warp takes 32 rows at once. Four lanes share a row; a lane has 16 bytes of four rows, or twice
// that, on their way at a time, and reads each 16 bytes of a query once for those four rows. That is
// 128 KiB on a multiprocessor for one query and 48 KiB for four (with the 1,024 and 768 threads
// for which there are registers), where 15 KiB hide a latency of 1,000 cycles. After the last a
// transposing reduction leaves each lane with the sum of one row.
//
// Expected per 512 bytes (one load of a warp), which take 39 cycles at 13 bytes a cycle, a
// multiprocessor's share of 2.9 TB/s: for four queries 1 shared load (a quarter of four) and
// 16 dp4a for s8, 8 + 8 to unpack and 32 FMA for bf16, at most half of the cycles.
#pragma once

#include "device.cuh"

// Products adds up 16 bytes of a row and a query.
struct S8Products {
  static constexpr bool kVectors = false;
  using Sum = int;
  static DEVICE void add(Sum& sum, const uint4& x, const uint4& y, u32) {
    sum = __dp4a((int)x.x, (int)y.x, sum);
    sum = __dp4a((int)x.y, (int)y.y, sum);
    sum = __dp4a((int)x.z, (int)y.z, sum);
    sum = __dp4a((int)x.w, (int)y.w, sum);
  }
};

struct BF16Products {
  static constexpr bool kVectors = false;
  using Sum = float;
  static DEVICE void add(Sum& sum, u32 x, u32 y) {
    sum = __fmaf_rn(__uint_as_float(x << 16), __uint_as_float(y << 16), sum);
    sum = __fmaf_rn(__uint_as_float(x & 0xFFFF0000u), __uint_as_float(y & 0xFFFF0000u), sum);
  }
  static DEVICE void add(Sum& sum, const uint4& x, const uint4& y, u32) {
    add(sum, x.x, y.x);
    add(sum, x.y, y.y);
    add(sum, x.z, y.z);
    add(sum, x.w, y.w);
  }
};

struct F32Products {
  static constexpr bool kVectors = true;
  using Sum = float;
  static DEVICE void add(Sum& sum, u32 x, u32 y, u32 metric) {
    const float v = __uint_as_float(x), w = __uint_as_float(y);
    if (metric == kL2) {
      sum = __fmaf_rn(v - w, v - w, sum);
    } else {
      sum = __fmaf_rn(v, w, sum);
    }
  }
  static DEVICE void add(Sum& sum, const uint4& x, const uint4& y, u32 metric) {
    add(sum, x.x, y.x, metric);
    add(sum, x.y, y.y, metric);
    add(sum, x.z, y.z, metric);
    add(sum, x.w, y.w, metric);
  }
};

// row_sum adds up what four neighbouring lanes have of four rows; lane i of the four gets
// that of row i.
template <typename Sum>
DEVICE Sum row_sum(Sum v0, Sum v1, Sum v2, Sum v3) {
  const bool high = lane_id() & 2, odd = lane_id() & 1;
  const Sum even_row = (high ? v2 : v0) + __shfl_xor_sync(kWarp, high ? v0 : v2, 2);
  const Sum odd_row = (high ? v3 : v1) + __shfl_xor_sync(kWarp, high ? v1 : v3, 2);
  return (odd ? odd_row : even_row) + __shfl_xor_sync(kWarp, odd ? even_row : odd_row, 1);
}

// append adds a lane's score of a query to its candidates if it belongs there. The whole
// warp calls it.
DEVICE void append(const ScanArgs& a, u32 query, bool wanted, float score, u32 id) {
  Query* state = at<Query>(a.queries) + query;
  const u64 key = key_of(score, id);
  wanted = wanted && id != kNone && key < state->threshold && allowed(state->filter, state->filter_words, id);
  const u32 lanes = __ballot_sync(kWarp, wanted);
  if (lanes == 0) return;
  u32 slot = 0;
  if (lane_id() == 0) slot = atomicAdd(&state->count, (u32)__popc(lanes));
  slot = __shfl_sync(kWarp, slot, 0) + __popc(lanes & lanes_below());
  if (wanted && slot < a.capacity) at<u64>(a.candidates)[(u64)query * a.capacity + slot] = key;
}

template <typename Products, int kQueries>
DEVICE void scan_rows(const ScanArgs& a) {
  using Sum = typename Products::Sum;
  constexpr bool kVectors = Products::kVectors;
  constexpr u32 kAhead = kQueries == 4 ? 1 : 2; // chunks that are loaded before the first is used
  uint4* codes = reinterpret_cast<uint4*>(shared_memory);
  const u32 chunks = a.row_bytes / 16;
  const u32 first_query = blockIdx.x * kQueries;
  const u32 queries = min(a.num_queries - first_query, (u32)kQueries);
  const uint4* source = at<const uint4>(a.codes) + (u64)first_query * chunks;
  for (u32 i = threadIdx.x; i < kQueries * chunks; i += blockDim.x) {
    codes[i] = i < queries * chunks ? source[i] : make_uint4(0, 0, 0, 0);
  }
  float bounds[kQueries], scales[kQueries];
#pragma unroll
  for (u32 q = 0; q < kQueries; q++) {
    const Query* state = at<const Query>(a.queries) + first_query + q;
    bounds[q] = bound_of(q < queries ? state->threshold : 0);
    scales[q] = q < queries ? state->scale : 0;
  }
  __syncthreads();

  const u32 part = lane_id() % 4;
  const u32 units = a.count * (kTileRows / 32);
  for (u32 unit = blockIdx.y * (blockDim.x / 32) + warp_id(); unit < units; unit += gridDim.y * (blockDim.x / 32)) {
    const u32 first_row = tile_at(a, a.first + unit / (kTileRows / 32)) * kTileRows + unit % (kTileRows / 32) * 32;
    const Segment& segment = segment_of(a.segments, first_row);
    const u32 in_segment = first_row % kSegmentRows;
    // The row of this lane's sums is that of lane/4 and 8 more for each part.
    const u32 mine = in_segment + lane_id() / 4 + 8 * part;
    const float2 factors = kVectors ? make_float2(0, 0) : at<const float2>(segment.factors)[mine];
    const unsigned char* rows = at<const unsigned char>(kVectors ? segment.vectors : segment.codes) +
                                (u64)(in_segment + lane_id() / 4) * a.row_bytes;
    const u64 eight_rows = (u64)8 * a.row_bytes;
    Sum sums[kQueries][4] = {};
    for (u32 chunk = part; chunk < chunks; chunk += 4 * kAhead) {
      uint4 x[kAhead][4];
#pragma unroll
      for (u32 k = 0; k < kAhead; k++) {
        if (chunk + 4 * k >= chunks) break;
#pragma unroll
        for (u32 i = 0; i < 4; i++) x[k][i] = load_stream(rows + (chunk + 4 * k) * 16 + i * eight_rows);
      }
#pragma unroll
      for (u32 k = 0; k < kAhead; k++) {
        if (chunk + 4 * k >= chunks) break;
#pragma unroll
        for (u32 q = 0; q < kQueries; q++) {
          const uint4 y = codes[q * chunks + chunk + 4 * k];
#pragma unroll
          for (u32 i = 0; i < 4; i++) Products::add(sums[q][i], x[k][i], y, a.metric);
        }
      }
    }
    const bool live = first_row + (mine - in_segment) < a.rows;
#pragma unroll
    for (u32 q = 0; q < kQueries; q++) {
      const Sum sum = row_sum(sums[q][0], sums[q][1], sums[q][2], sums[q][3]);
      const float score = kVectors ? metric_distance(a.metric, (float)sum)
                                   : __fmaf_rn(factors.x, __fmul_rn(scales[q], (float)sum), factors.y);
      const bool wanted = live && score <= bounds[q];
      if (__any_sync(kWarp, wanted)) {
        append(a, first_query + q, wanted, score, wanted ? at<const u32>(segment.ids)[mine] : kNone);
      }
    }
  }
}

#define ROW_SCANS(code, Products)                                                  \
  KERNEL(256, 4) scan_##code##_b1(const ScanArgs a) { scan_rows<Products, 1>(a); } \
  KERNEL(256, 3) scan_##code##_b2(const ScanArgs a) { scan_rows<Products, 2>(a); } \
  KERNEL(256, 3) scan_##code##_b4(const ScanArgs a) { scan_rows<Products, 4>(a); }

ROW_SCANS(s8, S8Products)
ROW_SCANS(bf16, BF16Products)
ROW_SCANS(f32, F32Products)
