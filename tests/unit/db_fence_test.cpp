// Write fences on real servers: who is kept out, what is given back, what the proof sees.
#include "runtime/base/redact.h"
#include "runtime/db/ask.h"
#include "runtime/db/fence/fence.h"
#include "runtime/db/written/written.h"
#include "tests/unit/db_lab.h"

#include <fmt/format.h>

#include <future>
#include <thread>

using namespace runbook;
using namespace runbook::db;

namespace {

/// A database of the test's own with an owner (who fences) and an application's user.
struct Site {
    explicit Site(const char* variable) : admin_url(lab::url(variable)) {
        if (!admin_url)
            return;
        postgres = admin_url->engine == Engine::postgresql;
        name = lab::unique("fence");
        owner = name + "_o";
        app = name + "_a";
        admin = lab::open(*admin_url, Access::admin);
        if (postgres) {
            for (const std::string& role : {owner, app})
                lab::execute(*admin,
                             fmt::format("create role {} login password 'secret {}'", role, role));
            lab::execute(*admin, fmt::format("create database {} owner {}", name, owner));
        } else {
            lab::execute(*admin, "create database " + name);
            for (const std::string& user : {owner, app})
                lab::execute(*admin, fmt::format("create user {}@'%' identified by 'secret {}'",
                                                 user, user));
            lab::execute(*admin,
                         fmt::format("grant all on {}.* to {}@'%' with grant option", name, owner));
            // What a fence on MySQL needs besides: to see accounts, to end sessions, to see the
            // log.
            lab::execute(*admin, fmt::format("grant select on mysql.* to {}@'%'", owner));
            lab::execute(*admin,
                         fmt::format("grant select on performance_schema.* to {}@'%'", owner));
            lab::execute(*admin,
                         fmt::format("grant process, replication client, replication slave on *.* "
                                     "to {}@'%'",
                                     owner));
            const bool mariadb = admin->server().flavour == Flavour::mariadb;
            lab::execute(*admin,
                         fmt::format("grant {} on *.* to {}@'%'",
                                     mariadb ? "connection admin" : "connection_admin", owner));
            lab::execute(
                *admin,
                fmt::format("grant select, insert, update, delete on {}.* to {}@'%'", name, app));
        }
        fencer = as(owner, Access::admin);
        lab::execute(*fencer, "create table t (id int primary key, v varchar(20))");
        lab::execute(*fencer, "create table other (id int primary key)");
        lab::execute(*fencer, "insert into t values (1, 'a'), (2, 'b')");
        if (postgres) {
            lab::execute(*fencer,
                         fmt::format("grant select, insert, update, delete on t to {}", app));
            lab::execute(*fencer, fmt::format("grant select, insert (id) on other to {}", app));
        }
    }
    ~Site() {
        if (!admin)
            return;
        fencer.reset();
        writer.reset();
        if (postgres) {
            lab::execute(*admin, fmt::format("drop database {} with (force)", name));
            for (const std::string& role : {app, owner})
                lab::execute(*admin, "drop role " + role);
        } else {
            lab::execute(*admin, "drop database " + name);
            for (const std::string& user : {app, owner})
                lab::execute(*admin, fmt::format("drop user {}@'%'", user));
        }
    }
    explicit operator bool() const { return fencer != nullptr; }
    Url url_of(const std::string& user) const {
        Url url = *admin_url;
        url.user = user;
        url.name = name;
        url.password = make_secret("secret " + user, "test");
        return url;
    }
    std::unique_ptr<Connection> as(const std::string& user, Access access = Access::write) const {
        return lab::open(url_of(user), access);
    }
    FenceOptions role() const {
        FenceOptions options;
        options.roles = {app};
        return options;
    }
    /// The kind of error that an insert by the application gives, or "written".
    std::string write(int id) {
        try {
            if (!writer || !writer->alive())
                writer = as(app);
            lab::execute(*writer, fmt::format("insert into t values ({}, 'x')", id));
            return "written";
        } catch (const Error& error) {
            return error.kind();
        }
    }

