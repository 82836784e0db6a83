// A plain driver loop to measure against: reads one ordered result to its end and throws it away.
// Usage: raw_stream URL SQL. Prints seconds, rows and bytes. PostgreSQL by text COPY, MySQL and
// MariaDB by the unbuffered text protocol, SQLite by stepping: what a person would write who wants
// every row once.
#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/db/connection.h"

#include <libpq-fe.h>
#include <mysql.h>
#include <sqlite3.h>

#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

struct Total {
    long long rows = 0, bytes = 0;
};

Total postgresql(PGconn* pg, const std::string& sql) {
    Total total;
    PGresult* started = PQexec(pg, ("COPY (" + sql + ") TO STDOUT").c_str());
    const bool good = PQresultStatus(started) == PGRES_COPY_OUT;
    PQclear(started);
    if (!good)
        throw std::runtime_error(PQerrorMessage(pg));
    char* row = nullptr;
    int size = 0;
    while ((size = PQgetCopyData(pg, &row, 0)) > 0) {
        ++total.rows;
        total.bytes += size;
        PQfreemem(row);
    }
    if (size != -1)
        throw std::runtime_error(PQerrorMessage(pg));
    return total;
}

Total mysql(MYSQL* my, const std::string& sql) {
    Total total;
    if (mysql_real_query(my, sql.data(), sql.size()) != 0)
        throw std::runtime_error(mysql_error(my));
    MYSQL_RES* result = mysql_use_result(my);
    const unsigned columns = mysql_num_fields(result);
    while (mysql_fetch_row(result)) {
        const unsigned long* lengths = mysql_fetch_lengths(result);
        for (unsigned i = 0; i < columns; ++i)
            total.bytes += static_cast<long long>(lengths[i]);
        ++total.rows;
    }
    if (mysql_errno(my) != 0)
        throw std::runtime_error(mysql_error(my));
    mysql_free_result(result);
    return total;
}

Total sqlite(sqlite3* db, const std::string& sql) {
    Total total;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
        throw std::runtime_error(sqlite3_errmsg(db));
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); ++i)
            total.bytes += sqlite3_column_bytes(statement, i);
        ++total.rows;
    }
    sqlite3_finalize(statement);
    return total;
}

} // namespace

int main(int count, char** words) {
    if (count != 3) {
        std::fprintf(stderr, "usage: raw_stream URL SQL\n");
        return 2;
    }
    try {
        runbook::Cancel cancel;
        auto connection = runbook::db::connect(runbook::db::Url::parse(words[1]), {}, cancel);
        const double began = runbook::time::monotonic();
        Total total;
        switch (connection->url().engine) {
        case runbook::db::Engine::postgresql:
            total = postgresql(static_cast<PGconn*>(connection->native()), words[2]);
            break;
        case runbook::db::Engine::mysql:
            total = mysql(static_cast<MYSQL*>(connection->native()), words[2]);
            break;
        case runbook::db::Engine::sqlite:
            total = sqlite(static_cast<sqlite3*>(connection->native()), words[2]);
            break;
        }
        std::printf("%.6f %lld %lld\n", runbook::time::monotonic() - began, total.rows,
                    total.bytes);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "raw_stream: %s\n", error.what());
        return 1;
    }
    return 0;
}
