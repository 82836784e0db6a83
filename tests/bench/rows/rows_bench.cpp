// Row iteration, one way a process: a plain loop over the server's own C library (libpq in
// single-row mode, mysql_use_result, sqlite3_step), or a Lua loop over db.rows in the state that
// playbooks run in. Prints wall seconds and CPU seconds (user and system) of the loop, and the sum
// that it made.
//   rows_bench c|one|all      the database: BENCH_URL, which holds a password
#include "bindings/db.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "tests/unit/vm_fixture.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <mysql.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>

using namespace runbook;

namespace {

constexpr const char* sql =
    "select id, account, amount, created, name, note, active, ratio from bench_rows";

double cpu() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// The hand-written loop: every row arrives as a result of its own, every cell is looked at, the id
/// is summed.
double libpq(const db::Url& url) {
    const std::string port = std::to_string(url.port);
    const char* keys[] = {"host",   "port",    "user",        "password",
                          "dbname", "sslmode", "sslrootcert", nullptr};
    const char* values[] = {url.host.c_str(),
                            port.c_str(),
                            url.user.c_str(),
                            url.password->reveal().c_str(),
                            url.name.c_str(),
                            url.options.at("sslmode").c_str(),
                            url.options.at("sslrootcert").c_str(),
                            nullptr};
    PGconn* connection = PQconnectdbParams(keys, values, 0);
    PQsendQuery(connection, sql);
    PQsetSingleRowMode(connection);
    double sum = 0;
    std::size_t bytes = 0;
    while (PGresult* result = PQgetResult(connection)) {
        for (int row = 0; row < PQntuples(result); ++row) {
            sum += std::strtod(PQgetvalue(result, row, 0), nullptr);
            for (int column = 1; column < 8; ++column)
                bytes += static_cast<std::size_t>(PQgetlength(result, row, column));
        }
        PQclear(result);
    }
    PQfinish(connection);
    return bytes > 0 ? sum : 0;
}

/// The same with mysql_use_result, which keeps no row; the server's certificate is checked.
double libmysql(const db::Url& url) {
    MYSQL* connection = mysql_init(nullptr);
    mysql_ssl_set(connection, nullptr, nullptr, url.options.at("sslrootcert").c_str(), nullptr,
                  nullptr);
    double sum = 0;
    std::size_t bytes = 0;
    if (!mysql_real_connect(connection, url.host.c_str(), url.user.c_str(),
                            url.password->reveal().c_str(), url.name.c_str(),
                            static_cast<unsigned>(url.port), nullptr, 0) ||
        mysql_query(connection, sql) != 0)
        throw Error("db.error", mysql_error(connection));
    MYSQL_RES* result = mysql_use_result(connection);
    while (MYSQL_ROW row = mysql_fetch_row(result)) {
        const unsigned long* lengths = mysql_fetch_lengths(result);
        sum += std::strtod(row[0], nullptr);
        for (int column = 1; column < 8; ++column)
            bytes += lengths[column];
    }
    mysql_free_result(result);
    mysql_close(connection);
    return bytes > 0 ? sum : 0;
}

/// The same with sqlite3_step; the lengths make SQLite show each value as text, as the others do.
double sqlite(const db::Url& url) {
    sqlite3* database = nullptr;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_open_v2(url.name.c_str(), &database, SQLITE_OPEN_READONLY, nullptr) != SQLITE_OK ||
        sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK)
        throw Error("db.error", sqlite3_errmsg(database));
    double sum = 0;
    std::size_t bytes = 0;
    while (sqlite3_step(statement) == SQLITE_ROW) {
        sum += static_cast<double>(sqlite3_column_int64(statement, 0));
        for (int column = 1; column < 8; ++column)
            bytes += static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return bytes > 0 ? sum : 0;
}

double plain(const db::Url& url) {
    return url.engine == db::Engine::postgresql ? libpq(url)
           : url.engine == db::Engine::sqlite   ? sqlite(url)
                                                : libmysql(url);
}

double lua(const std::string& url, bool all) {
    test::Machine machine;
    bindings::register_db(machine.state, machine.registry);
    machine.state.collect(); // as a run does before its first step
    const std::string body = all ? "sum = sum + row.id\n"
                                   "local a, b, c, d, e, f, g = row.account, row.amount, "
                                   "row.created, row.name, row.note, row.active, row.ratio\n"
                                 : "sum = sum + row.id\n";
    Value sum =
        machine.run("local c = db.connect('" + url + "')\nlocal sum = 0\nfor row in db.rows(c, '" +
                    sql + "') do\n" + body + "end\nreturn sum");
    const auto* whole = sum.get<std::int64_t>();
    return whole ? static_cast<double>(*whole) : 0;
}

} // namespace

int main(int argc, char** argv) {
    const char* given = std::getenv("BENCH_URL");
    if (argc != 2 || !given) {
        fmt::print(stderr, "usage: BENCH_URL=URL rows_bench c|one|all\n");
        return 2;
    }
    const std::string mode = argv[1];
    try {
        const auto start = std::chrono::steady_clock::now();
        const double before = cpu();
        const double sum = mode == "c" ? plain(db::Url::parse(given)) : lua(given, mode == "all");
        fmt::print("{:.3f} {:.3f} {}\n",
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                   cpu() - before, sum);
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.message());
        return 1;
    }
}
