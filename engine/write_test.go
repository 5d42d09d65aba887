package engine

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
)

// TestBatchesGiveWay: who waits for the only thread gets it while a batch is read and
// while it is checked.
func TestBatchesGiveWay(t *testing.T) {
	const ops = 400
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	w := &write{results: make([]OpResult, ops)}
	for i := range ops {
		w.ops = append(w.ops, Op{Kind: OpPut, Key: Key{"t", fmt.Sprint(i)}, Doc: []byte(`{"a":1}`)})
	}
	if turns := turnsDuring(func() {
		if err := w.validate(); err != nil {
			t.Fatal(err)
		}
	}); turns < ops/8 {
		t.Errorf("another goroutine ran %d times while %d operations were checked", turns, ops)
	}
	body := []byte(`{"operations":[{"entity":{}}` + strings.Repeat(`,{"entity":{}}`, ops-1) + `]}`)
	if turns := turnsDuring(func() {
		if entities, _, ok := schema.LiftEach(body, "operations", "entity"); !ok || len(entities) != ops {
			t.Fatalf("%d entities, %v", len(entities), ok)
		}
	}); turns < ops/8 {
		t.Errorf("another goroutine ran %d times while %d operations were read", turns, ops)
	}
}

// turnsDuring counts how often a goroutine that always wants to run does so meanwhile.
func turnsDuring(work func()) int64 {
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
	defer func() {
		over.Store(true)
		<-done
	}()
	work()
	return turns.Load()
}
