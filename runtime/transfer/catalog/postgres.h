// The two halves of PostgreSQL's catalogue reader. Internal to runtime/transfer/catalog.
#pragma once

#include "runtime/transfer/catalog/catalog.h"
#include "runtime/transfer/catalog/rows.h"

namespace runbook::catalog {

/// Views, functions, triggers, sequences, types… of the schemas read, and what lies outside them.
void read_postgresql_objects(db::Connection& connection, const Filter& filter, Database& database,
                             Cancel& cancel);

} // namespace runbook::catalog
