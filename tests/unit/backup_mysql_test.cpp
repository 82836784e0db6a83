// Backups of MySQL and MariaDB on the lab, and the reader of their dumps.
#include "tests/unit/backup_support.h"

#include "runtime/backup/dump_scan.h"
#include "runtime/base/redact.h"

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
create table people(id int auto_increment primary key, name varchar(200) not null, note text,
                    upper_name varchar(200) generated always as (upper(name)) stored,
                    name_length int generated always as (char_length(name)) virtual, raw varbinary(20));
insert into people(name, note, raw) values ('Ada', null, x'00ff'), ('O''Brien (x),(y); ', 'back\\slash', null),
  ('line\nINSERT INTO `people` VALUES (1),(2);\n', '-- Dump completed', ''), ('naïve 😀', '''', '''');
create table `odd ``name`(x int, `VALUES (` int);
insert into `odd ``name` values (1, 2), (3, 4);
create table blank(x int);
create view seen as select count(*) as n from people;
)";
constexpr const char* trigger = "create trigger t1 before insert on blank for each row begin "
                                "insert into `odd ``name` values (9, 9); end";
const Counts counts = {{"people", 4}, {"odd `name", 2}, {"blank", 0}};

Options into(const Folder& folder, const char* tool_variable = nullptr) {
    Options options;
    options.to = {folder.path};
    options.name = "b1";
    if (const char* tool = tool_variable ? std::getenv(tool_variable) : nullptr)
        options.tool = tool;
    return options;
}

Counts scan(const std::string& text, std::size_t piece, bool& complete) {
    DumpScan scan;
    for (std::size_t at = 0; at < text.size(); at += piece)
        scan.feed(std::string_view(text).substr(at, piece));
    scan.finish();
    complete = scan.complete();
    return scan.counts();
}

/// Everything that both servers do alike.
void round_trip(const db::Url& admin, const db::Url& scratch, const char* dump_tool,
                const char* client_tool, const std::string& engine) {
    Database source(admin), target(admin);
    source.script(schema);
    lab::execute(*lab::open(source.url), trigger);
    Folder folder;
    Cancel cancel;
    ArgumentWatch watch(admin.password->reveal());
    auto backup = create(source.url, into(folder, dump_tool), cancel);
    CHECK(backup.file == folder.path + "/b1.sql");
    CHECK(backup.engine == engine);
    CHECK(backup.counts == counts);
    CHECK(backup.rows == 6);
    CHECK(backup.verified == Verified::read);
    CHECK(slurp(backup.file).find("values (9, 9)") != std::string::npos);

    RestoreOptions options;
    if (const char* tool = client_tool ? std::getenv(client_tool) : nullptr)
        options.tool = tool;
    options.counts = {{"people", 4}};
    auto databases = [&] {
        return lab::value(*lab::open(admin),
                          "select count(*) from information_schema.schemata where "
                          "schema_name like 'runbook\\_restore\\_%'");
    };
    Value before = databases();
    CHECK(test_restore(backup.file, scratch, options, cancel).counts == counts);
    CHECK(verify(backup.file, cancel).verified == Verified::restored);
    options.counts = {{"people", 400}};
    CHECK(error_of([&] { test_restore(backup.file, scratch, options, cancel); }).message() ==
          "test restore of " + backup.file + ": people: 4 rows instead of 400");
    CHECK(databases() == before);

    options.counts = {};
    CHECK(restore(backup.file, target.url, options, cancel).counts == counts);
    const char* digest =
        "select sha2(group_concat(id, name, ifnull(note, '<null>'), upper_name, name_length, "
        "ifnull(hex(raw), '<null>') order by id separator '|'), 256) from people";
    CHECK(source.value(digest) == target.value(digest));
    CHECK(error_of([&] { restore(backup.file, target.url, options, cancel); }).kind() ==
          "db.not_empty");
    CHECK_FALSE(watch.seen());
    CHECK(watch.tools() > 0);
    for (const auto& name : folder.names())
        CHECK(slurp(folder.path + "/" + name).find(admin.password->reveal()) == std::string::npos);

    auto wrong = source.url;
    wrong.password = make_secret("wr0ng-pass-word", "test");
    auto again = into(folder, dump_tool);
    again.name = "b2";
    auto error = error_of([&] { create(wrong, again, cancel); });
    CHECK(error.kind() == "db.auth");
    CHECK(error.message().find("wr0ng-pass-word") == std::string::npos);
    CHECK(folder.names() == std::vector<std::string>{"b1.sql", "b1.sql.json", "b1.sql.sha256"});
}

} // namespace

TEST_CASE("backup: MySQL, dump, test restore, restore", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_MYSQL_ADMIN");
    auto scratch = lab::url("RUNBOOK_LAB_MYSQL_SCRATCH");
    if (!admin || !scratch)
        return;
    round_trip(*admin, *scratch, "RUNBOOK_LAB_MYSQLDUMP", "RUNBOOK_LAB_MYSQL_CLIENT", "MySQL");
}

TEST_CASE("backup: MariaDB, dump, test restore, restore", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_MARIADB_ADMIN");
    auto scratch = lab::url("RUNBOOK_LAB_MARIADB_SCRATCH");
    if (!admin || !scratch)
        return;
    round_trip(*admin, *scratch, nullptr, nullptr, "MariaDB");
}

