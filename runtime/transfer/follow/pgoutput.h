// The messages of PostgreSQL's plug-in pgoutput, protocol version 1 (PostgreSQL manual, "Logical
// Streaming Replication Protocol" and "Logical Replication Message Formats").
// Owns: the parser. Pure functions over one message; views point into it. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace runbook::follow {

/// A place in the write-ahead log.
using Lsn = std::uint64_t;
/// "16/B374D848", as PostgreSQL writes it.
std::string lsn_text(Lsn lsn);
/// Throws Error{`internal`} where it is none.
Lsn parse_lsn(std::string_view text);

} // namespace runbook::follow

namespace runbook::follow::pgoutput {

struct Begin {
    Lsn final_lsn = 0;
    std::int64_t micros = 0; ///< since 1970, UTC
    std::uint32_t xid = 0;
};

struct Commit {
    Lsn commit = 0, end = 0; ///< where the commit stands, and where it ends
    std::int64_t micros = 0;
};

struct RelationColumn {
    bool key = false; ///< part of the replica identity
    std::string name;
    std::uint32_t type = 0;
    std::int32_t modifier = -1;
    bool operator==(const RelationColumn&) const = default;
};

struct Relation {
    std::uint32_t id = 0;
    std::string schema, name;
    char identity = 'd'; ///< d default, n nothing, f full, i index
    std::vector<RelationColumn> columns;
};

struct Field {
    enum class Kind : std::uint8_t { null, unchanged, text } kind = Kind::null;
    std::string_view text; ///< in the type's output form
};
using Tuple = std::vector<Field>;

struct Insert {
    std::uint32_t relation = 0;
    Tuple row;
};

struct Update {
    std::uint32_t relation = 0;
    char old_kind = 0; ///< K: the old key, O: the whole old row, 0: neither
    Tuple old, row;
};

struct Delete {
    std::uint32_t relation = 0;
    char old_kind = 0;
    Tuple old;
};

struct Truncate {
    std::vector<std::uint32_t> relations;
};

/// Origin, Type, Message: nothing that a row depends on.
struct Other {
    char kind = 0;
};

using Message = std::variant<Begin, Commit, Relation, Insert, Update, Delete, Truncate, Other>;

/// Throws Error{`internal`} for what is no message of version 1.
Message parse(std::string_view message);

/// Big-endian numbers, as the protocol has them.
std::uint64_t read_u64(std::string_view bytes);
void append_u64(std::uint64_t number, std::string& out);
/// Microseconds since 2000 as the protocol counts them, and since 1970.
constexpr std::int64_t epoch_micros = 946'684'800'000'000;

} // namespace runbook::follow::pgoutput
