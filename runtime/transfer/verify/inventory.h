// The tables, columns and keys of one side, as verify reads them for itself: a table that the
// copy's catalogue missed must not be missed here too. Blocks; one thread.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/verify/plan.h"

#include <string>
#include <vector>

namespace runbook::verify {

struct InventoryColumn : TypedColumn {
    bool generated = false;
};

struct InventoryTable {
    std::string name;
    std::string from;                ///< quoted and qualified
    std::int64_t estimated_rows = 0; ///< from the engine's statistics; 0 where it has none
    std::vector<InventoryColumn> columns;
    /// Sets of columns that are unique and not null; the primary key first.
    std::vector<std::vector<std::string>> keys;

    const InventoryColumn* column(const std::string& name) const;
};

struct Inventory {
    db::Flavour flavour = db::Flavour::sqlite;
    std::vector<InventoryTable> tables; ///< by name; partitions are part of their parent

    /// By exact name, then by a name that differs only in case, where that is a single one.
    const InventoryTable* table(const std::string& name) const;
};

/// `schema` is PostgreSQL's (empty: public). Errors: `db.*`, `argument` where the schema does not
/// exist.
Inventory read_inventory(db::Connection& connection, const std::string& schema);

} // namespace runbook::verify
