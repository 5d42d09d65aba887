package ndjson

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var errLineTooLong = errors.New("line too long")

// lineReader splits a stream into lines of bounded length.
type lineReader struct {
	buffer   *bufio.Reader
	maxBytes int
	// number is that of the last line, from 1.
	number int
	// long holds a line that doesn't fit the buffer.
	long []byte
}

// next returns a line without its end, valid until the next call; io.EOF after
// the last; errLineTooLong for a line that was skipped.
func (r *lineReader) next() ([]byte, error) {
	r.number++
	line, err := r.buffer.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = r.rest(line)
	}
	line = bytes.TrimSpace(line)
	if err == io.EOF && len(line) > 0 {
		err = nil // a last line without an end
	}
	switch {
	case err != nil:
		return nil, err
	case len(line) > r.maxBytes:
		return nil, errLineTooLong
	}
	return line, nil
}

// rest reads on in a line longer than the buffer.
func (r *lineReader) rest(start []byte) ([]byte, error) {
	r.long = append(r.long[:0], start...)
	tooLong := false
	for {
		part, err := r.buffer.ReadSlice('\n')
		tooLong = tooLong || len(r.long)+len(part) > r.maxBytes
		if !tooLong {
			r.long = append(r.long, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case tooLong && (err == nil || err == io.EOF):
			return nil, errLineTooLong
		default:
			return r.long, err
		}
	}
}
