// Row iteration, one way a process: a plain libpq loop in single-row mode, or a Lua loop over
// db.rows in the state that playbooks run in. Prints wall seconds and CPU seconds (user and system)
// of the loop, and the sum that it made.
//   rows_bench libpq|one|all URL
#include "bindings/db.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "tests/unit/vm_fixture.h"

#include <fmt/format.h>
#include <libpq-fe.h>
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
    if (argc != 3) {
        fmt::print(stderr, "usage: rows_bench libpq|one|all URL\n");
        return 2;
    }
    const std::string mode = argv[1];
    try {
        const auto start = std::chrono::steady_clock::now();
        const double before = cpu();
        const double sum =
            mode == "libpq" ? libpq(db::Url::parse(argv[2])) : lua(argv[2], mode == "all");
        fmt::print("{:.3f} {:.3f} {}\n",
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                   cpu() - before, sum);
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.message());
        return 1;
    }
}
