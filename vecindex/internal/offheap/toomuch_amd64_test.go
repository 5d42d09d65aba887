package offheap_test

import (
	"math"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// This one is for amd64 only: emulators of other machines pay for address space with
// memory.

// TestTooMuch: address space that can't be had is had in part, or refused by name.
func TestTooMuch(t *testing.T) {
	a, err := offheap.Reserve[byte](math.MaxInt / 4)
	if err != nil {
		if errs.CodeOf(err) != "out_of_address_space" {
			t.Error(err)
		}
		return
	}
	defer a.Free()
	if err := a.Grow(100_000); err != nil {
		t.Error(err)
	}
}
