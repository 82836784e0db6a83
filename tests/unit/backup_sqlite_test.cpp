// Backups of SQLite, and what all engines share: names, folders, manifests, digests, the newest
// one.
#include "tests/unit/backup_support.h"

#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>
#include <sqlite3.h>

using namespace runbook;
using namespace runbook::backup;
using runbook::backup::test::Folder;
using runbook::backup::test::slurp;
using runbook::db::lab::error_of;
namespace fs = std::filesystem;

namespace {

db::Url sqlite_url(const std::string& path) {
    return db::Url::parse("sqlite:" + path);
}

/// Empty, or what went wrong. Any thread: Catch2's macros belong to the test's own.
std::string try_sql(const std::string& path, const std::string& sql) {
    sqlite3* handle = nullptr;
    sqlite3_open(path.c_str(), &handle);
    sqlite3_busy_timeout(handle, 10'000);
    char* error = nullptr;
    sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &error);
    std::string problem = error ? error : "";
    sqlite3_free(error);
    sqlite3_close(handle);
    return problem;
}

void run_sql(const std::string& path, const std::string& sql) {
    CHECK(try_sql(path, sql) == "");
}

/// Two tables and a view, in WAL mode as a live application has it.
std::string make_source(const Folder& folder) {
    std::string path = folder.path + "/app.db";
    run_sql(path,
            "pragma journal_mode = wal; create table people(id integer primary key, name text);"
            "insert into people(name) values ('Ada'), ('Ünï'), (null);"
            "create table \"odd \"\" name\"(x); insert into \"odd \"\" name\" values (1);"
            "create view v as select * from people;");
    return path;
}

Options into(std::vector<std::string> folders) {
    Options options;
    options.to = std::move(folders);
    options.name = "b1";
    return options;
}

} // namespace

TEST_CASE("backup: SQLite, with digest, manifest and a second copy", "[backup]") {
    Folder source, one, two;
    auto url = sqlite_url(make_source(source));
    Cancel cancel;
    auto backup = create(url, into({one.path, two.path + "/deep/er"}), cancel);
    CHECK(backup.file == one.path + "/b1.sqlite");
    CHECK(backup.files ==
          std::vector<std::string>{one.path + "/b1.sqlite", two.path + "/deep/er/b1.sqlite"});
    CHECK(backup.engine == "SQLite");
    CHECK(backup.counts == Counts{{"odd \" name", 1}, {"people", 3}});
    CHECK(backup.rows == 4);
    CHECK(backup.verified == Verified::read);
    CHECK(backup.bytes == static_cast<std::int64_t>(fs::file_size(backup.file)));
    CHECK(backup.sha256 == digest::sha256_file(backup.file));
    CHECK(backup.source == "sqlite:" + url.name);
    CHECK(one.names() ==
          std::vector<std::string>{"b1.sqlite", "b1.sqlite.json", "b1.sqlite.sha256"});
    CHECK(slurp(backup.file) == slurp(backup.files[1]));
    CHECK(slurp(backup.file + ".sha256") == backup.sha256 + "  b1.sqlite\n");
    CHECK((fs::status(backup.file).permissions() & fs::perms::others_all) == fs::perms::none);

    auto map = to_map(from_map(*json::parse(slurp(backup.file + ".json")).get<Map>(), "x"));
    CHECK(map == to_map(backup));
    CHECK(map.integer("tables") == 2);
    CHECK(map.text("verified") == "read");
    CHECK(verify(backup.file, cancel).sha256 == backup.sha256);
}