TEST_CASE("backup: MySQL and MariaDB refuse each other's tools", "[backup][lab]") {
    auto mysql = lab::url("RUNBOOK_LAB_MYSQL_ADMIN");
    auto mariadb = lab::url("RUNBOOK_LAB_MARIADB_ADMIN");
    const char* oracle_tool = std::getenv("RUNBOOK_LAB_MYSQLDUMP");
    if (!mysql || !mariadb || !oracle_tool)
        return;
    Folder folder;
    Cancel cancel;
    auto options = into(folder);
    options.tool = "/usr/bin/mariadb-dump";
    auto error = error_of([&] { create(*mysql, options, cancel); });
    CHECK(error.kind() == "backup.tool");
    CHECK(error.message() ==
          "/usr/bin/mariadb-dump is MariaDB's: its dump of a MySQL server does not restore");
    CHECK(error.hint() ==
          "it writes values for generated columns and exits 0; install Oracle's MySQL client "
          "and set RUNBOOK_MYSQLDUMP or the option tool to its mysqldump");
    options.tool = oracle_tool;
    error = error_of([&] { create(*mariadb, options, cancel); });
    CHECK(error.kind() == "backup.tool");
    CHECK(error.message() == std::string(oracle_tool) + " is Oracle's: it does not dump MariaDB");
    CHECK(folder.names().empty());
}

TEST_CASE("backup: MySQL, counts are those of the dump while others write", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_MYSQL_ADMIN");
    auto scratch = lab::url("RUNBOOK_LAB_MYSQL_SCRATCH");
    if (!admin || !scratch)
        return;
    Database source(*admin);
    source.script("create table t(x varchar(20)); insert into t values ('x')");
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        auto connection = lab::open(source.url);
        while (!stop)
            lab::execute(*connection, "insert into t select 'x' from t limit 50");
    });
    Folder folder;
    Cancel cancel;
    auto backup = create(source.url, into(folder, "RUNBOOK_LAB_MYSQLDUMP"), cancel);
    stop = true;
    writer.join();
    RestoreOptions options;
    if (const char* tool = std::getenv("RUNBOOK_LAB_MYSQL_CLIENT"))
        options.tool = tool;
    CHECK(test_restore(backup.file, *scratch, options, cancel).counts == backup.counts);
}

TEST_CASE("backup: MySQL, rights that do not do", "[backup][lab]") {
    auto admin = lab::url("RUNBOOK_LAB_MYSQL_ADMIN");
    if (!admin)
        return;
    Database source(*admin);
    source.script("create table t(x int)");
    auto connection = lab::open(*admin, db::Access::admin);
    std::string user = lab::unique("u");
    lab::execute(*connection, "create user " + user + " identified by 'user-pass-12'");
    lab::execute(*connection, "grant select on " + source.url.name + ".t to " + user);
    auto as_user = source.url;
    as_user.user = user;
    as_user.password = make_secret("user-pass-12", "test");
    Folder folder;
    Cancel cancel;
    auto error = error_of([&] { create(as_user, into(folder, "RUNBOOK_LAB_MYSQLDUMP"), cancel); });
    lab::execute(*connection, "drop user " + user);
    CHECK(error.kind() == "db.permission");
    CHECK(error.message().starts_with("mysqldump of " + as_user.masked() + ": mysqldump: "));
    CHECK(folder.names().empty());
}

TEST_CASE("backup: a dump is scanned the same however it is cut", "[backup]") {
    const std::string text = R"(-- MySQL dump 10.13
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `people` (
  `id` int NOT NULL
) ENGINE=InnoDB;
INSERT INTO `people` VALUES (1,'a'),(2,'it''s (3),(4)'),(3,'back\\'),(4,'quote\' (5)\n');
INSERT INTO `people` VALUES (5,NULL),(6,0x00FF);
CREATE TABLE `odd ``name` (
  `x` int
);
INSERT INTO `odd ``name` (`a`, `VALUES (`) VALUES (1,2),
(3,4);
CREATE TABLE `none` (
  `x` int
);
/*!50001 CREATE TABLE `view_stand_in` (
  `x` tinyint
)*/;
DELIMITER ;;
CREATE TRIGGER t BEGIN
INSERT INTO `people` VALUES (99,'x');
-- Dump completed
END ;;
DELIMITER ;
INSERT INTO `undeclared` VALUES (1);
-- Dump completed on 2026-11-20 14:34:06
)";
    const Counts expected = {{"people", 6}, {"odd `name", 2}, {"none", 0}, {"undeclared", 1}};
    for (std::size_t piece :
         {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64}, text.size()}) {
        bool complete = false;
        INFO("piece " << piece);
        CHECK(scan(text, piece, complete) == expected);
        CHECK(complete);
    }
    bool complete = true;
    scan(text.substr(0, text.size() - 60), 64, complete);
    CHECK_FALSE(complete); // the line inside the trigger is not the last one
}

TEST_CASE("backup: a dump that is empty or cut off is refused", "[backup]") {
    Folder folder;
    Cancel cancel;
    std::string path = folder.path + "/x.sql";
    std::ofstream{path};
    auto error = error_of([&] { scan_dump(path, cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK(error.message() == path + ": the dump is empty");
    std::ofstream(path) << "CREATE TABLE `t` (\n";
    error = error_of([&] { scan_dump(path, cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK(error.message() == path + ": the dump ends early: its last line is missing");
}
