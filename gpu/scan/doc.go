// Package scan keeps vectors in a device's memory and finds the nearest of them by
// scanning all: a Device and its Index, for package serve, over a Launcher. It lays
// out the rows, plans a search as launches of the kernels of gpu/kernels, and knows
// nothing of CUDA: the same code runs over a device, in gpu/worker, and over the same
// kernels compiled for the CPU, in its tests.
//
// An index promises:
//
//  1. A search over codes finds the K nearest of the ones that a scan of the codes
//     finds best, a few times as many, by their float32 distances. An exact search
//     scans the float32 vectors themselves.
//  2. Hits are sorted by distance and id, and there are min(K, allowed and live) of
//     them. Equal distances are told apart by the id alone: the rows that vectors are
//     in and the order in which they came don't show. The same batch has the same
//     answer each time. What else is in a batch doesn't show either over codes of
//     bytes, whose products are whole numbers; sums of bfloat16 depend on the kernel,
//     and may decide whether the last candidate is one.
//  3. What an error leaves of a Put or Delete is that each id has its old vector, its
//     new one, or is lost with the device.
//  4. Memory is asked for before anything changes. An index gets none that would leave
//     searches without room; out_of_memory says what was needed and what there is.
//
// A search is a number of scans of growing parts of the rows (phases), of which each
// appends to a query's candidates what is below the k-th best so far; see package
// kernels. Where the candidates overflow, the query is repeated under the threshold that
// was found, which is a bound in any case. A threshold that isn't reached in a few
// rounds is an error, as the CPU has the answer too.
//
// There are no goroutines. A Device is safe for concurrent use; its lock guards the
// accounts of memory and the idle lanes, and isn't held while a device works. An Index
// has no lock, as package serve keeps calls apart: a Put, Delete or Close never overlaps
// another call. A lane is a stream with memory of its own, and has one search at a time.
package scan
