// Values of the change stream as the copy would have written them, and as SQL for the target.
// Owns: the conversions. What a select expression of the copy does to a value, the source is asked
// to do to this one, so that a followed row is what a copied one would be. Pure functions, the
// evaluation aside, which blocks on the source's session.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/follow/tables.h"

#include <memory>
#include <string>
#include <vector>

namespace runbook::follow {

struct Datum {
    enum class Kind : std::uint8_t { absent, null, text } kind = Kind::absent;
    std::string text;
};
/// By the columns of the target.
using Row = std::vector<Datum>;

struct Change {
    enum class Kind : std::uint8_t { insert, update, remove, empty } kind = Kind::insert;
    std::shared_ptr<const Bound> bound;
    Lsn lsn = 0; ///< where its transaction commits
    bool has_old = false;
    Row old, row;
    std::size_t bytes() const;
};

/// The fields of a tuple, by the columns of the target.
Row take_row(const Bound& bound, const pgoutput::Tuple& tuple);

/// Replaces the values of columns that the copy reads by an expression. Errors: `follow.refused`
/// where a generated column depends on a value that the stream left out, `db.*`.
void evaluate(db::Connection& source, const Table& table, const std::vector<Row*>& rows,
              Cancel& cancel);

/// What the codec makes of a value: octets, or nothing for NULL.
Datum encoded(schema::Codec codec, const Datum& value);

/// A value to be assigned.
void append_literal(const Column& column, const Datum& value, std::string& out);
/// A condition that the column holds the value; `exact`: whatever the collation says.
void append_condition(const Column& column, const Datum& value, bool exact, std::string& out);

/// Columns that tell the row, for a change with or without its old row.
std::vector<int> identity_of(const Change& change);
/// "id = 5, lang = 'de'", shortened: for messages.
std::string describe_key(const Change& change);

} // namespace runbook::follow
