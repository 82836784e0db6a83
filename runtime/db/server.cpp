// See server.h.
#include "runtime/db/server.h"

#include "runtime/base/text.h"
#include "runtime/db/ask.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sys/statvfs.h>
#include <unistd.h>

namespace runbook::db {
namespace {

bool is_mysql(const Connection& connection) {
    const Flavour flavour = connection.server().flavour;
    return flavour == Flavour::mysql || flavour == Flavour::mariadb;
}

bool local_address(const Url& url) {
    return url.host.empty() || url.host == "localhost" || url.host == "::1" ||
           url.host.starts_with("127.") || url.host.starts_with('/') ||
           url.options.contains("socket");
}

/// A local address may be a tunnel: the server's own process, or its own name, must be here too.
bool on_this_host(Connection& connection, Cancel& cancel) {
    if (connection.server().flavour == Flavour::sqlite)
        return true;
    if (!local_address(connection.url()))
        return false;
    if (is_mysql(connection)) {
        char name[256] = {};
        gethostname(name, sizeof name - 1);
        return ask_one(connection, "select @@hostname as h", {}, cancel).text("h") == name;
    }
    const std::int64_t pid =
        ask_one(connection, "select pg_backend_pid() as p", {}, cancel).integer("p");
    std::ifstream comm(fmt::format("/proc/{}/comm", pid));
    std::string word;
    return comm >> word && word.starts_with("postgres");
}

std::string data_folder(Connection& connection, Cancel& cancel) {
    if (connection.server().flavour == Flavour::sqlite) {
        const auto folder = std::filesystem::path(connection.url().name).parent_path();
        return folder.empty() ? "." : folder.string();
    }
    return ask_one(connection,
                   is_mysql(connection) ? "select @@datadir as f"
                                        : "select current_setting('data_directory') as f",
                   {}, cancel)
        .text("f");
}

std::int64_t bytes_of(Connection& connection, Cancel& cancel) {
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        return ask_one(connection, "select pg_database_size(current_database()) as n", {}, cancel)
            .integer("n");
    case Flavour::sqlite:
        return ask_one(connection,
                       "select page_count * page_size as n from pragma_page_count(), "
                       "pragma_page_size()",
                       {}, cancel)
            .integer("n");
    default:
        return ask_one(connection,
                       "select cast(coalesce(sum(data_length + index_length), 0) as signed) as n "
                       "from information_schema.tables where table_schema = database()",
                       {}, cancel)
            .integer("n");
    }
}

Map with_space(std::int64_t bytes, double free, double total, const std::string& folder) {
    return Map{{"bytes", bytes},
               {"free", static_cast<std::int64_t>(free)},
               {"total", static_cast<std::int64_t>(total)},
               {"free_ratio", total > 0 ? free / total : 0},
               {"folder", folder}};
}

/// Rows of a child table whose key is in no row of its parent. `columns` and `to` are quoted.
std::int64_t orphans(Connection& connection, const std::string& child, const std::string& parent,
                     const std::vector<std::string>& columns, const std::vector<std::string>& to,
                     Cancel& cancel) {
    std::string join, set;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        join += fmt::format("{}p.{} = c.{}", i ? " and " : "", to[i], columns[i]);
        set += fmt::format("{}c.{} is not null", i ? " and " : "", columns[i]);
    }
    return ask_one(connection,
                   fmt::format("select count(*) as n from {} c where {} and not exists (select 1 "
                               "from {} p where {})",
                               child, set, parent, join),
                   {}, cancel)
        .integer("n");
}

void postgres_facts(Connection& connection, Map& facts, Cancel& cancel) {
    const Map row = ask_one(connection,
                            R"(select
(select count(*) from pg_catalog.pg_constraint where contype in ('f', 'c') and not convalidated) as unvalidated,
(select count(*) from pg_catalog.pg_index where not indisvalid or not indisready) as invalid_indexes,
(select count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend') as sessions,
current_setting('max_connections')::int8 as most)",
                            {}, cancel);
    std::int64_t lost = 0;
    for (const Map& key : ask(connection, R"(
select k.conrelid::regclass::text as child, k.confrelid::regclass::text as parent,
  (select string_agg(quote_ident(a.attname), ',' order by p.n) from unnest(k.conkey) with ordinality p(num, n)
   join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = p.num) as columns,
  (select string_agg(quote_ident(a.attname), ',' order by p.n) from unnest(k.confkey) with ordinality p(num, n)
   join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = p.num) as targets
from pg_catalog.pg_constraint k where k.contype = 'f' and not k.convalidated)",
                              cancel))
        lost += orphans(connection, key.text("child"), key.text("parent"),
                        text::split(key.text("columns"), ','),
                        text::split(key.text("targets"), ','), cancel);
    facts.set("unvalidated", row.integer("unvalidated"));
    facts.set("invalid_indexes", row.integer("invalid_indexes"));
    facts.set("orphans", lost);
    facts.set("sessions", row.integer("sessions"));
    facts.set("most_sessions", row.integer("most"));
}

