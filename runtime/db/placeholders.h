// Reading SQL just far enough: where parameters stand, and whether a statement only reads. Any
// thread, no state.
#pragma once

#include <string>
#include <string_view>

namespace runbook::db {

struct Rewritten {
    std::string sql;
    int questions = 0; ///< number of `?` placeholders that were rewritten
    int dollars = 0;   ///< the highest `$n` that stands in the statement
};

/// PostgreSQL: `?` becomes `$1`, `$2`…, outside string literals, quoted identifiers, comments and
/// dollar quotes. The operators `?|` and `?&` are left alone, and so is a `?` directly followed by
/// another (`??` becomes the operator `?`). Where the statement holds a `$n` of its own, no `?` is
/// touched (it is then an operator).
Rewritten rewrite_placeholders(std::string_view sql);

/// True for one SELECT, VALUES, TABLE or WITH without INTO and without a data-changing word outside
/// quotes: what PostgreSQL accepts behind DECLARE CURSOR. False where in doubt.
bool is_plain_query(std::string_view sql);

/// True where a statement or a script might make a read-only session or its transaction writable,
/// or hide such a statement from whom reads its text. Judged by its words wherever they stand, so
/// that some harmless ones are taken for it; plain queries and SHOW are not.
bool may_unlock(std::string_view sql);

/// The first word, in lower case ("select", "insert"), comments and parentheses skipped.
std::string first_word(std::string_view sql);

/// `?` placeholders outside quotes and comments, by MySQL's rules (backslash escapes, backticks,
/// `#` comments).
int count_placeholders_mysql(std::string_view sql);

} // namespace runbook::db
