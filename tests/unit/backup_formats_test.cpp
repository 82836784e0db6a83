// Every driver on every server: what a dump holds beside rows, parallel formats, single tables.
// Restored, and compared row by row with the source.
#include "tests/unit/backup_support.h"

#include "runtime/backup/catalogue.h"
#include "runtime/backup/dump_scan.h"
#include "runtime/backup/manifest.h"
#include "runtime/backup/tree.h"
#include "runtime/base/redact.h"

#include <algorithm>
#include <fmt/format.h>
#include <random>
#include <sqlite3.h>

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

/// What mydumper 0.10 keeps, awkward as it is.
constexpr const char* mysql_schema = R"(
create table people(id int auto_increment primary key, name varchar(200) not null, note text,
                    upper_name varchar(200) generated always as (upper(name)) stored,
                    name_length int generated always as (char_length(name)) virtual, raw varbinary(20),
                    price decimal(20,6), ratio double, at timestamp(6) null, bits bit(9), place point,
                    key by_name (name(10)));
insert into people(name, note, raw, price, ratio, at, bits, place) values
  ('Ada', null, x'00ff', 12345678901234.123456, 0.1, '2026-01-02 03:04:05.123456', b'101', point(1, 2)),
  ('O''Brien (x),(y); ', 'back\\slash "quoted"', null, -0.000001, 1e-300, null, null, null),
  ('line\nINSERT INTO `people` VALUES (1),(2);\n', '-- Dump completed', '', null, 1.7976931348623157e308, null, b'0', null),
  ('naïve 😀', '''', '''', 0, -1, '1970-01-02 00:00:00', b'111111111', null);
create table `sp ace`(x int, `VALUES (` int);
insert into `sp ace` values (1, 2), (3, 4);
create table `ünï`(`ü` int, js json);
insert into `ünï` values (7, '{"a": "é"}');
create table blank(x int);
create table child(id int primary key, person int, constraint owned foreign key (person) references people(id));
insert into child values (1, 1);
create table parts(id int primary key, v int) partition by hash(id) partitions 3;
insert into parts values (1, 1), (2, 2), (3, 3);
create table zero(id int auto_increment primary key);
set sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
insert into zero values (0), (5);
)";
/// One by one: a server that gets them as one script keeps a semicolon as part of the trigger, and
/// no dump of that restores.
const char* const mysql_programs[] = {
    R"(set sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES')",
    R"(create function joined(a varchar(9)) returns varchar(40) deterministic return a || 'é')",
    R"(create procedure `a b`() select 1)",
    R"(create view seen as select count(*) as n, joined('x') as "j" from people)",
    R"(create view again as select * from seen)",
    R"(create trigger t1 before insert on blank for each row set @x = 'a' || 'b')",
    R"(create event nightly on schedule every 1 day do set @x = 1)",
};
const Counts mysql_counts = {{"people", 4}, {"sp ace", 2}, {"ünï", 1}, {"blank", 0},
                             {"child", 1},  {"parts", 3},  {"zero", 2}};

/// Every value of every table, as one text.
std::string contents(const db::Url& url) {
    auto connection = lab::open(url);
    std::string all;
    for (const Map& table :
         db::fetch_all(*connection,
                       "select table_name as t from information_schema.tables where table_schema "
                       "= database() order by 1")) {
        const std::string name = connection->quote_name(table.text("t"));
        std::string columns;
        for (const Map& column : db::fetch_all(
                 *connection, "select column_name as c from information_schema.columns where "
                              "table_schema = database() and table_name = '" +
                                  table.text("t") + "' order by ordinal_position"))
            columns += ", ifnull(hex(" + connection->quote_name(column.text("c")) + "), '-')";
        std::vector<std::string> rows;
        for (const Map& row :
             db::fetch_all(*connection, "select concat_ws('|'" + columns + ") as r from " + name))
            rows.push_back(row.text("r"));
        std::sort(rows.begin(), rows.end());
        all += table.text("t") + ":";
        for (const std::string& row : rows)
            all += " " + row;
        all += "\n";
    }
    return all;
}

