// K3: of each query's candidates, the nearest, sorted. A block has one query.
//
// Up to 4,096 keys are sorted in shared memory (Batcher's bitonic network). More are first
// cut down: a radix selection from the highest digits on, 11 bits at a time, counts the keys of each
// digit until it knows a prefix that at least `keep` and at most 4,096 keys are not above.
// Keys have the id in them and differ, so the last digit ends it.
#pragma once

#include "device.cuh"

constexpr u32 kSortKeys = 4096;
constexpr u32 kDigitBits = 11;
constexpr u32 kDigits = 1 << kDigitBits;
constexpr u32 kSelectThreads = 512;

struct SelectShared {
  u64 keys[kSortKeys];
  u32 counts[kDigits];
  u32 warp_sums[kSelectThreads / 32];
  u32 count; // keys gathered
  u32 digit, below, in_digit;
};

// find_digit finds the digit in which key number `rank` is, if counts has the numbers of keys by
// digit: digit, how many keys are below it, and how many have it.
DEVICE void find_digit(SelectShared& s, u32 rank) {
  constexpr u32 kOwn = kDigits / kSelectThreads;
  const u32 first = threadIdx.x * kOwn;
  u32 own = 0;
  for (u32 i = 0; i < kOwn; i++) own += s.counts[first + i];
  u32 sum = own;
  for (u32 d = 1; d < 32; d *= 2) {
    const u32 lower = __shfl_up_sync(kWarp, sum, d);
    if (lane_id() >= d) sum += lower;
  }
  if (lane_id() == 31) s.warp_sums[warp_id()] = sum;
  __syncthreads();
  for (u32 w = 0; w < warp_id(); w++) sum += s.warp_sums[w];
  u32 below = sum - own;
  if (below < rank && rank <= sum) {
    u32 digit = first;
    while (below + s.counts[digit] < rank) below += s.counts[digit++];
    s.digit = digit;
    s.below = below;
    s.in_digit = s.counts[digit];
  }
  __syncthreads();
}

// cut finds how far keys have to be shifted, and the largest of the shifted keys that are
// gathered. n is over kSortKeys, keep at most that.
DEVICE void cut(SelectShared& s, const u64* keys, u32 n, u32 keep, u32& shift, u64& prefix) {
  u32 below = 0; // keys that are less than the prefix
  prefix = 0;
  for (shift = 64; shift > 0;) {
    const u32 bits = shift < kDigitBits ? shift : kDigitBits;
    const u32 next = shift - bits;
    for (u32 i = threadIdx.x; i < kDigits; i += kSelectThreads) s.counts[i] = 0;
    __syncthreads();
    for (u32 from = 0; from < n; from += kSelectThreads) {
      const u32 i = from + threadIdx.x;
      const u64 key = i < n ? keys[i] : 0;
      const bool counts = i < n && (shift == 64 || key >> shift == prefix);
      const u32 digit = (u32)(key >> next) & ((1u << bits) - 1);
      // Most keys have the same first digits: lanes with one digit count it together.
      const u32 lanes = __match_any_sync(kWarp, counts ? digit : kNone);
      if (counts && (lanes & lanes_below()) == 0) atomicAdd(&s.counts[digit], (u32)__popc(lanes));
    }
    __syncthreads();
    find_digit(s, keep - below);
    prefix = prefix << bits | s.digit;
    below += s.below;
    shift = next;
    if (below + s.in_digit <= kSortKeys) return;
  }
}

// gather copies the keys that aren't above the prefix, and returns how many there are.
DEVICE u32 gather(SelectShared& s, const u64* keys, u32 n, u32 shift, u64 prefix) {
  if (threadIdx.x == 0) s.count = 0;
  __syncthreads();
  for (u32 from = 0; from < n; from += kSelectThreads) {
    const u32 i = from + threadIdx.x;
    const u64 key = i < n ? keys[i] : 0;
    const bool wanted = i < n && key >> shift <= prefix;
    const u32 lanes = __ballot_sync(kWarp, wanted);
    u32 slot = 0;
    if (lane_id() == 0 && lanes != 0) slot = atomicAdd(&s.count, (u32)__popc(lanes));
    slot = __shfl_sync(kWarp, slot, 0) + __popc(lanes & lanes_below());
    if (wanted && slot < kSortKeys) s.keys[slot] = key;
  }
  __syncthreads();
  return s.count < kSortKeys ? s.count : kSortKeys;
}

// sort sorts the first n keys; what is behind them is overwritten.
DEVICE void sort(SelectShared& s, u32 n) {
  u32 size = 2;
  while (size < n) size *= 2;
  for (u32 i = n + threadIdx.x; i < size; i += kSelectThreads) s.keys[i] = kFarthest;
  __syncthreads();
  for (u32 run = 2; run <= size; run *= 2) {
    for (u32 distance = run / 2; distance > 0; distance /= 2) {
      for (u32 pair = threadIdx.x; pair < size / 2; pair += kSelectThreads) {
        const u32 i = pair / distance * distance * 2 + pair % distance;
        const u64 a = s.keys[i], b = s.keys[i + distance];
        if ((a > b) == ((i & run) == 0)) {
          s.keys[i] = b;
          s.keys[i + distance] = a;
        }
      }
      __syncthreads();
    }
  }
}

KERNEL(kSelectThreads, 2) select_nearest(const SelectArgs a) {
  SelectShared& s = *reinterpret_cast<SelectShared*>(shared_memory);
  Query& query = at<Query>(a.queries)[blockIdx.x];
  u64* keys = at<u64>(a.candidates) + (u64)blockIdx.x * a.capacity;
  const u32 count = query.count, n = min(count, a.capacity);
  const u32 keep = min(a.final ? query.k : query.keep, (u32)kMaxKeep);
  u32 gathered = n;
  if (n > kSortKeys) {
    u32 shift;
    u64 prefix;
    cut(s, keys, n, keep, shift, prefix);
    gathered = gather(s, keys, n, shift, prefix);
  } else {
    for (u32 i = threadIdx.x; i < n; i += kSelectThreads) s.keys[i] = keys[i];
  }
  sort(s, gathered); // begins with a barrier: nobody reads keys or query any more

  const u32 kept = min(gathered, keep);
  if (threadIdx.x == 0) s.count = 0;
  __syncthreads();
  for (u32 i = threadIdx.x; i < kept; i += kSelectThreads) {
    keys[i] = s.keys[i];
    if (a.out != 0 && i < a.out_stride) at<u64>(a.out)[(u64)blockIdx.x * a.out_stride + i] = s.keys[i];
    // Rows that vanished are at the end, and don't count.
    if (s.keys[i] != kFarthest && (i + 1 == kept || s.keys[i + 1] == kFarthest)) s.count = i + 1;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  query.count = s.count;
  if (s.count == keep && s.keys[keep - 1] < query.threshold) query.threshold = s.keys[keep - 1];
  if (count > a.capacity) query.flags |= kOverflowed;
}
