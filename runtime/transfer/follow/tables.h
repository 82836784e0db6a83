// The tables that are followed: what a row of the change stream becomes in the target.
// Owns: the mapping, which is the copy's plan in a form that outlives the process (the ledger keeps
// it as JSON), and the check that the source's tables are still those that were copied.
#pragma once

#include "runtime/base/value.h"
#include "runtime/transfer/follow/pgoutput.h"
#include "runtime/transfer/schema/schema.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace runbook::follow {

/// How a value of the target's column is written in SQL, and compared.
enum class Form : std::uint8_t {
    text,      ///< compared by its bytes too
    character, ///< the same without trailing blanks
    plain,     ///< dates, times, enums: a string in any case
    number,
    bits,
    binary,
    json ///< MySQL's own JSON
};

struct Column {
    std::string source, target;
    std::string cast;       ///< qualified name of the source's type
    std::string expression; ///< the copy's select expression; empty: the value itself
    bool generated = false; ///< never in the stream: the expression computes it
    bool jsonb = false;
    schema::Codec codec = schema::Codec::as_is;
    Form form = Form::text;
};

struct Table {
    std::string schema, name, target;
    std::vector<Column> columns; ///< those that the target has
    /// Every column of the source that the stream brings, as it was when the copy began.
    std::vector<pgoutput::RelationColumn> published;
    std::vector<std::string> leaves; ///< "schema.name" of the partitions, where it has any
    std::vector<std::string> key;    ///< columns of the primary key; empty: none
    std::string numbers;             ///< target column with AUTO_INCREMENT; empty: none

    std::string full_name() const { return schema + "." + name; }
    /// Position in `columns`, or -1.
    int find(std::string_view source) const;
    bool has_expressions() const;
};

/// The tables of a plan. `attributes`: of each "schema.name", its columns with types.
struct Attribute {
    pgoutput::RelationColumn column;
    std::string cast;
};
using Attributes = std::map<std::string, std::vector<Attribute>>;
std::vector<Table> make_tables(const schema::Plan& plan, const Attributes& attributes);

Map to_map(const Table& table);
Table from_map(const Map& map);

/// A table as the stream names it, after a Relation message.
struct Bound {
    const Table* table = nullptr;
    std::vector<int> places; ///< of each field of a tuple, the column in the target, or -1
    std::vector<bool> key;   ///< of each field, whether it is part of the replica identity
    std::string leaf;        ///< "schema.name" where it is a partition
    char identity = 'd';
};

/// Throws Error{`follow.schema`} where it is not as it was copied.
Bound bind(const Table& table, const pgoutput::Relation& relation);

} // namespace runbook::follow
