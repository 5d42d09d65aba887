// What RocksDB allocates on one thread it often frees on another, so each arena
// of the allocator fills with gaps, and glibc makes up to eight arenas for each
// core: under a mixed load a server takes more than twice the memory with them.
// One per core is enough for the allocator not to be waited for.
//
// That has to be said before the first threads take arenas of their own, so it is
// done while the program is loaded. The variable MALLOC_ARENA_MAX goes first.

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef M_ARENA_MAX
__attribute__((constructor)) static void limit_arenas(void) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (!getenv("MALLOC_ARENA_MAX")) mallopt(M_ARENA_MAX, cores < 2 ? 2 : (int)cores);
}
#endif
