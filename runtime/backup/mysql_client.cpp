#include "runtime/backup/mysql_client.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"

#include <fmt/format.h>

namespace runbook::backup::mysql_client {
namespace {

void check_fits(const std::string& tool, const std::string& version, bool oracle) {
    const bool mariadb_tool = version.find("MariaDB") != std::string::npos;
    if (oracle && mariadb_tool)
        throw Error(
            "backup.tool",
            fmt::format("{} is MariaDB's: its dump of a MySQL server does not restore", tool),
            "it writes values for generated columns and exits 0; install Oracle's MySQL client "
            "and set RUNBOOK_MYSQLDUMP or the option tool to its mysqldump");
    if (!oracle && !mariadb_tool)
        throw Error("backup.tool", fmt::format("{} is Oracle's: it does not dump MariaDB", tool),
                    "install mariadb-client, or set RUNBOOK_MARIADB_DUMP or the option tool");
}

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '\\' || c == '"')
            out += '\\';
        out += c;
    }
    return out + "\"";
}

std::string option(const db::Url& url, const char* key) {
    auto found = url.options.find(key);
    return found == url.options.end() ? std::string() : found->second;
}

void put_tls(std::string& text, const db::Url& url, bool oracle) {
    const std::string mode = option(url, "sslmode");
    if (oracle) {
        if (mode == "disable")
            text += "ssl-mode=DISABLED\n";
        else if (mode == "require")
            text += "ssl-mode=REQUIRED\n";
        else if (mode == "verify-ca")
            text += "ssl-mode=VERIFY_CA\n";
        else if (mode == "verify-full")
            text += "ssl-mode=VERIFY_IDENTITY\n";
    } else if (mode == "disable") {
        text += "skip-ssl\n";
    } else if (mode.starts_with("verify-")) {
        text += "ssl\nssl-verify-server-cert\n";
    } else if (mode == "require") {
        text += "ssl\n";
    }
    if (mode == "disable")
        return;
    for (auto [name, key] :
         {std::pair{"ssl-ca", "sslrootcert"}, {"ssl-cert", "sslcert"}, {"ssl-key", "sslkey"}})
        if (std::string path = option(url, key); !path.empty())
            text += fmt::format("{}={}\n", name, quoted(path));
}

/// The option file with everything that the URL says.
Value option_file(const db::Url& url, bool oracle) {
    std::string text = "[client]\n";
    if (!url.user.empty())
        text += "user=" + quoted(url.user) + "\n";
    if (url.password)
        text += "password=" + quoted(url.password->reveal()) + "\n";
    if (std::string socket = option(url, "socket"); !socket.empty()) {
        text += "socket=" + quoted(socket) + "\n";
    } else if (!url.host.empty()) {
        text += "host=" + quoted(url.host) + "\nprotocol=TCP\n";
        if (url.port)
            text += fmt::format("port={}\n", url.port);
    }
    put_tls(text, url, oracle);
    return text;
}

} // namespace

process::Command command(const std::string& tool, const db::Url& url, bool oracle) {
    process::Command made;
    made.argv = {tool,
                 url.password ? "--defaults-file=/dev/fd/3" : "--defaults-extra-file=/dev/fd/3"};
    made.secret_file = option_file(url, oracle);
    made.env = {{"MYSQL_PWD", Null{}}, {"MYSQL_TEST_LOGIN_FILE", "/dev/null"}};
    return made;
}

Tool dump_tool(const db::ServerInfo& server, const std::string& given, Cancel& cancel) {
    Tool tool;
    tool.oracle = server.flavour == db::Flavour::mysql;
    tool.path = tool.oracle
                    ? find_tool(given, "RUNBOOK_MYSQLDUMP", "mysqldump", "Oracle's MySQL client")
                    : find_tool(given, "RUNBOOK_MARIADB_DUMP", "mariadb-dump", "mariadb-client");
    tool.version = tool_version(tool.path, cancel);
    check_fits(tool.path, tool.version, tool.oracle);
    return tool;
}

process::Command dump_command(const Tool& tool, const db::ServerInfo& server, const db::Url& source,
                              const std::string& file, std::vector<std::string> more) {
    process::Command made = command(tool.path, source, tool.oracle);
    auto add = [&](std::initializer_list<const char*> words) {
        made.argv.insert(made.argv.end(), words.begin(), words.end());
    };
    add({"--single-transaction", "--quick", "--hex-blob", "--no-tablespaces",
         "--default-character-set=utf8mb4"});
    if (tool.oracle) // policies need a privilege of their own, and are the server's, not the
                     // schema's
        add({"--set-gtid-purged=OFF", "--loose-skip-masking-policies"});
    if (tool.oracle && server.major < 8)
        add({"--column-statistics=0"});
    if (!file.empty())
        made.argv.push_back("--result-file=" + file);
    made.argv.insert(made.argv.end(), more.begin(), more.end());
    made.reads = true;
    return made;
}

