// PostgreSQL as a source: one snapshot for all streams, rows by COPY TO STDOUT (see ends.h).
// The holder takes ACCESS SHARE on every table before the snapshot is taken, so that no TRUNCATE or
// DROP empties a table under it, and exports the snapshot to the streams.
#include "runtime/transfer/copy/postgres_source.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/db/ask.h"
#include "runtime/transfer/copy/versions.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>

namespace runbook::copy {
namespace {

using schema::qualified;
using schema::standard_name;

constexpr std::int64_t split_pages = 4096;       ///< 32 MB: below it a table is one part
constexpr std::int64_t part_bytes = 128'000'000; ///< a part's size where a table is cut
constexpr std::int64_t most_parts = 512;

// row_security = off makes a policy an error instead of half the rows. Without synchronised and
// parallel scans a table is read in the order of its pages, which places are counted on.
constexpr const char* settings_text =
    "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601'; SET TimeZone = 'UTC'; "
    "SET extra_float_digits = 3; SET bytea_output = 'hex'; SET row_security = off; "
    "SET statement_timeout = 0; SET lock_timeout = '60s'; "
    "SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'; "
    "SET standard_conforming_strings = on; SET synchronize_seqscans = off; SET enable_seqscan = "
    "on; "
    "SET max_parallel_workers_per_gather = 0";

std::unique_ptr<db::Connection> open_session(const db::Url& url, Cancel& cancel) {
    db::ConnectOptions options;
    options.access = db::Access::read;
    options.application_name = "runbook copy";
    auto connection = db::connect(url, options, cancel);
    connection->script(settings_text, cancel);
    return connection;
}

/// What follows BEGIN.
std::string importing(const std::string& snapshot) {
    return snapshot.empty() ? ""
                            : "; SET TRANSACTION SNAPSHOT " + schema::standard_string(snapshot);
}

Error failure(db::Connection& connection, PGconn* raw, const PGresult* result) {
    const char* state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    const char* text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
    std::string message = text::trim(text ? text : PQerrorMessage(raw));
    std::string where = connection.url().masked() + ": ";
    if (PQstatus(raw) != CONNECTION_OK || !state)
        return {"db.connection",
                where + "the connection was lost while rows were read: " +
                    message.substr(0, message.find('\n')),
                "the copy can be started again: what it had written is dropped first"};
    std::string code = state;
    std::string kind = code == "57014"   ? "db.cancelled"
                       : code == "42501" ? "db.permission"
                                         : "db.error";
    if (code.starts_with("57P"))
        kind = "db.connection";
    return {kind, where + message + " (" + code + ")", {}, code};
}

/// What stands before the rows of a part, so that a stream can go on behind a row: a number, or the
/// page and item of a ctid. Each is greater than the one before it, or the order is not what the
/// copy takes it for.
class Places {
  public:
    enum class Kind : std::uint8_t { none, number, ctid };
    explicit Places(Kind kind) : kind_(kind) {}

    /// Takes the place off the front of the row.
    std::string_view take(std::string_view row) {
        if (kind_ == Kind::none)
            return row;
        std::size_t end = std::min(row.find('\t'), row.size() - 1);
        std::string_view text = row.substr(0, end);
        std::int64_t place = read(text);
        if (any_ && place <= last_)
            throw Error("internal", "rows arrived out of order: behind " + this->text() + " came " +
                                        std::string(text));
        last_ = place;
        any_ = true;
        return row.substr(row[end] == '\t' ? end + 1 : end);
    }
    std::string text() const {
        if (!any_)
            return {};
        return kind_ == Kind::number ? std::to_string(last_)
                                     : fmt::format("({},{})", last_ >> 16, last_ & 0xffff);
    }

