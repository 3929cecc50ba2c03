// What was said, kept in an SQLite file. Everything here waits for the disk: call it off the loop.
#pragma once

#include "chat.pb.h"

#include <sqlite3.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace chat {

class history {
 public:
  /// Opens or creates the file at `path`; ":memory:" keeps nothing beyond the process.
  explicit history(const std::string& path);

  /// Keeps `said`, and gives it its id.
  void append(const std::string& room, v1::Said& said);
  /// The last things said in `room`, at most `most`, oldest first.
  [[nodiscard]] std::vector<v1::Said> recent(const std::string& room, unsigned most);

 private:
  struct close_database {
    void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
  };
  struct end_statement {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  using statement = std::unique_ptr<sqlite3_stmt, end_statement>;

  void run(const char* sql);
  [[nodiscard]] statement prepare(const char* sql);
  [[noreturn]] void fail(const char* what);

  std::mutex mutex_;  // one connection, used by several blocking threads
  std::unique_ptr<sqlite3, close_database> database_;
  statement append_;
  statement recent_;
};

}  // namespace chat
