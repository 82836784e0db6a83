// What the table of commands says of `runbook copy` and `verify` (see copy.h). Constant data.
#include "runtime/cli/commands/copy.h"

namespace runbook::cli {

Command copy_command(const Option& output, std::string_view url_details) {
    return {
        "copy",
        "copy a database into another, natively",
        {{"SOURCE"}, {"TARGET"}},
        {{"streams", "N", "parallel streams"},
         {"table", "NAME", "only this table", Complete::nothing, true},
         {"exclude", "NAME", "not this table", Complete::nothing, true},
         {"schema", "NAME", "PostgreSQL schema (default public)"},
         {"charset", "NAME", "character set of a MySQL target (default utf8mb4)"},
         {"collation", "NAME", "collation of a MySQL target (default binary)"},
         {"rules", "FILE", "a Lua file that returns a list of rules, as for copy.rules",
          Complete::file},
         {"rename", "NAME=NEW", "a table, or TABLE.COLUMN=NEW", Complete::nothing, true},
         {"omit", "TABLE.COLUMN", "not this column", Complete::nothing, true},
         {"where", "TABLE=CONDITION", "only these rows of the table, in the source's SQL",
          Complete::nothing, true},
         {"setting", "NAME=NUMBER", "a session variable of a MySQL target, as net_read_timeout",
          Complete::nothing, true},
         {"schema-only", "", "tables, indexes and keys, without rows"},
         {"data-only", "", "rows into tables that are there: empty, and fit to hold them"},
         {"rate", "BYTES", "bytes a second, all streams together (default: no limit)"},
         {"chunk-bytes", "BYTES", "one transaction (default 64000000)"},
         {"rejects", "N", "leave out up to N rows that TARGET refuses, in _runbook_rejects there"},
         {"reject-file", "FILE", "gets the rejected rows too, as JSON lines", Complete::file},
         {"snapshot-age", "DURATION", "end where the snapshot gets older (default 12h, 0: never)"},
         {"replica", "URL", "a replica of TARGET, by whose lag the copy is slowed down",
          Complete::nothing, true},
         {"lag-limit", "DURATION", "how far a replica may be behind (default 60s)"},
         {"load-limit", "N", "hold while either end has more active sessions of others"},
         {"fenced", "", "SOURCE's user has closed a write fence there, which proves a resume"},
         {"fenced-role", "NAME", "the fence keeps out this role only", Complete::nothing, true},
         {"resume", "", "go on with an unfinished copy, or be refused"},
         {"anew", "", "drop an unfinished copy and begin anew"},
         {"plan", "", "print the statements that would make the schema, and stop"},
         output},
        "runbook copy postgres://app@db1/shop mysql://app@db2/shop --streams 4\n"
        "runbook copy sqlite:shop.db sqlite:copy.db",
        url_details,
        "0  every row arrived\n"
        "1  started and failed; the message says what is in the target\n"
        "2  not started: usage, no connection, or something that cannot be copied without loss",
        false,
        false,
        run_copy};
}

Command verify_command(const Option& output, std::string_view url_details) {
    return {
        "verify",
        "compare two databases row by row",
        {{"SOURCE"}, {"TARGET"}},
        {{"mode", "full|counts|sample", "every row (default), numbers only, or a sample"},
         {"sample", "N", "rows a table with --mode sample"},
         {"table", "NAME", "only this table", Complete::nothing, true},
         {"exclude", "NAME", "not this table", Complete::nothing, true},
         {"schema", "NAME", "PostgreSQL schema (default public)"},
         {"rules", "FILE", "rules of the copy that is judged, a Lua file", Complete::file},
         {"rename", "NAME=NEW", "a table, or TABLE.COLUMN=NEW", Complete::nothing, true},
         {"omit", "TABLE.COLUMN", "not this column", Complete::nothing, true},
         {"where", "TABLE=CONDITION", "only these rows of the table, in the source's SQL",
          Complete::nothing, true},
         {"hide-values", "", "name differing columns without their values"},
         {"repair", "FILE", "write the statements that would make TARGET equal; nothing runs them"},
         output},
        "runbook verify postgres://app@db1/shop mysql://app@db2/shop\n"
        "runbook verify sqlite:shop.db sqlite:copy.db --mode counts",
        url_details,
        "0  everything was compared and nothing differs\n"
        "1  a difference, an unsettled row, or a table that was not compared (any other mode than "
        "full)\n"
        "2  not started: usage, or no connection",
        false,
        false,
        run_verify};
}

} // namespace runbook::cli