  private:
    std::int64_t read(std::string_view text) const {
        const char *at = text.data(), *end = text.data() + text.size();
        if (kind_ == Kind::number) {
            std::int64_t number = 0;
            if (auto [stop, failed] = std::from_chars(at, end, number);
                failed == std::errc() && stop == end)
                return number;
        } else if (!text.empty() && *at == '(') {
            std::uint32_t page = 0;
            std::uint16_t item = 0;
            auto first = std::from_chars(at + 1, end, page);
            if (first.ec == std::errc() && first.ptr != end && *first.ptr == ',')
                if (auto second = std::from_chars(first.ptr + 1, end, item);
                    second.ec == std::errc() && second.ptr + 1 == end)
                    return static_cast<std::int64_t>(page) << 16 | item;
        }
        throw Error("internal", "a row from COPY begins with no place: " + std::string(text));
    }
    Kind kind_;
    std::int64_t last_ = 0;
    bool any_ = false;
};

class CopyOut final : public RowSource {
  public:
    CopyOut(db::Connection& connection, const std::string& select,
            Places::Kind places = Places::Kind::none)
        : connection_(connection), raw_(static_cast<PGconn*>(connection.native())),
          places_(places) {
        PGresult* result = PQexec(raw_, ("COPY (" + select + ") TO STDOUT").c_str());
        if (PQresultStatus(result) != PGRES_COPY_OUT) {
            Error error = failure(connection_, raw_, result);
            PQclear(result);
            throw error;
        }
        PQclear(result);
    }
    ~CopyOut() override {
        PQfreemem(line_);
        if (ended_)
            return;
        // Given up halfway: the rest would have to be read otherwise.
        if (PGcancel* handle = PQgetCancel(raw_)) {
            char why[256];
            PQcancel(handle, why, sizeof why);
            PQfreeCancel(handle);
        }
        char* rest = nullptr;
        while (PQgetCopyData(raw_, &rest, 0) > 0)
            PQfreemem(rest);
        while (PGresult* result = PQgetResult(raw_))
            PQclear(result);
    }

    bool next(std::string_view& row) override {
        PQfreemem(line_);
        line_ = nullptr;
        if (ended_)
            return false;
        int size = PQgetCopyData(raw_, &line_, 0);
        if (size > 0) {
            row = places_.take(std::string_view(line_, static_cast<std::size_t>(size)));
            return true;
        }
        ended_ = true;
        PGresult* result = PQgetResult(raw_);
        bool complete = size == -1 && PQresultStatus(result) == PGRES_COMMAND_OK;
        if (!complete) {
            Error error = failure(connection_, raw_, result);
            PQclear(result);
            drain();
            throw error;
        }
        PQclear(result);
        drain();
        return false;
    }
    std::string place() const override { return places_.text(); }

  private:
    void drain() {
        while (PGresult* result = PQgetResult(raw_))
            PQclear(result);
    }
    db::Connection& connection_;
    PGconn* raw_;
    Places places_;
    char* line_ = nullptr;
    bool ended_ = false;
};

class PostgresSession final : public SourceSession {
  public:
    PostgresSession(const db::Url& url, const std::string& snapshot, Cancel& cancel)
        : connection_(open_session(url, cancel)) {
        try {
            connection_->script(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + importing(snapshot), cancel);
        } catch (const Error& error) {
            if (error.sqlstate() != "22023" && error.sqlstate() != "42704")
                throw;
            throw Error("db.connection",
                        url.masked() +
                            ": the session that held the snapshot is gone: " + error.message(),
                        "what was loaded is whole; see resume");
        }
        handle_ = PQgetCancel(static_cast<PGconn*>(connection_->native()));
    }
    ~PostgresSession() override { PQfreeCancel(handle_); }

