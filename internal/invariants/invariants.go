// Package invariants checks, in builds with the tag of its name, what must hold
// at a point in the code. The tests set the tag; without it a check behind
// Enabled compiles to nothing. A broken invariant is a bug, so it panics: only a
// test ever sees that.
package invariants

import "fmt"

// Check panics if ok is false. Guard the call with Enabled where computing ok
// costs anything.
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}
