// A type of MySQL or MariaDB that a rule asks for, or that a table there has already: what a
// PostgreSQL column needs to become it, and which of its values would not survive that. Internal
// to runtime/transfer. Pure functions, any thread.
#pragma once

#include "runtime/transfer/schema/schema.h"

#include <optional>
#include <string>
#include <vector>

namespace runbook::schema {

/// "varchar(255)", "decimal(10,2)", "bigint unsigned" in parts.
struct AskedType {
    std::string base;
    std::optional<std::int64_t> first, second;
    bool is_unsigned = false;
    std::vector<std::string> labels; ///< of an enum
};
/// Throws Error{`argument`} for what is no type.
AskedType parse_type(const std::string& text);

/// Rows that the type would not carry.
struct Misfit {
    std::string condition, problem;
};

struct Asked {
    std::string type; ///< in capitals, without charset and collation
    std::string select;
    Codec codec = Codec::as_is;
    enum class Text : std::uint8_t { none, plain, ascii, exact } text = Text::none;
    bool json = false; ///< goes through CONVERT
    bool json_check = false;
    std::int64_t key_bytes = 8;
    std::vector<Misfit> misfits;
};

/// `expression` is the source's SQL for the column; `longest` sizes a VARCHAR without a number.
/// Throws Error{`copy.refused`}: the column cannot become that, with the types that it can.
Asked asked_type(const catalog::Column& column, const AskedType& wanted,
                 const std::string& expression, const Target& target, std::int64_t longest);

/// True where asked_type needs the longest text of the column.
bool asks_length(const std::string& to);

} // namespace runbook::schema
