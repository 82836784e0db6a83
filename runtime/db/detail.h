// What the three drivers share: a batch that owns copied cells, the wait for a statement, common
// messages. Any thread. Internal to runtime/db: nothing outside includes it.
#pragma once

#include "runtime/base/error.h"
#include "runtime/db/connection.h"
#include "runtime/db/prepared.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace runbook::db {

/// Cells copied out of a driver's own buffers, in one block of bytes per batch.
class CopiedBatch : public Batch {
  public:
    explicit CopiedBatch(std::shared_ptr<const std::vector<Column>> columns) {
        columns_ = std::move(columns);
    }
    std::size_t rows() const override {
        return columns_->empty() ? 0 : cells_.size() / columns_->size();
    }
    Cell cell(std::size_t row, std::size_t column) const override {
        const Stored& stored = cells_[row * columns_->size() + column];
        Cell cell = stored.cell;
        if (stored.length > 0)
            cell.text = std::string_view(bytes_).substr(stored.at, stored.length);
        return cell;
    }
    /// Appends the next cell of the row being filled; `text` is copied.
    void add(Cell cell) {
        Stored stored{cell, bytes_.size(), cell.text.size()};
        bytes_.append(cell.text);
        stored.cell.text = {};
        cells_.push_back(stored);
    }
    std::size_t bytes() const { return bytes_.size() + cells_.size() * sizeof(Stored); }

  private:
    struct Stored {
        Cell cell;
        std::size_t at, length;
    };
    std::vector<Stored> cells_;
    std::string bytes_;
};

/// A batch grows until it holds this much, whatever `batch_rows` says.
constexpr std::size_t batch_bytes = 4 << 20;

/// "2026-11-20 22:00:04.123456+02", also with a 'T' and with ±hh[:mm[:ss]] or Z; nothing for
/// anything else (infinity, BC, years beyond 9999, month or day 0). Faster than time::parse, and
/// knows the databases' forms only.
std::optional<Cell> parse_timestamp(std::string_view text);

/// The kind an array's elements have by the name of the element's type ("int8" → integer).
Kind element_kind(std::string_view type);
/// PostgreSQL's array text ({1,NULL,"a b"}, nested, with or without bounds) as a list.
Value parse_array(std::string_view text, std::string_view element_type);
/// The same for a list that is bound as a parameter. Throws Error{`argument`} for maps inside.
std::string array_literal(const List& list);

/// Error{`argument`}: `parameter 2: a table cannot be bound` and what else cannot be.
[[noreturn]] void refuse_parameter(std::size_t index, const Value& value);
/// Error{`usage`} where the number of values is not that of the placeholders.
void check_parameter_count(std::size_t expected, std::size_t given);

/// Text of a double that reads back as the same double.
std::string number_text(double number);

/// What the three sessions share: they own the statements that were prepared in them. A session's
/// destructor calls forget_prepared() before it ends what they need.
class PreparingConnection : public Connection {
  public:
    /// See db::prepare.
    Prepared& prepare(std::string_view sql, Cancel& cancel);
    /// See db::unprepare.
    void unprepare(Prepared& prepared) noexcept;

  protected:
    using Connection::Connection;
    virtual std::unique_ptr<Prepared> make_prepared(std::string_view sql, Cancel& cancel) = 0;
    /// Whether a statement can be closed now: no result is being read, no transaction has failed.
    virtual bool can_unprepare() const = 0;
    void forget_prepared() noexcept;

  private:
    std::vector<std::unique_ptr<Prepared>> prepared_, closing_;
};

/// Drivers, one `connect` each.
std::unique_ptr<Connection> connect_postgres(const Url& url, const ConnectOptions& options,
                                             Cancel& cancel);
std::unique_ptr<Connection> connect_mysql(const Url& url, const ConnectOptions& options,
                                          Cancel& cancel);
std::unique_ptr<Connection> connect_sqlite(const Url& url, const ConnectOptions& options,
                                           Cancel& cancel);

/// The sslmode that holds for the URL: as written there; else verify-full where sslrootcert is
/// given; else `prefer` on a socket or loopback; else require.
std::string effective_sslmode(const Url& url);
/// connect_timeout of the URL, else of the options.
std::chrono::milliseconds effective_timeout(const Url& url, const ConnectOptions& options);
/// "name 15.20" → major, minor, patch into info.
void parse_version(ServerInfo& info);

/// Throws Error{`db.read_only`} for a statement that might make a read-only session writable.
void keep_read_only(const Url& url, std::string_view sql);
/// The error of a session that somebody has tried to make writable.
Error stays_read_only(const Url& url);

/// Error for a session that is gone.
Error lost_connection(const Url& url, const std::string& why);
/// Error{`usage`}: another result is still being read.
[[noreturn]] void refuse_second_cursor();

} // namespace runbook::db
