// PostgreSQL: pg_dump's custom or directory format in a snapshot that the counts share, pg_restore.
// The password goes through PGPASSWORD in the child's environment alone (libpq manual, "Environment
// Variables").
#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/backup/follower.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <future>
#include <optional>
#include <set>
#include <sys/socket.h>
#include <unistd.h>

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

Counts count_in(db::Connection& connection, Cancel& cancel) {
    Counts counts;
    for (const Map& table : db::fetch_all(connection, table_query)) {
        if (table.boolean("partition"))
            continue;
        std::string schema = table.text("schema"), name = table.text("name");
        // Without the rows of what inherits from it; a partitioned table has only those.
        const char* from =
            table.text("kind") == "r" ? "select count(*) from only " : "select count(*) from ";
        Value rows =
            ask(connection,
                from + connection.quote_name(schema) + "." + connection.quote_name(name), cancel);
        counts[schema == "public" ? name : schema + "." + name] = *rows.get<std::int64_t>();
    }
    return counts;
}

/// What a dump holds besides tables and rows, without what belongs to an extension; the note tells
/// the table of an index or sequence. An index that is not valid is in no dump.
constexpr const char* object_query = R"(
with named as (
  select c.oid, c.relname, c.relkind, case n.nspname when 'public' then '' else n.nspname || '.' end as prefix
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relpersistence <> 't'
    and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
select case relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'f' then 'foreign table ' end || prefix || relname as name,
       '' as note from named where relkind in ('v', 'm', 'f')
union all
select 'index ' || i.prefix || i.relname, t.prefix || t.relname
from pg_catalog.pg_index x join named i on i.oid = x.indexrelid join named t on t.oid = x.indrelid where x.indisvalid
union all
select 'sequence ' || s.prefix || s.relname, coalesce(t.prefix || t.relname, '')
from named s left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
  and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i') left join named t on t.oid = d.refobjid
where s.relkind = 'S'
union all
select 'constraint ' || t.prefix || t.relname || '.' || c.conname, t.prefix || t.relname
from pg_catalog.pg_constraint c join named t on t.oid = c.conrelid
where c.contype <> 't' and t.relkind in ('r', 'p', 'f') and c.conparentid = 0
union all
select 'trigger ' || t.prefix || t.relname || '.' || g.tgname, t.prefix || t.relname
from pg_catalog.pg_trigger g join named t on t.oid = g.tgrelid where not g.tgisinternal
union all
select 'policy ' || t.prefix || t.relname || '.' || p.polname, t.prefix || t.relname
from pg_catalog.pg_policy p join named t on t.oid = p.polrelid
union all
select 'function ' || case n.nspname when 'public' then '' else n.nspname || '.' end || p.proname || '('
       || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', ''
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
union all
select 'type ' || case n.nspname when 'public' then '' else n.nspname || '.' end || t.typname, ''
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typtype in ('e', 'd') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'))";

Objects objects_in(db::Connection& connection) {
    Objects objects;
    for (const Map& row : db::fetch_all(connection, object_query))
        objects[row.text("name")] = row.text("note");
    return objects;
}

/// Asked before the snapshot is taken. A standby replays; it does not write.
std::string position_of(db::Connection& connection) {
    const Value at =
        db::fetch_value(connection, "select case when pg_catalog.pg_is_in_recovery() then "
                                    "pg_catalog.pg_last_wal_replay_lsn() else "
                                    "pg_catalog.pg_current_wal_lsn() end::text");
    const auto* text = at.get<std::string>();
    return text ? "lsn " + *text : "";
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
    explicit Postgresql(bool directory) : directory_(directory) {}
    const char* ending() const override { return directory_ ? ".pgdir" : ".dump"; }
    bool folder() const override { return directory_; }
    db::Engine engine() const override { return db::Engine::postgresql; }

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
        Dumped dumped;
        dumped.position = position_of(*connection);
        connection->begin(cancel);
        connection->script("set transaction isolation level repeatable read", cancel);
        connection->script("set local row_security = off", cancel); // an error, not fewer rows
        std::string snapshot =
            *db::fetch_value(*connection, "select pg_export_snapshot()").get<std::string>();

        process::Command command;
        command.argv = {tool,
                        directory_ ? "--format=directory" : "--format=custom",
                        "--no-password",
                        "--verbose",
                        "--snapshot=" + snapshot,
                        "--file",
                        file};
        if (directory_)
            command.argv.push_back(fmt::format("--jobs={}", std::max(options.jobs, 1)));
        command.reads = true;
        command.tick = size_reporter(options.progress, file);
        connect_by_environment(command, source, source.name);
        dumped.engine = "PostgreSQL";
        dumped.server_version = server.version;
        dumped.tool = version;
        // The snapshot's rows are counted while it is dumped; a dump that fails ends the counting.
        // A count that fails ends only what is behind the savepoint: the snapshot lives on.
        connection->script("savepoint counting", cancel);
        Cancel counting;
        const Cancel::Hook both(cancel, [&] { counting.request(Cancel::Reason::cancelled); });
        auto counted = std::async(std::launch::async, [&] {
            dumped.objects = objects_in(*connection);
            dumped.counts = count_in(*connection, counting);
        });
        ReadBack reading(directory_ ? std::string() : file, counting);
        try {
            run_tool(command, "pg_dump of", source, cancel);
        } catch (...) {
            counting.request(Cancel::Reason::cancelled);
            counted.wait();
            throw;
        }
        dumped.read = reading.finish();
        counted.get();
        connection->rollback(cancel);
        if (dumped.read)
            read_contents(file, dumped.counts, cancel);
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        read_contents(file, counts, cancel);
        process::Command command; // --list reads the head only
        command.argv = {find_restore(), "--file=/dev/null", file};
        command.reads = true;
        command.keep_bytes = 1 << 16;
        run_reading(command, file, cancel);
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 const Objects& objects, Cancel& cancel) override {
        std::string tool =
            find_tool(options.tool, "RUNBOOK_PG_RESTORE", "pg_restore", "postgresql-client");
        const TemporaryFolder folder;
        process::Command command;
        command.argv = {tool, "--exit-on-error", "--no-password", "--no-owner"};
        // What is dropped loses its grants; elsewhere the roles of the dump need not be there.
        if (!options.replace || !options.privileges)
            command.argv.emplace_back("--no-privileges");
        if (options.replace)
            command.argv.insert(command.argv.end(),
                                {"--clean", "--if-exists", "--single-transaction"});
        else if (options.jobs > 1)
            command.argv.push_back(fmt::format("--jobs={}", options.jobs));
        if (!options.tables.empty()) {
            const std::string list = folder.path() + "/list";
            files::write(list, entries_of(tool, file, options, objects, cancel), 0600);
            command.argv.push_back("--use-list=" + list);
        }
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
        return count_in(*open(target, db::Access::read, cancel), cancel);
    }
    Objects objects(const db::Url& target, Cancel& cancel) override {
        return objects_in(*open(target, db::Access::read, cancel));
    }

  private:
    bool directory_;

    static std::string find_restore() {
        return find_tool("", "RUNBOOK_PG_RESTORE", "pg_restore", "postgresql-client");
    }

    /// The table of contents names every table.
    static void read_contents(const std::string& file, const Counts& counts, Cancel& cancel) {
        process::Command command;
        command.argv = {find_restore(), "--list", file};
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
    }

    /// pg_restore reads the dump while pg_dump writes it: the data from front to back, as from a
    /// pipe. At its end pg_dump fills in where each table begins, which only the head holds and
    /// --list reads.
    class ReadBack {
      public:
        ReadBack(const std::string& file, Cancel& cancel) {
            if (file.empty())
                return;
            process::Command command;
            command.argv = {find_restore(), "--file=/dev/null"};
            command.reads = true;
            command.keep_bytes = 1 << 16;
            int ends[2];
            if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
                throw Error("internal", "socketpair failed");
            command.input_fd = ends[0];
            to_ = ends[1];
            restored_ = std::async(std::launch::async, [command, file, &cancel] {
                run_reading(command, file, cancel);
            });
            follower_.emplace(file, [this](std::string_view data) {
                while (!data.empty()) { // a reader that has ended says why itself
                    const ssize_t sent = ::send(to_, data.data(), data.size(), MSG_NOSIGNAL);
                    if (sent <= 0)
                        return;
                    data.remove_prefix(static_cast<std::size_t>(sent));
                }
            });
        }
        ~ReadBack() { close(); }
        ReadBack(const ReadBack&) = delete;
        ReadBack& operator=(const ReadBack&) = delete;

        /// pg_dump has ended. False where the dump has still to be read.
        bool finish() {
            if (!follower_ || !follower_->finish() || follower_->taken() == 0)
                return false;
            ::shutdown(to_, SHUT_WR);
            restored_.get();
            return true;
        }

      private:
        void close() {
            if (to_ >= 0)
                ::shutdown(to_, SHUT_RDWR); // ends a send that waits, and the reader
            follower_.reset();
            if (restored_.valid())
                restored_.wait();
            if (to_ >= 0)
                ::close(to_);
            to_ = -1;
        }

        int to_ = -1;
        std::optional<Follower> follower_;
        std::future<void> restored_;
    };

    /// The lines of the table of contents that make up these tables: structure, rows, sequences,
    /// indexes, constraints. Foreign keys, triggers and rules come only where the table is
    /// replaced: a spare database has nothing that they could lean on.
    static std::string entries_of(const std::string& tool, const std::string& file,
                                  const RestoreOptions& options, const Objects& objects,
                                  Cancel& cancel) {
        process::Command command;
        command.argv = {tool, "--list", file};
        command.reads = true;
        command.keep_bytes = 256 << 20;
        const auto lines = text::split(run_reading(command, file, cancel).out, '\n');
        std::set<std::string> starts; // "TABLE public people ": type, schema, name
        std::set<std::string> found;
        auto tag = [](const std::string& name) { // "other schema.t" → "other schema t"
            const std::size_t dot = name.find('.');
            return dot == std::string::npos ? "public " + name
                                            : name.substr(0, dot) + " " + name.substr(dot + 1);
        };
        for (const std::string& table : options.tables) {
            for (const char* type : {"TABLE ", "TABLE DATA ", "DEFAULT ", "CONSTRAINT "})
                starts.insert(type + tag(table) + " ");
            if (options.replace)
                for (const char* type :
                     {"FK CONSTRAINT ", "TRIGGER ", "RULE ", "POLICY ", "ROW SECURITY ", "ACL "})
                    starts.insert(type + tag(table) + " ");
            for (const auto& [name, note] : objects) {
                if (note != table)
                    continue;
                if (name.starts_with("index "))
                    starts.insert("INDEX " + tag(name.substr(6)) + " ");
                if (name.starts_with("sequence "))
                    for (const char* type : {"SEQUENCE ", "SEQUENCE SET ", "SEQUENCE OWNED BY "})
                        starts.insert(type + tag(name.substr(9)) + " ");
            }
        }
        std::string wanted;
        for (const std::string& line : lines) { // "217; 1259 16385 TABLE public people owner"
            std::size_t at = line.find("; ");
            for (int skip = 0; skip < 2 && at != std::string::npos; ++skip)
                at = line.find(' ', at + (skip ? 1 : 2));
            if (at == std::string::npos || line.starts_with(';'))
                continue;
            const std::string entry = line.substr(at + 1) + " ";
            for (const std::string& start : starts)
                if (entry.starts_with(start)) {
                    wanted += line + "\n";
                    found.insert(start);
                    break;
                }
        }
        for (const std::string& table : options.tables)
            if (!found.contains("TABLE " + tag(table) + " "))
                throw Error("backup.unverified", fmt::format("{}: no table {} in it", file, table),
                            "runbook backup verify names its tables with --output json");
        return wanted;
    }

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
    return std::make_unique<Postgresql>(false);
}

std::unique_ptr<Engine> postgresql_directory() {
    return std::make_unique<Postgresql>(true);
}

} // namespace runbook::backup
