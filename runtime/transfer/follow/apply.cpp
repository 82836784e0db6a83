// Statements for followed changes (see apply.h). Many go to the server at once; their results are
// read one by one, and nothing is committed before the last one was right. Foreign keys are off:
// the source has proved them, and a cascade is in the stream row by row.
#include "runtime/transfer/follow/apply.h"

#include "runtime/base/error.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/text.h"
#include "runtime/transfer/copy/mysql_killer.h"
#include "runtime/transfer/copy/numbers.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>
#include <mysql.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace runbook::follow {
namespace {

using schema::mysql_name;

constexpr std::size_t insert_rows = 500; ///< of one statement

// As the copy's sessions, foreign keys aside.
constexpr const char* settings =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO,"
    "NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "time_zone = '+00:00', unique_checks = 1, foreign_key_checks = 0, sql_safe_updates = 0, "
    "sql_notes = 1, net_read_timeout = 600, net_write_timeout = 600";

MYSQL* handle_of(db::Connection& connection) {
    return static_cast<MYSQL*>(connection.native());
}

std::string lock_name(const std::string& database) {
    return schema::short_name("runbook follow " + database, 60);
}

std::string kind_of(unsigned number) {
    switch (number) {
    case 1213:
        return "db.deadlock";
    case 1205:
        return "db.lock_timeout";
    case 2006:
    case 2013:
    case 2055:
    case 1053:
    case 1927:
    case 4031:
        return "db.connection";
    case 1317:
        return "db.cancelled";
    case 1114:
    case 1021:
        return "db.disk_full";
    case 1142:
    case 1044:
    case 1045:
    case 1143:
        return "db.permission";
    case 1062:
    case 1146:
    case 1054:
        return "follow.mismatch";
    default:
        return "follow.refused";
    }
}

/// "UPDATE at 0/1B2C3D8"
std::string what(const Change& change) {
    const char* word = "INSERT";
    switch (change.kind) {
    case Change::Kind::insert:
        break;
    case Change::Kind::update:
        word = "UPDATE";
        break;
    case Change::Kind::remove:
        word = "DELETE";
        break;
    case Change::Kind::empty:
        word = "TRUNCATE";
        break;
    }
    return fmt::format("{} committed at {}", word, lsn_text(change.lsn));
}

std::int64_t matched_rows(MYSQL* handle) {
    long long matched = -1;
    const char* info = mysql_info(handle);
    if (!info || std::sscanf(info, "Rows matched: %lld", &matched) != 1)
        return -1;
    return matched;
}

} // namespace

