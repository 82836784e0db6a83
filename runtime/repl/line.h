// What a line at the prompt is: a command, SQL or Lua; and whether it is complete.
// Owns: nothing. Any thread, no state. Looks at words only: whether SQL may write is the server's
// decision.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace runbook::repl {

enum class Input { nothing, command, sql, lua };

/// `:word` and `\d…` are commands, a line that starts with an SQL verb is SQL, the rest is Lua.
Input kind_of(std::string_view line);

/// The SQL verb that the first word of the line nearly is, or empty.
std::string nearest_verb(std::string_view line);

/// Whether the SQL text can run: it ends with `;`, or every quote, bracket and comment is closed
/// and the last word does not ask for more (`from`, `and`, a comma…).
bool sql_complete(std::string_view text);

/// Without the last `;` and the blanks around.
std::string sql_statement(std::string_view text);

/// True for a line that can only continue SQL ("from x", "where …", "order by …").
bool continues_sql(std::string_view line);

/// The statements of a text that holds several, split at `;` outside quotes and comments.
std::vector<std::string> sql_statements(std::string_view text);

/// True where the verb gives rows: select, with, show, explain, values, table, pragma, desc; also a
/// statement with RETURNING.
bool gives_rows(std::string_view statement);

} // namespace runbook::repl
