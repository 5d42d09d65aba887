#include "recovery.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "rocksdb/convenience.h"
#include "rocksdb/db.h"
#include "rocksdb/listener.h"
#include "rocksdb/options.h"

// The handles of the C interface, as RocksDB's db/c.cc lays them out.
struct rocksdb_t {
  rocksdb::DB* rep;
};
struct rocksdb_column_family_handle_t {
  rocksdb::ColumnFamilyHandle* rep;
};
struct rocksdb_options_t {
  rocksdb::Options rep;
};

namespace {

constexpr std::chrono::milliseconds flush_start(100);

class listener : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason,
                         rocksdb::Status* error) override {
    note(*error);
    // The error isn't in force yet. A flush that was scheduled and begins once it
    // is would drop its place in the queue, and Resume would wait for that flush
    // for ever (so in 7.8). Threads are ready for those flushes: let them begin.
    if (error->IsNoSpace()) std::this_thread::sleep_for(flush_start);
  }

  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }

  void read(db_error* newest) {
    std::lock_guard<std::mutex> lock(mutex_);
    *newest = newest_;
  }

 private:
  void note(const rocksdb::Status& error) {
    std::lock_guard<std::mutex> lock(mutex_);
    newest_.count++;
    newest_.no_space = error.IsNoSpace();
    newest_.stopped = error.severity() >= rocksdb::Status::Severity::kHardError;
    newest_.lasting = error.severity() > rocksdb::Status::Severity::kHardError;
    const std::string text = error.ToString();
    const size_t n = std::min(text.size(), sizeof newest_.text - 1);
    std::memcpy(newest_.text, text.data(), n);
    newest_.text[n] = 0;
  }

  std::mutex mutex_;
  db_error newest_ = {};
};

}  // namespace

struct error_watch {
  std::shared_ptr<listener> rep;
};

error_watch* error_watch_new(rocksdb_options_t* options) {
  error_watch* watch = new error_watch{std::make_shared<listener>()};
  options->rep.listeners.push_back(watch->rep);
  options->rep.max_bgerror_resume_count = 0;
  return watch;
}

void error_watch_free(error_watch* watch) { delete watch; }

void error_watch_read(error_watch* watch, db_error* newest) {
  watch->rep->read(newest);
}

void db_stop_work(rocksdb_t* db) {
  rocksdb::CancelAllBackgroundWork(db->rep, false);
}

void db_flush(rocksdb_t* db, rocksdb_column_family_handle_t* family) {
  rocksdb::FlushOptions options;
  options.allow_write_stall = true;
  db->rep->Flush(options, family->rep).PermitUncheckedError();
}

char* db_resume(rocksdb_t* db) {
  const rocksdb::Status s = db->rep->Resume();
  return s.ok() ? nullptr : strdup(s.ToString().c_str());
}
