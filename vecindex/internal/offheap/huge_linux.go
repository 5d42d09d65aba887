//go:build !race

package offheap

import "golang.org/x/sys/unix"

// adviseHuge is only a hint: a kernel without huge pages may refuse it.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }

// collapseHuge puts what was touched already on huge pages. It is only a hint too.
func collapseHuge(b []byte) {
	if len(b) > 0 {
		_ = unix.Madvise(b, unix.MADV_COLLAPSE)
	}
}
