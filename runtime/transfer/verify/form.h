// The common form in which two engines' values are compared, and how each side's bytes get there.
// Owns: type families, the form chosen for a pair of columns, and the cells of a row in that form.
// Any thread; plain data and pure functions. Shares no code with the copy engine: an error made
// there must not be repeated here.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/verify/buffer.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace runbook::verify {

/// What a column holds, whatever its engine calls it.
enum class Family : std::uint8_t {
    boolean,
    integer,
    big_unsigned,
    decimal,
    float32,
    float64,
    text,
    fixed_text,
    bytes,
    uuid,
    date,
    timestamp,
    timestamptz,
    time,
    interval,
    json,
    json_text,
    array,
    bits,
    dynamic,
    omitted
};

/// The form in which both sides' values meet. A value that a form cannot hold (a zero date, `abc`
/// in an integer column of SQLite) keeps its text and is marked invalid: it equals only the same
/// text.
enum class Form : std::uint8_t {
    integer,   ///< int64; booleans as 0 and 1
    decimal,   ///< exact, normalised text: no leading or trailing zeros, no exponent, no -0
    real32,    ///< by value after rounding to single precision
    real64,    ///< by value
    text,      ///< UTF-8, byte for byte
    bytes,     ///< octets
    uuid,      ///< 16 octets
    date,      ///< days since 1970-01-01
    timestamp, ///< microseconds since the epoch; with a zone in UTC
    time,      ///< microseconds
    interval,  ///< months, days, microseconds
    json,      ///< by meaning: key order, blanks and escapes ignored, numbers exact
    bits,      ///< text of 0 and 1
    dynamic    ///< SQLite against SQLite: storage class and value
};

/// How one side sends the cells of a column.
enum class Wire : std::uint8_t {
    pg_bool,
    pg_int2,
    pg_int4,
    pg_int8,
    pg_oid,
    pg_float4,
    pg_float8,
    pg_numeric,
    pg_text,
    pg_bytea,
    pg_date,
    pg_timestamp,
    pg_time,
    pg_interval,
    pg_uuid,
    pg_jsonb,
    my_text,
    my_bits,
    sqlite
};

/// One side of a compared column.
struct Side {
    db::Flavour flavour = db::Flavour::sqlite;
    Family family = Family::text;
    std::string name;   ///< column name on this side
    std::string select; ///< expression of the select list
    std::string order;  ///< expression that sorts like the encoded key; set for key columns
    Wire wire = Wire::sqlite;
    int bits = 0; ///< declared width of a bit column
};

struct ColumnPair {
    Side source, target;
    Form form = Form::text;
    bool trim_blanks = false;       ///< one side is char(n): trailing blanks have no meaning
    bool signed_zero = true;        ///< both engines keep the sign of -0.0
    bool zero_date_is_null = false; ///< MySQL's 0000-00-00 counts as NULL
};

/// The form for two families. Text against anything else takes the other's form, so that
/// `2024-01-02` in a text column of SQLite meets a DATE.
Form pair_form(Family source, Family target);
/// True where the form's encoded key sorts as both engines can sort.
bool sortable(Form form);
std::string_view form_name(Form form);

/// The type's family. `type` is the engine's own full type text, lower case (`numeric(10,2)`,
/// `bigint unsigned`, `text[]`, `tinyint(1)`).
Family family_of(db::Flavour flavour, std::string_view type);

enum class Tag : std::uint8_t { null = 0, fixed = 1, var = 2, invalid = 3 };

/// A cell inside a row's payload: tag, then 8 bytes or a 4-byte length and octets.
struct CellView {
    Tag tag = Tag::null;
    std::int64_t fixed = 0;
    std::string_view var;
};
/// Reads one cell and moves `at` behind it.
CellView next_cell(const char*& at);

inline void put_null(Buffer& out) {
    out.byte(static_cast<char>(Tag::null));
}
inline void put_fixed(Buffer& out, std::int64_t value) {
    char* at = out.grow(9);
    at[0] = static_cast<char>(Tag::fixed);
    std::memcpy(at + 1, &value, 8);
}
inline void put_var(Buffer& out, std::string_view data, Tag tag = Tag::var) {
    char* at = out.grow(5 + data.size());
    at[0] = static_cast<char>(tag);
    auto size = static_cast<std::uint32_t>(data.size());
    std::memcpy(at + 1, &size, 4);
    if (size)
        std::memcpy(at + 5, data.data(), size);
}
void put_real(const ColumnPair& pair, double value, Buffer& out);

/// A value that arrived as text, in the pair's form.
void put_parsed(const ColumnPair& pair, std::string_view text, Buffer& out);
/// A cell of PostgreSQL's binary COPY format; `data` is not null.
void put_postgresql(const ColumnPair& pair, const Side& side, std::string_view data, Buffer& out);
/// A cell of MySQL's text protocol.
void put_mysql(const ColumnPair& pair, const Side& side, std::string_view data, Buffer& out);

/// Appends the cell so that memcmp over keys gives the engines' order; `last` spares the
/// terminator.
void put_key(Form form, const CellView& cell, bool last, Buffer& out);

/// Two cells of one pair mean the same. Raw JSON is compared by meaning here.
bool same(const ColumnPair& pair, const CellView& a, const CellView& b);
/// The cell rewritten so that equal meanings are equal bytes; only JSON changes.
void put_strict(const ColumnPair& pair, const CellView& cell, Buffer& out);
/// For people: at most `limit` characters, bytes as hex; the length is told where something is cut.
std::string show(const ColumnPair& pair, const CellView& cell, std::size_t limit = 80);

/// Canonical bytes of a JSON text, or false where it is none: sorted keys, last duplicate wins,
/// numbers as exact normalised decimals.
bool canonical_json(std::string_view text, std::string& out);
/// Appends the number normalised (see Form::decimal); false where `text` is no number.
bool canonical_decimal(std::string_view text, std::string& out);

} // namespace runbook::verify
