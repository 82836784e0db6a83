// What a PostgreSQL database holds beside tables, by kind and name (see catalog.h).
#include "runtime/transfer/catalog/postgres.h"
#include "runtime/transfer/catalog/postgres_queries.h"

namespace runbook::catalog {

void read_postgresql_objects(db::Connection& connection, const Filter& filter, Database& database,
                             Cancel& cancel) {
    List names;
    for (const Schema& schema : database.schemas)
        names.emplace_back(schema.name);
    const std::vector<Value> params = {Value(names)};
    auto object = [](const Row& row) {
        return Object{row.text("kind"), row.text("schema"), row.text("name"), row.text("detail")};
    };
    each_row(connection, postgresql::objects, params, cancel, [&](const Row& row) {
        for (Schema& schema : database.schemas)
            if (schema.name == row.text("schema"))
                schema.others.push_back(object(row));
    });
    each_row(connection, postgresql::outside, params, cancel,
             [&](const Row& row) { database.outside.push_back(object(row)); });
    (void)filter;
}

} // namespace runbook::catalog
