// The read path in as few crossings between Go and C as possible: a scan hands
// over many rows per call, a lookup many keys. Everything here is a loop over
// RocksDB's public C interface.

#ifndef THEMIS_ROCKS_READ_H
#define THEMIS_ROCKS_READ_H

#include <stddef.h>
#include <stdint.h>

#include "rocksdb/c.h"

// A scan owns its iterator, its read options and the bounds these point to.
typedef struct scan scan;

// Flags of scan_open.
enum {
  scan_reverse = 1,
  scan_no_fill_cache = 2,
};

// scan_open seeks to the first row. An empty bound is open; the bounds are
// copied.
scan* scan_open(rocksdb_t* db, rocksdb_column_family_handle_t* family,
                const rocksdb_snapshot_t* snapshot, const char* lower,
                size_t lower_len, const char* upper, size_t upper_len,
                int flags);

// scan_fill copies the next rows into buf, at most max_rows, each as
// key_len:u32 value_len:u32 key value in the machine's byte order. It returns
// the bytes used and sets *rows. No rows and *need > 0: the next row needs that
// many bytes. No rows and *need == 0: the scan is over, and *err tells why,
// NULL at the end of the range, otherwise to be freed with rocksdb_free.
size_t scan_fill(scan* s, char* buf, size_t cap, uint32_t max_rows,
                 uint32_t* rows, size_t* need, char** err);

// scan_count moves over at most max_rows rows and returns how many there were.
// *err is as in scan_fill, and set only if there were fewer.
size_t scan_count(scan* s, size_t max_rows, char** err);

void scan_close(scan* s);

// multi_get looks n keys up. The first begins at keys[first]; key i ends at
// keys[ends[i]], where the next begins. It sets handles[i], values[i] and lens[i], handles[i] NULL if the key is
// absent. The values live until multi_get_free. On an error it returns the text,
// to be freed with rocksdb_free, and sets every handle NULL.
char* multi_get(rocksdb_t* db, const rocksdb_readoptions_t* options,
                rocksdb_column_family_handle_t* family, size_t n,
                const char* keys, size_t first, const size_t* ends,
                rocksdb_pinnableslice_t** handles, const char** values,
                size_t* lens);

void multi_get_free(size_t n, rocksdb_pinnableslice_t** handles);

// multi_get_max is the most keys one multi_get takes.
enum { multi_get_max = 128 };

#endif