struct Side {
    const char *admin, *scratch, *dump, *client;
};
const Side sides[] = {
    {"RUNBOOK_LAB_MYSQL_ADMIN", "RUNBOOK_LAB_MYSQL_SCRATCH", "RUNBOOK_LAB_MYSQLDUMP",
     "RUNBOOK_LAB_MYSQL_CLIENT"},
    {"RUNBOOK_LAB_MARIADB_ADMIN", "RUNBOOK_LAB_MARIADB_SCRATCH", nullptr, nullptr}};

/// The variables by which the product finds Oracle's tools, for the length of a test.
class Tools {
  public:
    explicit Tools(const Side& side) {
        for (auto [from, to] :
             {std::pair{side.dump, "RUNBOOK_MYSQLDUMP"}, {side.client, "RUNBOOK_MYSQL"}})
            if (from && std::getenv(from))
                ::setenv(to, std::getenv(from), 1);
    }
    ~Tools() {
        ::unsetenv("RUNBOOK_MYSQLDUMP");
        ::unsetenv("RUNBOOK_MYSQL");
    }
};

/// An administrator of one test, whose password no other process of this machine has.
struct Account {
    db::Url admin, url;
    explicit Account(const db::Url& server) : admin(server), url(server) {
        url.user = lab::unique("b");
        const std::string password = "Only-" + lab::unique("here");
        url.password = make_secret(password, "test");
        auto connection = lab::open(admin, db::Access::admin);
        lab::execute(*connection, "create user " + url.user + " identified by '" + password + "'");
        lab::execute(*connection, "grant all on *.* to " + url.user);
    }
    ~Account() { lab::execute(*lab::open(admin, db::Access::admin), "drop user " + url.user); }
};

Options into(const Folder& folder, const std::string& format, int jobs = 1) {
    Options options;
    options.to = {folder.path};
    options.name = "b1";
    options.format = format;
    options.jobs = jobs;
    return options;
}

bool have(const char* program) {
    return std::system(fmt::format("command -v {} >/dev/null", program).c_str()) == 0;
}

} // namespace

TEST_CASE("backup: each driver of MySQL and MariaDB keeps rows, views, triggers, routines, events",
          "[backup][lab]") {
    for (const Side& side : sides) {
        auto server = lab::url(side.admin), scratch = lab::url(side.scratch);
        if (!server || !scratch)
            continue;
        const Tools tools(side);
        const Account account(*server);
        const db::Url* admin = &account.url;
        for (const char* format : {"mysqldump", "mydumper"}) {
            if (std::string(format) == "mydumper" && !have("mydumper"))
                continue;
            INFO(side.admin << " " << format);
            Database source(*admin), target(*admin), part(*admin);
            source.script(mysql_schema);
            auto session = lab::open(source.url);
            for (const char* sql : mysql_programs)
                lab::execute(*session, sql);
            Folder folder;
            Cancel cancel;
            ArgumentWatch watch(admin->password->reveal());
            const auto made =
                create(source.url, into(folder, format, std::string(format) == "mydumper" ? 2 : 1),
                       cancel);
            CHECK(made.counts == mysql_counts);
            CHECK(made.tables == 7);
            CHECK(made.inexact.empty());
            CHECK(made.position.find_first_of("0123456789") != std::string::npos);
            for (const char* object :
                 {"view seen", "view again", "trigger t1", "function joined", "procedure a b",
                  "event nightly", "index people.by_name", "foreign key child.owned",
                  "generated column people.upper_name"})
                CHECK(made.objects.contains(object));
            CHECK(made.objects.at("function joined").find("PIPES_AS_CONCAT") != std::string::npos);
            CHECK(made.bytes == tree_size(made.file));
            // sha256sum -c, as the hand would do it.
            CHECK(std::system(fmt::format("cd {} && sha256sum --quiet -c {}.sha256", folder.path,
                                          fs::path(made.file).filename().string())
                                  .c_str()) == 0);
            const auto proven = test_restore(made.file, *scratch, {}, cancel);
            CHECK(proven.counts == mysql_counts);
            const auto known = verify(made.file, cancel);
            CHECK(known.verified == Verified::restored);
            CHECK(known.restore_seconds == proven.seconds);
            CHECK(known.restored_at > made.started);

            CHECK(restore(made.file, target.url, {}, cancel).counts == mysql_counts);
            CHECK(contents(target.url) == contents(source.url));
            CHECK(error_of([&] { restore(made.file, target.url, {}, cancel); }).kind() ==
                  "db.not_empty");
            RestoreOptions again;
            again.replace = true;
            target.script("delete from child; insert into blank values (1)");
            CHECK(restore(made.file, target.url, again, cancel).counts == mysql_counts);
            CHECK(contents(target.url) == contents(source.url));

            // Two tables of it, into a database that holds another.
            part.script("create table other(x int)");
            RestoreOptions some;
            some.tables = {"people", "sp ace"};
            CHECK(restore(made.file, part.url, some, cancel).counts ==
                  Counts{{"people", 4}, {"sp ace", 2}});
            CHECK(part.value("select count(*) from information_schema.tables where table_schema = "
                             "database()") == Value(3));
            CHECK(part.value("select group_concat(name, upper_name) from people") ==
                  source.value("select group_concat(name, upper_name) from people"));
            auto error = error_of([&] { restore(made.file, part.url, some, cancel); });
            CHECK(error.kind() == "db.not_empty");
            CHECK(error.message() == part.url.masked() + " holds people, sp ace already");
            part.script("delete from people");
            some.replace = true;
            CHECK(restore(made.file, part.url, some, cancel).rows == 6);
            some.tables = {"peple"};
            CHECK(error_of([&] { restore(made.file, part.url, some, cancel); }).message() ==
                  made.file + ": no table 'peple' in it (did you mean 'people'?)");

            CHECK_FALSE(watch.seen());
            CHECK(watch.tools() > 0);
            auto wrong = source.url;
            wrong.password = make_secret("wr0ng-pass-word", "test");
            auto other = into(folder, format);
            other.name = "b2";
            error = error_of([&] { create(wrong, other, cancel); });
            CHECK(error.kind() == "db.auth");
            CHECK(folder.names().size() == 3);
        }
    }
}