    std::optional<Url> admin_url;
    bool postgres = false;
    std::string name, owner, app;
    std::unique_ptr<Connection> admin, fencer, writer;
    Cancel cancel;
};

constexpr const char* servers[] = {"RUNBOOK_LAB_PG_ADMIN", "RUNBOOK_LAB_MYSQL_ADMIN",
                                   "RUNBOOK_LAB_MARIADB_ADMIN"};

} // namespace

TEST_CASE("a write fence keeps a role out, lets it read, and gives back what it took",
          "[db][fence]") {
    for (const char* variable : servers) {
        INFO(variable);
        Site site(variable);
        if (!site)
            return;
        Connection& fencer = *site.fencer;
        CHECK(fence_state(fencer, site.role(), site.cancel) == "off");
        CHECK(fence_held(fencer, site.role(), site.cancel).text("why") ==
              "the fence is not closed");
        REQUIRE(site.write(10) == "written");
        const Map closed = fence_on(fencer, site.role(), site.cancel);
        CHECK(closed.find("fenced")->get<List>()->front() == Value(site.app));
        CHECK(fence_state(fencer, site.role(), site.cancel) == "on");
        // The session that was open, then a new one; reading goes on.
        std::string kind = site.write(11);
        CHECK((kind == "db.permission" || kind == "db.connection"));
        CHECK(site.write(12) == "db.permission");
        CHECK(lab::value(*site.as(site.app), "select count(*) from t") == Value(3));
        Map proof = fence_held(fencer, site.role(), site.cancel);
        CHECK(proof.text("why") == "");
        CHECK(proof.boolean("held"));
        CHECK(proof.find("since")->get<Timestamp>());
        // Again is nothing; off, twice; and the application writes as before.
        CHECK(fence_on(fencer, site.role(), site.cancel).boolean("already"));
        CHECK(fence_off(fencer, site.role(), site.cancel).integer("given_back") > 0);
        CHECK(fence_off(fencer, site.role(), site.cancel).integer("given_back") == 0);
        CHECK(fence_state(fencer, site.role(), site.cancel) == "off");
        site.writer.reset(); // MySQL ends the sessions that began behind the fence
        CHECK(site.write(13) == "written");
        if (site.postgres)
            CHECK(lab::execute(*site.writer, "insert into other (id) values (1)").rows_affected ==
                  1);
    }
}

TEST_CASE("a fence for everybody leaves the exceptions and its own role", "[db][fence]") {
    for (const char* variable : servers) {
        INFO(variable);
        Site site(variable);
        if (!site)
            return;
        Connection& fencer = *site.fencer;
        FenceOptions everybody;
        const Map done = fence_on(fencer, everybody, site.cancel);
        CHECK(site.write(20) == "db.permission");
        CHECK(fence_held(fencer, everybody, site.cancel).boolean("held"));
        CHECK(lab::execute(fencer, "insert into t values (21, 'own')").rows_affected == 1);
        fence_off(fencer, everybody, site.cancel);
        site.writer.reset();
        CHECK(site.write(22) == "written");
        everybody.except = {site.app};
        fence_on(fencer, everybody, site.cancel);
        CHECK(site.write(23) == "written");
        fence_off(fencer, everybody, site.cancel);
    }
}

