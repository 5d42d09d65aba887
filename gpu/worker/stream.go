//go:build cuda

package worker

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/wire"
)

// stream is a queue of the device. After an error it does nothing until Sync.
type stream struct {
	l *Launcher
	s cu.Stream
	// err is the first error since Sync.
	err error
	// held is the host memory of copies that may be under way.
	held [][]byte
}

// do queues one piece of work.
func (s *stream) do(doing string, work func() error) {
	if s.err != nil {
		return
	}
	if s.err = s.l.enter(); s.err != nil {
		return
	}
	defer s.l.leave()
	if err := work(); err != nil {
		s.err = failed(doing, err)
	}
}

// CopyIn copies to the device.
func (s *stream) CopyIn(dst scan.Ptr, src []byte) {
	if len(src) == 0 {
		return
	}
	s.held = append(s.held, src)
	s.do("copying to the device", func() error {
		return cu.MemcpyHtoDAsync(cu.DevicePtr(dst), start(src), int64(len(src)), s.s)
	})
}

// CopyOut copies from the device.
func (s *stream) CopyOut(dst []byte, src scan.Ptr) {
	if len(dst) == 0 {
		return
	}
	s.held = append(s.held, dst)
	s.do("copying from the device", func() error {
		return cu.MemcpyDtoHAsync(start(dst), cu.DevicePtr(src), int64(len(dst)), s.s)
	})
}

// Copy copies within the device.
func (s *stream) Copy(dst, src scan.Ptr, bytes int64) {
	if bytes == 0 {
		return
	}
	s.do("copying on the device", func() error {
		return cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), bytes, s.s)
	})
}

// Fill sets bytes of the device.
func (s *stream) Fill(p scan.Ptr, value byte, bytes int64) {
	if bytes == 0 {
		return
	}
	s.do("filling memory", func() error { return cu.MemsetD8Async(cu.DevicePtr(p), value, bytes, s.s) })
}

// word is the size of the pieces that cu copies a kernel's parameters in.
const word = 8

// Launch queues a kernel. cu copies the words that parameters point to into one
// buffer, one after the other, and gives the driver their addresses there. A kernel
// with a single parameter reads the first address alone, and so finds its structure
// whole when each of its words is given as a parameter.
func (s *stream) Launch(kernel string, grid, block [3]int, shared int, args []byte) {
	if len(args) == 0 || len(args)%word != 0 {
		if s.err == nil {
			s.err = wire.Errorf(wire.Invalid, "the arguments of %s have %d bytes, which isn't a multiple of %d", kernel, len(args), word)
		}
		return
	}
	words := make([]uint64, len(args)/word)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(args)), args)
	parameters := make([]unsafe.Pointer, len(words))
	for i := range words {
		parameters[i] = unsafe.Pointer(&words[i])
	}
	s.do("launching "+kernel, func() error {
		f, err := s.l.kernel(kernel, shared)
		if err != nil {
			return err
		}
		if err := f.Launch(grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, s.s, parameters); err != nil {
			return fmt.Errorf("grid %v, blocks %v, %d bytes of shared memory: %w", grid, block, shared, err)
		}
		return nil
	})
}

// Sync waits for what is queued.
func (s *stream) Sync() error {
	err := s.err
	s.err = nil
	if err != nil && s.l.enter() == nil {
		_ = s.s.Synchronize() // the host's memory is free after it
		s.l.leave()
	}
	if err == nil {
		s.do("waiting for the device", s.s.Synchronize)
		err, s.err = s.err, nil
	}
	clear(s.held)
	s.held = s.held[:0]
	return err
}

// Close waits and takes the stream back.
func (s *stream) Close() error {
	err := s.Sync()
	s.do("closing a stream", s.s.Destroy)
	if err == nil {
		err = s.err
	}
	return err
}
