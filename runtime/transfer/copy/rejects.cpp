// The bisection and the table of rejects (see rejects.h).
#include "runtime/transfer/copy/rejects.h"

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/transfer/catalog/rows.h"

#include <fmt/format.h>

#include <span>
#include <vector>

namespace runbook::copy {
namespace {

constexpr std::size_t batch_rows = 1000;
constexpr std::size_t batch_bytes = 1 << 20;

class Rows final : public RowSource {
  public:
    explicit Rows(std::span<const std::string> rows) : rows_(rows) {}
    bool next(std::string_view& row) override {
        if (at_ == rows_.size())
            return false;
        row = rows_[at_++];
        return true;
    }

  private:
    std::span<const std::string> rows_;
    std::size_t at_ = 0;
};

} // namespace

/// The rows of one chunk, some at a time.
class Rejects::Batch {
  public:
    Batch(Rejects& rejects, db::Connection& connection, const std::string& run, const Part& part,
          const std::function<void(Feed&)>& load, Cancel& cancel)
        : rejects_(rejects), connection_(connection), run_(run), part_(part), load_(load),
          cancel_(cancel) {}

    std::int64_t rejected() const { return rejected_; }

    void load(std::span<const std::string> rows) {
        execute("SAVEPOINT runbook_rows");
        try {
            Rows source(rows);
            Shared shared(nullptr, cancel_, 0, 0, 0);
            Feed feed(source, shared, part_, INT64_MAX, INT64_MAX);
            if (feed.begin_chunk())
                load_(feed);
            execute("RELEASE SAVEPOINT runbook_rows");
            return;
        } catch (const Error& error) {
            if (!is_of_rows(error) || !connection_.alive())
                throw;
            execute("ROLLBACK TO SAVEPOINT runbook_rows");
            if (rows.size() == 1) {
                reject(rows[0], error);
                return;
            }
        }
        load(rows.first(rows.size() / 2));
        load(rows.subspan(rows.size() / 2));
    }

  private:
    void reject(std::string row, const Error& error) {
        if (row.ends_with('\n'))
            row.pop_back();
        const std::string reason = redact(error.message());
        ++rejected_;
        if (++rejects_.rejected_ > rejects_.budget_)
            throw Error("copy.rejects",
                        fmt::format("{}: more than {} row{} would be rejected; the last one: {}",
                                    part_.table->name, text::grouped(rejects_.budget_),
                                    rejects_.budget_ == 1 ? "" : "s", reason),
                        "the others stand in " + std::string(rejects_table) +
                            " of the target; raise rejects, or mend the rows in the source");
        const std::vector<Value> params = {run_, part_.table->name, std::move(row), reason};
        connection_.execute("INSERT INTO " + connection_.quote_name(rejects_table) +
                                " (run, object, content, reason) VALUES (?, ?, ?, ?)",
                            params, {}, cancel_);
    }
    void execute(const char* sql) { connection_.execute(sql, {}, {}, cancel_); }

    Rejects& rejects_;
    db::Connection& connection_;
    const std::string& run_;
    const Part& part_;
    const std::function<void(Feed&)>& load_;
    Cancel& cancel_;
    std::int64_t rejected_ = 0;
};

void Rejects::open(db::Connection& connection, const std::string& run, Cancel& cancel) {
    const bool mysql = connection.server().flavour != db::Flavour::postgresql;
    connection.execute(
        fmt::format("CREATE TABLE IF NOT EXISTS {} (run {} NOT NULL, object {} NOT NULL, content "
                    "{} NOT NULL, reason {} NOT NULL, at {}){}",
                    connection.quote_name(rejects_table), mysql ? "VARCHAR(190)" : "TEXT",
                    mysql ? "VARCHAR(190)" : "TEXT", mysql ? "LONGTEXT" : "TEXT",
                    mysql ? "LONGTEXT" : "TEXT",
                    mysql ? "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"
                          : "TIMESTAMPTZ NOT NULL DEFAULT now()",
                    mysql ? " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin" : ""),
        {}, {}, cancel);
    const std::vector<Value> params = {run};
    const Value there = db::fetch_value(
        connection,
        "SELECT count(*) FROM " + connection.quote_name(rejects_table) + " WHERE run = ?", params);
    if (const auto* number = there.get<std::int64_t>())
        rejected_ = *number;
}

bool Rejects::is_of_rows(const Error& error) {
    return error.kind() == "db.error" || error.kind() == "db.constraint" ||
           error.kind() == "copy.mismatch";
}

std::int64_t Rejects::load(db::Connection& connection, const std::string& run, const Part& part,
                           Feed& feed, const std::function<void(Feed&)>& load, Cancel& cancel) {
    Batch batch(*this, connection, run, part, load, cancel);
    std::vector<std::string> rows;
    std::size_t bytes = 0;
    std::string_view row;
    bool more = true;
    try {
        while (more) {
            more = feed.next(row);
            if (more) {
                rows.emplace_back(row);
                bytes += row.size();
            }
            if (!rows.empty() && (!more || rows.size() >= batch_rows || bytes >= batch_bytes)) {
                batch.load(rows);
                rows.clear();
                bytes = 0;
            }
        }
    } catch (...) {
        take_back(batch.rejected());
        throw;
    }
    return batch.rejected();
}

std::int64_t Rejects::count(db::Connection& connection, const std::string& run,
                            const std::string& table) {
    const std::vector<Value> params = {run, table};
    const Value value =
        db::fetch_value(connection,
                        "SELECT count(*) FROM " + connection.quote_name(rejects_table) +
                            " WHERE run = ? AND object = ?",
                        params);
    const auto* number = value.get<std::int64_t>();
    return number ? *number : 0;
}

void Rejects::write_file(db::Connection& connection, const std::string& run,
                         const std::string& path, Cancel& cancel) {
    std::string out;
    const std::vector<Value> params = {run};
    catalog::each_row(connection,
                      "SELECT object, reason, content FROM " +
                          connection.quote_name(rejects_table) +
                          " WHERE run = ? ORDER BY object, at",
                      params, cancel, [&](const catalog::Row& row) {
                          out += json::dump(Value(Map{{"table", row.text("object")},
                                                      {"reason", row.text("reason")},
                                                      {"row", row.text("content")}})) +
                                 "\n";
                      });
    files::write(path, out);
}

} // namespace runbook::copy
