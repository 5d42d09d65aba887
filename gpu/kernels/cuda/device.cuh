// What the kernels need of the machine. Compiled by nvcc these are the device's own
// instructions; any other compiler gets them from simt.h, which emulates blocks of threads.
#pragma once

#include "abi.h"

#ifdef __CUDACC__

#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define DEVICE __device__ __forceinline__
// The block's dynamic shared memory.
extern __shared__ __align__(128) unsigned char shared_memory[];

// load_stream reads 16 bytes that are read once: they bypass the first cache.
DEVICE uint4 load_stream(const void* p) {
  uint4 v;
  asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(p));
  return v;
}

DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// cp_async copies 16 bytes into shared memory, of which the first `bytes` (0 or 16) are
// read and the others are zeros. It is done once cp_async_wait says so.
DEVICE void cp_async(void* to, const void* from, u32 bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ldmatrix loads four matrices of 8 rows of 16 bytes: lanes 8i..8i+7 say where the rows of
// matrix i are, and lane l gets bytes 4(l%4).. of row l/4 of each.
DEVICE void ldmatrix(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// mma adds the product of 16 rows and 8 columns of 32 bytes to c.
DEVICE void mma(int (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
DEVICE void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else
#include "simt.h"
#endif

constexpr u32 kWarp = 0xFFFFFFFFu; // all lanes
constexpr u64 kFarthest = ~0ull;   // no key of a candidate

DEVICE u32 lane_id() { return threadIdx.x % 32; }
DEVICE u32 warp_id() { return threadIdx.x / 32; }
DEVICE u32 lanes_below() { return (1u << lane_id()) - 1; }

template <typename T>
DEVICE T* at(u64 address) {
  return reinterpret_cast<T*>(address);
}

// ordered has the order of floats, which are no NaN. Zero has no sign in it.
DEVICE u32 ordered(float v) {
  const u32 bits = __float_as_uint(v + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
DEVICE u64 key_of(float distance, u32 id) { return (u64)ordered(distance) << 32 | id; }

// bound_of is a float that no key's distance below the threshold is over; nothing is below or
// equal to it (it is a NaN) if there is no such distance.
DEVICE float bound_of(u64 threshold) {
  const u32 infinite = 0xFF800000u;
  u32 bits = (u32)(threshold >> 32);
  bits = bits < infinite ? bits : infinite;
  return __uint_as_float(bits >> 31 ? bits & 0x7FFFFFFFu : ~bits);
}

// allowed looks an id up in a query's filter.
DEVICE bool allowed(u64 filter, u32 words, u32 id) {
  if (filter == 0) return true;
  return id / 64 < words && (at<const u64>(filter)[id / 64] >> (id % 64) & 1);
}

DEVICE const Segment& segment_of(u64 segments, u32 row) { return at<const Segment>(segments)[row / kSegmentRows]; }

// tile_at is the number of the tile at a position of the order in which they are visited.
DEVICE u32 tile_at(const ScanArgs& a, u32 position) { return (u32)((u64)position * a.tile_step % a.tiles); }

// metric_distance makes a distance of an inner product, or of a sum of squares for kL2.
DEVICE float metric_distance(u32 metric, float sum) {
  if (metric == kL2) return sum;
  if (metric == kDot) return -sum;
  return fminf(fmaxf(1 - sum, 0), 2); // rounding may put the product of unit vectors just outside of [-1, 1]
}
