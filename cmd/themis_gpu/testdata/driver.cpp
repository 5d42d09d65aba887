// A libcuda.so.1 without a device: what gpu/worker calls of the driver, with the kernels
// emulated by the CPU (gpu/kernels/cuda/host.cpp). It takes the driver's rules
// seriously where a mistake would only show on a device: a call needs a context on its
// thread, work of a stream is done as late as it may be, copies from memory that isn't
// locked take the bytes at once, large shared memory has to be asked for.
//
// FAKE_DRIVER=lost:N makes the device fall off the bus with the N-th launch, no_device
// and old (compute capability 7.5) what they say, unpinned refuses to lock memory.
#define main host_main
#include "host.cpp"
#undef main

#include <cuda.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>

namespace {

constexpr size_t kTotal = 4ull << 30;
constexpr size_t kDefaultShared = 48 << 10;

std::mutex mutex; // of all below; also of the emulator, which has one block at a time
std::map<uintptr_t, size_t> device_memory, locked_memory;
std::map<const void*, int> shared_limits;
size_t used;
long launches_left = -1;
bool lost;
thread_local CUcontext current;

struct Queue {
  std::vector<std::function<CUresult()>> work;
};

const char* mode() {
  const char* m = getenv("FAKE_DRIVER");
  return m == nullptr ? "" : m;
}

bool is(const char* what) { return strcmp(mode(), what) == 0; }

// within says whether a range lies in one piece of memory.
bool within(const std::map<uintptr_t, size_t>& memory, uintptr_t at, size_t bytes) {
  auto next = memory.upper_bound(at);
  if (next == memory.begin()) return false;
  --next;
  return at + bytes <= next->first + next->second;
}

CUresult ready() {
  if (lost) return CUDA_ERROR_ECC_UNCORRECTABLE;
  return current == nullptr ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

CUresult drain(Queue* q) {
  for (auto& work : q->work) {
    if (lost) break;
    if (CUresult r = work(); r != CUDA_SUCCESS) {
      lost = true;
      q->work.clear();
      return r;
    }
  }
  q->work.clear();
  return lost ? CUDA_ERROR_ECC_UNCORRECTABLE : CUDA_SUCCESS;
}

CUresult queue(CUstream stream, std::function<CUresult()> work) {
  if (CUresult r = ready(); r != CUDA_SUCCESS) return r;
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE; // the worker has its own
  reinterpret_cast<Queue*>(stream)->work.push_back(std::move(work));
  return CUDA_SUCCESS;
}

// complete says that an image is there from its beginning to its end, and has a kernel.
bool complete(const char* image, const char* name) {
  const std::string what = std::string(".text.") + name;
  if (memcmp(image, "\177ELF", 4) == 0) {
    u64 sections;
    unsigned short entry, number;
    memcpy(&sections, image + 40, 8);
    memcpy(&entry, image + 58, 2);
    memcpy(&number, image + 60, 2);
    return memmem(image, sections + (u64)entry * number, what.data(), what.size()) != nullptr;
  }
  return strstr(image, (std::string(".entry ") + name + "(").c_str()) != nullptr;
}

} // namespace

#define LOCKED std::lock_guard<std::mutex> guard(mutex)
#define READY \
  LOCKED;     \
  if (CUresult r = ready(); r != CUDA_SUCCESS) return r

extern "C" {

CUresult cuInit(unsigned) { return is("no_device") ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* version) { return *version = 12040, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int* count) { return *count = 2, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int ordinal) { return *device = ordinal, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char* name, int n, CUdevice) { return snprintf(name, (size_t)n, "fake driver's device"), CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult, const char** name) { return *name = "CUDA_ERROR_FAKE", CUDA_SUCCESS; }

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = is("old") ? 7 : is("ptx") ? 8 : 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = is("old") ? 5 : 0; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 2; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = (int)simt::kSharedBytes; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult cuCtxCreate(CUcontext* context, unsigned, CUdevice) {
  LOCKED;
  void* shared = mmap(nullptr, simt::kSharedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  simt::shared_region = static_cast<unsigned char*>(shared);
  simt::machine.kernel = "no kernel";
  if (sscanf(mode(), "lost:%ld", &launches_left) != 1) launches_left = -1;
  return current = *context = reinterpret_cast<CUcontext>(&mutex), CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) { return current = context, CUDA_SUCCESS; }

CUresult cuCtxDestroy(CUcontext) {
  READY;
  current = nullptr;
  return device_memory.empty() && locked_memory.empty() ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_STATE; // for the test to see
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  READY;
  *module = reinterpret_cast<CUmodule>(const_cast<void*>(static_cast<const void*>(strdup("module"))));
  static std::string kept; // the caller frees the image
  const char* text = static_cast<const char*>(image);
  for (const simt::Kernel& k : simt::kKernels) {
    if (!complete(text, k.name)) return CUDA_ERROR_INVALID_IMAGE;
  }
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
  READY;
  for (const simt::Kernel& k : simt::kKernels) {
    if (strcmp(k.name, name) == 0) {
      *function = reinterpret_cast<CUfunction>(const_cast<simt::Kernel*>(&k));
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_NOT_FOUND;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  READY;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value > (int)simt::kSharedBytes) return CUDA_ERROR_INVALID_VALUE;
  shared_limits[function] = value;
  return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  READY;
  *free = kTotal - used;
  *total = kTotal;
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr* p, size_t bytes) {
  READY;
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (used + bytes > kTotal) return CUDA_ERROR_OUT_OF_MEMORY;
  void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  used += bytes;
  device_memory[reinterpret_cast<uintptr_t>(memory)] = bytes;
  *p = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr p) {
  READY;
  auto found = device_memory.find(p);
  if (found == device_memory.end()) return CUDA_ERROR_INVALID_VALUE;
  used -= found->second;
  device_memory.erase(found);
  free(reinterpret_cast<void*>(p));
  return CUDA_SUCCESS;
}

CUresult cuMemHostRegister(void* p, size_t bytes, unsigned) {
  READY;
  if (is("unpinned")) return CUDA_ERROR_NOT_PERMITTED;
  locked_memory[reinterpret_cast<uintptr_t>(p)] = bytes;
  return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void* p) {
  READY;
  return locked_memory.erase(reinterpret_cast<uintptr_t>(p)) == 1 ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

CUresult cuMemHostAlloc(void** p, size_t bytes, unsigned) {
  READY;
  *p = malloc(bytes);
  memset(*p, 0xA5, bytes);
  locked_memory[reinterpret_cast<uintptr_t>(*p)] = bytes;
  return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* p) {
  READY;
  if (locked_memory.erase(reinterpret_cast<uintptr_t>(p)) != 1) return CUDA_ERROR_INVALID_VALUE;
  free(p);
  return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  READY;
  if (flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  *stream = reinterpret_cast<CUstream>(new Queue);
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream) {
  READY;
  delete reinterpret_cast<Queue*>(stream);
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
  READY;
  return drain(reinterpret_cast<Queue*>(stream));
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  READY;
  if (!within(device_memory, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
  void* target = reinterpret_cast<void*>(to);
  if (within(locked_memory, reinterpret_cast<uintptr_t>(from), bytes)) {
    return queue(stream, [=] { return memcpy(target, from, bytes), CUDA_SUCCESS; });
  }
  std::vector<char> staged(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
  return queue(stream, [=] { return memcpy(target, staged.data(), bytes), CUDA_SUCCESS; });
}

CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  READY;
  if (!within(device_memory, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
  CUresult r = queue(stream, [=] { return memcpy(to, reinterpret_cast<void*>(from), bytes), CUDA_SUCCESS; });
  const bool locked = within(locked_memory, reinterpret_cast<uintptr_t>(to), bytes);
  return r != CUDA_SUCCESS || locked ? r : drain(reinterpret_cast<Queue*>(stream));
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  READY;
  if (!within(device_memory, to, bytes) || !within(device_memory, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
  return queue(stream, [=] { return memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), CUDA_SUCCESS; });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  READY;
  if (!within(device_memory, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
  return queue(stream, [=] { return memset(reinterpret_cast<void*>(to), value, bytes), CUDA_SUCCESS; });
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void** parameters, void** extra) {
  READY;
  const auto* kernel = reinterpret_cast<const simt::Kernel*>(function);
  const auto limit = shared_limits.find(function);
  if (shared > (limit == shared_limits.end() ? kDefaultShared : (size_t)limit->second) || extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (launches_left >= 0 && launches_left-- == 0) lost = true;
  // A kernel has one parameter, and the driver takes as many bytes as that has.
  std::vector<char> args(static_cast<char*>(parameters[0]), static_cast<char*>(parameters[0]) + kernel->size);
  return queue(stream, [=] {
    simt::LaunchCommand c{};
    const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    memcpy(c.grid, grid, sizeof(grid));
    memcpy(c.block, block, sizeof(block));
    c.shared = shared;
    c.args_bytes = (u32)kernel->size;
    alignas(16) unsigned char copy[256];
    memcpy(copy, args.data(), args.size());
    const std::string wrong = simt::launch(c, kernel->name, copy);
    if (!wrong.empty()) fprintf(stderr, "%s\n", wrong.c_str());
    return wrong.empty() ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
  });
}
}
