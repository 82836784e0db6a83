// What the drivers of MySQL and MariaDB share: credentials as an option file in memory (MySQL
// manual, "Using Option Files"), which tool fits which server, what a server holds. Worker threads;
// no state.
#pragma once

#include "runtime/backup/engine.h"

namespace runbook::backup::mysql_client {

/// The first arguments and the option file. With a password in the URL no other file is read;
/// without one it may stand in ~/.my.cnf. `oracle`: of the tool, for how it wants TLS to be said.
process::Command command(const std::string& tool, const db::Url& url, bool oracle);

/// A dump tool that fits the server, and its version.
struct Tool {
    std::string path, version;
    bool oracle = false;
};
/// Throws `backup.tool` where there is none, or one that does not fit.
Tool dump_tool(const db::ServerInfo& server, const std::string& given, Cancel& cancel);
/// mysqldump or mariadb-dump with what every dump of ours has, and these arguments behind.
process::Command dump_command(const Tool& tool, const db::ServerInfo& server, const db::Url& source,
                              const std::string& file, std::vector<std::string> more);
/// Feeds an SQL file to the engine's own client.
void load(const std::string& file, const db::Url& target, const RestoreOptions& options,
          Cancel& cancel);

/// What engines for these servers have in common.
class Common : public Engine {
  public:
    db::Engine engine() const override { return db::Engine::mysql; }
    db::Url make_scratch(const db::Url& scratch, Cancel& cancel) override;
    void drop_scratch(const db::Url& made, const db::Url& scratch) override;
    Counts count(const db::Url& target, Cancel& cancel) override;
    Objects objects(const db::Url& target, Cancel& cancel) override;
};

Objects objects_in(db::Connection& connection);
std::string position_of(db::Connection& connection);
/// A sentence for each FLOAT column with values that no dump of this server keeps: it prints six
/// digits of them.
std::vector<std::string> rounded_floats(db::Connection& connection, Cancel& cancel);

} // namespace runbook::backup::mysql_client
