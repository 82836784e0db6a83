// A thin face of SQLite for the journal: statements, and errors in words.
// Owns: one database handle. One thread at a time. Knows nothing of runs and events.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace runbook::journal {

class Database;

/// A prepared statement; bind in order, then step.
class Statement {
  public:
    Statement(Database& database, std::string_view sql);
    ~Statement();
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    Statement& bind(std::string_view text);
    Statement& bind(std::int64_t number);
    /// True while there is a row. Throws Error{`journal`}.
    bool step();
    void run() {
        while (step()) {
        }
    }
    /// Ready to be bound and stepped again.
    void reset();
    std::string text(int column) const;
    std::int64_t integer(int column) const;

  private:
    Database& database_;
    sqlite3_stmt* statement_ = nullptr;
    int bound_ = 0;
};

class Database {
  public:
    /// `uri` for sqlite3_open_v2; `path` is what messages name.
    Database(const std::string& uri, std::string path, int flags);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    const std::string& path() const { return path_; }
    void execute(const char* sql);
    /// Like execute, but false where another process has the file locked.
    bool try_execute(const char* sql);
    std::int64_t pragma(const char* name);
    bool in_transaction() const;
    /// Rows changed by the last statement.
    std::int64_t changes() const;
    /// Makes `clock` callable in SQL as `name()`.
    void add_clock(const char* name, std::int64_t (*clock)());
    /// Throws the Error for SQLite's result `code`.
    [[noreturn]] void fail(int code);
    /// The words for the last error, without the path.
    std::string reason(int code) const;

  private:
    std::string path_;
    sqlite3* handle_ = nullptr;
    friend class Statement;
};

/// BEGIN IMMEDIATE … COMMIT; rolled back unless commit() was reached. A `reading` one only keeps
/// one view of the file over several statements.
class Transaction {
  public:
    explicit Transaction(Database& database, bool reading = false);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    /// Throws Error{`journal.unknown`}: after a failed commit the change may or may not be there.
    void commit();

  private:
    Database& database_;
    bool open_ = true;
};

} // namespace runbook::journal
