package scan

import (
	"errors"
	"fmt"

	"github.com/vccdb/vccdb/gpu/kernels"
)

// lane is a stream with memory of its own on both sides, which grows to what was
// needed and is kept for the next who takes the lane.
type lane struct {
	Stream
	d *Device
	// scratch is on the device; host is locked memory on the host, nil at first.
	scratch block
	host    []byte
}

// need makes sure that there are so many bytes on either side. What was there is lost,
// and nothing may be under way.
func (l *lane) need(scratch, host int64) error {
	if had := l.scratch.bytes; had < scratch {
		l.d.free(l.scratch)
		l.scratch = block{}
		b, err := l.d.allocMore(scratch, had, l.d.o.ScratchBytes, forSearches, "a batch of searches")
		if err != nil {
			return err
		}
		l.scratch = b
	}
	if int64(len(l.host)) < host {
		if l.host != nil {
			l.d.l.FreeHost(l.host)
			l.host = nil
		}
		memory, err := l.d.l.AllocHost(int(aligned(host + host/4)))
		if err != nil {
			return err
		}
		l.host = memory
	}
	return nil
}

// launch queues a kernel.
func (l *lane) launch(k kernels.Launch, args []byte) {
	l.Launch(k.Kernel, k.Grid, k.Block, k.Shared, args)
}

// close gives everything back.
func (l *lane) close() error {
	err := l.Close()
	l.d.free(l.scratch)
	if l.host != nil {
		l.d.l.FreeHost(l.host)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("closing a stream: %w", err))
	}
	return nil
}

// cutter cuts a block of memory into aligned parts, or counts what they take.
type cutter struct{ used int64 }

// cut is the offset of the next part.
func (c *cutter) cut(bytes int64) int64 {
	at := c.used
	c.used += aligned(bytes)
	return at
}
