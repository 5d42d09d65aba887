package engine

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestBatchesGiveWay: who waits for the only thread gets it while a batch is checked.
func TestBatchesGiveWay(t *testing.T) {
	const ops = 400
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	w := &write{results: make([]OpResult, ops)}
	for i := range ops {
		w.ops = append(w.ops, Op{Kind: OpPut, Key: Key{"t", fmt.Sprint(i)}, Doc: []byte(`{"a":1}`)})
	}
	var turns atomic.Int64
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !over.Load() {
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	if err := w.validate(); err != nil {
		t.Fatal(err)
	}
	if got := turns.Load(); got < ops/8 {
		t.Errorf("another goroutine ran %d times while %d operations were checked", got, ops)
	}
	over.Store(true)
	<-done
}