    std::unique_ptr<RowSource> open(const Part& part, Cancel& cancel) override {
        cancel.check("the copy");
        bool by_ctid = part.order == "ctid";
        std::string list = part.order, where = part.where;
        if (!part.table->columns.empty())
            list += (list.empty() ? "" : ", ") + select_list(part.table->columns);
        if (!part.after.empty())
            where += fmt::format("{}{} > {}", where.empty() ? "" : " AND ", part.order,
                                 by_ctid ? schema::standard_string(part.after) : part.after);
        if (const std::string& filter = part.table->filter; !filter.empty())
            where += (where.empty() ? "(" : " AND (") + filter + ")";
        std::string sql = "SELECT " + list + " FROM " + part.from;
        if (!where.empty())
            sql += " WHERE " + where;
        // By ctid the rows come as they lie, without a sort: Places sees that they do.
        if (!part.order.empty() && !by_ctid)
            sql += " ORDER BY " + part.order;
        return std::make_unique<CopyOut>(*connection_, sql,
                                         part.order.empty() ? Places::Kind::none
                                         : by_ctid          ? Places::Kind::ctid
                                                            : Places::Kind::number);
    }
    void interrupt() noexcept override {
        char why[256];
        PQcancel(handle_, why, sizeof why);
    }

  private:
    std::unique_ptr<db::Connection> connection_;
    PGcancel* handle_ = nullptr;
};

class PostgresSource final : public Source {
  public:
    PostgresSource(const db::Url& url, const SourceOptions& options, Cancel& cancel)
        : url_(url), connection_(open_session(url, cancel)) {
        check_version(connection_->server(), url);
        // A table made between the two reads is not locked: begin anew.
        for (int attempt = 1;; ++attempt) {
            database_ = catalog::read_catalog(*connection_, options.filter, cancel);
            std::set<std::string> locked = tables();
            connection_->script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" +
                                    importing(options.snapshot),
                                cancel);
            check_rights(cancel);
            if (!locked.empty())
                connection_->script("LOCK TABLE " + joined(locked) + " IN ACCESS SHARE MODE",
                                    cancel);
            snapshot_ = text_of("SELECT pg_catalog.pg_export_snapshot()");
            database_ = catalog::read_catalog(*connection_, options.filter, cancel);
            if (tables() == locked)
                break;
            connection_->rollback(cancel);
            if (attempt == 5 || !options.snapshot.empty())
                throw Error("copy.refused",
                            url_.masked() + ": tables are made and dropped faster than they can "
                                            "be locked",
                            "stop what changes the schema during the copy");
        }
        read_ranges();
        read_files();
    }

    const catalog::Database& database() const override { return database_; }
    const std::string& snapshot() const override { return snapshot_; }
    db::Connection& holder() override { return *connection_; }
    void check_snapshot(Cancel& cancel) override {
        try {
            connection_->execute("SELECT 1", {}, {}, cancel);
        } catch (const Error& error) {
            if (connection_->alive())
                throw;
            throw Error("db.connection",
                        url_.masked() +
                            ": the session that held the snapshot and the locks of the "
                            "copy is gone: " +
                            error.message(),
                        "what was loaded is whole; see resume");
        }
    }
    std::unique_ptr<RowSource> keys(const schema::TargetTable& table,
                                    const std::vector<schema::TargetColumn>& columns) override {
        const catalog::Table& from = *table.source;
        const bool all = from.kind == catalog::TableKind::partitioned;
        return std::make_unique<CopyOut>(
            *connection_, fmt::format("SELECT {} FROM {}{}{}", select_list(columns),
                                      all ? "" : "ONLY ", qualified(from.schema, from.name),
                                      table.filter.empty() ? "" : " WHERE (" + table.filter + ")"));
    }
    std::string identity() const override {
        return connection_->server().identity + "/" + database_.name;
    }
    int most_streams() const override { return 64; }
    std::string layout(const Part& part) const override {
        if (part.order != "ctid")
            return {};
        auto file = files_.find(part.from);
        return file == files_.end() ? std::string() : file->second;
    }
    std::unique_ptr<SourceSession> session(Cancel& cancel) override {
        return std::make_unique<PostgresSession>(url_, snapshot_, cancel);
    }

