// SQLite as a target, and the plan between two SQLite databases (see sqlite_ends.h). One writer;
// every chunk is one transaction with its ledger row first.
#include "runtime/transfer/copy/encode.h"
#include "runtime/transfer/copy/ledger.h"
#include "runtime/transfer/copy/not_empty.h"
#include "runtime/transfer/copy/sqlite_ends.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/catalog/rows.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

namespace runbook::copy {
namespace {

using schema::standard_name;

/// How a field of COPY text is stored.
enum class Storage : std::uint8_t { text, boolean, integer, real, bytes, moment };

Storage storage_of(const schema::TargetColumn& column) {
    if (column.codec == schema::Codec::zone)
        return Storage::moment;
    return column.type == "BOOLEAN"   ? Storage::boolean
           : column.type == "INTEGER" ? Storage::integer
           : column.type == "REAL"    ? Storage::real
           : column.type == "BLOB"    ? Storage::bytes
                                      : Storage::text;
}

class Insert {
  public:
    Insert(db::Connection& connection, const schema::TargetTable& table)
        : connection_(connection), database_(static_cast<sqlite3*>(connection.native())),
          name_(table.name) {
        std::string columns, marks;
        for (const schema::TargetColumn& column : table.columns) {
            storages_.push_back(storage_of(column));
            columns += (columns.empty() ? "" : ", ") + standard_name(column.name);
            marks += marks.empty() ? "?" : ", ?";
        }
        std::string sql =
            fmt::format("INSERT INTO {} ({}) VALUES ({})", standard_name(name_), columns, marks);
        if (sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK)
            fail();
    }
    ~Insert() { sqlite3_finalize(statement_); }
    Insert(const Insert&) = delete;
    Insert& operator=(const Insert&) = delete;

    /// A row of COPY text.
    void fields(std::string_view row) {
        if (row.ends_with('\n'))
            row.remove_suffix(1);
        for (std::size_t i = 0; i < storages_.size(); ++i) {
            const std::size_t end = row.find('\t');
            if ((i + 1 == storages_.size()) != (end == std::string_view::npos))
                throw Error("internal", fmt::format("a row of {} has not the {} fields expected",
                                                    name_, storages_.size()));
            bind(static_cast<int>(i) + 1, storages_[i], row.substr(0, end));
            if (end != std::string_view::npos)
                row.remove_prefix(end + 1);
        }
        step();
    }

    /// A row of cells, from another SQLite database.
    void row(std::string_view cells) {
        for (int i = 1; !cells.empty(); ++i) {
            std::int64_t number = 0;
            double real = 0;
            std::memcpy(&number, cells.data() + 1, 8);
            std::memcpy(&real, cells.data() + 1, 8);
            char tag = cells[0];
            cells.remove_prefix(cell_head);
            if (tag == 'i') {
                sqlite3_bind_int64(statement_, i, number);
            } else if (tag == 'r') {
                sqlite3_bind_double(statement_, i, real);
            } else if (tag == 'n') {
                sqlite3_bind_null(statement_, i);
            } else {
                auto size = static_cast<std::uint64_t>(number);
                if (tag == 't')
                    sqlite3_bind_text64(statement_, i, cells.data(), size, SQLITE_STATIC,
                                        SQLITE_UTF8);
                else
                    sqlite3_bind_blob64(statement_, i, size ? cells.data() : "", size,
                                        SQLITE_STATIC);
                cells.remove_prefix(size);
            }
        }
        step();
    }

  private:
    void step() {
        if (sqlite3_step(statement_) != SQLITE_DONE)
            fail();
        sqlite3_reset(statement_);
    }

    void bind(int index, Storage storage, std::string_view field) {
        if (field == "\\N") {
            sqlite3_bind_null(statement_, index);
            return;
        }
        switch (storage) {
        case Storage::boolean: // t and f of PostgreSQL, digits of MySQL
            sqlite3_bind_int64(statement_, index,
                               field == "t"   ? 1
                               : field == "f" ? 0
                                              : number<std::int64_t>(field));
            return;
        case Storage::integer:
            sqlite3_bind_int64(statement_, index, number<std::int64_t>(field));
            return;
        case Storage::real:
            sqlite3_bind_double(statement_, index, real(field));
            return;
        case Storage::bytes: {
            const std::string octets = digest::unhex(field.substr(3));
            sqlite3_bind_blob64(statement_, index, octets.data(), octets.size(), SQLITE_TRANSIENT);
            return;
        }
        case Storage::moment:
            if (field.ends_with("+00"))
                field.remove_suffix(3);
            [[fallthrough]];
        case Storage::text: {
            const std::string text = unescape(field);
            sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_TRANSIENT,
                                SQLITE_UTF8);
        }
        }
    }

