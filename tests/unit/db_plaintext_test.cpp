// A MariaDB server without TLS, started for this test alone: what sslmode=require must refuse.
#include "tests/unit/db_lab.h"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>

extern char** environ;

using namespace runbook;
using namespace runbook::db;

namespace {

class PlainServer {
  public:
    PlainServer() : folder_(std::filesystem::temp_directory_path() / lab::unique("rb_plain")) {
        std::filesystem::create_directories(folder_);
        const std::string data = (folder_ / "data").string(), socket = this->socket();
        const std::string user = getuid() == 0 ? "--user=root" : "--no-auto-repair";
        const std::string init =
            fmt::format("mariadb-install-db --no-defaults --auth-root-authentication-method=normal "
                        "--skip-test-db "
                        "--datadir={} {} >{}/init.log 2>&1",
                        data, getuid() == 0 ? user : "", folder_.string());
        if (std::system(init.c_str()) != 0)
            return;
        const int port = 20000 + getpid() % 20000;
        const std::string command =
            fmt::format("exec mariadbd --no-defaults --skip-ssl --datadir={} --socket={} --port={} "
                        "--bind-address=127.0.0.1 {} >{}/server.log 2>&1",
                        data, socket, port, getuid() == 0 ? user : "", folder_.string());
        const char* arguments[] = {"sh", "-c", command.c_str(), nullptr};
        if (posix_spawn(&pid_, "/bin/sh", nullptr, nullptr, const_cast<char**>(arguments),
                        environ) != 0)
            pid_ = 0;
        port_ = port;
    }
    ~PlainServer() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        std::filesystem::remove_all(folder_);
    }
    bool started() const { return pid_ > 0; }
    std::string socket() const { return (folder_ / "s").string(); }
    int port() const { return port_; }

  private:
    std::filesystem::path folder_;
    pid_t pid_ = 0;
    int port_ = 0;
};

} // namespace

TEST_CASE("MySQL: a server without TLS is refused where the URL asks for it", "[db][mysql]") {
    if (std::system("command -v mariadbd mariadb-install-db >/dev/null 2>&1") != 0) {
        WARN("skipped: mariadbd is not installed");
        return;
    }
    PlainServer server;
    REQUIRE(server.started());
    Url local = Url::parse("mysql://root@localhost/mysql?socket=" + server.socket());
    std::unique_ptr<Connection> admin;
    for (int tries = 0; !admin && tries < 300; ++tries) {
        try {
            admin = lab::open(local, Access::admin);
        } catch (const Error&) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }
    REQUIRE(admin);
    CHECK(admin->server().tls_cipher.empty());
    lab::execute(*admin, "create user plain@'%' identified by 'plain text'");
    const std::string base = fmt::format("mysql://plain:plain%20text@127.0.0.1:{}/", server.port());
    CHECK(lab::open(Url::parse(base), Access::read)->server().tls_cipher.empty());
    for (const char* mode : {"require", "verify-ca", "verify-full"}) {
        Url url = Url::parse(base + "?sslmode=" + mode);
        Error error = lab::error_of([&] { lab::open(url); });
        INFO(error.message());
        CHECK(error.kind() == "db.connection");
        CHECK(error.message() == fmt::format("{}: the server does not offer TLS, and sslmode is {}",
                                             url.masked(), mode));
    }
}