TEST_CASE("backup: of SQLite while it is written to", "[backup]") {
    for (std::string mode : {"wal", "delete"}) {
        Folder source, target;
        std::string path = source.path + "/busy.db";
        run_sql(
            path,
            "pragma journal_mode = " + mode +
                "; create table t(x); create table u(x);"
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) "
                "insert into t select randomblob(2000) from n; insert into u select 1 from t");
        std::atomic<bool> stop{false};
        std::string problem;
        std::atomic<int> written{0};
        std::thread writer([&] {
            while (!stop && problem.empty()) {
                problem = try_sql(path, "begin immediate; insert into t values (randomblob(5000)); "
                                        "insert into u values (1); commit");
                ++written;
            }
        });
        Cancel cancel;
        auto options = into({target.path});
        std::vector<Backup> made;
        std::string failure; // told after the writer has ended: a thread must not outlive its test
        try {
            for (int i = 0; i < 3; ++i) {
                options.name = "b" + std::to_string(i);
                made.push_back(create(sqlite_url(path), options, cancel));
            }
        } catch (const Error& error) {
            failure = error.message();
        }
        stop = true;
        writer.join();
        INFO(mode);
        CHECK(failure == "");
        for (Backup& backup : made) {
            CHECK(backup.counts["t"] == backup.counts["u"]); // a moment between transactions
            CHECK(backup.counts["t"] >= 2000);
        }
        CHECK(problem == "");
        CHECK(written > 0);
    }
}