void mysql_facts(Connection& connection, Map& facts, Cancel& cancel) {
    // Rows loaded while foreign_key_checks was off are never looked at again by the server.
    std::int64_t lost = 0;
    for (const Map& key : ask(connection, R"(
select convert(table_name using utf8mb4) as child, convert(referenced_table_name using utf8mb4) as parent,
  convert(group_concat(concat('`', replace(column_name, '`', '``'), '`') order by ordinal_position) using utf8mb4) as columns,
  convert(group_concat(concat('`', replace(referenced_column_name, '`', '``'), '`') order by ordinal_position) using utf8mb4) as targets
from information_schema.key_column_usage where table_schema = database() and referenced_table_name is not null
group by constraint_name, table_name, referenced_table_name)",
                              cancel))
        lost += orphans(connection, connection.quote_name(key.text("child")),
                        connection.quote_name(key.text("parent")),
                        text::split(key.text("columns"), ','),
                        text::split(key.text("targets"), ','), cancel);
    const Map row = ask_one(connection,
                            "select count(*) as sessions, @@max_connections as most from "
                            "information_schema.processlist",
                            {}, cancel);
    facts.set("unvalidated", 0);
    facts.set("invalid_indexes", 0);
    facts.set("orphans", lost);
    facts.set("sessions", row.integer("sessions"));
    facts.set("most_sessions", row.integer("most"));
}

} // namespace

Map disk_of(Connection& connection, Cancel& cancel) {
    const std::int64_t bytes = bytes_of(connection, cancel);
    if (on_this_host(connection, cancel)) {
        const std::string folder = data_folder(connection, cancel);
        struct statvfs space {};
        if (statvfs(folder.c_str(), &space) == 0)
            return with_space(
                bytes, static_cast<double>(space.f_bavail) * static_cast<double>(space.f_frsize),
                static_cast<double>(space.f_blocks) * static_cast<double>(space.f_frsize), folder);
    }
    if (connection.server().flavour == Flavour::mariadb) {
        try {
            const Map row = ask_one(connection,
                                    "select path, cast(total as signed) * 1024 as total, "
                                    "cast(available as signed) * 1024 as free from "
                                    "information_schema.disks where @@datadir like concat(path, "
                                    "'%') order by length(path) desc limit 1",
                                    {}, cancel);
            if (!row.empty())
                return with_space(bytes, row.number("free"), row.number("total"), row.text("path"));
        } catch (const Error& error) {
            if (error.kind() != "db.error" && error.kind() != "db.syntax" &&
                error.kind() != "db.permission")
                throw;
        }
    }
    throw Error("db.unsupported",
                connection.url().masked() +
                    ": the server is on another host, and its SQL does not tell the free space of "
                    "its disk",
                "look there with ssh (df), or ask the monitoring");
}

Map archiving_of(Connection& connection, Cancel& cancel) {
    if (connection.server().flavour == Flavour::sqlite)
        throw Error("db.unsupported",
                    connection.url().masked() + ": SQLite has no archive of changes");
    if (is_mysql(connection)) {
        const Map row =
            ask_one(connection, "select @@log_bin as o, @@binlog_format as f", {}, cancel);
        const bool on = row.integer("o") != 0;
        Map out{{"healthy", on}, {"on", on}, {"format", row.text("f")}};
        if (!on)
            out.set("why", "the binary log is off");
        return out;
    }
    const Map row = ask_one(
        connection,
        "select current_setting('archive_mode') as mode, current_setting('wal_level') as level, "
        "last_archived_time as last, last_failed_time as failed, failed_count as n, "
        "coalesce(last_failed_time > last_archived_time, last_failed_time is not null) as failing, "
        "last_archived_time is not null as any from pg_catalog.pg_stat_archiver",
        {}, cancel);
    std::string why;
    if (row.text("mode") == "off")
        why = "archive_mode is off";
    else if (row.text("level") == "minimal")
        why = "wal_level is minimal";
    else if (row.boolean("failing"))
        why = "the last attempt to archive failed";
    else if (!row.boolean("any"))
        why = "nothing was archived yet";
    Map out{
        {"healthy", why.empty()}, {"on", row.text("mode") != "off"}, {"failed", row.integer("n")}};
    if (const Value* last = row.find("last"); last && !last->is_null())
        out.set("last", *last);
    if (!why.empty())
        out.set("why", why);
    return out;
}

Map facts_of(Connection& connection, Cancel& cancel) {
    const ServerInfo& server = connection.server();
    Map facts{{"flavour", std::string(flavour_name(server.flavour))},
              {"version", server.version},
              {"bytes", bytes_of(connection, cancel)}};
    switch (server.flavour) {
    case Flavour::postgresql:
        postgres_facts(connection, facts, cancel);
        break;
    case Flavour::mysql:
    case Flavour::mariadb:
        mysql_facts(connection, facts, cancel);
        break;
    case Flavour::sqlite:
        facts.set("unvalidated", 0);
        facts.set("invalid_indexes", 0);
        facts.set("orphans",
                  static_cast<std::int64_t>(
                      ask(connection, "select 1 from pragma_foreign_key_check", cancel).size()));
        break;
    }
    return facts;
}

bool cancel_statement(Connection& connection, std::int64_t session, Cancel& cancel) {
    switch (connection.server().flavour) {
    case Flavour::postgresql:
        return ask_one(connection, "select pg_cancel_backend(?::int4) as c", {session}, cancel)
            .boolean("c");
    case Flavour::sqlite:
        throw Error("db.unsupported", connection.url().masked() + ": SQLite has no sessions");
    default:
        try {
            tell(connection, fmt::format("kill query {}", session), cancel);
            return true;
        } catch (const Error& error) {
            if (error.message().ends_with("(1094)")) // no such session
                return false;
            throw;
        }
    }
}

} // namespace runbook::db