    template <class T>
    T number(std::string_view field) {
        T value{};
        const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
        if (error != std::errc() || end != field.data() + field.size())
            throw Error("copy.mismatch",
                        fmt::format("{}: '{}' is no number that fits there", name_, field),
                        "the chunk was rolled back");
        return value;
    }
    double real(std::string_view field) {
        if (field == "Infinity" || field == "-Infinity")
            return (field[0] == '-' ? -1 : 1) * std::numeric_limits<double>::infinity();
        return number<double>(field);
    }

    [[noreturn]] void fail() {
        int code = sqlite3_errcode(database_);
        throw Error(code == SQLITE_INTERRUPT    ? "cancelled"
                    : code == SQLITE_FULL       ? "db.disk_full"
                    : code == SQLITE_CONSTRAINT ? "db.constraint"
                                                : "db.error",
                    fmt::format("{}: loading {}: {}", connection_.url().masked(), name_,
                                sqlite3_errmsg(database_)));
    }
    db::Connection& connection_;
    sqlite3* database_;
    sqlite3_stmt* statement_ = nullptr;
    std::string name_;
    std::vector<Storage> storages_;
};

class SqliteTargetSession final : public TargetSession {
  public:
    SqliteTargetSession(db::Connection& connection, bool cells, std::string run)
        : connection_(connection), cells_(cells), run_(std::move(run)) {}

    void load(const Part& part, int chunk, Feed& feed, bool, Cancel& cancel) override {
        Ledger ledger(connection_);
        connection_.begin(cancel);
        try {
            ledger.begin_chunk(
                run_, part, chunk, [](const std::string&) {}, cancel);
            {
                Insert insert(connection_, *part.table);
                std::string_view row;
                while (feed.next(row))
                    cells_ ? insert.row(row) : insert.fields(row);
            }
            ledger.end_chunk(run_, part, chunk, feed, 0, cancel);
            connection_.commit(cancel);
        } catch (...) {
            Cancel unstoppable;
            connection_.rollback(unstoppable);
            throw;
        }
    }
    void finish(const schema::TargetTable& table, const std::string& kind, int number,
                const std::string& sql, bool, Cancel& cancel) override {
        std::string begin = text::lower(sql.substr(0, sql.find_first_of("(\"[`'")));
        bool view = begin.starts_with("create") && begin.find(" view ") != std::string::npos;
        Ledger ledger(connection_);
        connection_.begin(cancel);
        try {
            ledger.object(run_, kind, table.name, "begun", cancel, number);
            connection_.execute(sql, {}, {}, cancel);
            if (view)
                ledger_view(ledger, cancel);
            ledger.object(run_, kind, table.name, "done", cancel, number);
            connection_.commit(cancel);
        } catch (const Error& error) {
            Cancel unstoppable;
            connection_.rollback(unstoppable);
            throw Error(error.kind(), kind + " of " + table.name + ": " + error.message(),
                        error.hint());
        }
    }
    db::Connection& connection() override { return connection_; }
    void interrupt() noexcept override {
        sqlite3_interrupt(static_cast<sqlite3*>(connection_.native()));
    }

  private:
    void ledger_view(Ledger& ledger, Cancel& cancel) {
        Value name = db::fetch_value(connection_, "SELECT name FROM sqlite_schema WHERE type = "
                                                  "'view' ORDER BY rowid DESC LIMIT 1");
        if (const auto* text = name.get<std::string>())
            ledger.object(run_, "view", *text, "begun", cancel);
    }
    db::Connection& connection_;
    bool cells_;
    std::string run_;
};

class SqliteTarget final : public Target {
  public:
    SqliteTarget(const db::Url& url, std::int64_t rejects, Cancel& cancel)
        : url_(url), rejects_(rejects) {
        db::ConnectOptions options;
        options.access = db::Access::write;
        connection_ = db::connect(url, options, cancel);
    }
    schema::Target description() override { return {connection_->server(), true}; }
    void expect(db::Engine source) override { cells_ = source == db::Engine::sqlite; }
    int most_streams() const override { return 1; }

