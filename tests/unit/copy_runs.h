// Copies between databases of the lab, and what their reports say: for the copy's tests.
#pragma once

#include "tests/unit/copy_support.h"

#include "runtime/transfer/copy/copy.h"

#include <string>
#include <vector>

namespace test {

/// Runs `fn(PostgreSQL source, target, mariadb)` with MySQL and with MariaDB as the target.
template <class Fn>
void on_both(Fn fn) {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        PostgresDatabase source;
        MysqlDatabase target(mariadb);
        if (source.there() && target.there())
            fn(source, target, mariadb);
    }
}

inline runbook::copy::CopyResult run(const LabDatabase& source, const LabDatabase& target,
                                     const runbook::copy::Options& options = {}) {
    runbook::Cancel cancel;
    return runbook::copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
}

/// "copy.refused: why", or "copied".
inline std::string refused(const LabDatabase& source, const LabDatabase& target,
                           const runbook::copy::Options& options = {}) {
    try {
        run(source, target, options);
    } catch (const runbook::Error& error) {
        return error.kind() + ": " + error.message();
    }
    return "copied";
}

/// "changed: why" of an object in the report.
inline std::string outcome(const std::vector<runbook::copy::ReportEntry>& report,
                           const std::string& object, const std::string& kind) {
    for (const runbook::copy::ReportEntry& entry : report)
        if (entry.object == object && entry.kind == kind)
            return entry.outcome + (entry.reason.empty() ? "" : ": " + entry.reason);
    return "not in the report";
}
inline std::string outcome(const runbook::copy::CopyResult& result, const std::string& object,
                           const std::string& kind) {
    return outcome(result.report, object, kind);
}

} // namespace test