TEST_CASE("backup: what mydumper would lose without a word is refused before it runs",
          "[backup][lab]") {
    if (!have("mydumper"))
        return;
    for (const Side& side : sides) {
        auto admin = lab::url(side.admin);
        if (!admin)
            continue;
        const Tools tools(side);
        const bool mariadb = !side.dump;
        std::vector<std::pair<std::string, std::string>> cases = {
            {"create table t(a int, b int invisible)",
             "t.b is an invisible column: its values would be lost"},
            {"create table `a/b`(x int)",
             "a/b: a name that does not come back (it holds /, `, . or "
             "-schema)"},
            {"create table `x-schema`(x int)",
             "x-schema: a name that does not come back (it holds /, `, . or -schema)"},
            {"create table t(`a``b` int)", "t.a`b: a name that holds ` is not quoted"},
        };
        if (mariadb) {
            cases.push_back(
                {"create sequence s", "s is a sequence: where it stands would be lost"});
            cases.push_back({"create table t(a int) with system versioning",
                             "t is system-versioned: its history would be lost"});
        }
        for (const auto& [sql, why] : cases) {
            Database source(*admin);
            source.script(sql);
            Folder folder;
            Cancel cancel;
            const auto error =
                error_of([&] { create(source.url, into(folder, "mydumper"), cancel); });
            CHECK(error.kind() == "backup.tool");
            CHECK(error.message() ==
                  "mydumper cannot keep all of " + source.url.masked() + ": " + why);
            CHECK(error.hint() ==
                  "leave out format = \"mydumper\" (--format): the server's own tool "
                  "keeps them");
            CHECK(folder.names().empty());
        }
    }
}

TEST_CASE("backup: a FLOAT that every dump of MySQL rounds is named", "[backup][lab]") {
    for (const Side& side : sides) {
        auto admin = lab::url(side.admin);
        if (!admin)
            continue;
        const Tools tools(side);
        Database source(*admin), target(*admin);
        source.script("create table f(f float, d double); insert into f values (16777216, 1), "
                      "(0.1, 0.1), (0, 0), (null, null), (-1.5, 2), (3.14159274, 2), (1e-30, 3)");
        Folder folder;
        Cancel cancel;
        const auto made = create(source.url, into(folder, ""), cancel);
        CHECK(made.inexact ==
              std::vector<std::string>{"f.f: 2 values of type FLOAT are rounded to six digits, as "
                                       "every dump of this server does; DOUBLE keeps them"});
        // And so they are, and no others.
        restore(made.file, target.url, {}, cancel);
        const char* differing = "select count(*) from {0}.f a join {1}.f b on a.d <=> b.d and "
                                "a.f <=> b.f";
        CHECK(target.value(fmt::format(fmt::runtime(differing), source.url.name,
                                       target.url.name)) == Value(5));
    }
}

