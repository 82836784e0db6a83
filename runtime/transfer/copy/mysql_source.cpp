// MySQL and MariaDB as a source: one consistent snapshot for all streams (see ends.h).
// The servers export no snapshot, so all sessions begin theirs while another one holds LOCK TABLES
// … READ: nobody commits to the tables in between. That takes a moment and the privilege LOCK
// TABLES; where it is missing, or writers keep the lock away, one session reads alone. Every
// session then touches every table, so that no DDL passes before the copy ends.
#include "runtime/transfer/copy/mysql_source.h"

#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/transfer/copy/mysql_killer.h"
#include "runtime/transfer/copy/mysql_rows.h"
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>

namespace runbook::copy {
namespace {

using schema::mysql_name;

constexpr std::int64_t split_bytes = 32'000'000; ///< below it a table is one part
constexpr std::int64_t part_bytes = 128'000'000; ///< a part's size where a table is cut
constexpr std::int64_t most_parts = 512;

std::unique_ptr<db::Connection> open_session(const db::Url& url, Cancel& cancel) {
    db::ConnectOptions options;
    options.access = db::Access::read;
    options.application_name = "runbook copy";
    auto connection = db::connect(url, options, cancel);
    const bool mariadb = connection->server().flavour == db::Flavour::mariadb;
    connection->script("SET NAMES utf8mb4", cancel);
    connection->script(fmt::format("SET SESSION time_zone = '+00:00', sql_mode = '', "
                                   "sql_quote_show_create = 1, net_write_timeout = 3600, "
                                   "net_read_timeout = 3600, wait_timeout = 86400, {} = 0",
                                   mariadb ? "max_statement_time" : "max_execution_time"),
                       cancel);
    connection->script("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", cancel);
    return connection;
}

using Names = std::set<std::string>;

std::string joined(const Names& names, const char* after) {
    std::string out;
    for (const std::string& name : names)
        out += (out.empty() ? "" : ", ") + mysql_name(name) + after;
    return out;
}

void begin_snapshot(db::Connection& connection, Cancel& cancel) {
    connection.script("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", cancel);
}

/// Keeps DDL away from the tables until the transaction ends.
void touch(db::Connection& connection, const Names& names, Cancel& cancel) {
    for (const std::string& name : names)
        connection.query("SELECT 1 FROM " + mysql_name(name) + " LIMIT 0", {}, {}, cancel)
            ->next(cancel);
}

/// Rows in the order of their key: a row's place is its number.
class CountedRows final : public RowSource {
  public:
    CountedRows(std::unique_ptr<RowSource> rows, const std::string& before)
        : rows_(std::move(rows)), place_(std::strtoll(before.c_str(), nullptr, 10)) {}
    bool next(std::string_view& row) override {
        if (!rows_->next(row))
            return false;
        ++place_;
        return true;
    }
    std::string place() const override { return std::to_string(place_); }

  private:
    std::unique_ptr<RowSource> rows_;
    std::int64_t place_;
};

class MysqlSession final : public SourceSession {
  public:
    MysqlSession(db::Connection& connection, db::Flavour target)
        : connection_(connection), killer_(connection.url(), connection), target_(target) {}

    std::unique_ptr<RowSource> open(const Part& part, Cancel& cancel) override {
        cancel.check("the copy");
        std::string sql = "SELECT " + select_list(part.table->columns) + " FROM " + part.from;
        if (!part.where.empty())
            sql += " WHERE " + part.where;
        if (!part.order.empty())
            sql += " ORDER BY " + part.order;
        if (!part.after.empty())
            sql += " LIMIT 18446744073709551615 OFFSET " + part.after;
        auto rows = mysql_rows(connection_, sql,
                               mysql_forms(*part.table->source, part.table->columns, target_));
        if (part.order.empty())
            return rows;
        return std::make_unique<CountedRows>(std::move(rows), part.after);
    }
    void interrupt() noexcept override { killer_.kill(); }

