// One interface over PostgreSQL, MySQL/MariaDB and SQLite.
// Owns: sessions. A Connection is used by one thread at a time (the binding gives each its own
// Worker); only cancel() may come from another thread. Everything here blocks. Never includes a Lua
// header.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/value.h"
#include "runtime/db/url.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::db {

/// What the session may do; enforced by the server (`default_transaction_read_only`, `SESSION
/// TRANSACTION READ ONLY`, `query_only` + read-only open), not by looking at the SQL.
enum class Access { read, write, admin };

enum class Flavour { postgresql, mysql, mariadb, sqlite };
std::string_view flavour_name(Flavour flavour); ///< "PostgreSQL", "MySQL", "MariaDB", "SQLite"

struct ServerInfo {
    Flavour flavour = Flavour::sqlite;
    std::string version; ///< as the server prints it: "15.20", "8.0.43", "10.11.14"
    int major = 0, minor = 0, patch = 0;
    std::string identity;   ///< system identifier, server_uuid (MariaDB: a hash of what is stable),
                            ///< or the file's real path
    std::string tls_cipher; ///< empty: the connection is not encrypted
};

struct ConnectOptions {
    Access access = Access::read;
    std::chrono::milliseconds connect_timeout{10'000};
    std::string application_name = "runbook";
    bool local_infile =
        false; ///< MySQL: permits LOAD DATA LOCAL, through a handler set by the caller only
};

struct StatementOptions {
    std::chrono::milliseconds timeout{0}; ///< 0: none. The statement is cancelled in the server.
    std::size_t batch_rows = 1024;        ///< rows a Cursor fetches at once
};

/// Type of a result column, as a playbook sees its values.
enum class Kind : std::uint8_t {
    null,
    boolean,
    integer,
    number,
    decimal,
    text,
    bytes,
    timestamp,
    json,
    array
};

struct Column {
    std::string name;
    Kind kind = Kind::text;
    std::string type; ///< the engine's own name of the type, where it tells one
};

/// One cell, decoded on demand. `text` points into the batch and lives as long as it.
struct Cell {
    Kind kind = Kind::null;
    std::int64_t integer = 0; ///< boolean, integer; micros of a timestamp
    double number = 0;
    std::string_view text; ///< text, bytes, decimal, json and array as text; empty otherwise
    std::int32_t offset = 0;
    bool has_offset = false;
};

/// Rows that arrived together. Immutable, shared between threads.
class Batch {
  public:
    virtual ~Batch() = default;
    virtual std::size_t rows() const = 0;
    const std::vector<Column>& columns() const { return *columns_; }
    virtual Cell cell(std::size_t row, std::size_t column) const = 0;
    /// The cell as an owned value; json and arrays are parsed into maps and lists.
    Value value(std::size_t row, std::size_t column) const;

  protected:
    std::shared_ptr<const std::vector<Column>> columns_;
};
using BatchPtr = std::shared_ptr<const Batch>;

/// A running result. Closing it early (destructor) leaves the connection usable.
class Cursor {
  public:
    virtual ~Cursor() = default;
    virtual const std::vector<Column>& columns() const = 0;
    /// The next batch, or null at the end.
    virtual BatchPtr next(Cancel& cancel) = 0;
};

struct Executed {
    std::int64_t rows_affected = 0;
    std::int64_t last_insert_id = 0; ///< MySQL and SQLite
    std::vector<std::string> warnings;
};

class Connection {
  public:
    virtual ~Connection() = default;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const Url& url() const { return url_; }
    Access access() const { return access_; }
    virtual const ServerInfo& server() const = 0;

    /// A statement without a result set, or whose rows are not wanted. Parameters are always bound
    /// (`$1` for PostgreSQL, `?` elsewhere; `?` is accepted for PostgreSQL too and rewritten
    /// outside quotes and comments).
    virtual Executed execute(std::string_view sql, std::span<const Value> params,
                             const StatementOptions& options, Cancel& cancel) = 0;
    /// A statement with rows. One live cursor per connection.
    virtual std::unique_ptr<Cursor> query(std::string_view sql, std::span<const Value> params,
                                          const StatementOptions& options, Cancel& cancel) = 0;
    /// Several statements without parameters or results, as one script.
    virtual void script(std::string_view sql, Cancel& cancel) = 0;

    virtual void begin(Cancel& cancel) = 0;
    /// A connection lost here throws Error{`db.connection`} with in_doubt set.
    virtual void commit(Cancel& cancel) = 0;
    virtual void rollback(Cancel& cancel) = 0;
    virtual bool in_transaction() const = 0;

    /// Switches the session between read-only and read-write; refused (`db.read_only`) towards
    /// read-write where access is read. Cheap where nothing changes.
    virtual void set_read_only(bool read_only, Cancel& cancel) = 0;

    /// Quoted identifier for this engine.
    virtual std::string quote_name(std::string_view name) const = 0;
    /// Lost sessions are never reopened in silence.
    virtual bool alive() const = 0;
    /// PGconn*, MYSQL* or sqlite3*, for the transfer engine.
    virtual void* native() = 0;

  protected:
    Connection(Url url, Access access) : url_(std::move(url)), access_(access) {}
    Url url_;
    Access access_;
};

/// Opens a session. Errors: `db.connection` (unreachable, TLS), `db.auth` (refused), with the
/// masked URL.
std::unique_ptr<Connection> connect(const Url& url, const ConnectOptions& options, Cancel& cancel);

/// All rows at once, for small results.
std::vector<Map> fetch_all(Connection& connection, std::string_view sql,
                           std::span<const Value> params = {});
/// First column of the first row, null where there is none.
Value fetch_value(Connection& connection, std::string_view sql, std::span<const Value> params = {});

} // namespace runbook::db