TEST_CASE("backup: PostgreSQL in parallel, and single tables", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_PG_ADMIN"), scratch = lab::url("RUNBOOK_LAB_PG_SCRATCH");
    if (!admin || !scratch)
        return;
    for (const char* format : {"custom", "directory"}) {
        const bool directory = std::string(format) == "directory";
        INFO(format);
        Database source(*admin), target(*admin), part(*admin);
        source.script(R"(
create type mood as enum ('well', 'so so');
create table people(id bigint generated always as identity primary key, name text not null, m mood default 'well',
                    upper_name text generated always as (upper(name)) stored);
create index by_name on people(name);
insert into people(name) select 'näme ' || i from generate_series(1, 500) i;
create schema "other schema"; create table "other schema"."odd "" name"(x serial, b bytea, constraint "c c" check (x > 0));
insert into "other schema"."odd "" name"(b) values ('\x00ff'::bytea), (null);
create table child(id int primary key, person bigint references people(id)); insert into child values (1, 1);
create view seen as select count(*) from people;
create materialized view kept as select count(*) from people;
create function note() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger noted before insert on child for each row execute function note();
alter table people enable row level security; create policy all_of_them on people using (true);
create sequence standing start 7;
)");
        Folder folder;
        Cancel cancel;
        const auto made = create(source.url, into(folder, format, directory ? 2 : 1), cancel);
        CHECK(made.file == folder.path + (directory ? "/b1.pgdir" : "/b1.dump"));
        CHECK(made.position.starts_with("lsn "));
        const Objects objects = {
            {"view seen", ""},
            {"materialized view kept", ""},
            {"index people_pkey", "people"},
            {"index by_name", "people"},
            {"index child_pkey", "child"},
            {"sequence people_id_seq", "people"},
            {"sequence other schema.odd \" name_x_seq", "other schema.odd \" name"},
            {"sequence standing", ""},
            {"constraint people.people_pkey", "people"},
            {"constraint child.child_pkey", "child"},
            {"constraint child.child_person_fkey", "child"},
            {"constraint other schema.odd \" name.c c", "other schema.odd \" name"},
            {"trigger child.noted", "child"},
            {"policy people.all_of_them", "people"},
            {"function note()", ""},
            {"type mood", ""}};
        CHECK(made.objects == objects);
        RestoreOptions options;
        options.jobs = 2;
        test_restore(made.file, *scratch, options, cancel);
        CHECK(verify(made.file, cancel).verified == Verified::restored);
        CHECK(restore(made.file, target.url, options, cancel).rows == 503);
        const char* digest = "select md5(string_agg(p::text, '|' order by id)) from people p";
        CHECK(source.value(digest) == target.value(digest));

        part.script("create type mood as enum ('well', 'so so'); create schema \"other schema\"; "
                    "create table here(x int)");
        RestoreOptions some;
        some.tables = {"people", "other schema.odd \" name"};
        CHECK(restore(made.file, part.url, some, cancel).rows == 502);
        CHECK(source.value(digest) == part.value(digest));
        part.script("insert into people(name) values ('after')"); // its sequence goes on
        CHECK(part.value("select max(id) from people") == Value(501));
        CHECK(part.value("select count(*) from pg_indexes where tablename = 'people'") == Value(2));
        CHECK(error_of([&] { restore(made.file, part.url, some, cancel); }).kind() ==
              "db.not_empty");
        some.replace = true;
        CHECK(restore(made.file, part.url, some, cancel).rows == 502);
        CHECK(source.value(digest) == part.value(digest));
        // Where others lean on the table, nothing is changed.
        some.tables = {"people"};
        target.script("delete from child; delete from people where id > 10");
        CHECK(error_of([&] { restore(made.file, target.url, some, cancel); })
                  .message()
                  .find("cannot drop") != std::string::npos);
        CHECK(target.value("select count(*) from people") == Value(10));

        // What is missing from a dump is found by the restore, not only rows.
        auto manifest = slurp(made.file + ".json");
        manifest.replace(manifest.find("\"view seen\""), 11, "\"view gone\"");
        std::ofstream(made.file + ".json") << manifest;
        CHECK(error_of([&] { test_restore(made.file, *scratch, {}, cancel); }).message() ==
              "test restore of " + made.file + ": view gone is missing");
    }
}

