// Backups of PostgreSQL on the lab: dump, restore, equal; what must not be seen is not seen.
#include "tests/unit/backup_support.h"

#include "runtime/base/redact.h"
#include "runtime/process/process.h"

#include <fmt/format.h>

using namespace runbook;
using namespace runbook::backup;
using runbook::backup::test::ArgumentWatch;
using runbook::backup::test::Database;
using runbook::backup::test::Folder;
using runbook::backup::test::slurp;
using runbook::db::lab::error_of;
namespace lab = runbook::db::lab;
namespace fs = std::filesystem;

namespace {

constexpr const char* schema = R"(
create table people(id bigint generated always as identity primary key, name text not null,
                    upper_name text generated always as (upper(name)) stored, extra jsonb);
insert into people(name, extra) select 'näme ' || i, '{"a": [1, null]}' from generate_series(1, 500) i;
create table parts(id int, at date) partition by range (at);
create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-02-01');
create table parts_2 partition of parts for values from ('2026-02-01') to ('2026-03-01');
insert into parts values (1, '2026-01-05'), (2, '2026-02-05'), (3, '2026-02-06');
create table base(x int); create table child() inherits (base);
insert into base values (1); insert into child values (2), (3);
create schema "other schema"; create table "other schema"."odd ""name"(x bytea);
insert into "other schema"."odd ""name" values ('\x00ff'::bytea);
create view seen as select count(*) from people;
create table empty();
)";

const Counts counts = {{"people", 500}, {"parts", 3}, {"base", 1},
                       {"child", 2},    {"empty", 0}, {"other schema.odd \"name", 1}};

Options into(const Folder& folder) {
    Options options;
    options.to = {folder.path};
    options.name = "b1";
    return options;
}

} // namespace

TEST_CASE("backup: PostgreSQL, dump, test restore, restore", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN");
    if (!admin)
        return;
    Database source(*admin), target(*admin);
    source.script(schema);
    Folder folder;
    Cancel cancel;
    auto backup = create(source.url, into(folder), cancel);
    CHECK(backup.file == folder.path + "/b1.dump");
    CHECK(backup.engine == "PostgreSQL");
    CHECK(backup.counts == counts);
    CHECK(backup.verified == Verified::read);
    CHECK(backup.source ==
          fmt::format("postgres://{}:{}/{}", admin->host, admin->port, source.url.name));
    CHECK(backup.tool.starts_with("pg_dump (PostgreSQL) "));
    CHECK(folder.names() == std::vector<std::string>{"b1.dump", "b1.dump.json", "b1.dump.sha256"});

    auto scratch = lab::url("RUNBOOK_LAB_PG_SCRATCH");
    REQUIRE(scratch);
    RestoreOptions options;
    options.counts = {{"people", 500}};
    auto databases = [&] {
        return lab::value(
            *lab::open(*admin),
            "select count(*) from pg_database where datname like 'runbook\\_restore\\_%'");
    };
    Value before = databases();
    auto restored = test_restore(backup.file, *scratch, options, cancel);
    CHECK(restored.counts == counts);
    CHECK(verify(backup.file, cancel).verified == Verified::restored);
    options.counts = {{"people", 501}};
    CHECK(error_of([&] { test_restore(backup.file, *scratch, options, cancel); }).message() ==
          "test restore of " + backup.file + ": people: 500 rows instead of 501");
    CHECK(databases() == before); // nothing is left on the scratch server

    CHECK(restore(backup.file, target.url, {}, cancel).counts == counts);
    const char* digest = "select md5(string_agg(p::text, '|' order by id)) from people p";
    CHECK(source.value(digest) == target.value(digest));
    auto error = error_of([&] { restore(backup.file, target.url, {}, cancel); });
    CHECK(error.kind() == "db.not_empty");
    target.script("delete from people");
    options = {};
    options.replace = true;
    CHECK(restore(backup.file, target.url, options, cancel).counts == counts);
    CHECK(source.value(digest) == target.value(digest));
}

TEST_CASE("backup: PostgreSQL, counts are those of the dump while others write", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN");
    auto scratch = lab::url("RUNBOOK_LAB_PG_SCRATCH");
    if (!admin || !scratch)
        return;
    Database source(*admin);
    source.script("create table t(x text)");
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        auto connection = lab::open(source.url);
        while (!stop)
            lab::execute(*connection, "insert into t select 'x' from generate_series(1, 50)");
    });
    Folder folder;
    Cancel cancel;
    auto backup = create(source.url, into(folder), cancel);
    stop = true;
    writer.join();
    CHECK(test_restore(backup.file, *scratch, {}, cancel).counts == backup.counts);
}

