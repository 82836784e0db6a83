// Checks, publication and slot of the source (see source.h).
#include "runtime/transfer/follow/source.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/catalog/rows.h"
#include "runtime/transfer/copy/postgres_source.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace runbook::follow {
namespace {

using catalog::each_row;
using catalog::Row;
using schema::qualified;
using schema::standard_name;
using schema::standard_string;

Lsn lsn_of(const Row& row, const char* name) {
    std::string text = row.text(name);
    return text.empty() ? 0 : parse_lsn(text);
}

bool is_followed(const catalog::Table& table) {
    return table.kind != catalog::TableKind::foreign;
}

void check_server(db::Connection& source, Cancel& cancel) {
    std::string level, standbys;
    std::int64_t slots = 0, most_slots = 0, senders = 0, most_senders = 0;
    bool may_create = false, standby = false;
    each_row(source,
             "SELECT current_setting('wal_level') AS level, "
             "current_setting('synchronous_standby_names') AS standbys, "
             "pg_catalog.pg_is_in_recovery()::int AS standby, "
             "current_setting('max_replication_slots')::int8 AS most_slots, "
             "current_setting('max_wal_senders')::int8 AS most_senders, "
             "(SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots, "
             "(SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender') "
             "AS senders, pg_catalog.has_database_privilege(current_database(), 'CREATE')::int AS "
             "may_create",
             {}, cancel, [&](const Row& row) {
                 level = row.text("level");
                 slots = row.integer("slots");
                 most_slots = row.integer("most_slots");
                 senders = row.integer("senders");
                 most_senders = row.integer("most_senders");
                 may_create = row.boolean("may_create");
                 standby = row.boolean("standby");
                 standbys = row.text("standbys");
             });
    std::string where = source.url().masked() + ": ";
    if (source.server().major < 12)
        throw Error("db.unsupported", where + "following needs PostgreSQL 12 or newer, this is " +
                                          source.server().version);
    if (standby)
        throw Error("follow.refused", where + "the server is a standby",
                    "follow the primary: a standby takes no publication");
    // Logical walsenders count as standbys too.
    if (standbys.find('*') != std::string::npos)
        throw Error("follow.refused",
                    fmt::format("{}synchronous_standby_names is '{}': commits of the source would "
                                "wait for what follows it",
                                where, standbys),
                    "name the standbys there");
    if (level != "logical")
        throw Error("follow.refused",
                    fmt::format("{}wal_level is {}, logical is needed", where, level),
                    "ALTER SYSTEM SET wal_level = logical, then restart the server; runbook never "
                    "does it");
    if (slots >= most_slots)
        throw Error("follow.refused",
                    fmt::format("{}all {} replication slots are taken", where, most_slots),
                    "raise max_replication_slots (the server must be restarted), or drop a slot "
                    "that nobody needs: SELECT * FROM pg_replication_slots");
    if (senders >= most_senders)
        throw Error("follow.refused",
                    fmt::format("{}all {} walsenders are in use", where, most_senders),
                    "raise max_wal_senders (the server must be restarted)");
    if (!may_create)
        throw Error("db.permission", where + "the role may not make a publication in this database",
                    fmt::format("GRANT CREATE ON DATABASE {} TO {}, and let it own the tables",
                                standard_name(source.url().name),
                                standard_name(source.url().user)));
}

/// Tables and the partitions of tables: what UPDATE and DELETE at the source touch.
List relations_of(const catalog::Database& database) {
    List out;
    for (const catalog::Schema& schema : database.schemas)
        for (const catalog::Table& table : schema.tables) {
            if (!is_followed(table))
                continue;
            if (table.kind == catalog::TableKind::table)
                out.emplace_back(qualified(table.schema, table.name));
            for (const catalog::Partition& leaf : table.partitions)
                out.emplace_back(qualified(leaf.schema, leaf.name));
        }
    return out;
}

void check_identities(db::Connection& source, const catalog::Database& database, Cancel& cancel) {
    std::vector<std::string> bare, unlogged, foreign;
    const std::vector<Value> params = {relations_of(database)};
    each_row(source,
             "SELECT n.nspname || '.' || c.relname AS name, c.relpersistence::text AS persistence, "
             "pg_catalog.pg_has_role(c.relowner, 'USAGE')::int AS owned, (c.relreplident = 'f' OR "
             "pg_catalog.pg_get_replica_identity_index(c.oid) IS NOT NULL)::int AS told "
             "FROM unnest($1::text[]) AS wanted(name) JOIN pg_catalog.pg_class c ON c.oid = "
             "wanted.name::regclass JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
             "ORDER BY 1",
             params, cancel, [&](const Row& row) {
                 std::string name = row.text("name");
                 if (row.text("persistence") != "p")
                     unlogged.push_back(name);
                 else if (!row.boolean("told"))
                     bare.push_back(name);
                 else if (!row.boolean("owned"))
                     foreign.push_back(name);
             });
    std::string where = source.url().masked() + ": ";
    if (!bare.empty())
        throw Error("follow.refused",
                    fmt::format("{}{} {} no replica identity: {}", where, bare.size(),
                                bare.size() == 1 ? "table has" : "tables have",
                                text::join(bare, ", ")),
                    fmt::format("published, the source would refuse every UPDATE and DELETE of "
                                "them: give each a primary key or ALTER TABLE {} REPLICA IDENTITY "
                                "FULL, or leave it out with exclude",
                                bare.front()));
    if (!unlogged.empty())
        throw Error("follow.refused",
                    fmt::format("{}unlogged tables are in no change stream: {}", where,
                                text::join(unlogged, ", ")),
                    "ALTER TABLE … SET LOGGED, or leave it out with exclude");
    if (!foreign.empty())
        throw Error("db.permission",
                    fmt::format("{}the role does not own {}, and only the owner may publish a "
                                "table",
                                where, text::join(foreign, ", ")),
                    "follow with the role that owns the tables");
}

Attributes read_attributes(db::Connection& source, const catalog::Database& database,
                           Cancel& cancel) {
    Attributes out;
    List names;
    for (const catalog::Schema& schema : database.schemas)
        for (const catalog::Table& table : schema.tables)
            if (is_followed(table)) {
                names.emplace_back(qualified(table.schema, table.name));
                out[table.schema + "." + table.name];
            }
    const std::vector<Value> params = {std::move(names)};
    each_row(source,
             "SELECT n.nspname || '.' || c.relname AS name, a.attname AS column, a.atttypid::int8 "
             "AS type, a.atttypmod::int8 AS modifier, quote_ident(tn.nspname) || '.' || "
             "quote_ident(t.typname) AS cast FROM unnest($1::text[]) AS wanted(name) "
             "JOIN pg_catalog.pg_class c ON c.oid = wanted.name::regclass "
             "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
             "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "
             "a.attisdropped AND a.attgenerated = '' "
             "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
             "JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace ORDER BY 1, a.attnum",
             params, cancel, [&](const Row& row) {
                 out[row.text("name")].push_back(
                     {{false, row.text("column"), static_cast<std::uint32_t>(row.integer("type")),
                       static_cast<std::int32_t>(row.integer("modifier"))},
                      row.text("cast")});
             });
    return out;
}

} // namespace