TEST_CASE("backup: one table of SQLite", "[backup]") {
    Folder folder;
    const std::string path = folder.path + "/app.db";
    sqlite3* handle = nullptr;
    sqlite3_open(path.c_str(), &handle);
    sqlite3_exec(handle,
                 "create table \"odd \"\" name\"(a int, b int generated always as (a + 1)); "
                 "create index i on \"odd \"\" name\"(b); insert into \"odd \"\" name\"(a) values "
                 "(1), (2); create table other(x); insert into other values (1)",
                 nullptr, nullptr, nullptr);
    sqlite3_close(handle);
    Cancel cancel;
    Options options;
    options.to = {folder.path};
    options.name = "b1";
    const auto source = db::Url::parse("sqlite:" + path);
    const auto made = create(source, options, cancel);
    CHECK(made.objects == Objects{{"index i", ""}});
    RestoreOptions some;
    some.tables = {"odd \" name"};
    const auto target = db::Url::parse("sqlite:" + folder.path + "/new.db");
    CHECK(restore(made.file, target, some, cancel).counts == Counts{{"odd \" name", 2}});
    CHECK(error_of([&] { restore(made.file, target, some, cancel); }).message() ==
          target.masked() + " holds odd \" name already");
    some.replace = true;
    CHECK(restore(made.file, target, some, cancel).rows == 2);
    options.format = "mydumper";
    options.name = "b2";
    CHECK(error_of([&] { create(source, options, cancel); }).message() ==
          "a backup of SQLite has one format and one job");
}

TEST_CASE("backup: a tool that is missing is said before anything runs", "[backup]") {
    Cancel cancel;
    const auto url = db::Url::parse("mysql://x@127.0.0.1:1/x");
    Folder folder;
    Options options;
    options.to = {folder.path};
    options.jobs = 2;
    ::setenv("RUNBOOK_MYDUMPER", "/nowhere/mydumper", 1);
    auto error = error_of([&] { create(url, options, cancel); });
    ::unsetenv("RUNBOOK_MYDUMPER");
    CHECK(error.kind() == "backup.tool");
    CHECK(error.message() == "RUNBOOK_MYDUMPER: no program '/nowhere/mydumper'");
    CHECK(error.hint() == "install mydumper, or set RUNBOOK_MYDUMPER to where it is");
    options.tool = "/nowhere/mydumper";
    error = error_of([&] { create(url, options, cancel); });
    CHECK(error.message() == "no program '/nowhere/mydumper'");
    CHECK(error.hint() == "install mydumper, or name another in the option tool");
    CHECK(folder.names().empty());
}

TEST_CASE("backup: a format that there is not is refused", "[backup]") {
    Cancel cancel;
    const auto url = db::Url::parse("postgres://x@127.0.0.1:1/x");
    auto message = [&](const std::string& format, int jobs) {
        Options options;
        options.format = format;
        options.jobs = jobs;
        const auto error = error_of([&] { create(url, options, cancel); });
        CHECK(error.kind() == "usage");
        return error.message();
    };
    CHECK(message("tar", 1) == "backup format 'tar': custom or directory");
    CHECK(message("custom", 2) == "backup format 'custom' has one job only");
    CHECK(message("", 0) == "backup jobs 0: 1 to 64");
}

