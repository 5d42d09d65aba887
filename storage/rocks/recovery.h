// What RocksDB's C interface lacks of error recovery: hearing of errors in the
// background, and DB::Resume; and a flush that doesn't wait for room first.

#ifndef THEMIS_ROCKS_RECOVERY_H
#define THEMIS_ROCKS_RECOVERY_H

#include <stdint.h>

#include "rocksdb/c.h"

#ifdef __cplusplus
extern "C" {
#endif

// An error_watch keeps the newest error that RocksDB put itself out of service
// for, whether a write or background work met it.
typedef struct error_watch error_watch;

// error_watch_new makes a database that is opened with these options tell the
// watch, and leave every recovery to db_resume. The watch is freed after the
// database.
error_watch* error_watch_new(rocksdb_options_t* options);

void error_watch_free(error_watch* watch);

// A db_error is what an error_watch knows.
typedef struct {
  uint64_t count;  // errors so far; the rest is 0 before the first
  int no_space;    // the newest is for want of space
  int stopped;     // the newest refuses writes, and not only background work
  int lasting;     // db_resume refuses after the newest
  char text[256];
} db_error;

void error_watch_read(error_watch* watch, db_error* newest);

// db_resume is DB::Resume: it writes the memtables to files and takes the
// database into service again. It returns the text of an error, to be freed with
// rocksdb_free, or NULL.
char* db_resume(rocksdb_t* db);

// db_flush writes the memtables of a column family to files and waits, also where
// that stops writes meanwhile. Its error is that of whoever waits for the family.
void db_flush(rocksdb_t* db, rocksdb_column_family_handle_t* family);

// db_stop_work ends flushes, compactions and a db_resume that waits for them.
// The database can then only be closed.
void db_stop_work(rocksdb_t* db);

#ifdef __cplusplus
}
#endif

#endif
