// Quoting, names and expressions between SQL dialects. Internal to runtime/transfer. Pure
// functions.
#pragma once

#include "runtime/transfer/catalog/catalog.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::schema {

std::string mysql_name(std::string_view name);                         ///< `a``b`
std::string standard_name(std::string_view name);                      ///< "a""b"
std::string qualified(std::string_view schema, std::string_view name); ///< "a"."b"
std::string mysql_string(std::string_view text);                       ///< 'it''s \\ there'
std::string standard_string(std::string_view text);

/// At most `limit` characters: a longer name is cut and ends in eight hexadecimal digits of its
/// hash, the same ones on every run.
std::string short_name(const std::string& name, std::size_t limit = 64);

/// At most 63 octets, PostgreSQL's limit, cut in the same way.
std::string postgresql_name(const std::string& name);

/// The value of a PostgreSQL default that is a literal with or without casts: 'x'::text, (1),
/// '-1'::integer, NULL::text, true. Nothing for an expression.
struct Literal {
    bool is_null = false, is_string = false;
    std::string text;
};
std::optional<Literal> postgresql_literal(std::string_view expression);

/// Column of the source → column of the target, where they differ.
using Names = std::map<std::string, std::string>;

/// A PostgreSQL boolean expression in MySQL's words, or nothing where one of its parts is outside
/// of what surely means the same there. `value_column` stands for VALUE of a domain's check.
/// `binary_collation`, where not empty, is put on every string compared.
std::optional<std::string> translate_check(const catalog::Table& table, std::string_view expression,
                                           const std::string& binary_collation,
                                           std::string_view value_column = {},
                                           const Names& names = {});

/// The same for an expression that gives a value: of an index or a generated column.
struct Translated {
    std::string sql;
    std::vector<std::string> columns; ///< of the source, that it names
    bool is_text = false;             ///< gives a text
};
std::optional<Translated> translate_value(const catalog::Table& table, std::string_view expression,
                                          const Names& names = {});

} // namespace runbook::schema
