// Rows of one side, streamed in batches under one snapshot.
// A RowSource is used by one thread at a time; stop() may come from another. Everything blocks.
// Reads with its own statements through the driver's native handle: no code shared with the copy
// engine.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/error.h"
#include "runtime/db/connection.h"
#include "runtime/transfer/verify/buffer.h"
#include "runtime/transfer/verify/plan.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace runbook::verify {

/// Where a row lies in its batch: the payload (all cells), then the encoded key.
struct Row {
    std::size_t at = 0;
    std::size_t payload = 0; ///< octets of the cells
    std::size_t key = 0;     ///< octets of the key behind them
};

struct Batch {
    Buffer bytes;
    std::vector<Row> rows;

    std::string_view payload(const Row& row) const {
        return bytes.view().substr(row.at, row.payload);
    }
    std::string_view key(const Row& row) const {
        return bytes.view().substr(row.at + row.payload, row.key);
    }
    void clear() {
        bytes.clear();
        rows.clear();
    }
    bool full() const { return rows.size() >= 4096 || bytes.size() >= (std::size_t{512} << 10); }
};

class RowSource {
  public:
    virtual ~RowSource() = default;
    RowSource(const RowSource&) = delete;
    RowSource& operator=(const RowSource&) = delete;

    /// Session settings that make the text of values independent of the server's configuration.
    virtual void prepare(Cancel& cancel) = 0;
    /// A new snapshot; ends the one before. `shared` is an exported PostgreSQL snapshot or empty.
    virtual void snapshot(const std::string& shared, Cancel& cancel) = 0;
    /// Starts the stream of one side of a plan. Errors: `db.*`.
    virtual void open(const TablePlan& plan, const std::string& where, Cancel& cancel) = 0;
    /// Appends rows until the batch is full; false when the stream has ended.
    /// Errors: `db.*`, OutOfOrder.
    virtual bool fill(Batch& batch, Cancel& cancel) = 0;
    /// Abandons what is left of the stream; the session and its snapshot stay usable, or alive() is
    /// false.
    virtual void close(Cancel& cancel) = 0;
    /// Makes a blocked fill return with an error; from any thread.
    virtual void stop() noexcept = 0;
    /// Rows of the table under the snapshot.
    virtual std::int64_t count(const TablePlan& plan, Cancel& cancel) = 0;

    db::Connection& connection() { return *connection_; }
    bool alive() const { return alive_ && connection_->alive(); }
    Which which() const { return which_; }

  protected:
    RowSource(std::unique_ptr<db::Connection> connection, Which which)
        : connection_(std::move(connection)), which_(which) {}

    std::unique_ptr<db::Connection> connection_;
    Which which_;
    bool alive_ = true;
};

/// Keys came in another order than their encoded form has: the two sides cannot be merged by this
/// key.
class OutOfOrder : public Error {
  public:
    using Error::Error;
};

/// Finishes the row whose cells begin at `at`: appends the key, and checks that keys ascend.
/// `previous` holds the last key of the stream. Throws OutOfOrder.
void end_row(const TablePlan& plan, std::size_t at, Batch& batch, std::string& previous);

/// Opens a read-only session of its own for one side.
std::unique_ptr<RowSource> open_rows(const db::Url& url, Which which, Cancel& cancel);
std::unique_ptr<RowSource> postgresql_rows(std::unique_ptr<db::Connection> connection, Which which);
std::unique_ptr<RowSource> mysql_rows(std::unique_ptr<db::Connection> connection, Which which);
std::unique_ptr<RowSource> sqlite_rows(std::unique_ptr<db::Connection> connection, Which which);

} // namespace runbook::verify