TEST_CASE("backup: PostgreSQL, the password is nowhere to be seen", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN");
    auto scratch = lab::url("RUNBOOK_LAB_PG_SCRATCH");
    if (!admin || !scratch)
        return;
    Database source(*admin);
    source.script("create table t as select i, repeat('x', 200) from generate_series(1, 100000) i");
    Folder folder;
    Cancel cancel;
    ArgumentWatch watch(admin->password->reveal());
    auto backup = create(source.url, into(folder), cancel);
    test_restore(backup.file, *scratch, {}, cancel);
    CHECK_FALSE(watch.seen());
    CHECK(watch.tools() > 0);
    for (const auto& name : folder.names())
        CHECK(slurp(folder.path + "/" + name).find(admin->password->reveal()) == std::string::npos);

    auto wrong = source.url;
    wrong.password = make_secret("wr0ng-pass-word", "test");
    Folder empty;
    auto error = error_of([&] { create(wrong, into(empty), cancel); });
    CHECK(error.kind() == "db.auth");
    CHECK(error.message().find("wr0ng-pass-word") == std::string::npos);
    CHECK(empty.names().empty());
}

TEST_CASE("backup: PostgreSQL, a truncated dump is not a backup", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN");
    if (!admin)
        return;
    Database source(*admin);
    source.script("create table t as select i, md5(i::text) from generate_series(1, 20000) i");
    Folder folder;
    Cancel cancel;
    auto backup = create(source.url, into(folder), cancel);
    fs::resize_file(backup.file, fs::file_size(backup.file) / 2);
    // pg_restore --list is content with it; the digest and the full read are not.
    process::Command list;
    list.argv = {"pg_restore", "--list", backup.file};
    CHECK(process::run(list, cancel).exit == 0);
    CHECK(error_of([&] { verify(backup.file, cancel); }).kind() == "backup.unverified");

    // A tool that cuts its dump short and reports success: the full read finds it.
    std::string tool = folder.path + "/cutting_pg_dump";
    std::ofstream(tool) << "#!/bin/sh\npg_dump \"$@\" || exit\nfor f; do :; done\n"
                           "[ \"$1\" = --version ] || truncate -s 60000 \"$f\"\n";
    fs::permissions(tool, fs::perms::owner_all);
    auto options = into(folder);
    options.name = "b2";
    options.tool = tool;
    auto error = error_of([&] { create(source.url, options, cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK(error.message().find("b2.dump.partial cannot be read: pg_restore: error: ") !=
          std::string::npos);
    std::ofstream(tool) << "#!/bin/sh\n[ \"$1\" != --version ] || exec pg_dump --version\nexit 0\n";
    error = error_of([&] { create(source.url, options, cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK(error.message() == folder.path + "/b2.dump: the dump is empty");
    CHECK(error.hint().ends_with("wrote nothing and reported success"));
    CHECK_FALSE(fs::exists(folder.path + "/b2.dump"));
    CHECK_FALSE(fs::exists(folder.path + "/b2.dump.partial"));
}

TEST_CASE("backup: PostgreSQL, tools and rights that do not do", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN");
    auto app = lab::url("RUNBOOK_LAB_PG_APP");
    if (!admin || !app)
        return;
    Database source(*admin);
    source.script("create table hidden(x int); create table t(x int)");
    Folder folder;
    Cancel cancel;
    auto as_app = *app;
    as_app.name = source.url.name;
    auto error = error_of([&] { create(as_app, into(folder), cancel); });
    CHECK(error.kind() == "db.permission");
    CHECK(error.message() ==
          "pg_dump of " + as_app.masked() +
              ": pg_dump: error: query failed: ERROR:  permission denied for table "
              "hidden");
    auto options = into(folder);
    options.tool = "/nowhere/pg_dump";
    CHECK(error_of([&] { create(source.url, options, cancel); }).message() ==
          "no program '/nowhere/pg_dump'");
    std::string tool = folder.path + "/old";
    std::ofstream(tool) << "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n";
    fs::permissions(tool, fs::perms::owner_all);
    options.tool = tool;
    error = error_of([&] { create(source.url, options, cancel); });
    CHECK(error.kind() == "backup.tool");
    CHECK(error.message().starts_with("pg_dump of version 9 cannot dump PostgreSQL "));
    CHECK(error_of([&] { test_restore("x.dump", *admin, {}, cancel); }).message() ==
          fs::absolute("x.dump").string() + ": no such file");
}

TEST_CASE("backup: PostgreSQL, cancel leaves nothing", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN");
    if (!admin)
        return;
    Database source(*admin);
    source.script("create table t(x int); insert into t values (1)");
    auto blocker = lab::open(source.url);
    Cancel cancel, none;
    blocker->begin(none);
    blocker->script("lock table t in access exclusive mode", none); // pg_dump waits for it
    Folder folder;
    std::thread canceller([&] {
        auto watcher = lab::open(*admin);
        auto waits = [&] {
            return lab::value(*watcher, "select count(*) from pg_stat_activity where datname = '" +
                                            source.url.name + "' and wait_event_type = 'Lock'")
                       .get<std::int64_t>()[0] > 0;
        };
        for (int i = 0; i < 3000 && !waits(); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        cancel.request(Cancel::Reason::cancelled);
    });
    auto error = error_of([&] { create(source.url, into(folder), cancel); });
    canceller.join();
    CHECK(error.kind() == "cancelled");
    CHECK(folder.names().empty());
    blocker->rollback(none);
}