  private:
    db::Connection& connection_;
    MysqlKiller killer_;
    db::Flavour target_;
};

class MysqlSource final : public Source {
  public:
    MysqlSource(const db::Url& url, const SourceOptions& options, Cancel& cancel)
        : url_(url), target_(options.target), connection_(open_session(url, cancel)) {
        // A table made between the two reads is not locked: begin anew.
        for (int attempt = 1;; ++attempt) {
            database_ = catalog::read_catalog(*connection_, options.filter, cancel);
            const Names names = tables();
            if (names.empty())
                return;
            begin_together(names, options.streams, cancel);
            touch(*connection_, names, cancel);
            for (const auto& session : sessions_)
                touch(*session, names, cancel);
            database_ = catalog::read_catalog(*connection_, options.filter, cancel);
            if (tables() == names)
                break;
            sessions_.clear();
            connection_->rollback(cancel);
            if (attempt == 5)
                throw Error("copy.refused",
                            url_.masked() + ": tables are made and dropped faster than they can "
                                            "be locked",
                            "stop what changes the schema during the copy");
        }
        snapshot_ = "consistent read of " + time::iso_millis(time::now_micros());
        read_ranges();
    }

    const catalog::Database& database() const override { return database_; }
    const std::string& snapshot() const override { return snapshot_; }
    db::Connection& holder() override { return *connection_; }
    std::unique_ptr<RowSource> keys(const schema::TargetTable& table,
                                    const std::vector<schema::TargetColumn>& columns) override {
        return mysql_rows(*connection_,
                          "SELECT " + select_list(columns) + " FROM " +
                              mysql_name(table.source->name),
                          mysql_forms(*table.source, columns, target_));
    }
    std::string identity() const override {
        return connection_->server().identity + "/" + database_.name;
    }
    int most_streams() const override {
        return std::max<int>(1, static_cast<int>(sessions_.size()));
    }
    std::unique_ptr<SourceSession> session(Cancel&) override {
        std::lock_guard lock(mutex_);
        db::Connection& connection = sessions_.empty() ? *connection_ : *sessions_.at(handed_out_);
        ++handed_out_;
        return std::make_unique<MysqlSession>(connection, target_);
    }

    std::vector<Part> parts(const schema::TargetTable& table, int streams) const override {
        const catalog::Table& source = *table.source;
        const std::string from = mysql_name(source.name);
        const std::string order = order_of(source);
        std::vector<Part> parts;
        auto range = ranges_.find(source.name);
        if (range == ranges_.end()) {
            parts.push_back(
                {&table, 0, from, "", source.bytes, source.estimated_rows, order, {}, {}});
            return parts;
        }
        const auto& [column, low, high] = range->second;
        const std::int64_t count =
            std::clamp<std::int64_t>(source.bytes / part_bytes, streams, most_parts);
        const auto width = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
        const std::uint64_t step = width / static_cast<std::uint64_t>(count) + 1;
        for (std::int64_t i = 0; i < count; ++i) {
            const auto begin = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) +
                                                         static_cast<std::uint64_t>(i) * step);
            const auto end = static_cast<std::int64_t>(static_cast<std::uint64_t>(begin) + step);
            std::string where;
            if (i > 0)
                where = fmt::format("{} >= {}", column, begin);
            if (i + 1 < count)
                where += fmt::format("{}{} < {}", where.empty() ? "" : " AND ", column, end);
            parts.push_back({&table,
                             static_cast<int>(i),
                             from,
                             where,
                             source.bytes / count,
                             source.estimated_rows / count,
                             order,
                             {},
                             {}});
        }
        return parts;
    }

  private:
    struct Range {
        std::string column;
        std::int64_t lowest, highest;
    };

    // By the primary key, as the rows lie; without one there is no order to go on in.
    static std::string order_of(const catalog::Table& table) {
        std::string order;
        if (table.primary_key)
            for (const catalog::IndexPart& part : table.primary_key->parts)
                order += (order.empty() ? "" : ", ") + mysql_name(part.column);
        return order;
    }

