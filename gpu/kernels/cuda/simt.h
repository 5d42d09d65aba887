// What device.cuh needs, for a CPU: blocks of threads emulated one after the other by one
// thread of the process, each thread of a block a fiber with a stack of its own that runs until it has to
// wait. It is made to find mistakes, not to be fast:
//
//   - shared memory ends at a page that can't be accessed and has no useful content at first;
//     so has the memory that hostrun hands out;
//   - cp.async copies at the latest moment, when it is waited for, or at once, as the
//     seed decides, so that a missing wait or barrier shows whichever way;
//   - the order of threads and blocks, and where else threads change, is up to the seed;
//   - warp operations need all lanes of a warp at the same operation, barriers all threads,
//     16-byte accesses their alignment. What can't go on is an error.
//
// ldmatrix and mma are written from the tables of the PTX ISA (Warp-level Matrix Instructions),
// not from how the kernels use them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "abi.h"

#define KERNEL(threads, blocks) extern "C" void
#define DEVICE inline

struct uint3 { u32 x, y, z; };
struct alignas(16) uint4 { u32 x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };

inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace simt {

enum class Op : u32 { kNone, kSync, kShuffle, kBallot, kMatch, kLdmatrix, kMmaS8, kMmaBF16 };

// Complete does an operation for a warp, of what its lanes brought.
using Complete = void (*)(void* const* lanes);

// meet waits until all lanes of the warp are at this operation.
void meet(Op op, u32 mask, void* lane, Complete complete);
void barrier();
void yield(); // if the seed says so
void copy_async(void* to, const void* from, u32 bytes);
void commit();
void wait(u32 pending);
[[noreturn]] void fault(const char* what);

extern unsigned char* block_shared;

// aligned faults if p isn't a multiple of 16.
inline void aligned(const void* p) {
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) fault("a 16-byte access isn't aligned");
}

struct Shuffle {
  u64 value, result;
  u32 source;
};

inline u64 shuffle(u32 mask, u64 value, u32 source) {
  Shuffle own{value, 0, source};
  meet(Op::kShuffle, mask, &own, [](void* const* lanes) {
    for (u32 i = 0; i < 32; i++) {
      Shuffle& s = *static_cast<Shuffle*>(lanes[i]);
      s.result = static_cast<Shuffle*>(lanes[s.source])->value;
    }
  });
  return own.result;
}

template <typename T>
T shuffle_as(u32 mask, T value, u32 source) {
  u64 bits = 0;
  static_assert(sizeof(T) <= sizeof(bits));
  memcpy(&bits, &value, sizeof(T));
  bits = shuffle(mask, bits, source);
  memcpy(&value, &bits, sizeof(T));
  return value;
}

struct Matrices {
  u32* r;
  const void* row;
};

template <typename Sum>
struct Product {
  Sum* c;
  const u32* a;
  u32 b[2];
};

template <typename Sum, typename Element, u32 kDepth>
void multiply(void* const* lanes) {
  constexpr u32 kInWord = sizeof(u32) / sizeof(Element);
  Element a[16][kDepth], b[kDepth][8];
  for (u32 lane = 0; lane < 32; lane++) {
    const auto& p = *static_cast<Product<Sum>*>(lanes[lane]);
    const u32 group = lane / 4, in_group = lane % 4;
    for (u32 i = 0; i < 4 * kInWord; i++) { // a_i, as the ISA counts them
      Element e;
      memcpy(&e, reinterpret_cast<const unsigned char*>(p.a) + i * sizeof(Element), sizeof(Element));
      const u32 word = i / kInWord;
      a[word % 2 == 0 ? group : group + 8][in_group * kInWord + i % kInWord + (word < 2 ? 0 : kDepth / 2)] = e;
    }
    for (u32 i = 0; i < 2 * kInWord; i++) {
      Element e;
      memcpy(&e, reinterpret_cast<const unsigned char*>(p.b) + i * sizeof(Element), sizeof(Element));
      b[in_group * kInWord + i % kInWord + (i < kInWord ? 0 : kDepth / 2)][group] = e;
    }
  }
  for (u32 lane = 0; lane < 32; lane++) {
    const auto& p = *static_cast<Product<Sum>*>(lanes[lane]);
    for (u32 i = 0; i < 4; i++) {
      const u32 row = i < 2 ? lane / 4 : lane / 4 + 8, column = lane % 4 * 2 + i % 2;
      Sum sum = p.c[i];
      for (u32 k = 0; k < kDepth; k++) sum += (Sum)a[row][k] * (Sum)b[k][column];
      p.c[i] = sum;
    }
  }
}

struct BF16 {
  unsigned short bits;
  explicit operator float() const {
    const u32 word = (u32)bits << 16;
    float v;
    memcpy(&v, &word, sizeof(v));
    return v;
  }
};

} // namespace simt