    std::string make_ready(const std::string& source, bool, Cancel& cancel) override {
        if (rejects_ > 0)
            throw Error("db.unsupported", url_.masked() +
                                              ": SQLite takes every row or none: "
                                              "rows are rejected into PostgreSQL, MySQL "
                                              "and MariaDB only");
        if (source == connection_->server().identity)
            throw Error("copy.refused", url_.masked() + ": source and target are the same file");
        std::vector<std::string> there;
        for (const Map& row : db::fetch_all(
                 *connection_, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND "
                               "name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> "
                               "'_runbook_copy' ORDER BY name"))
            there.push_back(row.text("name"));
        Ledger ledger(*connection_);
        State state = ledger.read(cancel);
        std::vector<std::string> ours = ledger.tables(cancel), views = ledger.views(cancel);
        ours.insert(ours.end(), views.begin(), views.end());
        return check_empty(url_, there, ours, state, source);
    }
    void begin_run(const std::string& run, const std::string& source, const std::string& snapshot,
                   const std::string& fence, Cancel& cancel) override {
        continue_run(run, cancel);
        Ledger ledger(*connection_);
        ledger.create(cancel);
        ledger.begin_run(run, source, snapshot, fence, cancel);
    }
    void continue_run(const std::string& run, Cancel& cancel) override {
        run_ = run;
        connection_->script("PRAGMA foreign_keys = off", cancel);
    }
    void create(const schema::TargetTable& table, Cancel& cancel) override {
        Ledger(*connection_).object(run_, "table", table.name, "begun", cancel);
        connection_->execute(table.create, {}, {}, cancel);
    }
    void end_run(std::int64_t tables, std::int64_t rows, Cancel& cancel) override {
        Ledger(*connection_).end_run(run_, tables, rows, cancel);
    }
    std::unique_ptr<TargetSession> session(Cancel&) override {
        return std::make_unique<SqliteTargetSession>(*connection_, cells_, run_);
    }
    db::Connection& control() override { return *connection_; }
    bool running() override { return false; }
    std::vector<std::string> discard(Cancel& cancel) override {
        Ledger ledger(*connection_);
        std::vector<std::string> names = ledger.tables(cancel);
        connection_->script("PRAGMA foreign_keys = off", cancel);
        for (const std::string& name : names)
            connection_->execute("DROP TABLE IF EXISTS " + standard_name(name), {}, {}, cancel);
        for (const std::string& view : ledger.views(cancel))
            connection_->execute("DROP VIEW IF EXISTS " + standard_name(view), {}, {}, cancel);
        ledger.drop(cancel);
        return names;
    }

  private:
    db::Url url_;
    std::int64_t rejects_;
    std::unique_ptr<db::Connection> connection_;
    bool cells_ = true;
    std::string run_;
};

} // namespace

schema::Plan plan_sqlite_to_sqlite(Source& source, Cancel& cancel) {
    schema::Plan plan;
    std::map<std::string, schema::TargetTable> tables;
    for (const catalog::Schema& schema : source.database().schemas)
        for (const catalog::Table& table : schema.tables) {
            schema::TargetTable& out = tables[table.name];
            out.source = &table;
            out.name = table.name;
            for (const catalog::Column& column : table.columns)
                if (!column.generated) {
                    schema::TargetColumn target;
                    target.source = target.name = column.name;
                    target.select = standard_name(column.name);
                    out.columns.push_back(std::move(target));
                }
        }
    catalog::each_row(
        source.holder(),
        "SELECT type, name, tbl_name, coalesce(sql, '') AS sql FROM sqlite_schema WHERE name NOT "
        "LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_runbook\\_%' ESCAPE '\\' ORDER BY "
        "rowid",
        {}, cancel, [&](const catalog::Row& row) {
            std::string type = row.text("type"), name = row.text("name");
            auto table = tables.find(row.text("tbl_name"));
            if (type == "table") {
                if (table == tables.end()) {
                    plan.report.push_back({name, "virtual table", "omitted",
                                           "its module keeps rows of its own; make it anew"});
                    return;
                }
                table->second.create = row.text("sql");
                plan.report.push_back({name, "table", "converted", ""});
            } else if (type == "view" || table != tables.end()) {
                schema::TargetTable* owner = table != tables.end() ? &table->second
                                             : tables.empty()      ? nullptr
                                                                   : &tables.begin()->second;
                if (owner)
                    (type == "index" ? owner->indexes : owner->after).push_back(row.text("sql"));
                plan.report.push_back({name, type, owner ? "converted" : "omitted",
                                       owner ? "" : "there is no table"});
            }
        });
    for (auto& [name, table] : tables) {
        for (const catalog::Column& column : table.source->columns)
            if (column.identity && column.identity->last_value)
                table.after.insert(
                    table.after.begin(),
                    fmt::format("INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) VALUES "
                                "((SELECT rowid FROM sqlite_sequence WHERE name = {0}), {0}, {1})",
                                schema::standard_string(name), *column.identity->last_value));
        plan.tables.push_back(std::move(table));
    }
    return plan;
}

std::unique_ptr<Target> open_sqlite_target(const db::Url& url, const Options& options,
                                           Cancel& cancel) {
    return std::make_unique<SqliteTarget>(url, options.rejects, cancel);
}

} // namespace runbook::copy
