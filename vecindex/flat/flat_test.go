package flat_test

import (
	"testing"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
	"github.com/vccdb/vccdb/vecindex/internal/indextest"
	"github.com/vccdb/vccdb/vecindex/simd"
)

func TestIndex(t *testing.T) {
	for _, level := range simd.Levels() {
		t.Run(level.String(), func(t *testing.T) {
			indextest.Run(t, func(t *testing.T, metric vecindex.Metric, dim int) vecindex.Index {
				x, err := flat.New(metric, dim, flat.Options{Kernel: level})
				if err != nil {
					t.Fatal(err)
				}
				return x
			})
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, dim := range []int{-1, 0, vecindex.MaxDimension + 1} {
		if _, err := flat.New(vecindex.L2, dim, flat.Options{}); err == nil {
			t.Errorf("dimension %d was taken", dim)
		}
	}
	if _, err := flat.New(vecindex.Metric(9), 3, flat.Options{}); err == nil {
		t.Error("metric 9 was taken")
	}
	if _, err := flat.New(vecindex.L2, 3, flat.Options{Kernel: simd.Level(99)}); err == nil {
		t.Error("kernel 99 was taken")
	}
}
