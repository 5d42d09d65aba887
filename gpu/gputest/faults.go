package gputest

import "time"

// Fault is what goes wrong in a call of the device.
type Fault string

// Faults of calls.
const (
	// Crash ends the worker at once, as SIGKILL does.
	Crash Fault = "crash"
	// Panic ends it with a Go panic and its trace. Only a Process can; in a Local it is
	// a Crash.
	Panic Fault = "panic"
	// Hang never returns, until the worker is killed or the fault is taken away.
	Hang Fault = "hang"
	// OutOfMemory, Lost and Fail return an error of that kind, and change nothing.
	OutOfMemory Fault = "out_of_memory"
	Lost        Fault = "lost"
	Fail        Fault = "fail"
)

// Lie is what is wrong with the hits of a search.
type Lie string

// The first group is noticed by a Session, which ends then; the second can only be
// noticed by who knows the data.
const (
	TooMany      Lie = "too_many"
	NaN          Lie = "nan"
	Infinite     Lie = "infinite"
	Unsorted     Lie = "unsorted"
	UnsortedTies Lie = "unsorted_ties"
	Twice        Lie = "twice"
	NotAllowed   Lie = "not_allowed" // of searches with a filter only

	// TooFew leaves out the nearest half of the hits; Strangers are ids that were never
	// put (of searches without a filter); Farthest are the K farthest, at distances that
	// look like the nearest; WrongDistances has the right ids in the right order.
	TooFew         Lie = "too_few"
	Strangers      Lie = "strangers"
	Farthest       Lie = "farthest"
	WrongDistances Lie = "wrong_distances"
)

// Break is what is wrong with the connection.
type Break string

// Breaks of the protocol.
const (
	// Garbage sends bytes that are no frame, Huge a frame beyond the bound, Half a part
	// of a frame and then nothing more.
	Garbage Break = "garbage"
	Huge    Break = "huge"
	Half    Break = "half"
	// Unknown answers a request that nobody made; WrongType answers searches with
	// "done"; BadBatch says that batches had no queries.
	Unknown   Break = "unknown"
	WrongType Break = "wrong_type"
	BadBatch  Break = "bad_batch"
	// OldVersion greets with another version, NoWorker with what no worker says.
	OldVersion Break = "old_version"
	NoWorker   Break = "no_worker"
	// Deaf stops reading, so that not even pings are answered.
	Deaf Break = "deaf"
)

// Faults are what goes wrong from now on. The zero value is a worker without fault.
type Faults struct {
	Open, NewIndex, Put, Delete, Search Fault
	// After is how many calls of each kind go well first, counted since the worker's
	// start.
	After int
	// Lie spoils the hits of each search, Break the connection.
	Lie   Lie
	Break Break
	// Slow is how long each search takes on top.
	Slow time.Duration
	// Print is a line that the worker prints when it starts.
	Print string
	// Stubborn ignores SIGTERM (a Process only).
	Stubborn bool
}
