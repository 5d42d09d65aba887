package hostrun

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vccdb/vccdb/gpu/kernels"
	"github.com/vccdb/vccdb/gpu/scan"
	"github.com/vccdb/vccdb/gpu/wire"
)

var _ scan.Launcher = (*Launcher)(nil)

// Launcher is a device that is emulated.
type Launcher struct {
	options Options

	mu     sync.Mutex
	child  *exec.Cmd
	to     io.WriteCloser
	from   io.Reader
	stderr *os.File
	memory *memory
	lost   error // of what ended the child
}

// New compiles the kernels, unless that was done before, and starts a child.
// ErrNoCompiler says that this machine can't.
func New(o Options) (*Launcher, error) {
	o = o.EnsureDefaults()
	program, err := compile(o.Sanitize)
	if err != nil {
		return nil, err
	}
	file, err := memoryFile()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	o.Memory = (o.Memory + page - 1) / page * page
	if err := file.Truncate(o.Memory); err != nil {
		return nil, err
	}
	mapped, err := unix.Mmap(int(file.Fd()), 0, int(o.Memory), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	l := &Launcher{options: o}
	base, err := l.start(program, file)
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mapped), l.end())
	}
	l.memory = newMemory(mapped, base)
	return l, nil
}

// start starts the child, and returns where it has the memory.
func (l *Launcher) start(program string, memory *os.File) (kernels.Ptr, error) {
	var err error
	if l.stderr, err = os.CreateTemp("", "hostrun-"); err != nil {
		return 0, err
	}
	if err := os.Remove(l.stderr.Name()); err != nil {
		return 0, err
	}
	l.child = exec.Command(program, strconv.FormatInt(l.options.Memory, 10))
	l.child.Env = []string{"ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:detect_leaks=0:use_sigaltstack=0"}
	l.child.ExtraFiles = []*os.File{memory}
	l.child.Stderr = l.stderr
	if l.to, err = l.child.StdinPipe(); err != nil {
		return 0, err
	}
	if l.from, err = l.child.StdoutPipe(); err != nil {
		return 0, err
	}
	if err := l.child.Start(); err != nil {
		return 0, err
	}
	hello, err := l.answer()
	if err != nil {
		return 0, err
	}
	base, err := strconv.ParseUint(hello, 10, 64)
	return kernels.Ptr(base), err
}

// ask sends a command to the child, and returns its answer.
func (l *Launcher) ask(command uint32, content []byte) (string, error) {
	if l.lost != nil {
		return "", l.lost
	}
	head := binary.LittleEndian.AppendUint32(nil, command)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(content)))
	if _, err := l.to.Write(append(head, content...)); err != nil {
		l.lost = wire.Errorf(wire.Lost, "the emulator ended: %v%s", err, l.said())
		return "", l.lost
	}
	return l.answer()
}

func (l *Launcher) answer() (string, error) {
	var head [8]byte
	_, err := io.ReadFull(l.from, head[:])
	text := make([]byte, binary.LittleEndian.Uint32(head[4:]))
	if err == nil {
		_, err = io.ReadFull(l.from, text)
	}
	if err != nil {
		l.lost = wire.Errorf(wire.Lost, "the emulator ended: %v%s", err, l.said())
		return "", l.lost
	}
	if binary.LittleEndian.Uint32(head[:]) != 0 {
		l.lost = wire.Errorf(wire.Lost, "%s", text)
		return "", l.lost
	}
	return string(text), nil
}

// said is what the child wrote to its standard error.
func (l *Launcher) said() string {
	said := make([]byte, 16<<10)
	n, _ := l.stderr.ReadAt(said, 0) // it ends before that, or is cut
	return "\n" + strings.TrimSpace(string(said[:n]))
}

// Layout is what the compiler says of the structs in abi.h, for a test to compare: a line
// "Struct bytes" for each, followed by lines ".field offset bytes", and a line "kernel
// name" for each kernel.
func (l *Launcher) Layout() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ask(2, nil)
}

// Info describes the emulated device.
func (l *Launcher) Info() scan.Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	return scan.Info{
		Name: "emulated device", Driver: "none", Kernels: "host", Major: 9, Multiprocessors: l.options.Multiprocessors,
		SharedBytes: 227 << 10, MemoryTotal: l.options.Memory, MemoryFree: l.memory.left(),
	}
}

