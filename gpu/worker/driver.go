//go:build cuda

package worker

// #cgo LDFLAGS: -lcuda
// #include <cuda.h>
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/vccdb/vccdb/gpu/wire"
)

// What gorgonia.org/cu doesn't have of the driver's interface.

// sharedOptIn is the shared memory that a block can have when it is asked for.
const sharedOptIn = cu.DeviceAttribute(C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)

// hostRegister locks host memory into place.
func hostRegister(memory []byte) error {
	return check("pinning the shared memory", C.cuMemHostRegister(start(memory), C.size_t(len(memory)), 0))
}

func hostUnregister(memory []byte) error {
	return check("unpinning the shared memory", C.cuMemHostUnregister(start(memory)))
}

// hostAlloc returns locked memory of the host. The driver doesn't clear it.
func hostAlloc(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := check(fmt.Sprintf("allocating %d locked bytes", bytes), C.cuMemHostAlloc(&p, C.size_t(bytes), 0)); err != nil {
		return nil, err
	}
	memory := unsafe.Slice((*byte)(p), bytes)
	clear(memory)
	return memory, nil
}

func hostFree(memory []byte) error {
	return check("freeing locked memory", C.cuMemFreeHost(start(memory)))
}

// allowShared lets a kernel be launched with more dynamic shared memory than any
// kernel may.
func allowShared(f cu.Function, bytes int) error {
	// The handle is all there is in a cu.Function, which doesn't give it away.
	handle := *(*C.CUfunction)(unsafe.Pointer(&f))
	return check("setting an attribute", C.cuFuncSetAttribute(handle, C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

// That stays so, or this doesn't compile.
var _ = [1]struct{}{}[unsafe.Sizeof(cu.Function{})-unsafe.Sizeof(C.CUfunction(nil))]

// check turns a result into an error.
func check(doing string, result C.CUresult) error {
	if result == C.CUDA_SUCCESS {
		return nil
	}
	text := fmt.Sprintf("error %d", int(result))
	var name *C.char
	if C.cuGetErrorName(result, &name) == C.CUDA_SUCCESS {
		text = C.GoString(name)
	}
	code := wire.Lost
	switch result {
	case C.CUDA_ERROR_OUT_OF_MEMORY:
		code = wire.OutOfMemory
	case C.CUDA_ERROR_NOT_SUPPORTED, C.CUDA_ERROR_NOT_PERMITTED, C.CUDA_ERROR_OPERATING_SYSTEM:
		code = wire.Unsupported
	}
	return wire.Errorf(code, "%s: CUDA says %s", doing, text)
}
