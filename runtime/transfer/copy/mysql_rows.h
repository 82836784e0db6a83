// Rows of a MySQL or MariaDB session as COPY text: the text protocol, unbuffered. Internal to
// runtime/transfer/copy.
// Towards PostgreSQL and SQLite the values stand in PostgreSQL's words (\x…, +00, 0101); towards
// MySQL and MariaDB they are the octets themselves, escaped.
#pragma once

#include "runtime/transfer/copy/feed.h"

#include "runtime/db/connection.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace runbook::copy {

/// How a cell that the server sent stands in the row.
struct MysqlForm {
    enum class Kind : std::uint8_t {
        text,
        load,   ///< for LOAD DATA: a NUL is escaped too
        octets, ///< \x…
        moment, ///< in UTC: gets a +00
        bits    ///< octets, right-aligned → 0101
    } kind = Kind::text;
    std::int64_t bits = 0;
};

/// The form of each column of the plan for a target of this kind.
std::vector<MysqlForm> mysql_forms(const catalog::Table& table,
                                   const std::vector<schema::TargetColumn>& columns,
                                   db::Flavour target);

/// Runs the statement. Errors: `db.*`; a lost connection is `db.connection`.
std::unique_ptr<RowSource> mysql_rows(db::Connection& connection, const std::string& select,
                                      std::vector<MysqlForm> forms);

} // namespace runbook::copy
