#include "read.h"

#include <stdlib.h>
#include <string.h>

struct scan {
  rocksdb_readoptions_t* options;
  rocksdb_iterator_t* it;
  int reverse;
  char bounds[];
};

scan* scan_open(rocksdb_t* db, rocksdb_column_family_handle_t* family,
                const rocksdb_snapshot_t* snapshot, const char* lower,
                size_t lower_len, const char* upper, size_t upper_len,
                int flags) {
  scan* s = malloc(sizeof(scan) + lower_len + upper_len);
  if (s == NULL) abort();  // as RocksDB does
  rocksdb_readoptions_t* options = rocksdb_readoptions_create();
  if (snapshot != NULL) rocksdb_readoptions_set_snapshot(options, snapshot);
  if (lower_len > 0) {
    memcpy(s->bounds, lower, lower_len);
    rocksdb_readoptions_set_iterate_lower_bound(options, s->bounds, lower_len);
  }
  if (upper_len > 0) {
    memcpy(s->bounds + lower_len, upper, upper_len);
    rocksdb_readoptions_set_iterate_upper_bound(options, s->bounds + lower_len,
                                                upper_len);
  }
  if (flags & scan_no_fill_cache) {
    rocksdb_readoptions_set_fill_cache(options, 0);
  }
  s->options = options;
  s->reverse = flags & scan_reverse;
  s->it = rocksdb_create_iterator_cf(db, options, family);
  if (s->reverse) {
    rocksdb_iter_seek_to_last(s->it);
  } else {
    rocksdb_iter_seek_to_first(s->it);
  }
  return s;
}

static void scan_step(scan* s) {
  if (s->reverse) {
    rocksdb_iter_prev(s->it);
  } else {
    rocksdb_iter_next(s->it);
  }
}

size_t scan_fill(scan* s, char* buf, size_t cap, uint32_t max_rows,
                 uint32_t* rows, size_t* need, char** err) {
  size_t used = 0;
  uint32_t n = 0;
  *need = 0;
  *err = NULL;
  while (n < max_rows && rocksdb_iter_valid(s->it)) {
    size_t key_len, value_len;
    const char* key = rocksdb_iter_key(s->it, &key_len);
    const char* value = rocksdb_iter_value(s->it, &value_len);
    size_t size = 2 * sizeof(uint32_t) + key_len + value_len;
    if (size > cap - used) {
      if (n == 0) *need = size;
      break;
    }
    uint32_t lens[2] = {(uint32_t)key_len, (uint32_t)value_len};
    memcpy(buf + used, lens, sizeof(lens));
    memcpy(buf + used + sizeof(lens), key, key_len);
    memcpy(buf + used + sizeof(lens) + key_len, value, value_len);
    used += size;
    n++;
    scan_step(s);
  }
  *rows = n;
  if (n == 0 && *need == 0) rocksdb_iter_get_error(s->it, err);
  return used;
}

size_t scan_count(scan* s, size_t max_rows, char** err) {
  size_t n = 0;
  *err = NULL;
  while (n < max_rows && rocksdb_iter_valid(s->it)) {
    n++;
    scan_step(s);
  }
  if (n < max_rows) rocksdb_iter_get_error(s->it, err);
  return n;
}

void scan_close(scan* s) {
  rocksdb_iter_destroy(s->it);
  rocksdb_readoptions_destroy(s->options);
  free(s);
}

// batch_min is from how many keys on RocksDB's batched lookup beats one lookup
// after the other: setting it up costs about as much as two.
enum { batch_min = 4 };

char* multi_get(rocksdb_t* db, const rocksdb_readoptions_t* options,
                rocksdb_column_family_handle_t* family, size_t n,
                const char* keys, size_t first, const size_t* ends,
                rocksdb_pinnableslice_t** handles, const char** values,
                size_t* lens) {
  const char* starts[multi_get_max];
  size_t sizes[multi_get_max];
  char* errs[multi_get_max] = {NULL};
  char* err = NULL;
  size_t start = first;
  for (size_t i = 0; i < n; i++) {
    starts[i] = keys + start;
    sizes[i] = ends[i] - start;
    start = ends[i];
  }
  if (n >= batch_min) {
    rocksdb_batched_multi_get_cf(db, options, family, n, starts, sizes,
                                 handles, errs, 0);
  } else {
    for (size_t i = 0; i < n; i++) {
      handles[i] = rocksdb_get_pinned_cf(db, options, family, starts[i],
                                         sizes[i], &errs[i]);
    }
  }
  for (size_t i = 0; i < n; i++) {
    if (handles[i] != NULL) {
      values[i] = rocksdb_pinnableslice_value(handles[i], &lens[i]);
    }
    if (err == NULL) {
      err = errs[i];
    } else {
      rocksdb_free(errs[i]);  // NULL is fine
    }
  }
  if (err != NULL) multi_get_free(n, handles);
  return err;
}

void multi_get_free(size_t n, rocksdb_pinnableslice_t** handles) {
  for (size_t i = 0; i < n; i++) {
    if (handles[i] == NULL) continue;
    rocksdb_pinnableslice_destroy(handles[i]);
    handles[i] = NULL;
  }
}
