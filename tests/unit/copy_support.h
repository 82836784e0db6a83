// Databases of their own for the copy's tests, on the lab's servers: made with a unique name,
// dropped at the end.
#pragma once

#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/db/connection.h"

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <unistd.h>

namespace test {

inline std::string unique_name(const char* prefix) {
    std::random_device random;
    return std::string(prefix) + "_" + std::to_string(getpid()) + "_" + std::to_string(random());
}

/// The server's admin URL, or empty: then the test is skipped, or fails where a lab is required.
inline std::string lab_url(const char* variable) {
    if (const char* url = std::getenv(variable))
        return url;
    if (const char* required = std::getenv("RUNBOOK_REQUIRE_LAB"); required && *required == '1')
        FAIL(variable << " is not set and RUNBOOK_REQUIRE_LAB is 1");
    WARN("skipped: " << variable << " is not set (tests/lab/lab up)");
    return {};
}

class LabDatabase {
  public:
    LabDatabase(const char* variable, const char* prefix, const std::string& options)
        : admin_(lab_url(variable)), name_(unique_name(prefix)) {
        if (!there())
            return;
        runbook::Cancel cancel;
        auto connection = open_admin();
        connection->execute("CREATE DATABASE " + connection->quote_name(name_) + options, {}, {},
                            cancel);
        created_ = true;
    }
    ~LabDatabase() {
        if (!created_)
            return;
        try {
            runbook::Cancel cancel;
            auto connection = open_admin();
            bool postgres = connection->server().flavour == runbook::db::Flavour::postgresql;
            connection->execute("DROP DATABASE IF EXISTS " + connection->quote_name(name_) +
                                    (postgres ? " WITH (FORCE)" : ""),
                                {}, {}, cancel);
        } catch (const runbook::Error& error) {
            WARN("could not drop " << name_ << ": " << error.message());
        }
    }
    LabDatabase(const LabDatabase&) = delete;
    LabDatabase& operator=(const LabDatabase&) = delete;

    bool there() const { return !admin_.empty(); }
    const std::string& name() const { return name_; }
    runbook::db::Url url() const {
        runbook::db::Url url = runbook::db::Url::parse(admin_);
        url.name = name_;
        return url;
    }
    std::unique_ptr<runbook::db::Connection> open() const {
        runbook::Cancel cancel;
        runbook::db::ConnectOptions options;
        options.access = runbook::db::Access::admin;
        return runbook::db::connect(url(), options, cancel);
    }
    void script(const std::string& sql) const {
        runbook::Cancel cancel;
        open()->script(sql, cancel);
    }
    /// The single value of a query, as text; "NULL" for NULL.
    std::string value(const std::string& sql) const {
        runbook::Cancel cancel;
        auto connection = open();
        auto cursor = connection->query(sql, {}, {}, cancel);
        auto batch = cursor->next(cancel);
        if (!batch || batch->rows() == 0)
            return "(no row)";
        runbook::db::Cell cell = batch->cell(0, 0);
        switch (cell.kind) {
        case runbook::db::Kind::null:
            return "NULL";
        case runbook::db::Kind::boolean:
        case runbook::db::Kind::integer:
            return std::to_string(cell.integer);
        default:
            return std::string(cell.text);
        }
    }

  private:
    std::unique_ptr<runbook::db::Connection> open_admin() const {
        runbook::Cancel cancel;
        runbook::db::ConnectOptions options;
        options.access = runbook::db::Access::admin;
        return runbook::db::connect(runbook::db::Url::parse(admin_), options, cancel);
    }
    std::string admin_, name_;
    bool created_ = false;
};

struct PostgresDatabase : LabDatabase {
    PostgresDatabase() : LabDatabase("RUNBOOK_LAB_PG_ADMIN", "copy_src", " TEMPLATE template0") {}
};

struct MysqlDatabase : LabDatabase {
    explicit MysqlDatabase(bool mariadb)
        : LabDatabase(mariadb ? "RUNBOOK_LAB_MARIADB_ADMIN" : "RUNBOOK_LAB_MYSQL_ADMIN", "copy_dst",
                      " CHARACTER SET utf8mb4") {}
};

} // namespace test
