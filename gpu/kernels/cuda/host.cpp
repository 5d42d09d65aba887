// The program that hostrun starts: it runs the kernels on the CPU (see simt.h), on memory
// that it shares with the process that started it.
//
// File 0 brings commands, file 1 takes one answer to each, file 3 is the memory. A command is
// two u32, what and how long, and its content. An answer is two u32, whether it went wrong
// and how long, and a text. After a fault in a kernel the process ends.
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels.cu"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace simt {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kPage = 4096;

void answer(u32 failed, const std::string& text) {
  u32 head[2] = {failed, (u32)text.size()};
  std::string all(reinterpret_cast<char*>(head), sizeof(head));
  all += text;
  for (size_t at = 0; at < all.size();) {
    const ssize_t n = write(1, all.data() + at, all.size() - at);
    if (n <= 0) _exit(2);
    at += (size_t)n;
  }
}

struct Copy {
  void* to;
  const void* from;
  u32 bytes;
  u32 group; // number of the commit that it belongs to
};

struct Fiber {
#if defined(__x86_64__)
  void* stack_pointer;
#else
  ucontext_t context;
#endif
  unsigned char* stack;
  u32 thread;
  bool done;
  u32 commits;
  std::vector<Copy> copies;
};

struct WarpState {
  Op op;
  u32 arrived;
  void* lanes[32];
};

struct Machine {
  std::vector<Fiber> fibers;
  std::vector<WarpState> warps;
  std::vector<u32> ready; // fibers that can run; taken from `next` on, or by the seed
  size_t next;
  std::vector<u32> at_barrier;
  u32 done;
  u32 running; // the fiber that runs
  Fiber main;
  u64 seed, random;
  const char* kernel;
  void (*call)(const void*);
  const void* args;
};

Machine machine;

u32 random_below(u32 n) {
  machine.random = machine.random * 6364136223846793005ull + 1442695040888963407ull;
  return (u32)((machine.random >> 33) % n);
}

#if defined(__x86_64__)
// switch_stack keeps what a function has to keep on the stack it leaves, and returns on
// the other.
extern "C" void simt_switch_stack(void** from, void* to);
asm(R"(
.text
.type simt_switch_stack, @function
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stack, .-simt_switch_stack
)");
#endif

