// PostgreSQL: pg_dump's custom format in a snapshot that the counts share, pg_restore.
// The password goes through PGPASSWORD in the child's environment alone (libpq manual, "Environment
// Variables").
#include "runtime/backup/engine.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

namespace runbook::backup {
namespace {

/// Ordinary and partitioned tables, a partition's rows with its parent; neither catalogs nor what
/// an extension owns, whose rows pg_dump leaves to the extension.
constexpr const char* table_query = R"(
select n.nspname as schema, c.relname as name, c.relkind::text as kind, c.relispartition as partition
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1, 2)";

Counts count_in(db::Connection& connection) {
    Counts counts;
    for (const Map& table : db::fetch_all(connection, table_query)) {
        if (table.boolean("partition"))
            continue;
        std::string schema = table.text("schema"), name = table.text("name");
        // Without the rows of what inherits from it; a partitioned table has only those.
        const char* from =
            table.text("kind") == "r" ? "select count(*) from only " : "select count(*) from ";
        Value rows = db::fetch_value(connection, from + connection.quote_name(schema) + "." +
                                                     connection.quote_name(name));
        counts[schema == "public" ? name : schema + "." + name] = *rows.get<std::int64_t>();
    }
    return counts;
}

void connect_by_environment(process::Command& command, const db::Url& url,
                            const std::string& database) {
    auto set = [&](const char* name, const std::string& text) {
        if (!text.empty())
            command.env.emplace_back(name, text);
    };
    auto option = [&](const char* name, const char* key) {
        if (auto found = url.options.find(key); found != url.options.end())
            set(name, found->second);
    };
    for (const char* name : {"PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGHOSTADDR"})
        command.env.emplace_back(name, Null{}); // would redirect the tool past the URL
    set("PGHOST", url.host);
    option("PGHOST", "socket");
    set("PGPORT", url.port ? std::to_string(url.port) : "");
    set("PGUSER", url.user);
    set("PGDATABASE", database);
    set("PGAPPNAME", "runbook backup");
    option("PGSSLMODE", "sslmode");
    option("PGSSLROOTCERT", "sslrootcert");
    option("PGSSLCERT", "sslcert");
    option("PGSSLKEY", "sslkey");
    option("PGCONNECT_TIMEOUT", "connect_timeout");
    if (url.password)
        command.env.emplace_back("PGPASSWORD", url.password);
}

/// "pg_dump (PostgreSQL) 15.20 (Debian …)" → 15.
int major_of(const std::string& version) {
    std::size_t at = version.find(") ");
    return at == std::string::npos ? 0 : std::atoi(version.c_str() + at + 2);
}

class Postgresql final : public Engine {
  public:
    const char* ending() const override { return ".dump"; }

