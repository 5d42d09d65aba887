package rocks

// #include <malloc.h>
// #include <stdlib.h>
//
// static void limit_arenas(int n) {
// #ifdef M_ARENA_MAX
//   if (!getenv("MALLOC_ARENA_MAX")) mallopt(M_ARENA_MAX, n);
// #endif
// }
import "C"

import "runtime"

// limitArenas bounds the arenas of the C library's allocator, of which glibc
// makes up to eight for each core. What RocksDB allocates on one thread it often
// frees on another, so each arena fills with gaps: under a mixed load a server
// takes more than twice the memory with them. One per core is enough for the
// allocator not to be waited for. The variable MALLOC_ARENA_MAX goes first. The
// bound is the process's; setting it again changes nothing.
func limitArenas() { C.limit_arenas(C.int(max(2, runtime.NumCPU()))) }
