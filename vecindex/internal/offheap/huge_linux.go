//go:build !race

package offheap

import "golang.org/x/sys/unix"

// adviseHuge is only a hint: a kernel without huge pages may refuse it.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
