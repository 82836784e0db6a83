// SQLite as a source: one read transaction, one stream (see sqlite_ends.h). Its rows are COPY text
// in PostgreSQL's words for another engine (t and f, \x…), and tagged cells for SQLite.
#include "runtime/transfer/copy/encode.h"
#include "runtime/transfer/copy/sqlite_ends.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace runbook::copy {
namespace {

using schema::standard_name;

class SqliteRows final : public RowSource {
  public:
    SqliteRows(db::Connection& connection, const std::string& select,
               std::vector<catalog::Type> types, bool cells, std::int64_t before = -1)
        : connection_(connection), database_(static_cast<sqlite3*>(connection.native())),
          types_(std::move(types)), cells_(cells), place_(before) {
        if (sqlite3_prepare_v2(database_, select.c_str(), -1, &statement_, nullptr) != SQLITE_OK)
            fail();
    }
    ~SqliteRows() override { sqlite3_finalize(statement_); }

    bool next(std::string_view& row) override {
        int code = sqlite3_step(statement_);
        if (code == SQLITE_DONE)
            return false;
        if (code != SQLITE_ROW)
            fail();
        row_.clear();
        if (place_ >= 0)
            ++place_;
        int count = sqlite3_column_count(statement_);
        for (int i = 0; i < count; ++i) {
            if (cells_) {
                add_cell(i);
                continue;
            }
            if (i > 0)
                row_ += '\t';
            add_text(i);
        }
        if (!cells_)
            row_ += '\n';
        row = row_;
        return true;
    }
    std::string place() const override { return place_ < 0 ? "" : std::to_string(place_); }

  private:
    [[noreturn]] void fail() {
        int code = sqlite3_errcode(database_);
        throw Error(code == SQLITE_INTERRUPT ? "cancelled" : "db.error",
                    connection_.url().masked() + ": reading rows: " + sqlite3_errmsg(database_));
    }
    std::string_view bytes(int column) const {
        const void* data = sqlite3_column_blob(statement_, column);
        auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
        return {static_cast<const char*>(data), size};
    }

    template <class T>
    void add_raw(char tag, T value) {
        char raw[8];
        std::memcpy(raw, &value, 8);
        row_ += tag;
        row_.append(raw, 8);
    }
    void add_cell(int column) {
        switch (sqlite3_column_type(statement_, column)) {
        case SQLITE_INTEGER:
            add_raw('i', static_cast<std::int64_t>(sqlite3_column_int64(statement_, column)));
            return;
        case SQLITE_FLOAT:
            add_raw('r', sqlite3_column_double(statement_, column));
            return;
        case SQLITE_NULL:
            add_raw('n', std::int64_t{0});
            return;
        default: {
            bool text = sqlite3_column_type(statement_, column) == SQLITE_TEXT;
            std::string_view data = bytes(column);
            add_raw(text ? 't' : 'b', static_cast<std::int64_t>(data.size()));
            row_.append(data);
        }
        }
    }

    void add_text(int column) {
        catalog::Type type = types_[static_cast<std::size_t>(column)];
        switch (sqlite3_column_type(statement_, column)) {
        case SQLITE_NULL:
            row_ += "\\N";
            return;
        case SQLITE_INTEGER: {
            std::int64_t value = sqlite3_column_int64(statement_, column);
            if (type == catalog::Type::boolean)
                row_ += value != 0 ? 't' : 'f';
            else
                row_ += std::to_string(value);
            return;
        }
        case SQLITE_FLOAT:
            row_ += fmt::format("{}", sqlite3_column_double(statement_, column));
            return;
        case SQLITE_BLOB:
            row_ += "\\\\x" + digest::hex(bytes(column));
            return;
        default:
            escape(bytes(column), row_);
        }
    }