    std::vector<Part> parts(const schema::TargetTable& table, int streams) const override {
        const catalog::Table& source = *table.source;
        std::vector<Part> parts;
        if (source.kind == catalog::TableKind::partitioned) {
            auto leaves =
                std::max<std::int64_t>(1, static_cast<std::int64_t>(source.partitions.size()));
            for (const catalog::Partition& leaf : source.partitions)
                by_pages(parts, table, "ONLY " + qualified(leaf.schema, leaf.name), leaf.pages,
                         source.estimated_rows / leaves, streams);
            return parts;
        }
        std::string from = "ONLY " + qualified(source.schema, source.name);
        auto range = ranges_.find(source.schema + "." + source.name);
        if (range != ranges_.end() && source.pages >= split_pages)
            by_key(parts, table, from, range->second, streams);
        else
            by_pages(parts, table, from, source.pages, source.estimated_rows, streams);
        return parts;
    }

  private:
    struct Range {
        std::string column;
        std::int64_t lowest, highest;
    };

    std::set<std::string> tables() const {
        std::set<std::string> names;
        for (const catalog::Schema& schema : database_.schemas)
            for (const catalog::Table& table : schema.tables) {
                if (table.kind == catalog::TableKind::foreign)
                    continue;
                names.insert(qualified(table.schema, table.name));
                for (const catalog::Partition& leaf : table.partitions)
                    names.insert(qualified(leaf.schema, leaf.name));
            }
        return names;
    }
    static std::string joined(const std::set<std::string>& names) {
        std::string out;
        for (const std::string& name : names)
            out += (out.empty() ? "" : ", ") + name;
        return out;
    }

    std::string text_of(const std::string& sql) {
        Value value = db::fetch_value(*connection_, sql);
        const auto* text = value.get<std::string>();
        return text ? *text : std::string();
    }

    // The least and greatest key of each large table: two index look-ups each.
    void read_ranges() {
        for (const catalog::Schema& schema : database_.schemas)
            for (const catalog::Table& table : schema.tables) {
                if (!table.primary_key || table.primary_key->parts.size() != 1 ||
                    table.pages < split_pages)
                    continue;
                const std::string& name = table.primary_key->parts[0].column;
                const catalog::Column* column = table.column(name);
                if (!column ||
                    (column->type != catalog::Type::int32 && column->type != catalog::Type::int64))
                    continue;
                std::string column_name = standard_name(name);
                auto rows = db::fetch_all(
                    *connection_,
                    fmt::format(
                        "SELECT min({0})::int8 AS low, max({0})::int8 AS high FROM ONLY {1}",
                        column_name, qualified(table.schema, table.name)));
                const Value* low = rows.empty() ? nullptr : rows[0].find("low");
                if (low && !low->is_null())
                    ranges_[table.schema + "." + table.name] = {column_name, rows[0].integer("low"),
                                                                rows[0].integer("high")};
            }
    }

    // Every table that is to be read, before any is: what may not be read, and what a policy hides.
    void check_rights(Cancel& cancel) {
        std::vector<std::string> forbidden, hidden;
        std::string role;
        for (const catalog::Schema& schema : database_.schemas)
            for (const catalog::Table& table : schema.tables) {
                if (table.kind == catalog::TableKind::foreign)
                    continue;
                const std::vector<Value> params = {qualified(table.schema, table.name)};
                const Map row = db::ask_one(
                    *connection_,
                    "SELECT current_user::text AS role, has_table_privilege($1::regclass, "
                    "'SELECT') AS readable, row_security_active($1::regclass) AS hides",
                    params, cancel);
                role = row.text("role");
                if (!row.boolean("readable"))
                    forbidden.push_back(table.name);
                else if (row.boolean("hides"))
                    hidden.push_back(table.name);
            }
        if (!forbidden.empty())
            throw Error("db.permission",
                        fmt::format("{}: the role '{}' may not SELECT from {}", url_.masked(), role,
                                    text::join(forbidden, ", ")),
                        "GRANT SELECT on them to the role, or leave them out with exclude");
        if (!hidden.empty())
            throw Error("db.permission",
                        fmt::format("{}: row security hides rows of {} from the role '{}'",
                                    url_.masked(), text::join(hidden, ", "), role),
                        "copy as a role with BYPASSRLS, or as the tables' owner where it is not "
                        "forced");
    }

