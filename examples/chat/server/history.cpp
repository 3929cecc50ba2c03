// Two prepared statements over one connection.
#include "history.hpp"

#include <algorithm>
#include <stdexcept>

namespace chat {

namespace {

/// A statement in use; ready for the next use afterwards, whatever happens.
class use {
 public:
  explicit use(sqlite3_stmt* of) : of_{of} {}
  use(const use&) = delete;
  use& operator=(const use&) = delete;
  ~use() {
    sqlite3_reset(of_);
    sqlite3_clear_bindings(of_);
  }
  /// The text lives until the statement has run.
  void bind(int at, const std::string& text) const {
    sqlite3_bind_text(of_, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  void bind(int at, std::int64_t number) const { sqlite3_bind_int64(of_, at, number); }
  [[nodiscard]] int step() const { return sqlite3_step(of_); }
  [[nodiscard]] std::int64_t number(int column) const { return sqlite3_column_int64(of_, column); }
  [[nodiscard]] std::string text(int column) const {
    const unsigned char* bytes = sqlite3_column_text(of_, column);
    return {reinterpret_cast<const char*>(bytes),
            static_cast<std::size_t>(sqlite3_column_bytes(of_, column))};
  }

 private:
  sqlite3_stmt* of_;
};

}  // namespace

history::history(const std::string& path) {
  sqlite3* opened = nullptr;
  const int status = sqlite3_open(path.c_str(), &opened);
  database_.reset(opened);
  if (status != SQLITE_OK) fail(("opening " + path).c_str());
  sqlite3_busy_timeout(opened, 5000);
  // Appends go to a log first: a crash of the process loses nothing, a power cut the last moments at most, and an
  // append need not wait for the disk to sync.
  run("PRAGMA journal_mode = WAL");
  run("PRAGMA synchronous = NORMAL");
  run("CREATE TABLE IF NOT EXISTS said (id INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL,"
      " unix_seconds INTEGER NOT NULL, member TEXT NOT NULL, text TEXT NOT NULL)");
  run("CREATE INDEX IF NOT EXISTS said_by_room ON said (room, id)");
  append_ = prepare("INSERT INTO said (room, unix_seconds, member, text) VALUES (?, ?, ?, ?)");
  recent_ =
      prepare("SELECT id, unix_seconds, member, text FROM said WHERE room = ? ORDER BY id DESC LIMIT ?");
}

void history::append(const std::string& room, v1::Said& said) {
  const std::lock_guard held{mutex_};
  const use query{append_.get()};
  query.bind(1, room);
  query.bind(2, said.unix_seconds());
  query.bind(3, said.member());
  query.bind(4, said.text());
  if (query.step() != SQLITE_DONE) fail("keeping a message");
  said.set_id(sqlite3_last_insert_rowid(database_.get()));
}

std::vector<v1::Said> history::recent(const std::string& room, unsigned most) {
  const std::lock_guard held{mutex_};
  const use query{recent_.get()};
  query.bind(1, room);
  query.bind(2, std::int64_t{most});
  std::vector<v1::Said> found;
  int status = query.step();
  for (; status == SQLITE_ROW; status = query.step()) {
    v1::Said& said = found.emplace_back();
    said.set_id(query.number(0));
    said.set_unix_seconds(query.number(1));
    said.set_member(query.text(2));
    said.set_text(query.text(3));
  }
  if (status != SQLITE_DONE) fail("reading the history");
  std::reverse(found.begin(), found.end());
  return found;
}

void history::run(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(sql);
}

history::statement history::prepare(const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql, -1, &prepared, nullptr) != SQLITE_OK) fail(sql);
  return statement{prepared};
}

void history::fail(const char* what) {
  throw std::runtime_error{std::string{"SQLite, "} + what + ": " + sqlite3_errmsg(database_.get())};
}

}  // namespace chat