    db::Connection& connection_;
    sqlite3* database_;
    sqlite3_stmt* statement_ = nullptr;
    std::vector<catalog::Type> types_;
    bool cells_;
    std::int64_t place_; ///< number of the last row in the part; -1: not counted
    std::string row_;
};

std::vector<catalog::Type> types_of(const catalog::Table& table,
                                    const std::vector<schema::TargetColumn>& columns) {
    std::vector<catalog::Type> types;
    for (const schema::TargetColumn& column : columns) {
        const catalog::Column* source = table.column(column.source);
        types.push_back(source ? source->type : catalog::Type::other);
    }
    return types;
}

class SqliteSession final : public SourceSession {
  public:
    SqliteSession(db::Connection& connection, bool cells)
        : connection_(connection), cells_(cells) {}
    std::unique_ptr<RowSource> open(const Part& part, Cancel& cancel) override {
        cancel.check("the copy");
        std::string sql = "SELECT " + select_list(part.table->columns) + " FROM " + part.from;
        if (!part.order.empty())
            sql += " ORDER BY " + part.order;
        std::int64_t before = part.order.empty() ? -1 : 0;
        if (!part.after.empty()) {
            before = std::strtoll(part.after.c_str(), nullptr, 10);
            sql += fmt::format(" LIMIT -1 OFFSET {}", before);
        }
        return std::make_unique<SqliteRows>(
            connection_, sql, types_of(*part.table->source, part.table->columns), cells_, before);
    }
    void interrupt() noexcept override {
        sqlite3_interrupt(static_cast<sqlite3*>(connection_.native()));
    }

  private:
    db::Connection& connection_;
    bool cells_;
};

class SqliteSource final : public Source {
  public:
    SqliteSource(const db::Url& url, const SourceOptions& options, Cancel& cancel)
        : cells_(options.target == db::Flavour::sqlite) {
        db::ConnectOptions connect;
        connect.access = db::Access::read;
        connection_ = db::connect(url, connect, cancel);
        connection_->script("BEGIN; SELECT count(*) FROM sqlite_schema", cancel);
        database_ = catalog::read_catalog(*connection_, options.filter, cancel);
        auto version = db::fetch_value(*connection_, "PRAGMA data_version");
        const auto* number = version.get<std::int64_t>();
        snapshot_ = fmt::format("data version {}", number ? *number : 0);
        for (catalog::Schema& schema : database_.schemas)
            for (catalog::Table& table : schema.tables) {
                auto rows = db::fetch_value(*connection_,
                                            "SELECT count(*) FROM " + standard_name(table.name));
                if (const auto* count = rows.get<std::int64_t>())
                    table.estimated_rows = *count;
            }
    }
    const catalog::Database& database() const override { return database_; }
    const std::string& snapshot() const override { return snapshot_; }
    db::Connection& holder() override { return *connection_; }
    std::unique_ptr<RowSource> keys(const schema::TargetTable& table,
                                    const std::vector<schema::TargetColumn>& columns) override {
        return std::make_unique<SqliteRows>(*connection_,
                                            "SELECT " + select_list(columns) + " FROM " +
                                                standard_name(table.source->name),
                                            types_of(*table.source, columns), false);
    }
    std::string identity() const override { return connection_->server().identity; }
    std::vector<Part> parts(const schema::TargetTable& table, int) const override {
        Part part;
        part.table = &table;
        part.from = standard_name(table.source->name);
        part.rows = table.source->estimated_rows;
        part.order = order_of(*table.source);
        return {part};
    }
    /// One: a second session would be another snapshot.
    int most_streams() const override { return 1; }
    std::unique_ptr<SourceSession> session(Cancel&) override {
        return std::make_unique<SqliteSession>(*connection_, cells_);
    }

  private:
    // The order in which the table is stored. An index over all columns would be read otherwise.
    static std::string order_of(const catalog::Table& table) {
        std::string key;
        if (table.without_rowid && table.primary_key) {
            for (const catalog::IndexPart& part : table.primary_key->parts)
                key += (key.empty() ? "" : ", ") + standard_name(part.column);
            return key;
        }
        for (const char* name : {"rowid", "_rowid_", "oid"})
            if (std::none_of(table.columns.begin(), table.columns.end(),
                             [&](const catalog::Column& column) {
                                 return text::lower(column.name) == name;
                             }))
                return name;
        return {};
    }

    std::unique_ptr<db::Connection> connection_;
    catalog::Database database_;
    std::string snapshot_;
    bool cells_;
};

} // namespace

std::unique_ptr<Source> open_sqlite_source(const db::Url& url, const SourceOptions& options,
                                           Cancel& cancel) {
    return std::make_unique<SqliteSource>(url, options, cancel);
}

} // namespace runbook::copy