    Names tables() const {
        Names names;
        for (const catalog::Schema& schema : database_.schemas)
            for (const catalog::Table& table : schema.tables)
                names.insert(table.name);
        return names;
    }

    void begin_together(const Names& names, int streams, Cancel& cancel) {
        sessions_.clear();
        handed_out_ = 0;
        if (streams < 2) {
            begin_snapshot(*connection_, cancel);
            return;
        }
        for (int i = 0; i < streams; ++i)
            sessions_.push_back(open_session(url_, cancel));
        auto gate = open_session(url_, cancel);
        if (!lock(*gate, names, cancel)) {
            sessions_.clear();
            begin_snapshot(*connection_, cancel);
            return;
        }
        begin_snapshot(*connection_, cancel);
        for (const auto& session : sessions_)
            begin_snapshot(*session, cancel);
        gate->script("UNLOCK TABLES", cancel);
    }

    // Writers wait while the lock is asked for, so it is asked for briefly.
    static bool lock(db::Connection& gate, const Names& names, Cancel& cancel) {
        gate.script("SET SESSION lock_wait_timeout = 2", cancel);
        for (int attempt = 0; attempt < 3; ++attempt) {
            try {
                gate.script("LOCK TABLES " + joined(names, " READ"), cancel);
                return true;
            } catch (const Error& error) {
                if (error.kind() != "db.lock_timeout" && error.kind() != "db.deadlock") {
                    if (error.kind() == "db.permission")
                        return false;
                    throw;
                }
            }
        }
        return false;
    }

    // The least and greatest key of each large table: two index look-ups each.
    void read_ranges() {
        for (const catalog::Schema& schema : database_.schemas)
            for (const catalog::Table& table : schema.tables) {
                if (!table.primary_key || table.primary_key->parts.size() != 1 ||
                    table.bytes < split_bytes)
                    continue;
                const catalog::Column* column = table.column(table.primary_key->parts[0].column);
                if (!column ||
                    (column->type != catalog::Type::int32 && column->type != catalog::Type::int64))
                    continue;
                const std::string name = mysql_name(column->name);
                auto rows = db::fetch_all(*connection_,
                                          fmt::format("SELECT CAST(MIN({0}) AS CHAR) AS low, "
                                                      "CAST(MAX({0}) AS CHAR) AS high FROM {1}",
                                                      name, mysql_name(table.name)));
                const Value* low = rows.empty() ? nullptr : rows[0].find("low");
                if (!low || low->is_null())
                    continue;
                const std::string high = rows[0].text("high");
                if (high.size() < 19) // what is larger stands in one part
                    ranges_[table.name] = {name, std::stoll(rows[0].text("low")), std::stoll(high)};
            }
    }

    db::Url url_;
    db::Flavour target_;
    std::unique_ptr<db::Connection> connection_;
    std::vector<std::unique_ptr<db::Connection>> sessions_;
    std::mutex mutex_;
    std::size_t handed_out_ = 0;
    catalog::Database database_;
    std::string snapshot_;
    std::map<std::string, Range> ranges_;
};

} // namespace

schema::Plan plan_mysql_to_mysql(Source& source, const schema::Target& target) {
    std::map<std::string, std::string> definitions;
    for (const catalog::Schema& schema : source.database().schemas)
        for (const catalog::Table& table : schema.tables) {
            const auto rows =
                db::fetch_all(source.holder(), "SHOW CREATE TABLE " + mysql_name(table.name));
            definitions[table.name] = rows.empty() ? "" : rows[0].text("Create Table");
        }
    return schema::plan_mysql_to_mysql(source.database(), definitions, target);
}

std::unique_ptr<Source> open_mysql_source(const db::Url& url, const SourceOptions& options,
                                          Cancel& cancel) {
    return std::make_unique<MysqlSource>(url, options, cancel);
}

} // namespace runbook::copy