TEST_CASE("the proof sees what a superuser writes through a fence", "[db][fence]") {
    for (const char* variable : servers) {
        INFO(variable);
        Site site(variable);
        if (!site)
            return;
        Connection& fencer = *site.fencer;
        fence_on(fencer, site.role(), site.cancel);
        Url url = *site.admin_url;
        url.name = site.name;
        auto super = lab::open(url, Access::admin);
        lab::execute(*super, "update t set v = 'changed' where id = 1");
        Map proof = fence_held(fencer, site.role(), site.cancel);
        CHECK_FALSE(proof.boolean("held"));
        CHECK(proof.text("why") == "written meanwhile: t");
        CHECK(proof.integer("rows") == 1);
        lab::execute(*super, "delete from t where id = 2");
        proof = fence_held(fencer, site.role(), site.cancel);
        CHECK_FALSE(proof.boolean("held"));
        CHECK(proof.integer("rows") == 2);
        // A grant that somebody gives meanwhile is a hole, written through or not.
        if (site.postgres)
            lab::execute(*super, "grant insert on other to " + site.app);
        else
            lab::execute(*super,
                         fmt::format("grant insert on {}.other to {}@'%'", site.name, site.app));
        CHECK(fence_held(fencer, site.role(), site.cancel).text("why").find("other") !=
              std::string::npos);
        fence_off(fencer, site.role(), site.cancel);
    }
}

TEST_CASE("PostgreSQL: a fence waits for open transactions, or changes nothing", "[db][fence]") {
    Site site("RUNBOOK_LAB_PG_ADMIN");
    if (!site)
        return;
    auto writer = site.as(site.app);
    writer->begin(site.cancel);
    lab::execute(*writer, "insert into t values (30, 'open')");
    FenceOptions options = site.role();
    options.within = std::chrono::milliseconds(200);
    Error error = lab::error_of([&] { fence_on(*site.fencer, options, site.cancel); });
    CHECK(error.kind() == "db.lock_timeout");
    CHECK(error.message() == site.fencer->url().masked() +
                                 ": open transactions that write did not end within 200ms; nothing "
                                 "was fenced");
    CHECK(fence_state(*site.fencer, options, site.cancel) == "off");
    options.within = std::chrono::seconds(20);
    auto work = std::async(std::launch::async, [&] {
        Cancel own;
        return fence_on(*site.fencer, options, own);
    });
    // The fence waits for the lock that the writer holds: the server says so.
    while (lab::value(*site.admin,
                      "select count(*) from pg_locks l join pg_database d on d.oid = l.database "
                      "where not l.granted and d.datname = ?",
                      {site.name}) == Value(0))
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    writer->commit(site.cancel);
    work.get();
    CHECK(lab::value(*site.fencer, "select count(*) from t where id = 30") == Value(1));
    CHECK(site.write(31) == "db.permission");
    CHECK(fence_held(*site.fencer, options, site.cancel).boolean("held"));
}

TEST_CASE("fences that cannot hold are refused, and nothing is changed", "[db][fence]") {
    Site pg("RUNBOOK_LAB_PG_ADMIN");
    if (!pg)
        return;
    const std::string at = pg.fencer->url().masked() + ": ";
    auto refused = [&](Site& site, const FenceOptions& options) {
        Error error = lab::error_of([&] { fence_on(*site.fencer, options, site.cancel); });
        CHECK(error.kind() == "db.fence");
        CHECK(fence_state(*site.fencer, options, site.cancel) == "off");
        return error.message();
    };
    FenceOptions options;
    options.roles = {"nobody_here"};
    CHECK(refused(pg, options) == at + "there is no role 'nobody_here' to fence");
    options.roles = {pg.owner};
    CHECK(refused(pg, options) ==
          at + "role '" + pg.owner + "' is the one that the fence's connection logs in as");
    options.roles = {"lab_admin"};
    CHECK(refused(pg, options) == at + "role 'lab_admin' is a superuser: no fence keeps it out");
    lab::execute(*pg.fencer, "grant insert on other to public");
    CHECK(refused(pg, pg.role()) ==
          at + "role '" + pg.app +
              "' may INSERT on public.other still: through PUBLIC, a role it is a member of, or a "
              "grant of somebody else; nothing was fenced");
    CHECK(pg.write(40) == "written");

    Site my("RUNBOOK_LAB_MYSQL_ADMIN");
    if (!my)
        return;
    options.roles = {"nobody_here"};
    CHECK(refused(my, options) ==
          my.fencer->url().masked() + ": there is no user 'nobody_here' to fence");
    lab::execute(*my.admin, fmt::format("grant insert on *.* to {}@'%'", my.app));
    CHECK(refused(my, my.role()) == my.fencer->url().masked() + ": '" + my.app +
                                        "'@'%' may INSERT on every database: taking that away "
                                        "would reach beyond this one");
    lab::execute(*my.admin, fmt::format("revoke insert on *.* from {}@'%'", my.app));
    lab::execute(*my.admin, "create role rb_fence_role");
    lab::execute(*my.admin, fmt::format("grant delete on {}.* to rb_fence_role", my.name));
    lab::execute(*my.admin, fmt::format("grant rb_fence_role to {}@'%'", my.app));
    Error error = lab::error_of([&] { fence_on(*my.fencer, my.role(), my.cancel); });
    CHECK(error.message().find("may DELETE on") != std::string::npos);
    CHECK(error.message().ends_with("still; what was revoked is given back"));
    CHECK(my.write(41) == "written");
    lab::execute(*my.admin, "drop role rb_fence_role");
}

