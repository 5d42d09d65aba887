package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
)

// headerBytes is the fixed head of a frame, which no version changes; MaxPayload is
// what may follow it, enough for the largest vector and the longest list of hits.
const (
	headerBytes = 24
	MaxPayload  = 32 << 10
)

// Type is what a frame says.
type Type uint8

// The server sends Hello, Ping, Create, Drop, Put, Delete, Query, Cancel and Stats; the
// worker all others. The server says goodbye by closing the connection.
const (
	TypeHello Type = iota + 1
	TypeWelcome
	TypePing
	TypePong
	TypeCreate
	TypeCreated
	TypeDrop
	TypePut
	TypeDelete
	TypeDone
	TypeQuery
	TypeAnswer
	TypeCancel
	TypeStats
	TypeState
	TypeFailed

	types
)

func (t Type) String() string {
	return nameOf([]string{
		"0", "hello", "welcome", "ping", "pong", "create", "created", "drop", "put", "delete", "done", "query",
		"answer", "cancel", "stats", "state", "failed",
	}, "type", t)
}

// ProtocolError says how a peer broke the protocol.
type ProtocolError struct{ Text string }

func (e *ProtocolError) Error() string { return "the GPU protocol was broken: " + e.Text }

func violation(format string, args ...any) error {
	return &ProtocolError{Text: fmt.Sprintf(format, args...)}
}

// VersionError is a peer that speaks another version.
type VersionError struct{ Own, Peer uint32 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the server and its GPU worker are of different releases (protocol %d here, %d there); install both from one",
		e.Own, e.Peer)
}

// Frame is one message with its envelope.
type Frame struct {
	Type Type
	// ID is the request's, chosen by the server and given back by the worker. A Cancel
	// has the ID of what it cancels.
	ID uint64
	// Deadline is how long after sending the answer stops being wanted; 0 for never.
	Deadline time.Duration
	// Payload is the encoded message. A Reader's is valid until its next call.
	Payload []byte
}

// Message is what a frame carries.
type Message interface{ append(b []byte) []byte }

// Append appends a frame with a message, nil for none, to b. A negative deadline
// counts as one that has just passed.
func Append(b []byte, t Type, id uint64, deadline time.Duration, m Message) []byte {
	if deadline < 0 {
		deadline = 1
	}
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, byte(t), 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint64(b, uint64(deadline))
	if m != nil {
		b = m.append(b)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-headerBytes))
	return b
}

// Reader reads frames.
type Reader struct {
	r       *bufio.Reader
	header  [headerBytes]byte
	payload []byte
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 2*MaxPayload)} }

// Next returns the next frame: io.EOF if the peer closed the connection between two
// frames, a *ProtocolError for what isn't a frame, or the connection's error.
func (r *Reader) Next() (Frame, error) {
	if _, err := io.ReadFull(r.r, r.header[:]); err != nil {
		return Frame{}, err
	}
	h := r.header[:]
	length := binary.LittleEndian.Uint32(h)
	deadline := binary.LittleEndian.Uint64(h[16:])
	f := Frame{Type: Type(h[4]), ID: binary.LittleEndian.Uint64(h[8:]), Deadline: time.Duration(deadline)}
	switch {
	case length > MaxPayload:
		return Frame{}, violation("a frame of %d bytes, where %d are the most", length, MaxPayload)
	case f.Type == 0 || f.Type >= types:
		return Frame{}, violation("a frame of the unknown type %d", h[4])
	case h[5]|h[6]|h[7] != 0:
		return Frame{}, violation("a frame with reserved bytes set")
	case deadline > math.MaxInt64:
		return Frame{}, violation("a deadline out of range")
	}
	if cap(r.payload) < int(length) {
		r.payload = make([]byte, length, MaxPayload)
	}
	f.Payload = r.payload[:length]
	if _, err := io.ReadFull(r.r, f.Payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return f, nil
}
