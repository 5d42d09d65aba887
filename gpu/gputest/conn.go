package gputest

import (
	"encoding/binary"
	"net"
	"sync"

	"github.com/vccdb/vccdb/gpu/wire"
)

// The places in a frame that breaks change, see wire's PROTOCOL.md.
const (
	frameHeader  = 24
	frameType    = 4
	frameVersion = frameHeader + 4
)

// conn is a worker's connection that breaks the protocol when it is told to.
type conn struct {
	net.Conn
	faults func() Faults
	mu     sync.Mutex
	silent bool
	closed chan struct{}
	once   sync.Once
}

func newConn(c net.Conn, faults func() Faults) *conn {
	return &conn{Conn: c, faults: faults, closed: make(chan struct{})}
}

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Read reads, unless the worker is deaf.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.faults().Break == Deaf {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes frames, or something else.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return len(b), nil
	}
	_, err := c.Conn.Write(c.spoil(b))
	return len(b), err
}

// spoil returns what is written instead of whole frames.
func (c *conn) spoil(b []byte) []byte {
	spoiled := append([]byte(nil), b...)
	switch c.faults().Break {
	case Garbage:
		for i := range spoiled {
			spoiled[i] = 0xA5
		}
	case Huge:
		binary.LittleEndian.PutUint32(spoiled, 1<<30)
	case Half:
		c.silent = true
		return spoiled[:len(spoiled)-3]
	case Unknown:
		return append(wire.Append(nil, wire.TypeDone, 1<<40, 0, nil), spoiled...)
	case WrongType:
		answers(spoiled, func(frame []byte) {
			frame[frameType] = byte(wire.TypePong)
		})
	case BadBatch:
		answers(spoiled, func(frame []byte) { binary.LittleEndian.PutUint32(frame[frameHeader:], 0) })
	case OldVersion:
		binary.LittleEndian.PutUint32(spoiled[frameVersion:], wire.Version+1)
	case NoWorker:
		spoiled[frameHeader]++
	}
	return spoiled
}

// answers calls change with each frame that answers a search.
func answers(b []byte, change func(frame []byte)) {
	for len(b) >= frameHeader {
		end := frameHeader + int(binary.LittleEndian.Uint32(b))
		if wire.Type(b[frameType]) == wire.TypeAnswer {
			change(b[:end])
		}
		b = b[end:]
	}
}
