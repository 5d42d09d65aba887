// Package giveway keeps work of many steps, such as a batch of writes, from holding a
// thread that short requests wait for. It has no goroutines and no locks.
package giveway

import "runtime"

// steps is after how many of some 10 µs others get the thread. With 12, beside eight clients
// that search all the time, batches write half as fast again and the p99 of searches is
// half as long again.
const steps = 4

// Before lets other goroutines run before some of the steps of a long work; step counts
// them. In one go the work would keep its thread until Go's monitor stops it after ten
// milliseconds, and searches that are queued for this thread would wait for that. Whoever
// gives way holds no lock that they need.
func Before(step int) {
	if step%steps == steps-1 {
		runtime.Gosched()
	}
}