std::unique_ptr<db::Connection> open_source(const db::Url& url, Cancel& cancel) {
    db::ConnectOptions options;
    options.access = db::Access::write;
    options.application_name = "runbook follow";
    auto connection = db::connect(url, options, cancel);
    connection->script(copy::postgres_settings(), cancel);
    connection->script("SET synchronous_commit = local", cancel);
    return connection;
}

Attributes check_source(db::Connection& source, const catalog::Database& database, Cancel& cancel) {
    check_server(source, cancel);
    std::vector<std::string> partitioned;
    for (const catalog::Schema& schema : database.schemas)
        for (const catalog::Table& table : schema.tables)
            if (table.kind == catalog::TableKind::partitioned)
                partitioned.push_back(table.name);
    if (source.server().major < 13 && !partitioned.empty())
        throw Error("follow.refused",
                    fmt::format("{}: partitioned tables can be published from PostgreSQL 13 on: {}",
                                source.url().masked(), text::join(partitioned, ", ")),
                    "leave them out with exclude");
    check_identities(source, database, cancel);
    return read_attributes(source, database, cancel);
}

void make_publication(db::Connection& source, const std::string& name,
                      const catalog::Database& database, Cancel& cancel) {
    std::vector<std::string> tables;
    for (const catalog::Schema& schema : database.schemas)
        for (const catalog::Table& table : schema.tables)
            if (is_followed(table))
                tables.push_back((table.kind == catalog::TableKind::table ? "ONLY " : "") +
                                 qualified(table.schema, table.name));
    source.execute(fmt::format("CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert, "
                               "update, delete, truncate')",
                               standard_name(name), text::join(tables, ", ")),
                   {}, {}, cancel);
}