void load(const std::string& file, const db::Url& target, const RestoreOptions& options,
          Cancel& cancel) {
    const bool oracle =
        open(target, db::Access::read, cancel)->server().flavour == db::Flavour::mysql;
    std::string tool =
        oracle ? find_tool(options.tool, "RUNBOOK_MYSQL", "mysql", "Oracle's MySQL client")
               : find_tool(options.tool, "RUNBOOK_MARIADB", "mariadb", "mariadb-client");
    bool oracle_tool = tool_version(tool, cancel).find("MariaDB") == std::string::npos;
    process::Command made = command(tool, target, oracle_tool);
    made.argv.insert(made.argv.end(),
                     {"--default-character-set=utf8mb4", "--max-allowed-packet=1073741824",
                      "--database=" + target.name});
    made.input_file = file;
    made.sink = options.progress;
    run_tool(made, "restore into", target, cancel);
}

db::Url Common::make_scratch(const db::Url& scratch, Cancel& cancel) {
    db::Url made = scratch;
    made.name = scratch_name();
    auto connection = open(scratch, db::Access::write, cancel);
    connection->execute("create database " + connection->quote_name(made.name) +
                            " character set utf8mb4",
                        {}, {}, cancel);
    return made;
}

void Common::drop_scratch(const db::Url& made, const db::Url& scratch) {
    Cancel cancel; // also after a cancel
    auto connection = open(scratch, db::Access::write, cancel);
    connection->execute("drop database if exists " + connection->quote_name(made.name), {}, {},
                        cancel);
}

Counts Common::count(const db::Url& target, Cancel& cancel) {
    auto connection = open(target, db::Access::read, cancel);
    Counts counts;
    for (const Map& table : db::fetch_all(
             *connection,
             "select table_name as name from information_schema.tables where table_schema = "
             "database() and table_type in ('BASE TABLE', 'SYSTEM VERSIONED')")) {
        std::string name = table.text("name");
        Value rows =
            ask(*connection, "select count(*) from " + connection->quote_name(name), cancel);
        counts[name] = *rows.get<std::int64_t>();
    }
    return counts;
}

Objects Common::objects(const db::Url& target, Cancel& cancel) {
    return objects_in(*open(target, db::Access::read, cancel));
}

Objects objects_in(db::Connection& connection) {
    // A mode that only reading a dump needs is not one of the routine's own.
    Objects objects;
    for (const Map& row : db::fetch_all(connection, R"(
select concat('view ', table_name) as name, '' as note from information_schema.views where table_schema = database()
union all select concat('trigger ', trigger_name), sql_mode from information_schema.triggers where trigger_schema = database()
union all select concat(lower(routine_type), ' ', routine_name), sql_mode from information_schema.routines where routine_schema = database()
union all select concat('event ', event_name), sql_mode from information_schema.events where event_schema = database()
union all select concat('sequence ', table_name), '' from information_schema.tables where table_schema = database() and table_type = 'SEQUENCE'
union all select distinct concat('index ', table_name, '.', index_name), table_name from information_schema.statistics where table_schema = database()
union all select concat('foreign key ', table_name, '.', constraint_name), table_name from information_schema.table_constraints
  where table_schema = database() and constraint_type = 'FOREIGN KEY'
union all select concat('generated column ', table_name, '.', column_name), table_name from information_schema.columns
  where table_schema = database() and generation_expression <> '')"))
        objects[row.text("name")] = row.text("note");
    return objects;
}

std::string position_of(db::Connection& connection) {
    const bool mariadb = connection.server().flavour == db::Flavour::mariadb;
    try { // needs no privilege
        const Value gtid = db::fetch_value(connection, mariadb ? "select @@global.gtid_binlog_pos"
                                                               : "select @@global.gtid_executed");
        if (const auto* text = gtid.get<std::string>(); text && !text->empty())
            return "gtid " + *text;
    } catch (const Error&) { // an older server
    }
    for (const char* ask : {"show binary log status", "show master status"})
        try {
            for (const Map& row : db::fetch_all(connection, ask))
                return fmt::format("{}:{}", row.text("File"), row.integer("Position"));
        } catch (const Error&) { // not permitted, or the other server's word for it
        }
    return {};
}

std::vector<std::string> rounded_floats(db::Connection& connection, Cancel& cancel) {
    std::vector<std::string> found;
    for (const Map& column : db::fetch_all(connection, R"(
select c.table_name as t, c.column_name as c from information_schema.columns c join information_schema.tables t
  on t.table_schema = c.table_schema and t.table_name = c.table_name
where c.table_schema = database() and c.data_type = 'float' and t.table_type in ('BASE TABLE', 'SYSTEM VERSIONED'))")) {
        const std::string name = connection.quote_name(column.text("c"));
        // What is printed with six digits and read again is the value again where it is off by
        // less than half of the value's 24th bit.
        const Value counted =
            ask(connection,
                fmt::format("select count(*) from {} where abs({} - cast({} as char)) > "
                            "pow(2, floor(log2(abs({} + 0e0))) - 24)",
                            connection.quote_name(column.text("t")), name, name, name),
                cancel);
        if (const auto rows = *counted.get<std::int64_t>(); rows > 0)
            found.push_back(fmt::format(
                "{}.{}: {} value{} of type FLOAT {} rounded to six digits, as every dump of this "
                "server does; DOUBLE keeps them",
                column.text("t"), column.text("c"), rows, rows == 1 ? "" : "s",
                rows == 1 ? "is" : "are"));
    }
    return found;
}

} // namespace runbook::backup::mysql_client
