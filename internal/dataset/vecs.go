package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxRowLen bounds the length that a row of a vecs file may claim, so that a
// file of another kind is refused instead of exhausting memory.
const maxRowLen = 1 << 16

// ReadFvecs reads an fvecs file, the format of the TEXMEX corpus (SIFT1M,
// GIST1M): each vector is its dimension as int32 and then that many float32,
// all little endian. It stops after limit vectors; 0 reads all.
func ReadFvecs(r io.Reader, limit int) (Matrix, error) {
	var m Matrix
	err := readRows(r, limit, func(row int, b []byte) error {
		dim := len(b) / 4
		if row == 0 {
			m.Dim = dim
		}
		if dim == 0 || dim != m.Dim {
			return fmt.Errorf("vector %d has dimension %d, the first one %d", row, dim, m.Dim)
		}
		for ; len(b) > 0; b = b[4:] {
			m.Data = append(m.Data, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
		return nil
	})
	return m, err
}

// WriteFvecs writes m as an fvecs file.
func WriteFvecs(w io.Writer, m Matrix) error {
	bw := bufio.NewWriter(w)
	var b []byte
	for i := range m.Len() {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(m.Dim))
		for _, x := range m.Row(i) {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		if _, err := bw.Write(b); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// ReadIvecs reads an ivecs file: rows of int32 after their length, little
// endian. Ground truth comes so, each row the ids of a query's nearest vectors,
// nearest first. It stops after limit rows; 0 reads all.
func ReadIvecs(r io.Reader, limit int) ([][]int32, error) {
	var rows [][]int32
	err := readRows(r, limit, func(_ int, b []byte) error {
		row := make([]int32, 0, len(b)/4)
		for ; len(b) > 0; b = b[4:] {
			row = append(row, int32(binary.LittleEndian.Uint32(b)))
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// WriteIvecs writes rows as an ivecs file.
func WriteIvecs(w io.Writer, rows [][]int32) error {
	bw := bufio.NewWriter(w)
	var b []byte
	for _, row := range rows {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(len(row)))
		for _, x := range row {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
		if _, err := bw.Write(b); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// readRows calls fn with the four-byte elements of each row. The bytes are only
// valid during the call.
func readRows(r io.Reader, limit int, fn func(row int, elements []byte) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	var head [4]byte
	var buf []byte
	for row := 0; limit <= 0 || row < limit; row++ {
		if _, err := io.ReadFull(br, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("row %d: %w", row, err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > maxRowLen {
			return fmt.Errorf("row %d claims %d elements, over the limit of %d: this is no vecs file", row, n, maxRowLen)
		}
		if cap(buf) < int(n)*4 {
			buf = make([]byte, n*4)
		}
		buf = buf[:n*4]
		if _, err := io.ReadFull(br, buf); err != nil {
			return fmt.Errorf("row %d is cut short: %w", row, err)
		}
		if err := fn(row, buf); err != nil {
			return err
		}
	}
	return nil
}
