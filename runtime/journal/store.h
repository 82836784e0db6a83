// Where a journal keeps its rows: the one interface that the backends share, so that what a run, an
// event or a lease is stands in one place (journal.cpp). Internal to runtime/journal.
// One thread at a time (the journal's mutex sees to it). A store knows nothing of runs and events.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace runbook::journal {

/// One row of a result, while it is looked at.
class Row {
  public:
    virtual ~Row() = default;
    virtual std::string text(int column) const = 0;
    virtual std::int64_t integer(int column) const = 0;
};

using Bound = std::variant<std::int64_t, std::string_view>;
using Params = std::initializer_list<Bound>;

class Store {
  public:
    virtual ~Store() = default;

    /// As messages name it: a path, or a masked URL.
    virtual const std::string& name() const = 0;
    virtual bool read_only() const = 0;
    /// True where every process that can write here runs on this machine: then a holder of an
    /// earlier boot is gone for certain.
    virtual bool one_machine() const = 0;
    /// What people should know before they rely on it; empty where there is nothing.
    virtual std::string warning() const { return {}; }
    /// One more connection to the same place.
    virtual std::unique_ptr<Store> again() const = 0;

    /// Runs `work` in one transaction that holds what it locked, and commits it. `work` may run
    /// again where the connection was lost before COMMIT was sent: nothing of the first turn is
    /// there then. Throws Error{`journal`}, and Error{`journal.unknown`} where the commit itself
    /// failed: it may or may not be there.
    virtual void change(const std::function<void()>& work) = 0;
    /// Runs `work`, which only reads; with `one_view` all its statements see the same moment.
    virtual void read(const std::function<void()>& work, bool one_view = false) = 0;

    /// Only inside of change() or read(). Placeholders are `?`.
    virtual void each(std::string_view sql, Params params,
                      const std::function<void(const Row&)>& row) = 0;
    /// Rows changed.
    virtual std::int64_t run(std::string_view sql, Params params) = 0;

    /// The clock that leases are judged by, in microseconds, as an SQL expression.
    virtual std::string_view clock() const = 0;
    /// What a SELECT ends with to hold its rows until the transaction ends.
    virtual std::string_view hold_rows() const = 0;
};

/// A SQLite file (sqlite_store.cpp). `path` is absolute.
std::unique_ptr<Store> open_sqlite(const std::string& path, bool read_only);
/// The schema `runbook` of a PostgreSQL database (postgres_store.cpp).
std::unique_ptr<Store> open_postgres(const std::string& url, bool read_only);

} // namespace runbook::journal
