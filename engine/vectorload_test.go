package engine

import (
	"log/slog"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/flat"
)

// TestEventAfterLoad: a load may find a write in storage whose event comes when the load
// is over. The event changes nothing, and the ones after it do.
func TestEventAfterLoad(t *testing.T) {
	cpu, err := flat.New(vecindex.L2, 1, flat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := &vectorIndex{}
	v.beginLoad()
	if _, ok := v.publish(cpu); !ok {
		t.Fatal("not published")
	}
	l := &vectorLoad{v: v}
	if err := l.settle(1, 10, []byte{0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	v.write.touched = nil
	for _, step := range []struct {
		stamp uint64
		put   float32
		want  float32
	}{{10, 5, 0}, {11, 6, 6}} {
		vectorEvent{index: v, id: 1, stamp: step.stamp, vector: []float32{step.put}}.apply(slog.Default())
		hits, _, err := cpu.Search(t.Context(), vecindex.Query{Vector: []float32{0}, K: 2}, nil)
		if err != nil || len(hits) != 1 || hits[0].Distance != step.want*step.want {
			t.Errorf("after stamp %d: %+v, %v", step.stamp, hits, err)
		}
	}
}

// TestOpenedWhenClosed: a write that brings an index its first vector while the engine is
// being closed leaves no index behind that nobody would close.
func TestOpenedWhenClosed(t *testing.T) {
	e := &Engine{}
	engine := "flat"
	v := &vectorIndex{opts: VectorOptions{Engine: engine}}
	v.engine.Store(&engine)
	ix := &index{def: &schema.IndexDef{}, vector: v}
	ix.close(slog.Default())
	if err := v.open(e, 3); errs.KindOf(err) != errs.Unavailable || v.current() != nil {
		t.Errorf("%v, %v", v.current(), err)
	}
}