#define shared_memory simt::block_shared

extern uint3 threadIdx, blockIdx, blockDim, gridDim;

inline u32 __float_as_uint(float v) {
  u32 bits;
  memcpy(&bits, &v, sizeof(bits));
  return bits;
}
inline float __uint_as_float(u32 bits) {
  float v;
  memcpy(&v, &bits, sizeof(v));
  return v;
}
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline u32 min(u32 a, u32 b) { return a < b ? a : b; }
inline u32 max(u32 a, u32 b) { return a > b ? a : b; }
inline int __popc(u32 v) { return __builtin_popcount(v); }
inline int __dp4a(int a, int b, int c) {
  for (u32 i = 0; i < 32; i += 8) c += (signed char)((u32)a >> i) * (signed char)((u32)b >> i);
  return c;
}

inline void __syncthreads() { simt::barrier(); }
inline void __syncwarp(u32 mask = 0xFFFFFFFFu) {
  simt::meet(simt::Op::kSync, mask, nullptr, [](void* const*) {});
}
template <typename T>
T __shfl_sync(u32 mask, T v, u32 lane) {
  return simt::shuffle_as(mask, v, lane % 32);
}
template <typename T>
T __shfl_xor_sync(u32 mask, T v, u32 by) {
  return simt::shuffle_as(mask, v, (threadIdx.x ^ by) % 32);
}
template <typename T>
T __shfl_up_sync(u32 mask, T v, u32 by) {
  const u32 lane = threadIdx.x % 32;
  return simt::shuffle_as(mask, v, lane < by ? lane : lane - by);
}
template <typename T>
T __shfl_down_sync(u32 mask, T v, u32 by, u32 width = 32) {
  const u32 lane = threadIdx.x % 32;
  return simt::shuffle_as(mask, v, lane % width + by < width ? lane + by : lane);
}

struct Vote {
  u32 value, result;
};
inline u32 __ballot_sync(u32 mask, bool v) {
  Vote own{v, 0};
  simt::meet(simt::Op::kBallot, mask, &own, [](void* const* lanes) {
    u32 votes = 0;
    for (u32 i = 0; i < 32; i++) votes |= static_cast<Vote*>(lanes[i])->value << i;
    for (u32 i = 0; i < 32; i++) static_cast<Vote*>(lanes[i])->result = votes;
  });
  return own.result;
}
inline bool __any_sync(u32 mask, bool v) { return __ballot_sync(mask, v) != 0; }
inline u32 __match_any_sync(u32 mask, u32 v) {
  Vote own{v, 0};
  simt::meet(simt::Op::kMatch, mask, &own, [](void* const* lanes) {
    for (u32 i = 0; i < 32; i++) {
      Vote& vote = *static_cast<Vote*>(lanes[i]);
      for (u32 j = 0; j < 32; j++) vote.result |= (u32)(static_cast<Vote*>(lanes[j])->value == vote.value) << j;
    }
  });
  return own.result;
}

inline u32 atomicAdd(u32* p, u32 v) {
  simt::yield();
  const u32 old = *p;
  *p = old + v;
  return old;
}

inline uint4 load_stream(const void* p) {
  simt::aligned(p);
  uint4 v;
  memcpy(&v, p, sizeof(v));
  return v;
}

inline void cp_async(void* to, const void* from, u32 bytes) {
  simt::aligned(to);
  simt::aligned(from);
  simt::copy_async(to, from, bytes);
}
inline void cp_async_commit() { simt::commit(); }
template <int kPending>
void cp_async_wait() {
  simt::wait(kPending);
}

inline void ldmatrix(u32 (&r)[4], const void* row) {
  simt::aligned(row);
  simt::Matrices own{r, row};
  simt::meet(simt::Op::kLdmatrix, 0xFFFFFFFFu, &own, [](void* const* lanes) {
    for (u32 lane = 0; lane < 32; lane++) {
      for (u32 i = 0; i < 4; i++) {
        const void* from = static_cast<simt::Matrices*>(lanes[8 * i + lane / 4])->row;
        memcpy(static_cast<simt::Matrices*>(lanes[lane])->r + i, static_cast<const unsigned char*>(from) + lane % 4 * 4, 4);
      }
    }
  });
}

inline void mma(int (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  simt::Product<int> own{c, a, {b0, b1}};
  simt::meet(simt::Op::kMmaS8, 0xFFFFFFFFu, &own, simt::multiply<int, signed char, 32>);
}
inline void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  simt::Product<float> own{c, a, {b0, b1}};
  simt::meet(simt::Op::kMmaBF16, 0xFFFFFFFFu, &own, simt::multiply<float, simt::BF16, 16>);
}
