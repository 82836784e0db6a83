// MySQL and MariaDB, each with its own tools: mariadb-dump exits 0 on MySQL with a dump that does
// not restore, so it is refused there. Credentials reach the tool as an option file in memory
// (MySQL manual, "Using Option Files").
#include "runtime/backup/dump_scan.h"
#include "runtime/backup/engine.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"

#include <fmt/format.h>

namespace runbook::backup {
namespace {

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

/// The first arguments and the option file. With a password in the URL no other file is read;
/// without one it may stand in ~/.my.cnf.
process::Command client(const std::string& tool, const db::Url& url, bool oracle) {
    process::Command command;
    command.argv = {tool,
                    url.password ? "--defaults-file=/dev/fd/3" : "--defaults-extra-file=/dev/fd/3"};
    command.secret_file = option_file(url, oracle);
    command.env = {{"MYSQL_PWD", Null{}}, {"MYSQL_TEST_LOGIN_FILE", "/dev/null"}};
    return command;
}

class Mysql final : public Engine {
  public:
    const char* ending() const override { return ".sql"; }

    Dumped dump(const db::Url& source, const std::string& file, const Options& options,
                Cancel& cancel) override {
        db::ServerInfo server = open(source, db::Access::read, cancel)->server();
        const bool oracle = server.flavour == db::Flavour::mysql;
        std::string tool =
            oracle
                ? find_tool(options.tool, "RUNBOOK_MYSQLDUMP", "mysqldump", "Oracle's MySQL client")
                : find_tool(options.tool, "RUNBOOK_MARIADB_DUMP", "mariadb-dump", "mariadb-client");
        std::string version = tool_version(tool, cancel);
        check_fits(tool, version, oracle);

        process::Command command = client(tool, source, oracle);
        auto add = [&](std::initializer_list<const char*> more) {
            command.argv.insert(command.argv.end(), more.begin(), more.end());
        };
        add({"--single-transaction", "--quick", "--routines", "--triggers", "--events",
             "--hex-blob", "--no-tablespaces", "--default-character-set=utf8mb4"});
        if (oracle) // policies need a privilege of their own, and are the server's, not the
                    // schema's
            add({"--set-gtid-purged=OFF", "--loose-skip-masking-policies"});
        if (oracle && server.major < 8)
            add({"--column-statistics=0"});
        command.argv.push_back("--result-file=" + file);
        command.argv.push_back("--");
        command.argv.push_back(source.name);
        command.reads = true;
        command.tick = size_reporter(options.progress, file);
        run_tool(command, (oracle ? "mysqldump of" : "mariadb-dump of"), source, cancel);

        Dumped dumped;
        dumped.engine = db::flavour_name(server.flavour);
        dumped.server_version = server.version;
        dumped.tool = version.substr(version.rfind('/') + 1);
        dumped.counts = scan_dump(file, cancel);
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        if (scan_dump(file, cancel) != counts)
            throw Error("backup.unverified",
                        fmt::format("{}: its rows are not those of its manifest", file));
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 Cancel& cancel) override {
        const bool oracle =
            open(target, db::Access::read, cancel)->server().flavour == db::Flavour::mysql;
        std::string tool =
            oracle ? find_tool(options.tool, "RUNBOOK_MYSQL", "mysql", "Oracle's MySQL client")
                   : find_tool(options.tool, "RUNBOOK_MARIADB", "mariadb", "mariadb-client");
        bool oracle_tool = tool_version(tool, cancel).find("MariaDB") == std::string::npos;
        process::Command command = client(tool, target, oracle_tool);
        command.argv.insert(command.argv.end(),
                            {"--default-character-set=utf8mb4", "--max-allowed-packet=1073741824",
                             "--database=" + target.name});
        command.input_file = file;
        command.sink = options.progress;
        run_tool(command, "restore into", target, cancel);
    }

    db::Url make_scratch(const db::Url& scratch, Cancel& cancel) override {
        db::Url made = scratch;
        made.name = scratch_name();
        auto connection = open(scratch, db::Access::write, cancel);
        connection->execute("create database " + connection->quote_name(made.name) +
                                " character set utf8mb4",
                            {}, {}, cancel);
        return made;
    }

    void drop_scratch(const db::Url& made, const db::Url& scratch) override {
        Cancel cancel; // also after a cancel
        auto connection = open(scratch, db::Access::write, cancel);
        connection->execute("drop database if exists " + connection->quote_name(made.name), {}, {},
                            cancel);
    }

    Counts count(const db::Url& target, Cancel& cancel) override {
        auto connection = open(target, db::Access::read, cancel);
        Counts counts;
        for (const Map& table : db::fetch_all(
                 *connection,
                 "select table_name as name from information_schema.tables where table_schema = "
                 "database() and table_type in ('BASE TABLE', 'SYSTEM VERSIONED')")) {
            std::string name = table.text("name");
            Value rows = db::fetch_value(*connection,
                                         "select count(*) from " + connection->quote_name(name));
            counts[name] = *rows.get<std::int64_t>();
        }
        return counts;
    }

  private:
    static void check_fits(const std::string& tool, const std::string& version, bool oracle) {
        const bool mariadb_tool = version.find("MariaDB") != std::string::npos;
        if (oracle && mariadb_tool)
            throw Error(
                "backup.tool",
                fmt::format("{} is MariaDB's: its dump of a MySQL server does not restore", tool),
                "it writes values for generated columns and exits 0; install Oracle's MySQL client "
                "and set RUNBOOK_MYSQLDUMP or the option tool to its mysqldump");
        if (!oracle && !mariadb_tool)
            throw Error("backup.tool",
                        fmt::format("{} is Oracle's: it does not dump MariaDB", tool),
                        "install mariadb-client, or set RUNBOOK_MARIADB_DUMP or the option tool");
    }
};

} // namespace

std::unique_ptr<Engine> mysql() {
    return std::make_unique<Mysql>();
}

} // namespace runbook::backup
