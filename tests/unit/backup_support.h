// For the backup tests: folders of one's own, databases of one's own on the lab's servers, what a
// password leaves behind.
#pragma once

#include "runtime/backup/backup.h"
#include "tests/unit/db_lab.h"

#include <atomic>
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace runbook::backup::test {

namespace lab = runbook::db::lab;
namespace fs = std::filesystem;

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/runbook-backup-test-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { fs::remove_all(path); }
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(path))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }
};

inline std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

/// A database with a unique name on the server of `admin`, dropped at the end.
struct Database {
    db::Url admin, url;
    explicit Database(const db::Url& server) : admin(server), url(server) {
        url.name = lab::unique("backup_test");
        auto connection = lab::open(admin, db::Access::admin);
        lab::execute(*connection, "create database " + url.name);
    }
    ~Database() {
        auto connection = lab::open(admin, db::Access::admin);
        bool postgres = admin.engine == db::Engine::postgresql;
        lab::execute(*connection, "drop database " + url.name + (postgres ? " with (force)" : ""));
    }
    void script(const std::string& sql) {
        Cancel cancel;
        lab::open(url, db::Access::write)->script(sql, cancel);
    }
    Value value(const std::string& sql) { return lab::value(*lab::open(url), sql); }
};

/// Looks through the arguments of every process below this one for a text, again and again while it
/// lives. Others on the machine may be other tests of the same servers.
class ArgumentWatch {
  public:
    explicit ArgumentWatch(std::string text) : text_(std::move(text)) {
        thread_ = std::thread([this] {
            while (!stop_)
                scan();
        });
    }
    ~ArgumentWatch() {
        stop_ = true;
        thread_.join();
    }
    bool seen() const { return seen_; }
    int tools() const { return tools_; } ///< sightings of dump tools: the watch did look

  private:
    void scan() {
        for (const auto& entry : fs::directory_iterator("/proc")) {
            if (!std::isdigit(static_cast<unsigned char>(entry.path().filename().string()[0])))
                continue;
            if (!ours(entry.path().filename().string()))
                continue;
            std::string line = slurp(entry.path().string() + "/cmdline");
            seen_ = seen_ || line.find(text_) != std::string::npos;
            tools_ += line.find("dump") != std::string::npos;
        }
    }
    static bool ours(std::string pid) {
        const std::string self = std::to_string(::getpid());
        for (int depth = 0; depth < 20 && pid != "0" && !pid.empty(); ++depth) {
            if (pid == self)
                return true;
            const std::string stat = slurp("/proc/" + pid + "/stat"); // "12 (name) S PARENT …"
            const std::size_t at = stat.rfind(") ");
            if (at == std::string::npos)
                return false;
            pid = stat.substr(at + 4, stat.find(' ', at + 4) - at - 4);
        }
        return false;
    }
    std::string text_;
    std::atomic<bool> stop_{false}, seen_{false};
    std::atomic<int> tools_{0};
    std::thread thread_;
};

} // namespace runbook::backup::test