Applier::Applier(const db::Url& target, Cancel& cancel) : url_(target) {
    db::ConnectOptions options;
    options.access = db::Access::write;
    options.application_name = "runbook follow";
    connection_ = db::connect(target, options, cancel);
    connection_->script(settings, cancel);
    const std::vector<Value> params = {lock_name(target.name)};
    auto cursor = connection_->query("SELECT GET_LOCK(?, 20)", params, {}, cancel);
    db::BatchPtr batch = cursor->next(cancel);
    bool got = batch && batch->rows() == 1 && batch->cell(0, 0).kind != db::Kind::null &&
               batch->cell(0, 0).integer == 1;
    batch.reset();
    cursor.reset();
    if (!got)
        throw Error("follow.refused",
                    target.masked() + ": another session follows into this database",
                    "one at a time: end the other one first");
    Value packet = db::fetch_value(*connection_, "SELECT @@max_allowed_packet");
    if (const auto* size = packet.get<std::int64_t>())
        packet_ = static_cast<std::size_t>(*size);
    most_bytes_ = std::min<std::size_t>(most_bytes_, packet_ / 2);
    mysql_json_ = connection_->server().flavour == db::Flavour::mysql;
    if (mysql_set_server_option(handle_of(*connection_), MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0)
        throw Error(kind_of(mysql_errno(handle_of(*connection_))),
                    fmt::format("{}: {} ({})", target.masked(),
                                mysql_error(handle_of(*connection_)),
                                mysql_errno(handle_of(*connection_))));
}

Applier::~Applier() = default;

void Applier::begin(Cancel& cancel) {
    if (!connection_->in_transaction())
        connection_->begin(cancel);
}

void Applier::roll_back() noexcept {
    sql_.clear();
    statements_.clear();
    try {
        Cancel unstoppable;
        if (connection_->alive())
            connection_->rollback(unstoppable);
    } catch (const std::exception&) {
        // The session is lost: the server rolls back by itself.
    }
}

void Applier::apply(std::vector<Change>& changes, db::Connection& source, Cancel& cancel) {
    if (changes.empty())
        return;
    begin(cancel);
    std::map<const Table*, std::vector<Row*>> to_compute;
    for (Change& change : changes) {
        const Table& table = *change.bound->table;
        if (!table.has_expressions())
            continue;
        if (change.kind == Change::Kind::insert || change.kind == Change::Kind::update)
            to_compute[&table].push_back(&change.row);
        if (change.has_old)
            to_compute[&table].push_back(&change.old);
    }
    for (auto& [table, rows] : to_compute)
        evaluate(source, *table, rows, cancel);
    for (const Change& change : changes) {
        // A long row goes alone: the server takes so much at once and no more.
        if (sql_.size() + change.bytes() > most_bytes_)
            send(cancel);
        add(change);
        if (sql_.size() >= most_bytes_)
            send(cancel);
    }
    send(cancel);
    changes.clear();
}

std::string Applier::where(const Change& change) const {
    const Bound& bound = *change.bound;
    const Row& row = change.has_old ? change.old : change.row;
    std::vector<int> places = identity_of(change);
    if (places.empty() || (!change.has_old && bound.identity == 'f'))
        throw Error("follow.schema",
                    fmt::format("{}: {}: nothing in it tells the row", bound.table->full_name(),
                                what(change)),
                    "the table has lost its replica identity: stop following and copy anew");
    bool exact = bound.identity == 'f' && places.size() != bound.table->key.size();
    std::string out = " WHERE ";
    for (std::size_t i = 0; i < places.size(); ++i) {
        const auto place = static_cast<std::size_t>(places[i]);
        const Column& column = bound.table->columns[place];
        if (row[place].kind == Datum::Kind::absent)
            throw Error("follow.refused",
                        fmt::format("{}: {}: the stream left out its key column {}",
                                    bound.table->full_name(), what(change), column.source),
                        "a fault of this server version that its updates repair");
        if (i > 0)
            out += " AND ";
        append_condition(column, row[place], exact, out);
    }
    if (exact)
        out += " LIMIT 1";
    return out;
}

void Applier::add_insert(const Change& change) {
    const Table& table = *change.bound->table;
    bool joins = !statements_.empty() && statements_.back().change->kind == change.kind &&
                 statements_.back().change->bound->table == &table &&
                 statements_.back().rows < static_cast<std::int64_t>(insert_rows);
    if (joins) {
        sql_ += ',';
    } else {
        if (!statements_.empty())
            sql_ += ';';
        statements_.push_back({&change, 0, sql_.size(), 0});
        sql_ += "INSERT INTO " + mysql_name(table.target) + " (";
        for (std::size_t i = 0; i < table.columns.size(); ++i)
            sql_ += (i ? "," : "") + mysql_name(table.columns[i].target);
        sql_ += ") VALUES ";
    }
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        sql_ += i ? ',' : '(';
        append_literal(table.columns[i], change.row[i], sql_);
    }
    sql_ += ')';
    ++statements_.back().rows;
    statements_.back().end = sql_.size();
}

void Applier::add(const Change& change) {
    const Table& table = *change.bound->table;
    // JSON there would round what the copy would have refused.
    if (mysql_json_)
        for (std::size_t i = 0; i < change.row.size(); ++i)
            if (table.columns[i].jsonb && table.columns[i].form == Form::json)
                if (std::string number = copy::first_lossy_number(change.row[i].text);
                    !number.empty())
                    throw Error("follow.refused",
                                fmt::format("{}: {}: {}: {} in {} would be rounded by JSON there",
                                            table.full_name(), describe_key(change), what(change),
                                            number, table.columns[i].source),
                                "nothing of its transaction was applied");
    if (change.kind == Change::Kind::insert) {
        add_insert(change);
        return;
    }
    std::string sql;
    if (change.kind == Change::Kind::empty) {
        sql = "DELETE FROM " + mysql_name(table.target); // TRUNCATE would commit
    } else if (change.kind == Change::Kind::remove) {
        sql = "DELETE FROM " + mysql_name(table.target) + where(change);
    } else {
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
            if (change.row[i].kind == Datum::Kind::absent)
                continue;
            sql += sql.empty() ? "UPDATE " + mysql_name(table.target) + " SET " : ",";
            sql += mysql_name(table.columns[i].target) + "=";
            append_literal(table.columns[i], change.row[i], sql);
        }
        if (sql.empty())
            return;
        sql += where(change);
    }
    if (!statements_.empty())
        sql_ += ';';
    std::size_t at = sql_.size();
    sql_ += sql;
    statements_.push_back({&change, change.kind == Change::Kind::empty ? -1 : 1, at, sql_.size()});
}

