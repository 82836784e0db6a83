// MySQL and MariaDB, each with its own tools: mariadb-dump exits 0 on MySQL with a dump that does
// not restore, so it is refused there.
#include "runtime/backup/dump_scan.h"
#include "runtime/backup/files.h"
#include "runtime/backup/follower.h"
#include "runtime/backup/mysql_client.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"

#include <fmt/format.h>

namespace runbook::backup {
namespace {

class Mysql final : public mysql_client::Common {
  public:
    const char* ending() const override { return ".sql"; }

    Dumped dump(const db::Url& source, const std::string& file, const Options& options,
                Cancel& cancel) override {
        auto connection = open(source, db::Access::read, cancel);
        const db::ServerInfo server = connection->server();
        const mysql_client::Tool tool = mysql_client::dump_tool(server, options.tool, cancel);
        Dumped dumped;
        dumped.engine = db::flavour_name(server.flavour);
        dumped.server_version = server.version;
        dumped.tool = tool.version.substr(tool.version.rfind('/') + 1);
        dumped.objects = mysql_client::objects_in(*connection);
        dumped.inexact = mysql_client::rounded_floats(*connection, cancel);
        dumped.position = mysql_client::position_of(*connection);

        process::Command command =
            mysql_client::dump_command(tool, server, source, file,
                                       {"--routines", "--triggers", "--events", "--", source.name});
        command.tick = size_reporter(options.progress, file);
        DumpScan scan; // while it is written
        digest::Sha256 hash;
        Follower follower(file, [&](std::string_view data) {
            scan.feed(data);
            hash.update(data);
        });
        run_tool(command, (tool.oracle ? "mysqldump of" : "mariadb-dump of"), source, cancel);
        dumped.read = follower.finish();
        if (!dumped.read) {
            dumped.counts = scan_dump(file, cancel);
            return dumped;
        }
        scan.finish();
        check_scan(scan, file);
        dumped.counts = scan.counts();
        dumped.sha256 = hash.hex();
        return dumped;
    }

    void read(const std::string& file, const Counts& counts, Cancel& cancel) override {
        if (scan_dump(file, cancel) != counts)
            throw Error("backup.unverified",
                        fmt::format("{}: its rows are not those of its manifest", file));
    }

    void restore(const std::string& file, const db::Url& target, const RestoreOptions& options,
                 const Objects&, Cancel& cancel) override {
        if (options.tables.empty()) {
            mysql_client::load(file, target, options, cancel);
            return;
        }
        const TemporaryFolder folder;
        const std::string part = folder.path() + "/tables.sql";
        cut_tables(file, options.tables, part, cancel);
        mysql_client::load(part, target, options, cancel);
    }
};

} // namespace

std::unique_ptr<Engine> mysql() {
    return std::make_unique<Mysql>();
}

} // namespace runbook::backup
