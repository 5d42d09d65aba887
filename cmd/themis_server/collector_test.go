package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestPace: a small heap is left to grow, a big one is collected by the usual rule,
// and the end brings that back.
func TestPace(t *testing.T) {
	for live, want := range map[uint64]int{0: 3200, 1 << 20: 3200, 8 << 20: 400, 32 << 20: 100, 1 << 40: 100} {
		if have := percentFor(live); have != want {
			t.Errorf("%d live bytes: %d %%, want %d", live, have, want)
		}
	}
	before := debug.SetGCPercent(usualPercent)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "")
	stop := pace()
	ballast := make([]byte, 2*garbageBytes)
	for deadline := time.Now().Add(10 * time.Second); currentPercent() != usualPercent; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("beside %d bytes the percentage is %d", len(ballast), currentPercent())
		}
		runtime.GC()
	}
	runtime.KeepAlive(ballast)
	ballast = nil
	for deadline := time.Now().Add(10 * time.Second); currentPercent() == usualPercent; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a small heap is collected by the usual rule")
		}
		runtime.GC()
	}
	stop()
	if have := currentPercent(); have != usualPercent {
		t.Errorf("at the end the percentage is %d", have)
	}
	t.Setenv("GOGC", "150")
	pace()()
	if have := currentPercent(); have != usualPercent {
		t.Errorf("with a GOGC of the operator the percentage is %d", have)
	}
}

func currentPercent() uint64 {
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(percent)
	return percent[0].Value.Uint64()
}