TEST_CASE("backup: a size or a table that does not fit those before is named", "[backup]") {
    Backup made;
    made.file = "/b/x.dump";
    made.source = "postgres://db:5432/shop";
    made.started = 1'000'000;
    made.bytes = 10'000'000;
    made.counts = {{"people", 5}, {"orders", 0}};
    auto before = [&](std::int64_t bytes, int age, const char* file = "/b/y.dump") {
        Entry entry;
        entry.backup = made;
        entry.backup.file = file;
        entry.backup.bytes = bytes;
        entry.backup.started -= age;
        entry.backup.verified = Verified::read;
        return entry;
    };
    CHECK(unusual(made, {}).empty());
    CHECK(unusual(made, {before(19'000'000, 1), before(4'000'000, 2)}).empty());
    CHECK(unusual(made, {before(21'000'000, 1)}) ==
          std::vector<std::string>{"it has 10.0 MB, the one before had 21.0 MB"});
    CHECK(unusual(made, {before(3'000'000, 1), before(3'100'000, 2), before(90'000'000, 3)}) ==
          std::vector<std::string>{"it has 10.0 MB, the last 3 had about 3.1 MB"});
    CHECK(unusual(made, {before(90'000'000, 1, "/b/y.pgdir")}).empty()); // another kind
    Entry last = before(10'000'000, 1);
    last.backup.counts = {{"people", 5}, {"orders", 98'230}, {"operators", 1}};
    CHECK(unusual(made, {last}) ==
          std::vector<std::string>{"the table operators is gone: it had 1 row",
                                   "the table orders is empty: it had 98,230 rows"});
}

TEST_CASE("backup: an empty table of a mydumper file, and one that is cut", "[backup]") {
    Folder folder;
    Cancel cancel;
    std::ofstream(folder.path + "/d.t-schema.sql") << "CREATE TABLE `t` (\n  `a` int\n);\n";
    std::ofstream(folder.path + "/d.t.sql") << "/*!40101 SET NAMES binary*/;\nINSERT INTO `t` "
                                               "(`a`,`b`) VALUES\n(1,\"a\\\"),(\"),\n(2,'x\"');"
                                               "\n";
    CHECK(scan_folder(folder.path, cancel) == Counts{{"t", 2}});
    const std::string whole = slurp(folder.path + "/d.t.sql");
    for (std::size_t cut = 33; cut + 1 < whole.size(); ++cut) {
        std::ofstream(folder.path + "/d.t.sql") << whole.substr(0, cut);
        CHECK(error_of([&] { scan_folder(folder.path, cancel); }).message() ==
              folder.path + ": d.t.sql ends early: in the middle of a statement");
    }
}

TEST_CASE("backup: a folder that is cut, changed, or has a file more or less is found",
          "[backup]") {
    Folder folder;
    Cancel cancel;
    const std::string path = folder.path + "/b1.mydumper";
    fs::create_directories(path + "/objects");
    std::mt19937 random(7);
    std::string noise;
    for (int i = 0; i < 3000; ++i)
        noise += static_cast<char>(random());
    const std::map<std::string, std::string> whole = {
        {"metadata", "Started dump"}, {"d.t.sql", noise}, {"objects/objects.sql", noise + "x"}};
    auto write = [&] {
        for (const auto& [name, text] : whole)
            std::ofstream(path + "/" + name, std::ios::binary) << text;
    };
    write();
    Backup backup;
    backup.file = path;
    backup.started = 1'000'000;
    backup.bytes = tree_size(path);
    backup.sha256 = tree_digests(path, "b1.mydumper", cancel).sha256;
    save_manifest(backup);
    auto found = [&] {
        const auto error = error_of([&] { verify(path, cancel); });
        return error.kind() == "backup.unverified" &&
               (error.message().find("its manifest says") != std::string::npos ||
                error.message().find("SHA-256") != std::string::npos);
    };
    REQUIRE_FALSE(found()); // whole as far as the digest goes: the rest of verify() has its say
    for (const auto& [name, text] : whole) {
        for (std::size_t percent = 0; percent < 100; ++percent) {
            fs::resize_file(path + "/" + name, text.size() * percent / 100);
            REQUIRE(found());
            write();
        }
        for (int i = 0; i < 334; ++i) {
            std::string flipped = text;
            flipped[random() % flipped.size()] ^= static_cast<char>(1U << (random() % 8));
            std::ofstream(path + "/" + name, std::ios::binary) << flipped;
            REQUIRE(found());
            write();
        }
        fs::rename(path + "/" + name, path + "/" + name + "2");
        REQUIRE(found());
        fs::rename(path + "/" + name + "2", path + "/" + name);
    }
    std::ofstream(path + "/more");
    REQUIRE(found());
    fs::remove(path + "/more");
    fs::create_symlink("metadata", path + "/link");
    CHECK(error_of([&] { verify(path, cancel); }).message() ==
          path + "/link: neither a file nor a folder");
    fs::remove(path + "/link");
    // It goes as one, and what an earlier removal left goes too.
    fs::create_directories(path + ".removing/objects");
    tree_remove(path);
    CHECK(folder.names() == std::vector<std::string>{"b1.mydumper.json"});
}
