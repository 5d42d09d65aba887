//go:build !linux

package wire

import (
	"errors"
	"os"
)

var errSystem = errors.New("a GPU worker needs Linux")

// NewArena makes shared memory for a worker, which only Linux has the means for.
func NewArena(int64) (*Arena, *os.File, error) { return nil, nil, errSystem }

// MapArena maps it.
func MapArena(*os.File) ([]byte, func() error, error) { return nil, nil, errSystem }