// Alloc returns memory without useful content. It is aligned to 16 bytes only, so
// that accesses behind its end are found.
func (l *Launcher) Alloc(bytes int64) (scan.Ptr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return 0, l.lost
	}
	if bytes <= 0 {
		return 0, wire.Errorf(wire.Invalid, "there is no memory of %d bytes", bytes)
	}
	p, a, ok := l.memory.take(bytes)
	if !ok {
		return 0, wire.Errorf(wire.OutOfMemory, "the emulated device has no %d bytes left", bytes)
	}
	pages := l.memory.bytes[a.pages.offset:][:a.pages.length-page]
	for i := range pages {
		pages[i] = 0xA5
	}
	return p, l.protect(a, true)
}

// protect lets the child access an allocation, or not any more.
func (l *Launcher) protect(a allocation, access bool) error {
	command := binary.LittleEndian.AppendUint64(nil, uint64(a.pages.offset))
	command = binary.LittleEndian.AppendUint64(command, uint64(a.pages.length-page))
	flag := uint64(0)
	if access {
		flag = 1
	}
	_, err := l.ask(0, binary.LittleEndian.AppendUint64(command, flag))
	return err
}

// Free takes back what Alloc gave. A pointer that Alloc didn't give loses the device.
func (l *Launcher) Free(p scan.Ptr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.memory.giveBack(p)
	if !ok {
		l.fail("there is no memory at %#x to be freed", p)
		return
	}
	if l.lost == nil {
		_ = l.protect(a, false) // what fails is kept in lost
	}
}

func (l *Launcher) fail(format string, args ...any) error {
	if l.lost == nil {
		l.lost = wire.Errorf(wire.Lost, format, args...)
	}
	return l.lost
}

// Pin has nothing to do.
func (l *Launcher) Pin([]byte) error { return nil }

// AllocHost returns memory like any other.
func (l *Launcher) AllocHost(bytes int) ([]byte, error) { return make([]byte, bytes), nil }

// FreeHost has nothing to do.
func (l *Launcher) FreeHost([]byte) {}

// NewStream makes a queue, whose work is done in Sync.
func (l *Launcher) NewStream() (scan.Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return nil, l.lost
	}
	return &stream{launcher: l}, nil
}

// InUse is how many allocations weren't freed.
func (l *Launcher) InUse() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.memory.used)
}

// Close ends the child. What comes later fails.
func (l *Launcher) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.memory.bytes == nil {
		return nil
	}
	_ = l.fail("the emulated device is closed")
	mapped := l.memory.bytes
	l.memory.bytes, l.memory.used = nil, map[kernels.Ptr]allocation{}
	return errors.Join(l.end(), unix.Munmap(mapped))
}

// end ends the child, which does so when there are no more commands.
func (l *Launcher) end() error {
	var err error
	if l.child != nil && l.child.Process != nil {
		err = l.to.Close()
		var exit *exec.ExitError
		if waited := l.child.Wait(); waited != nil && !errors.As(waited, &exit) {
			err = errors.Join(err, waited)
		}
	}
	if l.stderr != nil {
		err = errors.Join(err, l.stderr.Close())
	}
	return err
}

// launch runs a kernel now.
func (l *Launcher) launch(kernel string, grid, block [3]int, shared int, args []byte) error {
	command := binary.LittleEndian.AppendUint64(nil, l.options.Seed)
	for _, v := range []int{grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, len(kernel), len(args), 0} {
		if v < 0 || int64(v) > 1<<31-1 {
			return l.fail("%s: launched with %d", kernel, v)
		}
		command = binary.LittleEndian.AppendUint32(command, uint32(v))
	}
	command = append(append(command, kernel...), args...)
	_, err := l.ask(1, command)
	return err
}

// copyable is device memory for a copy.
func (l *Launcher) copyable(p scan.Ptr, n int64) ([]byte, error) {
	if l.lost != nil {
		return nil, l.lost
	}
	if n == 0 {
		return nil, nil
	}
	if b, ok := l.memory.at(p, n); ok {
		return b, nil
	}
	return nil, l.fail("a copy of %d bytes at %#x is out of bounds", n, p)
}