TEST_CASE("written_since counts rows on every engine", "[db][written]") {
    for (const char* variable : servers) {
        INFO(variable);
        Site site(variable);
        if (!site)
            return;
        Connection& c = *site.fencer;
        const Map mark = take_mark(c, true, site.cancel);
        CHECK(written_since(c, mark, site.cancel).boolean("nothing"));
        REQUIRE(site.write(50) == "written");
        REQUIRE(site.write(51) == "written");
        Map since = written_since(c, mark, site.cancel);
        CHECK_FALSE(since.boolean("nothing"));
        CHECK(since.integer("rows") == 2);
        CHECK(since.find("tables")->get<Map>()->size() == 1);
        lab::execute(*site.writer, "delete from t where id = 1");
        CHECK(written_since(c, mark, site.cancel).integer("rows") >= 2);
        Map other = mark;
        other.set("identity", "another");
        CHECK(lab::error_of([&] { written_since(c, other, site.cancel); }).kind() == "db.error");
        CHECK(lab::error_of([&] { written_since(c, Map{}, site.cancel); }).kind() == "argument");
    }
}

TEST_CASE("SQLite: a fence refuses every writer until it is opened", "[db][fence]") {
    const std::string file = lab::unique("/tmp/rb_fence") + ".db";
    auto c = lab::open(Url::parse("sqlite:" + file), Access::admin);
    Cancel cancel;
    FenceOptions options;
    lab::execute(*c, "create table t (id integer primary key, v text)");
    lab::execute(*c, "insert into t values (1, 'a')");
    const Map mark = take_mark(*c, true, cancel);
    fence_on(*c, options, cancel);
    CHECK(fence_state(*c, options, cancel) == "on");
    for (const char* sql :
         {"insert into t values (2, 'b')", "update t set v = 'c'", "delete from t"})
        CHECK(lab::error_of([&] { lab::execute(*c, sql); })
                  .message()
                  .find("a write fence of runbook stands on this database") != std::string::npos);
    CHECK(fence_held(*c, options, cancel).boolean("held"));
    lab::execute(*c, "drop trigger _runbook_fence_update_t");
    CHECK(fence_held(*c, options, cancel).text("why") == "table 't' takes writes");
    lab::execute(*c, "update t set v = 'c'");
    CHECK(fence_held(*c, options, cancel).integer("rows") == 1);
    fence_off(*c, options, cancel);
    lab::execute(*c, "insert into t values (3, 'd')");
    CHECK(written_since(*c, mark, cancel).integer("rows") == 1);
    options.roles = {"x"};
    CHECK(lab::error_of([&] { fence_on(*c, options, cancel); }).kind() == "db.unsupported");
    c.reset();
    unlink(file.c_str());
}
