package server

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestReadAll: any body comes whole, whatever length was declared, and however much
// was declared, little is allocated before it comes.
func TestReadAll(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	for _, n := range []int{0, 1, firstBodyBytes - 1, firstBodyBytes, firstBodyBytes + 1, 4 * firstBodyBytes, len(whole)} {
		for _, declared := range []int64{int64(n), -1, 0, int64(n) / 2, 1 << 40} {
			got, err := readAll(iotest.HalfReader(bytes.NewReader(whole[:n])), declared)
			if err != nil || !bytes.Equal(got, whole[:n]) {
				t.Errorf("%d bytes, declared as %d: %d came, %v", n, declared, len(got), err)
			}
			if cap(got) > max(bodyGrowth*n, firstBodyBytes)+bytes.MinRead {
				t.Errorf("%d bytes, declared as %d: %d were allocated", n, declared, cap(got))
			}
		}
	}
	if _, err := readAll(io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(io.ErrNoProgress)), int64(len(whole)+1)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("the error of the reader became %v", err)
	}
}