void drop_all(db::Connection& source, const std::string& name, Cancel& cancel) {
    const std::vector<Value> params = {name};
    for (int attempt = 1;; ++attempt) {
        try {
            source.execute("SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM "
                           "pg_catalog.pg_replication_slots WHERE slot_name = $1",
                           params, {}, cancel);
            break;
        } catch (const Error& error) {
            if (error.sqlstate() != "55006" || attempt == 50) {
                if (error.sqlstate() == "55006")
                    throw Error("follow.refused", error.message(),
                                "another session follows with this slot: end it first", "55006");
                throw;
            }
            cancel.check("following");
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
        }
    }
    source.execute("DROP PUBLICATION IF EXISTS " + standard_name(name), {}, {}, cancel);
}

Wal wal_of(db::Connection& source, const std::string& slot, Cancel& cancel) {
    Wal out;
    const std::vector<Value> params = {slot};
    each_row(source,
             "SELECT pg_catalog.pg_current_wal_lsn()::text AS now, (extract(epoch FROM "
             "clock_timestamp()) * 1000000)::int8 AS micros, "
             "coalesce(current_setting('max_slot_wal_keep_size', true), '') AS bound, "
             "(s.slot_name IS NOT NULL)::int AS there, coalesce(s.active, false)::int AS active, "
             "coalesce(s.confirmed_flush_lsn::text, '') AS confirmed, "
             "coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), "
             "s.restart_lsn), 0)::int8 AS kept, coalesce(to_jsonb(s) ->> 'wal_status', '') AS "
             "status FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_replication_slots s ON "
             "s.slot_name = $1",
             params, cancel, [&](const Row& row) {
                 out.there = row.boolean("there");
                 out.active = row.boolean("active");
                 out.now = lsn_of(row, "now");
                 out.confirmed = lsn_of(row, "confirmed");
                 out.kept = row.integer("kept");
                 out.status = row.text("status");
                 out.bound = row.text("bound");
                 out.micros = row.integer("micros");
             });
    return out;
}

Lsn mark(db::Connection& source, const std::string& slot, Cancel& cancel) {
    // In a transaction of its own that commits: its flush takes with it whatever stands before.
    source.begin(cancel);
    const std::vector<Value> params = {slot};
    std::string place;
    each_row(source,
             "SELECT pg_catalog.pg_logical_emit_message(true, 'runbook', $1)::text AS place",
             params, cancel, [&](const Row& row) { place = row.text("place"); });
    source.commit(cancel);
    return parse_lsn(place);
}

std::vector<std::string> open_writers(db::Connection& source, Cancel& cancel) {
    std::vector<std::string> out;
    each_row(source,
             "SELECT 'session ' || pid || coalesce(' of ' || usename, '') || coalesce(' (' || "
             "nullif(application_name, '') || ')', '') AS who FROM pg_catalog.pg_stat_activity "
             "WHERE datname = current_database() AND backend_xid IS NOT NULL AND backend_type = "
             "'client backend' AND pid <> pg_catalog.pg_backend_pid() UNION ALL SELECT 'prepared "
             "transaction ' || gid FROM pg_catalog.pg_prepared_xacts WHERE database = "
             "current_database() ORDER BY 1",
             {}, cancel, [&](const Row& row) { out.push_back(row.text("who")); });
    return out;
}

std::optional<std::string> root_of(db::Connection& source, std::uint32_t relation, Cancel& cancel) {
    std::optional<std::string> out;
    const std::vector<Value> params = {static_cast<std::int64_t>(relation)};
    each_row(source,
             "SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_class c JOIN "
             "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = "
             "pg_catalog.pg_partition_root($1::int8::oid::regclass)",
             params, cancel, [&](const Row& row) { out = row.text("name"); });
    return out;
}

} // namespace runbook::follow
