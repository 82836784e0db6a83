// Which statements end a MySQL or MariaDB transaction by themselves. Any thread, no state.
#pragma once

#include <string>
#include <string_view>

namespace runbook::db::mysql {

/// The first words ("ALTER TABLE") of the first statement in `sql` that ends the transaction it
/// stands in, or nothing. After the lists in the MySQL 8 manual, "Statements That Cause an Implicit
/// Commit", and MariaDB's of the same name, and COMMIT, ROLLBACK and BEGIN themselves. What a
/// stored procedure or a prepared statement does cannot be seen here.
std::string ends_transaction(std::string_view sql);

} // namespace runbook::db::mysql
