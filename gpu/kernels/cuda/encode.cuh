// K5: vectors become rows and queries. A block has one vector. The rotation and the s8 code are those of
// vecindex/quant (Rotation.Apply, Int8.Encode), operation by operation, so that codes and
// factors are the same to the bit.
#pragma once

#include "device.cuh"

constexpr u32 kEncodeThreads = 256; // at most: a vector of few coordinates has fewer
constexpr u32 kLanes = 16; // vecindex/simd.CodeLanes: sums are made in so many lanes

// Exchange is what the warps of a block tell each other.
struct Exchange {
  double sums[kEncodeThreads / 32];
  u32 largest[kEncodeThreads / 32];
  float norm2, product;
};

// block_sum adds up v over the block, for all threads.
DEVICE double block_sum(Exchange& e, double v) {
  for (u32 d = 16; d > 0; d /= 2) v += __shfl_xor_sync(kWarp, v, d);
  __syncthreads();
  if (lane_id() == 0) e.sums[warp_id()] = v;
  __syncthreads();
  double sum = 0;
  for (u32 w = 0; w < blockDim.x / 32; w++) sum += e.sums[w];
  return sum;
}

DEVICE u32 block_max(Exchange& e, u32 v) {
  for (u32 d = 16; d > 0; d /= 2) v = max(v, __shfl_xor_sync(kWarp, v, d));
  __syncthreads();
  if (lane_id() == 0) e.largest[warp_id()] = v;
  __syncthreads();
  u32 largest = 0;
  for (u32 w = 0; w < blockDim.x / 32; w++) largest = max(largest, e.largest[w]);
  return largest;
}

DEVICE void multiply(float* x, const float* by, u32 n) {
  for (u32 i = threadIdx.x; i < n; i += blockDim.x) x[i] = __fmul_rn(x[i], by[i]);
  __syncthreads();
}

DEVICE void hadamard(float* x, u32 n) {
  for (u32 half = 1; half < n; half *= 2) {
    for (u32 pair = threadIdx.x; pair < n / 2; pair += blockDim.x) {
      const u32 i = pair / half * half * 2 + pair % half;
      const float a = x[i], b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
    __syncthreads();
  }
}

// rotate turns x, which is in shared memory and has zeros behind the vector.
DEVICE void rotate(float* x, const Rotation& r) {
  const float* factors = at<const float>(r.factors);
  for (u32 round = 0; round < 4; round++) {
    if (round == 2 && r.turns != 0) {
      multiply(x, at<const float>(r.turns), r.padded);
      const u32 half = r.padded / 2, high = r.padded - half;
      for (u32 i = threadIdx.x; i < half; i += blockDim.x) {
        const float a = x[i], b = x[high + i];
        x[i] = a + b;
        x[high + i] = a - b;
      }
      __syncthreads();
    }
    multiply(x, factors + (u64)round * r.padded, r.padded);
    hadamard(round % 2 == 0 ? x : x + (r.padded - r.block), r.block);
  }
}

// Factors are what a code stands for: scale times its numbers, of a vector whose squared length is norm2
// (of those under l2).
struct Factors {
  float scale, norm2;
};

// encode_s8 writes the code of x, which is followed by zeros up to whole lanes.
DEVICE Factors encode_s8(Exchange& e, unsigned char* code, const float* x, u32 padded, u32 row_bytes, u32 metric) {
  u32 bits = 0; // floats without a sign are in the order of their bits
  for (u32 i = threadIdx.x; i < padded; i += blockDim.x) bits = max(bits, __float_as_uint(x[i]) & 0x7FFFFFFFu);
  const float largest = __uint_as_float(block_max(e, bits));
  const float steps = __fdiv_rn(127.0f, largest);
  const bool zero = steps > 3.402823466e+38f; // too short to be told from zero
  for (u32 i = threadIdx.x; i < row_bytes; i += blockDim.x) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    code[i] = zero || i >= padded ? 0 : (unsigned char)__float_as_uint(__fmul_rn(x[i], steps) + 12582912.0f);
  }
  if (zero) return {0, 0};
  // The first 16 lanes add up squares, the others products with the code.
  if (warp_id() == 0) {
    float sum = 0;
    for (u32 i = lane_id() % kLanes; i < padded; i += kLanes) {
      const float y = __fmul_rn(x[i], steps);
      const int number = (signed char)__float_as_uint(y + 12582912.0f);
      sum += __fmul_rn(y, lane_id() < kLanes ? y : (float)number);
    }
    for (u32 half = kLanes / 2; half > 0; half /= 2) sum += __shfl_down_sync(kWarp, sum, half, kLanes);
    if (lane_id() == 0) e.norm2 = sum;
    if (lane_id() == kLanes) e.product = sum;
  }
  __syncthreads();
  const double step = (double)largest / 127;
  return {(float)((double)e.norm2 / (double)e.product * step), metric == kL2 ? (float)((double)e.norm2 * step * step) : 0};
}

