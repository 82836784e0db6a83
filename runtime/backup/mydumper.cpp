// MySQL and MariaDB in parallel: mydumper writes tables and rows, myloader reads them. What
// mydumper 0.10 (Debian 12) loses without a word, found by dumping and restoring it, is taken by
// the server's own dump tool instead (views, triggers, routines, events: mydumper drops the
// sql_mode that they were made under, and writes routines of MySQL 8 that do not load) or refused
// before anything runs.
#include "runtime/backup/dump_scan.h"
#include "runtime/backup/files.h"
#include "runtime/backup/mysql_client.h"
#include "runtime/backup/tree.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

/// Below the dump's folder, where myloader does not look.
constexpr const char* objects_file = "objects/objects.sql";
constexpr const char* views_file = "objects/views.sql";

/// What would be lost or not restore, a sentence each.
std::vector<std::string> refusals(db::Connection& connection, const std::string& database) {
    std::vector<std::string> found;
    for (const Map& row : db::fetch_all(connection, R"(
select concat(table_name, '.', column_name) as name from information_schema.columns
where table_schema = database() and extra like '%INVISIBLE%')"))
        found.push_back(row.text("name") + " is an invisible column: its values would be lost");
    for (const Map& row : db::fetch_all(connection, R"(
select table_name as name, table_type as type from information_schema.tables where table_schema = database())")) {
        const std::string name = row.text("name"), type = row.text("type");
        if (type == "SEQUENCE")
            found.push_back(name + " is a sequence: where it stands would be lost");
        else if (type == "SYSTEM VERSIONED")
            found.push_back(name + " is system-versioned: its history would be lost");
        else if (name.find_first_of("/`.") != std::string::npos ||
                 name.find("-schema") != std::string::npos)
            found.push_back(name +
                            ": a name that does not come back (it holds /, `, . or -schema)");
    }
    for (const Map& row : db::fetch_all(connection, R"(
select concat(table_name, '.', column_name) as name from information_schema.columns
where table_schema = database() and column_name like '%`%')"))
        found.push_back(row.text("name") + ": a name that holds ` is not quoted");
    if (database.find_first_of("/`.") != std::string::npos)
        found.push_back(database + ": a database name that holds /, ` or . does not come back");
    return found;
}

/// It writes its messages to standard output, and exits 0 after some that are critical.
process::Result run_dumper(process::Command command, const std::string& what, const db::Url& url,
                           Cancel& cancel) {
    command.expected = {};
    process::Result result = process::run(command, cancel);
    std::string complaint;
    for (const std::string& line : text::split(result.out + result.err, '\n'))
        for (const char* sign : {"CRITICAL **", "WARNING **", "ERROR **"})
            if (complaint.empty() && line.find(sign) != std::string::npos &&
                line.find("trx_consistency_only") == std::string::npos) // its own remark on it
                complaint = text::trim(line.substr(line.find(sign) + std::string(sign).size()));
    if (result.exit == 0 && complaint.empty())
        return result;
    while (complaint.starts_with(':') || complaint.starts_with(' '))
        complaint.erase(0, 1);
    if (const std::size_t at = complaint.find(": ");
        at < 14 && complaint.find_first_not_of("0123456789:.") >= at)
        complaint.erase(0, at + 2); // the time
    const bool denied = complaint.find("Access denied for user") != std::string::npos;
    const bool away = complaint.find("Can't connect") != std::string::npos;
    if (complaint.empty())
        complaint = fmt::format("it ended with {} and said nothing", result.exit);
    throw Error(denied ? "db.auth"
                : away ? "db.connection"
                       : "backup.tool",
                fmt::format("{} {}: {}", what, url.masked(), redact(complaint)));
}

process::Command dumper(const std::string& tool, const db::Url& url, int jobs) {
    process::Command command = mysql_client::command(tool, url, false);
    // It knows no --defaults-extra-file: without a password in the URL there is none.
    command.argv = {tool, "--defaults-file=/dev/fd/3", "--database=" + url.name,
                    fmt::format("--threads={}", std::max(jobs, 1)), "--verbose=2"};
    return command;
}

class Mydumper final : public mysql_client::Common {
  public:
    const char* ending() const override { return ".mydumper"; }
    bool folder() const override { return true; }

    Dumped dump(const db::Url& source, const std::string& file, const Options& options,
                Cancel& cancel) override {
        const std::string tool =
            find_tool(options.tool, "RUNBOOK_MYDUMPER", "mydumper", "mydumper");
        auto connection = open(source, db::Access::read, cancel);
        const db::ServerInfo server = connection->server();
        const mysql_client::Tool own = mysql_client::dump_tool(server, {}, cancel);
        if (std::vector<std::string> found = refusals(*connection, source.name); !found.empty()) {
            const std::size_t more = found.size() > 5 ? found.size() - 5 : 0;
            found.resize(found.size() - more);
            throw Error("backup.tool",
                        fmt::format("mydumper cannot keep all of {}: {}{}", source.masked(),
                                    text::join(found, "; "),
                                    more ? fmt::format("; and {} more", more) : ""),
                        "leave out format = \"mydumper\" (--format): the server's own tool keeps "
                        "them");
        }
        Dumped dumped;
        dumped.engine = db::flavour_name(server.flavour);
        dumped.server_version = server.version;
        dumped.tool = tool_version(tool, cancel);
        dumped.objects = mysql_client::objects_in(*connection);
        dumped.inexact = mysql_client::rounded_floats(*connection, cancel);
        dumped.position = mysql_client::position_of(*connection);
        const Counts tables = tables_of(*connection);

        process::Command command = dumper(tool, source, options.jobs);
        command.argv.insert(command.argv.end(),
                            {"--outputdir=" + file, "--no-views", "--trx-consistency-only"});
        command.reads = true;
        run_dumper(command, "mydumper of", source, cancel);
        dump_objects(own, server, source, file, dumped.objects, cancel);
        if (!fs::exists(file + "/metadata"))
            throw Error("backup.unverified",
                        fmt::format("{}: mydumper did not write its metadata", file));
        dumped.counts = scan_folder(file, cancel);
        for (const auto& [table, rows] : tables)
            if (!dumped.counts.contains(table))
                throw Error("backup.unverified",
                            fmt::format("{}: mydumper left out the table {} and did not say so",
                                        file, table));
        read_objects(file, cancel);
        dumped.read = true;
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        if (scan_folder(file, cancel) != counts)
            throw Error("backup.unverified",
                        fmt::format("{}: its rows are not those of its manifest", file));
        read_objects(file, cancel);
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 const Objects&, Cancel& cancel) override {
        const std::string tool =
            find_tool(options.tool, "RUNBOOK_MYLOADER", "myloader", "mydumper");
        RestoreOptions others = options;
        others.tool.clear(); // names myloader
        const TemporaryFolder part;
        process::Command command = dumper(tool, target, options.jobs);
        command.argv.push_back(
            "--directory=" +
            (options.tables.empty() ? file : link_tables(file, options.tables, part.path())));
        if (options.replace)
            command.argv.emplace_back("--overwrite-tables");
        if (open(target, db::Access::read, cancel)->server().flavour == db::Flavour::mysql)
            command.argv.emplace_back(
                "--enable-binlog"); // else it needs a privilege to switch it off
        run_dumper(command, "myloader into", target, cancel);
        if (!options.tables.empty())
            return;
        mysql_client::load(file + "/" + objects_file, target, others, cancel);
        if (fs::exists(file + "/" + views_file))
            mysql_client::load(file + "/" + views_file, target, others, cancel);
    }

  private:
    static void read_objects(const std::string& file, Cancel& cancel) {
        scan_dump(file + "/" + objects_file, cancel);
        if (fs::exists(file + "/" + views_file))
            scan_dump(file + "/" + views_file, cancel);
    }

    static Counts tables_of(db::Connection& connection) {
        Counts tables;
        for (const Map& row :
             db::fetch_all(connection, "select table_name as name from "
                                       "information_schema.tables where table_schema = "
                                       "database() and table_type = 'BASE TABLE'"))
            tables[row.text("name")] = 0;
        return tables;
    }

    /// Triggers, routines and events, then views, which may call a function.
    static void dump_objects(const mysql_client::Tool& own, const db::ServerInfo& server,
                             const db::Url& source, const std::string& file, const Objects& objects,
                             Cancel& cancel) {
        files::mkdir(file + "/objects");
        const std::string what = own.oracle ? "mysqldump of" : "mariadb-dump of";
        run_tool(mysql_client::dump_command(own, server, source, file + "/" + objects_file,
                                            {"--no-data", "--no-create-info", "--routines",
                                             "--triggers", "--events", "--", source.name}),
                 what, source, cancel);
        std::vector<std::string> views = {"--no-data", "--skip-triggers", "--", source.name};
        const std::size_t none = views.size();
        for (const auto& [name, note] : objects)
            if (name.starts_with("view "))
                views.push_back(name.substr(5));
        if (views.size() > none)
            run_tool(
                mysql_client::dump_command(own, server, source, file + "/" + views_file, views),
                what, source, cancel);
    }

    /// A folder that holds these tables of the dump only.
    static std::string link_tables(const std::string& file, const std::vector<std::string>& tables,
                                   const std::string& folder) {
        fs::create_symlink(file + "/metadata", folder + "/metadata");
        std::vector<std::string> missing = tables;
        for (const std::string& name : tree_files(file)) {
            const std::size_t dot =
                name.find('.'); // DATABASE.TABLE-schema.sql, DATABASE.TABLE.00001.sql
            if (dot == std::string::npos || name.find('/') != std::string::npos)
                continue;
            for (const std::string& table : tables)
                if (const std::string rest = name.substr(dot + 1);
                    rest.starts_with(table + "-schema.") || rest.starts_with(table + ".")) {
                    fs::create_symlink(file + "/" + name, folder + "/" + name);
                    std::erase(missing, table);
                }
        }
        if (!missing.empty())
            throw Error("backup.unverified",
                        fmt::format("{}: no table {} in it", file, missing.front()));
        return folder;
    }
};

} // namespace

std::unique_ptr<Engine> mydumper() {
    return std::make_unique<Mydumper>();
}

} // namespace runbook::backup