    Dumped dump(const db::Url& source, const std::string& file, const Options& options,
                Cancel& cancel) override {
        auto connection = open(source, db::Access::read, cancel);
        const db::ServerInfo& server = connection->server();
        std::string tool = find_tool(options.tool, "RUNBOOK_PG_DUMP", "pg_dump",
                                     fmt::format("postgresql-client-{}", server.major));
        std::string version = tool_version(tool, cancel);
        if (version.find("PostgreSQL") == std::string::npos)
            throw Error("backup.tool",
                        fmt::format("{} is not PostgreSQL's pg_dump: {}", tool, version));
        if (major_of(version) < server.major)
            throw Error(
                "backup.tool",
                fmt::format("pg_dump of version {} cannot dump PostgreSQL {}", major_of(version),
                            server.version),
                fmt::format("install postgresql-client-{}, or set RUNBOOK_PG_DUMP or the option "
                            "tool",
                            server.major));
        connection->begin(cancel);
        connection->script("set transaction isolation level repeatable read", cancel);
        connection->script("set local row_security = off", cancel); // an error, not fewer rows
        std::string snapshot =
            *db::fetch_value(*connection, "select pg_export_snapshot()").get<std::string>();

        process::Command command;
        command.argv = {tool,        "--format=custom",        "--no-password",
                        "--verbose", "--snapshot=" + snapshot, "--file",
                        file};
        command.reads = true;
        command.tick = size_reporter(options.progress, file);
        connect_by_environment(command, source, source.name);
        run_tool(command, "pg_dump of", source, cancel);

        Dumped dumped;
        dumped.engine = "PostgreSQL";
        dumped.server_version = server.version;
        dumped.tool = version;
        dumped.counts = count_in(*connection);
        connection->rollback(cancel);
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        std::string tool = find_tool("", "RUNBOOK_PG_RESTORE", "pg_restore", "postgresql-client");
        process::Command command;
        command.argv = {tool, "--list", file};
        command.reads = true;
        command.keep_bytes = 256 << 20;
        std::int64_t in_list = 0;
        std::string list = run_reading(command, file, cancel).out;
        for (const auto& line :
             text::split(list, '\n')) { // "217; 1259 16385 TABLE public operators owner"
            auto words = text::split(line, ' ');
            in_list += words.size() > 5 && words[3] == "TABLE" && words[4] != "DATA" &&
                       words[4] != "ATTACH";
        }
        if (in_list < static_cast<std::int64_t>(counts.size()))
            throw Error("backup.unverified",
                        fmt::format("{}: its table of contents names {} of {} tables", file,
                                    in_list, counts.size()));
        command.argv = {tool, "--file=/dev/null", file}; // --list reads the head only
        command.keep_bytes = 1 << 16;
        run_reading(command, file, cancel);
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel) override {
        std::string tool =
            find_tool(options.tool, "RUNBOOK_PG_RESTORE", "pg_restore", "postgresql-client");
        process::Command command;
        command.argv = {tool, "--exit-on-error", "--no-password", "--no-owner"};
        // What is dropped loses its grants; elsewhere the roles of the dump need not be there.
        if (!options.replace || !options.privileges)
            command.argv.emplace_back("--no-privileges");
        if (options.replace)
            command.argv.insert(command.argv.end(),
                                {"--clean", "--if-exists", "--single-transaction"});
        // The name goes through PGDATABASE: a dbname argument may be a connection string.
        command.argv.insert(command.argv.end(), {"--dbname=", file});
        connect_by_environment(command, target, target.name);
        command.sink = options.progress;
        run_tool(command, "pg_restore into", target, cancel);
    }

    db::Url make_scratch(const db::Url& scratch, Cancel& cancel) override {
        db::Url made = scratch;
        made.name = scratch_name();
        auto connection = open(scratch, db::Access::write, cancel);
        connection->execute("create database " + connection->quote_name(made.name) +
                                " template template0",
                            {}, {}, cancel);
        return made;
    }

    void drop_scratch(const db::Url& made, const db::Url& scratch) override {
        Cancel cancel; // also after a cancel
        auto connection = open(scratch, db::Access::write, cancel);
        const std::string drop = "drop database if exists " + connection->quote_name(made.name);
        connection->execute(connection->server().major >= 13 ? drop + " with (force)" : drop, {},
                            {}, cancel);
    }

    Counts count(const db::Url& target, Cancel& cancel) override {
        return count_in(*open(target, db::Access::read, cancel));
    }

  private:
    static process::Result run_reading(const process::Command& command, const std::string& file,
                                       Cancel& cancel) {
        try {
            return process::run(command, cancel);
        } catch (const Error& error) {
            if (error.kind() != "shell.exit" && error.kind() != "shell.signal")
                throw;
            const std::string& why = error.message();
            std::size_t at = why.find("pg_restore: ");
            throw Error("backup.unverified",
                        fmt::format("{} cannot be read: {}", file,
                                    at == std::string::npos ? why : why.substr(at)));
        }
    }
};

} // namespace

std::unique_ptr<Engine> postgresql() {
    return std::make_unique<Postgresql>();
}

} // namespace runbook::backup
