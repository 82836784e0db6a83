// Databases of a test's own on each engine of the lab, filled by plain SQL: verify is tested
// without the copy.
#pragma once

#include "runtime/base/redact.h"
#include "runtime/transfer/verify/verify.h"
#include "tests/unit/db_lab.h"

#include <filesystem>
#include <fmt/format.h>

namespace runbook::verify::lab {

/// One empty database; dropped at the end.
class Place {
  public:
    explicit Place(db::Flavour flavour) : flavour_(flavour) {
        if (flavour == db::Flavour::sqlite) {
            std::string folder = (std::filesystem::temp_directory_path() / "verifyXXXXXX").string();
            if (!mkdtemp(folder.data()))
                FAIL("no temporary folder");
            folder_ = folder;
            url_ = db::Url::parse("sqlite:" + folder + "/test.db");
        } else {
            const char* variable = flavour == db::Flavour::postgresql ? "RUNBOOK_LAB_PG_ADMIN"
                                   : flavour == db::Flavour::mysql    ? "RUNBOOK_LAB_MYSQL_ADMIN"
                                                                      : "RUNBOOK_LAB_MARIADB_ADMIN";
            auto admin = db::lab::url(variable);
            if (!admin)
                return;
            admin_ = db::lab::open(*admin, db::Access::admin);
            url_ = *admin;
            url_->name = db::lab::unique("verify");
            db::lab::execute(
                *admin_, "CREATE DATABASE " + url_->name +
                             (flavour == db::Flavour::postgresql ? "" : " CHARACTER SET utf8mb4"));
        }
        connection_ = db::lab::open(*url_, db::Access::admin);
    }
    ~Place() {
        connection_.reset();
        if (admin_)
            db::lab::execute(*admin_,
                             "DROP DATABASE " + url_->name +
                                 (flavour_ == db::Flavour::postgresql ? " WITH (FORCE)" : ""));
        if (!folder_.empty())
            std::filesystem::remove_all(folder_);
    }
    explicit operator bool() const { return connection_ != nullptr; }
    const db::Url& url() const { return *url_; }
    db::Connection& operator*() { return *connection_; }
    db::Flavour flavour() const { return flavour_; }
    std::string name() const { return std::string(db::flavour_name(flavour_)); }
    void sql(const std::string& text) { db::lab::execute(*connection_, text); }
    void script(const std::vector<std::string>& statements) {
        for (const std::string& statement : statements)
            sql(statement);
    }

  private:
    db::Flavour flavour_;
    std::optional<db::Url> url_;
    std::string folder_;
    std::unique_ptr<db::Connection> admin_, connection_;
};

inline const std::vector<db::Flavour>& all_flavours() {
    static const std::vector<db::Flavour> all = {db::Flavour::postgresql, db::Flavour::mysql,
                                                 db::Flavour::mariadb, db::Flavour::sqlite};
    return all;
}

/// Every pair of engines, each side with databases made once; `table` is dropped before each pair.
template <class Fn>
void each_pair(const std::string& table, Fn fn) {
    std::vector<std::unique_ptr<Place>> sources, targets;
    for (db::Flavour flavour : all_flavours()) {
        sources.push_back(std::make_unique<Place>(flavour));
        targets.push_back(std::make_unique<Place>(flavour));
    }
    for (auto& source : sources)
        for (auto& target : targets) {
            if (!*source || !*target)
                continue;
            source->sql("DROP TABLE IF EXISTS " + table);
            target->sql("DROP TABLE IF EXISTS " + table);
            INFO(source->name() << " to " << target->name());
            fn(*source, *target);
        }
}

inline Options quick() {
    Options options;
    options.recheck_delay = 0.01;
    options.recheck_rounds = 2;
    return options;
}

inline Result check(Place& source, Place& target, const Options& options = quick()) {
    Cancel cancel;
    return verify_database(source.url(), target.url(), options, nullptr, cancel);
}

/// Everything a failing test wants to see.
inline std::string told(const Result& result) {
    std::string out =
        fmt::format("coverage {} missing {} extra {} changed {} unsettled {}\n", result.coverage,
                    result.missing, result.extra, result.changed, result.unsettled);
    for (const Unchecked& entry : result.unchecked)
        out += fmt::format("unchecked {}: {}\n", entry.table, entry.reason);
    for (const Sample& sample : result.samples)
        out += sample.text() + "\n";
    return out;
}

} // namespace runbook::verify::lab