// encode_bf16 writes x rounded to even. Its scale makes the error orthogonal to x, as that of s8 does
// (Gao and Long, RaBitQ, SIGMOD 2024, section 3.2): so the error of an estimate shrinks with the
// distance, which counts where vectors are long beside their distances.
DEVICE Factors encode_bf16(Exchange& e, unsigned char* code, const float* x, u32 padded, u32 row_bytes, u32 metric) {
  double squares = 0, product = 0;
  for (u32 i = threadIdx.x; i < row_bytes / 2; i += blockDim.x) {
    const float v = i < padded ? x[i] : 0;
    const u32 bits = __float_as_uint(v), rounded = (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
    reinterpret_cast<unsigned short*>(code)[i] = (unsigned short)rounded;
    squares += (double)v * v;
    product += (double)v * __uint_as_float(rounded << 16);
  }
  squares = block_sum(e, squares);
  product = block_sum(e, product);
  return {product > 0 ? (float)(squares / product) : 0, metric == kL2 ? (float)squares : 0};
}

// encode_vector makes a vector and its code of the input.
DEVICE Factors encode_vector(const float* input, u32 dim, float* vector, u32 stride, unsigned char* code, u32 row_bytes,
                             const Rotation& rotation, u32 metric, u32 code_type) {
  Exchange& e = *reinterpret_cast<Exchange*>(shared_memory);
  float* x = reinterpret_cast<float*>(shared_memory + 512);
  double scale = 1;
  if (metric == kCosine) {
    double squares = 0;
    for (u32 i = threadIdx.x; i < dim; i += blockDim.x) squares += (double)input[i] * input[i];
    squares = block_sum(e, squares);
    scale = squares > 0 ? 1 / sqrt(squares) : 0;
  }
  const u32 lanes = (rotation.padded + kLanes - 1) / kLanes * kLanes;
  for (u32 i = threadIdx.x; i < max(lanes, stride); i += blockDim.x) {
    const float v = i < dim ? (float)(input[i] * scale) : 0;
    if (i < lanes) x[i] = v;
    if (i < stride) vector[i] = v;
  }
  __syncthreads();
  if (code_type == kBF16) return encode_bf16(e, code, x, rotation.padded, row_bytes, metric);
  rotate(x, rotation);
  return encode_s8(e, code, x, rotation.padded, row_bytes, metric);
}

KERNEL(kEncodeThreads, 4) encode(const EncodeArgs a) {
  const u32 id = at<const u32>(a.ids)[blockIdx.x], row = at<const u32>(a.rows)[blockIdx.x], in_segment = row % kSegmentRows;
  const Segment& segment = segment_of(a.segments, row);
  const Factors f = encode_vector(at<const float>(a.input) + (u64)blockIdx.x * a.dim, a.dim,
                                  at<float>(segment.vectors) + (u64)in_segment * a.stride, a.stride,
                                  at<unsigned char>(segment.codes) + (u64)in_segment * a.row_bytes, a.row_bytes, a.rotation, a.metric, a.code);
  if (threadIdx.x != 0) return;
  at<float2>(segment.factors)[in_segment] = make_float2(a.metric == kL2 ? -2 * f.scale : -f.scale, f.norm2);
  at<u32>(segment.ids)[in_segment] = id;
  at<u32>(a.row_of)[id] = row;
}

KERNEL(kEncodeThreads, 4) encode_queries(const EncodeQueriesArgs a) {
  const Factors f = encode_vector(at<const float>(a.input) + (u64)blockIdx.x * a.dim, a.dim, at<float>(a.vectors) + (u64)blockIdx.x * a.stride,
                                  a.stride, at<unsigned char>(a.codes) + (u64)blockIdx.x * a.row_bytes, a.row_bytes, a.rotation, a.metric, a.code);
  if (threadIdx.x == 0) at<Query>(a.queries)[blockIdx.x].scale = f.scale;
}

KERNEL(256, 4) erase(const EraseArgs a) {
  const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= a.count) return;
  const u32 id = at<const u32>(a.ids)[i];
  if (id >= a.row_of_ids) return;
  u32& row = at<u32>(a.row_of)[id];
  if (row == kNone) return;
  at<u32>(segment_of(a.segments, row).ids)[row % kSegmentRows] = kNone;
  row = kNone;
}