    // A row's ctid means the same as long as the table keeps its file: VACUUM FULL and CLUSTER give
    // it another one without writing a row.
    void read_files() {
        for (const Map& row : db::fetch_all(
                 *connection_,
                 "SELECT n.nspname::text AS schema, c.relname::text AS name, "
                 "pg_catalog.pg_relation_filenode(c.oid)::text AS file FROM pg_catalog.pg_class c "
                 "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"))
            files_["ONLY " + qualified(row.text("schema"), row.text("name"))] = row.text("file");
    }

    static std::int64_t count_of(std::int64_t bytes, int streams) {
        return std::clamp<std::int64_t>(bytes / part_bytes, streams, most_parts);
    }

    void by_key(std::vector<Part>& parts, const schema::TargetTable& table, const std::string& from,
                const Range& range, int streams) const {
        std::int64_t bytes = table.source->pages * 8192;
        std::int64_t count = count_of(bytes, streams);
        auto width =
            static_cast<std::uint64_t>(range.highest) - static_cast<std::uint64_t>(range.lowest);
        std::uint64_t step = width / static_cast<std::uint64_t>(count) + 1;
        for (std::int64_t i = 0; i < count; ++i) {
            auto low = static_cast<std::int64_t>(static_cast<std::uint64_t>(range.lowest) +
                                                 static_cast<std::uint64_t>(i) * step);
            auto high = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + step);
            std::string where;
            if (i > 0)
                where = fmt::format("{} >= {}", range.column, low);
            if (i + 1 < count)
                where += fmt::format("{}{} < {}", where.empty() ? "" : " AND ", range.column, high);
            add(parts, table, from, where, bytes / count, table.source->estimated_rows / count,
                range.column);
        }
    }

    // Without a key: by the place of the rows. Before version 14 that reads the table once a part.
    void by_pages(std::vector<Part>& parts, const schema::TargetTable& table,
                  const std::string& from, std::int64_t pages, std::int64_t rows,
                  int streams) const {
        if (pages < split_pages || connection_->server().major < 14) {
            add(parts, table, from, "", pages * 8192, rows);
            return;
        }
        std::int64_t count = count_of(pages * 8192, streams), step = pages / count + 1;
        for (std::int64_t i = 0; i < count; ++i) {
            std::string where;
            if (i > 0)
                where = fmt::format("ctid >= '({},0)'", i * step);
            if (i + 1 < count)
                where +=
                    fmt::format("{}ctid < '({},0)'", where.empty() ? "" : " AND ", (i + 1) * step);
            add(parts, table, from, where, step * 8192, rows / count);
        }
    }

    void add(std::vector<Part>& parts, const schema::TargetTable& table, const std::string& from,
             const std::string& where, std::int64_t bytes, std::int64_t rows,
             const std::string& order = "ctid") const {
        Part part{&table, static_cast<int>(parts.size()), from, where, bytes, rows, order, {}, {}};
        part.layout = layout(part);
        if (order == "ctid" && part.layout.empty())
            part.order.clear(); // a partition that lies elsewhere
        parts.push_back(std::move(part));
    }

    db::Url url_;
    std::unique_ptr<db::Connection> connection_;
    catalog::Database database_;
    std::string snapshot_;
    std::map<std::string, Range> ranges_;
    std::map<std::string, std::string> files_; ///< by FROM clause
};

} // namespace

const char* postgres_settings() {
    return settings_text;
}

std::unique_ptr<Source> open_postgres_source(const db::Url& url, const SourceOptions& options,
                                             Cancel& cancel) {
    return std::make_unique<PostgresSource>(url, options, cancel);
}

} // namespace runbook::copy