TEST_CASE("backup: the test restore proves it and says so in every manifest", "[backup]") {
    Folder source, one, two;
    auto url = sqlite_url(make_source(source));
    Cancel cancel;
    auto backup = create(url, into({one.path, two.path}), cancel);
    RestoreOptions options;
    options.counts = {{"people", 3}};
    auto restored = test_restore(backup.file, sqlite_url("/tmp"), options, cancel);
    CHECK(restored.counts == backup.counts);
    CHECK(restored.rows == 4);
    for (const auto& file : backup.files)
        CHECK(verify(file, cancel).verified == Verified::restored);

    options.counts = {{"people", 5}, {"orders", 1}};
    auto error = error_of([&] { test_restore(backup.file, sqlite_url("/tmp"), options, cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK(error.message() ==
          "test restore of " + backup.file + ": orders is missing; people: 3 rows instead of 5");
}

TEST_CASE("backup: restore", "[backup]") {
    Folder source, target;
    auto url = sqlite_url(make_source(source));
    Cancel cancel;
    auto backup = create(url, into({target.path}), cancel);
    auto fresh = sqlite_url(target.path + "/new/restored.db");
    CHECK(restore(backup.file, fresh, {}, cancel).rows == 4);
    auto error = error_of([&] { restore(backup.file, fresh, {}, cancel); });
    CHECK(error.kind() == "db.not_empty");
    CHECK(error.message() == fresh.masked() + " holds 2 tables, and a restore would mix with them");
    CHECK(error.hint() ==
          "restore into an empty database, or say replace = true; on the command line: runbook "
          "backup restore " +
              backup.file + " " + fresh.masked() + " --replace " + fresh.name);
    RestoreOptions options;
    options.replace = true;
    run_sql(fresh.name, "delete from people");
    CHECK(restore(backup.file, fresh, options, cancel).rows == 4);
}

TEST_CASE("backup: what is damaged is found", "[backup]") {
    Folder source, target;
    auto url = sqlite_url(make_source(source));
    Cancel cancel;
    auto backup = create(url, into({target.path}), cancel);
    std::string good = slurp(backup.file);
    auto message = [&] {
        auto error = error_of([&] { verify(backup.file, cancel); });
        CHECK(error.kind() == "backup.unverified");
        return error.message();
    };
    std::ofstream(backup.file) << good.substr(0, good.size() - 4096);
    CHECK(message() == fmt::format("{}: {} bytes, its manifest says {}", backup.file,
                                   text::grouped(std::int64_t(good.size()) - 4096),
                                   text::grouped(std::int64_t(good.size()))));
    std::string bad = good;
    bad[bad.size() - 10] ^= 1;
    std::ofstream(backup.file) << bad;
    CHECK(message() == backup.file + ": its SHA-256 is not that of its manifest");
    auto error = error_of([&] { test_restore(backup.file, sqlite_url("/tmp"), {}, cancel); });
    CHECK(error.message() == backup.file + ": its SHA-256 is not that of its manifest");
    error = error_of([&] { restore(backup.file, sqlite_url(target.path + "/n.db"), {}, cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK_FALSE(fs::exists(target.path + "/n.db"));

    fs::remove(backup.file + ".json");
    CHECK(message() == backup.file + ": there is no manifest " + backup.file + ".json");
    std::ofstream(backup.file + ".json") << "{}";
    CHECK(message() == backup.file + ".json: not a manifest of a backup");
    fs::remove(backup.file);
    CHECK(error_of([&] { verify(backup.file, cancel); }).message() ==
          backup.file + ": no such file");
    CHECK(error_of([&] { verify("x.tar", cancel); }).message() ==
          "x.tar: a backup ends in .dump, .pgdir, .sql, .mydumper or .sqlite");
}

TEST_CASE("backup: a failure leaves no file behind", "[backup]") {
    Folder source, target;
    std::ofstream(source.path + "/text.db") << std::string(10000, 'x');
    Cancel cancel;
    auto error = error_of(
        [&] { create(sqlite_url(source.path + "/text.db"), into({target.path}), cancel); });
    CHECK(error.message().find("file is not a database") != std::string::npos);
    CHECK(target.names().empty());
    error = error_of(
        [&] { create(sqlite_url(source.path + "/none.db"), into({target.path}), cancel); });
    CHECK(error.kind() == "db.connection");
    CHECK(error.message() == "sqlite:" + source.path + "/none.db: unable to open database file");
    CHECK(target.names().empty());

    auto url = sqlite_url(make_source(source));
    create(url, into({target.path}), cancel);
    auto before = target.names();
    error =
        error_of([&] { create(url, into({target.path}), cancel); }); // never over another backup
    CHECK(error.kind() == "fs");
    CHECK(error.message() == target.path + "/b1.sqlite: exists already");
    CHECK(target.names() == before);
    auto options = into({target.path});
    options.name = "../b";
    CHECK(error_of([&] { create(url, options, cancel); }).message() ==
          "backup name '../b': a name without '/' and without leading '.'");
    options.to = {};
    options.name = "";
    CHECK(error_of([&] { create(url, options, cancel); }).message() ==
          "a backup needs at least one folder in the option to");
    cancel.request(Cancel::Reason::cancelled);
    options = into({target.path});
    options.name = "b2";
    CHECK(error_of([&] { create(url, options, cancel); }).kind() == "cancelled");
    CHECK(target.names() == before);
}

TEST_CASE("backup: the newest of a source, proven far enough", "[backup]") {
    Folder source, target;
    auto url = sqlite_url(make_source(source));
    Cancel cancel;
    CHECK_FALSE(latest(url, {target.path, target.path + "/absent"}, Verified::none));
    auto first = create(url, into({target.path}), cancel);
    test_restore(first.file, sqlite_url("/tmp"), {}, cancel);
    auto options = into({target.path});
    options.name = "a-later-one";
    auto second = create(url, options, cancel);
    std::ofstream(target.path + "/package.json") << "{\"name\":\"x\"}";
    CHECK(latest(url, {target.path}, Verified::read)->file == second.file);
    CHECK(latest(url, {target.path}, Verified::restored)->file == first.file);
    CHECK_FALSE(latest(sqlite_url(source.path + "/other.db"), {target.path}, Verified::none));
    fs::resize_file(second.file, 10);
    CHECK(latest(url, {target.path}, Verified::read)->file == first.file);
}

TEST_CASE("backup: the name says database and time", "[backup]") {
    Folder source, target;
    auto options = into({target.path});
    options.name = "";
    Cancel cancel;
    auto backup = create(sqlite_url(make_source(source)), options, cancel);
    std::string stamp = time::iso_millis(backup.started);
    CHECK(fs::path(backup.file).filename().string() ==
          "app-" + stamp.substr(0, 4) + stamp.substr(5, 2) + stamp.substr(8, 2) + "-" +
              stamp.substr(11, 2) + stamp.substr(14, 2) + stamp.substr(17, 2) + ".sqlite");
}