void switch_to(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake;
  __sanitizer_start_switch_fiber(from.done ? nullptr : &fake, to.stack, kStackBytes);
#endif
#if defined(__x86_64__)
  simt_switch_stack(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

// resume lets another fiber run; the one that calls it is in ready, waits for something, or is done.
void resume() {
  Machine& m = machine;
  Fiber& from = m.running == kNone ? m.main : m.fibers[m.running];
  if (m.next == m.ready.size()) {
    if (m.done == m.fibers.size()) {
      m.running = kNone;
      switch_to(from, m.main);
      return;
    }
    fault(m.at_barrier.empty() ? "threads wait for lanes of their warp that don't come" : "threads wait at a barrier for others that don't come");
  }
  if (m.seed != 0) std::swap(m.ready[m.next], m.ready[m.next + random_below((u32)(m.ready.size() - m.next))]);
  const u32 to = m.ready[m.next++];
  if (m.next == m.ready.size()) {
    m.ready.clear();
    m.next = 0;
  }
  threadIdx.x = to;
  if (to == m.running) return;
  m.running = to;
  switch_to(from, m.fibers[to]);
}

void wake(u32 fiber) { machine.ready.push_back(fiber); }

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  machine.call(machine.args);
  Fiber& f = machine.fibers[machine.running];
  if (!f.copies.empty()) fault("a thread ended while its copies were under way");
  f.done = true;
  machine.done++;
  resume();
  abort(); // nobody resumes it
}

void start(Fiber& f, u32 thread) {
  f.thread = thread;
  f.done = false;
  f.commits = 0;
  f.copies.clear();
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(f.stack, kStackBytes); // its functions never returned
#endif
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(f.stack + kStackBytes);
  *--top = nullptr; // as if called from nowhere: 8 off a multiple of 16
  *--top = reinterpret_cast<void*>(fiber_main);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f.stack_pointer = top;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack;
  f.context.uc_stack.ss_size = kStackBytes;
  f.context.uc_link = nullptr;
  makecontext(&f.context, fiber_main, 0);
#endif
}

void run_block(u32 threads) {
  Machine& m = machine;
  m.done = 0;
  m.running = kNone;
  m.ready.clear();
  m.next = 0;
  m.at_barrier.clear();
  m.warps.assign(threads / 32, WarpState{});
  for (u32 i = 0; i < threads; i++) {
    start(m.fibers[i], i);
    m.ready.push_back(i);
  }
  resume();
}

unsigned char* shared_region; // ends at a page that can't be accessed
constexpr size_t kSharedBytes = 232448; // of a block at most, on the largest devices

struct Kernel {
  const char* name;
  size_t size;
  void (*call)(const void*);
};

#define ENTRY(name, Args) \
  { #name, sizeof(Args), [](const void* a) { name(*static_cast<const Args*>(a)); } }
#define SCAN_ENTRIES(code) \
  ENTRY(scan_##code##_b1, ScanArgs), ENTRY(scan_##code##_b2, ScanArgs), ENTRY(scan_##code##_b4, ScanArgs)
#define TILE_ENTRIES(code)                                                          \
  ENTRY(scan_##code##_tile8, ScanArgs), ENTRY(scan_##code##_tile16, ScanArgs),      \
      ENTRY(scan_##code##_tile32, ScanArgs), ENTRY(scan_##code##_tile64, ScanArgs), \
      ENTRY(scan_##code##_tile128, ScanArgs)

const Kernel kKernels[] = {
    SCAN_ENTRIES(s8),
    SCAN_ENTRIES(bf16),
    SCAN_ENTRIES(f32),
    TILE_ENTRIES(s8),
    TILE_ENTRIES(bf16),
    ENTRY(select_nearest, SelectArgs),
    ENTRY(rerank, RerankArgs),
    ENTRY(encode, EncodeArgs),
    ENTRY(encode_queries, EncodeQueriesArgs),
    ENTRY(erase, EraseArgs),
};

// LaunchCommand is followed by the kernel's name and its arguments.
struct LaunchCommand {
  u64 seed;
  u32 grid[3], block[3];
  u32 shared;
  u32 name_bytes, args_bytes;
  u32 unused;
};

std::string launch(const LaunchCommand& c, const std::string& name, const void* args) {
  Machine& m = machine;
  const Kernel* kernel = nullptr;
  for (const Kernel& k : kKernels) {
    if (name == k.name) kernel = &k;
  }
  if (kernel == nullptr) return "there is no kernel " + name;
  if (kernel->size != c.args_bytes) return name + " takes another structure";
  if (c.block[0] == 0 || c.block[0] % 32 != 0 || c.block[0] > 1024 || c.block[1] != 1 || c.block[2] != 1) return name + ": no such blocks here";
  if (c.grid[0] == 0 || c.grid[1] == 0 || c.grid[2] == 0 || c.grid[1] > 65535 || c.grid[2] > 65535) return name + ": no such grid";
  if (c.shared > kSharedBytes) return name + ": too much shared memory";
  m.kernel = kernel->name;
  m.call = kernel->call;
  m.args = args;
  m.seed = c.seed;
  m.random = c.seed;
  while (m.fibers.size() < c.block[0]) {
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) return "no memory for stacks";
    m.fibers.emplace_back();
    m.fibers.back().stack = static_cast<unsigned char*>(stack);
  }
  while (m.fibers.size() > c.block[0]) {
    munmap(m.fibers.back().stack, kStackBytes);
    m.fibers.pop_back();
  }
  blockDim = {c.block[0], 1, 1};
  gridDim = {c.grid[0], c.grid[1], c.grid[2]};
  const size_t shared = (c.shared + 15) / 16 * 16;
  block_shared = shared_region + kSharedBytes - shared;
  std::vector<u32> order((size_t)c.grid[0] * c.grid[1] * c.grid[2]);
  for (size_t i = 0; i < order.size(); i++) {
    order[i] = (u32)i;
    if (m.seed != 0) std::swap(order[i], order[random_below((u32)i + 1)]);
  }
  alarm(300);
  for (u32 block : order) {
    blockIdx = {block % c.grid[0], block / c.grid[0] % c.grid[1], block / c.grid[0] / c.grid[1]};
    threadIdx = {0, 0, 0};
    memset(block_shared, m.seed == 0 ? 0xFF : (int)random_below(256), shared);
    run_block(c.block[0]);
  }
  alarm(0);
  return "";
}

// on_signal ends a kernel that accessed what it must not, or that doesn't end.
void on_signal(int signal, siginfo_t* info, void*) {
  char text[96];
  if (signal == SIGALRM) fault("the kernel doesn't end");
  snprintf(text, sizeof(text), "an access to %p is out of bounds", info->si_addr);
  fault(text);
}

bool read_all(void* to, size_t n) {
  for (size_t at = 0; at < n;) {
    const ssize_t got = read(0, static_cast<char*>(to) + at, n - at);
    if (got <= 0) return false;
    at += (size_t)got;
  }
  return true;
}

#define FIELD(Struct, field) text += "." #field " " + std::to_string(offsetof(Struct, field)) + " " + std::to_string(sizeof(Struct::field)) + "\n"
#define STRUCT(Struct) text += #Struct " " + std::to_string(sizeof(Struct)) + "\n"

// layout lists the structs of abi.h: a line for each, and one for each field.
std::string layout() {
  std::string text;
  STRUCT(Segment);
  FIELD(Segment, codes);
  FIELD(Segment, vectors);
  FIELD(Segment, factors);
  FIELD(Segment, ids);
  STRUCT(Query);
  FIELD(Query, threshold);
  FIELD(Query, filter);
  FIELD(Query, filter_words);
  FIELD(Query, scale);
  FIELD(Query, count);
  FIELD(Query, flags);
  FIELD(Query, keep);
  FIELD(Query, k);
  STRUCT(ScanArgs);
  FIELD(ScanArgs, segments);
  FIELD(ScanArgs, queries);
  FIELD(ScanArgs, codes);
  FIELD(ScanArgs, candidates);
  FIELD(ScanArgs, rows);
  FIELD(ScanArgs, row_bytes);
  FIELD(ScanArgs, num_queries);
  FIELD(ScanArgs, capacity);
  FIELD(ScanArgs, first);
  FIELD(ScanArgs, count);
  FIELD(ScanArgs, tiles);
  FIELD(ScanArgs, tile_step);
  FIELD(ScanArgs, metric);
  FIELD(ScanArgs, unused);
  STRUCT(SelectArgs);
  FIELD(SelectArgs, queries);
  FIELD(SelectArgs, candidates);
  FIELD(SelectArgs, out);
  FIELD(SelectArgs, num_queries);
  FIELD(SelectArgs, capacity);
  FIELD(SelectArgs, out_stride);
  FIELD(SelectArgs, final);
  STRUCT(RerankArgs);
  FIELD(RerankArgs, queries);
  FIELD(RerankArgs, candidates);
  FIELD(RerankArgs, vectors);
  FIELD(RerankArgs, segments);
  FIELD(RerankArgs, row_of);
  FIELD(RerankArgs, ids);
  FIELD(RerankArgs, num_queries);
  FIELD(RerankArgs, capacity);
  FIELD(RerankArgs, stride);
  FIELD(RerankArgs, metric);
  FIELD(RerankArgs, unused);
  STRUCT(Rotation);
  FIELD(Rotation, factors);
  FIELD(Rotation, turns);
  FIELD(Rotation, padded);
  FIELD(Rotation, block);
  STRUCT(EncodeArgs);
  FIELD(EncodeArgs, input);
  FIELD(EncodeArgs, ids);
  FIELD(EncodeArgs, rows);
  FIELD(EncodeArgs, segments);
  FIELD(EncodeArgs, row_of);
  FIELD(EncodeArgs, rotation);
  FIELD(EncodeArgs, dim);
  FIELD(EncodeArgs, row_bytes);
  FIELD(EncodeArgs, stride);
  FIELD(EncodeArgs, metric);
  FIELD(EncodeArgs, code);
  FIELD(EncodeArgs, count);
  STRUCT(EncodeQueriesArgs);
  FIELD(EncodeQueriesArgs, input);
  FIELD(EncodeQueriesArgs, vectors);
  FIELD(EncodeQueriesArgs, codes);
  FIELD(EncodeQueriesArgs, queries);
  FIELD(EncodeQueriesArgs, rotation);
  FIELD(EncodeQueriesArgs, dim);
  FIELD(EncodeQueriesArgs, row_bytes);
  FIELD(EncodeQueriesArgs, stride);
  FIELD(EncodeQueriesArgs, metric);
  FIELD(EncodeQueriesArgs, code);
  FIELD(EncodeQueriesArgs, count);
  STRUCT(EraseArgs);
  FIELD(EraseArgs, ids);
  FIELD(EraseArgs, segments);
  FIELD(EraseArgs, row_of);
  FIELD(EraseArgs, row_of_ids);
  FIELD(EraseArgs, count);
  for (const Kernel& k : kKernels) text += std::string("kernel ") + k.name + "\n";
  return text;
}

} // namespace

unsigned char* block_shared;

void fault(const char* what) {
  char text[256];
  snprintf(text, sizeof(text), "%s, block (%u, %u), thread %u: %s", machine.kernel, blockIdx.x, blockIdx.y, threadIdx.x, what);
  answer(1, text);
  _exit(1);
}

void meet(Op op, u32 mask, void* lane, Complete complete) {
  Machine& m = machine;
  const u32 thread = m.running;
  WarpState& w = m.warps[thread / 32];
  if (mask != 0xFFFFFFFFu) fault("only operations of a whole warp are emulated");
  if (w.arrived != 0 && w.op != op) fault("the lanes of a warp are at different operations");
  w.op = op;
  w.lanes[thread % 32] = lane;
  w.arrived |= 1u << (thread % 32);
  if (w.arrived == mask) {
    complete(w.lanes);
    w.arrived = 0;
    for (u32 i = 0; i < 32; i++) {
      if (i != thread % 32) wake(thread / 32 * 32 + i);
    }
    yield();
    return;
  }
  resume();
}

void barrier() {
  Machine& m = machine;
  m.at_barrier.push_back(m.running);
  if (m.at_barrier.size() == m.fibers.size()) {
    for (u32 fiber : m.at_barrier) wake(fiber);
    m.at_barrier.clear();
  }
  resume();
}

void yield() {
  if (machine.seed == 0 || random_below(2) == 0) return;
  wake(machine.running);
  resume();
}

void copy_async(void* to, const void* from, u32 bytes) {
  Fiber& f = machine.fibers[machine.running];
  f.copies.push_back({to, from, bytes, f.commits});
  if (machine.seed != 0 && random_below(2) == 0) {
    memcpy(to, from, bytes);
    memset(static_cast<char*>(to) + bytes, 0, 16 - bytes);
    f.copies.pop_back();
  }
}

void commit() { machine.fibers[machine.running].commits++; }

void wait(u32 pending) {
  Fiber& f = machine.fibers[machine.running];
  size_t done = 0;
  for (; done < f.copies.size() && f.copies[done].group + pending < f.commits; done++) {
    const Copy& c = f.copies[done];
    memcpy(c.to, c.from, c.bytes);
    memset(static_cast<char*>(c.to) + c.bytes, 0, 16 - c.bytes);
  }
  f.copies.erase(f.copies.begin(), f.copies.begin() + (ptrdiff_t)done);
}

} // namespace simt

// The argument is the size of the memory.
int main(int argc, char** argv) {
  using namespace simt;
  if (argc != 2) return 2;
  const size_t bytes = strtoull(argv[1], nullptr, 10);
  void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_SHARED, 3, 0);
  void* shared = mmap(nullptr, kSharedBytes + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || shared == MAP_FAILED) return 2;
  // The size of shared memory is no multiple of a page: what isn't needed is in front.
  unsigned char* end = static_cast<unsigned char*>(shared) + (kSharedBytes + kPage) / kPage * kPage;
  mprotect(end, kPage, PROT_NONE);
  shared_region = end - kSharedBytes;

  static unsigned char signal_stack[64 << 10];
  stack_t alternate{};
  alternate.ss_sp = signal_stack;
  alternate.ss_size = sizeof(signal_stack);
  sigaltstack(&alternate, nullptr);
  struct sigaction action{};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int signal : {SIGSEGV, SIGBUS, SIGALRM}) sigaction(signal, &action, nullptr);
  machine.kernel = "no kernel";
  machine.main.stack = static_cast<unsigned char*>(signal_stack); // not used; asan wants to hear of one

  answer(0, std::to_string(reinterpret_cast<uintptr_t>(memory)));
  std::vector<char> content;
  for (u32 head[2]; read_all(head, sizeof(head));) {
    content.assign(head[1] + 1, 0);
    if (!read_all(content.data(), head[1])) return 2;
    std::string text;
    bool failed = false;
    if (head[0] == 0) { // protect: u64 offset, bytes, whether it can be accessed
      u64 range[3];
      memcpy(range, content.data(), sizeof(range));
      failed = mprotect(static_cast<char*>(memory) + range[0], range[1], range[2] ? PROT_READ | PROT_WRITE : PROT_NONE) != 0;
      if (failed) text = "mprotect failed";
    } else if (head[0] == 1) {
      LaunchCommand c;
      memcpy(&c, content.data(), sizeof(c));
      alignas(16) unsigned char args[256];
      memcpy(args, content.data() + sizeof(c) + c.name_bytes, min(c.args_bytes, (u32)sizeof(args)));
      text = launch(c, std::string(content.data() + sizeof(c), c.name_bytes), args);
      failed = !text.empty();
    } else {
      text = layout();
    }
    answer(failed, text);
  }
  return 0;
}
