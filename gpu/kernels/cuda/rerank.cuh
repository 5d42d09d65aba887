// K4: the distances of candidates from the vectors themselves. A warp has one candidate; sums
// are made in an order that depends on the dimension alone.
#pragma once

#include "device.cuh"

// exact_distance is that of two vectors of `chunks` times four floats. The whole warp
// calls it, and all lanes get it.
DEVICE float exact_distance(const float4* x, const float4* y, u32 chunks, u32 metric) {
  float sums[4] = {};
  for (u32 i = lane_id(); i < chunks; i += 32) {
    const float4 v = x[i], w = y[i];
    if (metric == kL2) {
      sums[0] = __fmaf_rn(v.x - w.x, v.x - w.x, sums[0]);
      sums[1] = __fmaf_rn(v.y - w.y, v.y - w.y, sums[1]);
      sums[2] = __fmaf_rn(v.z - w.z, v.z - w.z, sums[2]);
      sums[3] = __fmaf_rn(v.w - w.w, v.w - w.w, sums[3]);
    } else {
      sums[0] = __fmaf_rn(v.x, w.x, sums[0]);
      sums[1] = __fmaf_rn(v.y, w.y, sums[1]);
      sums[2] = __fmaf_rn(v.z, w.z, sums[2]);
      sums[3] = __fmaf_rn(v.w, w.w, sums[3]);
    }
  }
  float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (u32 d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(kWarp, sum, d);
  return metric_distance(metric, sum);
}

KERNEL(256, 4) rerank(const RerankArgs a) {
  const u32 candidate = blockIdx.x * (blockDim.x / 32) + warp_id();
  const Query& query = at<const Query>(a.queries)[blockIdx.y];
  if (candidate >= min(query.count, a.capacity)) return;
  u64* key = at<u64>(a.candidates) + (u64)blockIdx.y * a.capacity + candidate;
  const u32 id = (u32)*key;
  const u32 row = id < a.ids ? at<const u32>(a.row_of)[id] : kNone;
  u64 exact = kFarthest;
  if (row != kNone) {
    const float* vector = at<const float>(segment_of(a.segments, row).vectors) + (u64)(row % kSegmentRows) * a.stride;
    const float* wanted = at<const float>(a.vectors) + (u64)blockIdx.y * a.stride;
    exact = key_of(exact_distance(reinterpret_cast<const float4*>(vector), reinterpret_cast<const float4*>(wanted), a.stride / 4, a.metric), id);
  }
  __syncwarp(); // all lanes have read the key
  if (lane_id() == 0) *key = exact;
}
