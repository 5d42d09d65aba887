package serve

import "io"

// buffer joins frames that come close after one another into one write.
type buffer struct {
	to      io.Writer
	pending []byte
	err     error
}

// bufferBytes is from when on pending frames are written though more follow.
const bufferBytes = 64 << 10

func newBuffer(to io.Writer) *buffer { return &buffer{to: to} }

// add takes a frame, and writes all there are if it is the last for now.
func (b *buffer) add(frame []byte, last bool) {
	b.pending = append(b.pending, frame...)
	if !last && len(b.pending) < bufferBytes {
		return
	}
	if b.err == nil {
		_, b.err = b.to.Write(b.pending)
	}
	b.pending = b.pending[:0]
}