void Applier::fail(std::size_t number) {
    MYSQL* handle = handle_of(*connection_);
    unsigned code = mysql_errno(handle);
    std::string message = mysql_error(handle), state = mysql_sqlstate(handle), hint;
    const Statement& statement = statements_[std::min(number, statements_.size() - 1)];
    const Change& change = *statement.change;
    std::string kind = kind_of(code);
    if (kind == "follow.mismatch" || kind == "follow.refused")
        hint = "nothing of its transaction was applied; following goes on from there once the "
               "cause is gone";
    if (code == 1153 || sql_.size() >= packet_) {
        kind = "follow.refused";
        hint = fmt::format("a row of {} bytes: raise max_allowed_packet of the target, which is {}",
                           text::grouped(static_cast<std::int64_t>(sql_.size())),
                           text::grouped(static_cast<std::int64_t>(packet_)));
    }
    std::string row =
        statement.rows > 1 ? fmt::format("{} rows", statement.rows) : describe_key(change);
    throw Error(kind,
                fmt::format("{}: {}: {} ({}), {} of {}", url_.masked(),
                            change.bound->table->full_name(), message, code, what(change), row),
                hint, state);
}

void Applier::warned(Statement statement, unsigned count) {
    // What it said is gone with the statements after it: it is asked once more, and undone.
    MYSQL* handle = handle_of(*connection_);
    const Change& change = *statement.change;
    std::string sql = sql_.substr(statement.begin, statement.end - statement.begin), why;
    roll_back();
    if (mysql_query(handle, "START TRANSACTION") == 0 &&
        mysql_real_query(handle, sql.data(), sql.size()) == 0 &&
        mysql_query(handle, "SHOW WARNINGS LIMIT 1") == 0)
        if (MYSQL_RES* result = mysql_store_result(handle)) {
            if (MYSQL_ROW row = mysql_fetch_row(result))
                why = fmt::format(": {} ({})", row[2] ? row[2] : "", row[1] ? row[1] : "");
            mysql_free_result(result);
        }
    mysql_query(handle, "ROLLBACK");
    throw Error("follow.mismatch",
                fmt::format("{}: {}: the target would change a value of {} ({} warning{}){}",
                            change.bound->table->full_name(), what(change), describe_key(change),
                            count, count == 1 ? "" : "s", why),
                "nothing of its transaction was applied");
}

void Applier::check(const Statement& statement) {
    if (statement.rows < 0)
        return;
    MYSQL* handle = handle_of(*connection_);
    const Change& change = *statement.change;
    std::int64_t done = change.kind == Change::Kind::update
                            ? matched_rows(handle)
                            : static_cast<std::int64_t>(mysql_affected_rows(handle));
    if (done == statement.rows)
        return;
    throw Error("follow.mismatch",
                fmt::format("{}: the target has {} rows with {}, the source had {}: {}",
                            change.bound->table->full_name(), done, describe_key(change),
                            statement.rows, what(change)),
                "somebody wrote to the target, or it is not the copy that was made; nothing of the "
                "transaction was applied");
}

void Applier::send(Cancel& cancel) {
    if (statements_.empty())
        return;
    cancel.check("following");
    MYSQL* handle = handle_of(*connection_);
    copy::MysqlKiller killer(url_, *connection_);
    Cancel::Hook hook(cancel, [&killer] { killer.kill(); });
    std::size_t number = 0;
    int status = mysql_real_query(handle, sql_.data(), sql_.size());
    std::exception_ptr wrong;
    while (status == 0) {
        if (MYSQL_RES* result = mysql_store_result(handle))
            mysql_free_result(result);
        if (!wrong && number < statements_.size()) {
            try {
                unsigned warnings = mysql_warning_count(handle);
                check(statements_[number]);
                if (warnings > 0) {
                    while (mysql_next_result(handle) == 0)
                        if (MYSQL_RES* result = mysql_store_result(handle))
                            mysql_free_result(result);
                    warned(statements_[number], warnings);
                }
            } catch (const Error&) {
                wrong = std::current_exception();
            }
        }
        ++number;
        status = mysql_next_result(handle);
    }
    if (wrong)
        std::rethrow_exception(wrong);
    if (status > 0) {
        cancel.check("following");
        fail(number);
    }
    // A KILL between two statements ends the rest in silence.
    if (number != statements_.size()) {
        cancel.check("following");
        throw Error("db.cancelled",
                    fmt::format("{}: the server ended a batch after {} of {} statements",
                                url_.masked(), number, statements_.size()),
                    "somebody's KILL; all of it is rolled back");
    }
    sql_.clear();
    statements_.clear();
}

void Applier::commit(Lsn from, Lsn to, std::int64_t transactions, std::int64_t changes,
                     std::int64_t micros, Cancel& cancel) {
    begin(cancel);
    db::Executed moved = connection_->execute(
        Ledger::advance(from, to, transactions, changes, micros), {}, {}, cancel);
    if (moved.rows_affected != 1)
        throw Error("follow.refused",
                    url_.masked() + ": the ledger of the target was moved by somebody else",
                    "nothing was applied; look at the table _runbook_follow there");
    failpoint::cross("follow.before");
    connection_->commit(cancel);
    failpoint::cross("follow.after");
}

} // namespace runbook::follow
