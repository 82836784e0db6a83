// What only a journal on a server can meet: other settings, other roles, a connection that breaks
// at each point of a change, sessions that lock.
#include "runtime/journal/migrations.h"
#include "tests/unit/journal_support.h"

#include <atomic>
#include <fmt/format.h>
#include <future>
#include <thread>

using namespace journal_test;
using journal::Journal;
using journal::RunState;

namespace {

/// True where the lab runs; the schema is empty then.
bool prepared() {
    if (!LabDatabase::available())
        return false;
    LabDatabase::get().clear();
    return true;
}

std::string location() {
    return LabDatabase::get().url();
}

std::string shown() {
    return db::Url::parse(location()).masked();
}

std::unique_ptr<db::Connection> admin() {
    return db::lab::open(db::Url::parse(location()), db::Access::admin);
}

/// Ends every session of a journal, as a restart of the server would.
void end_sessions() {
    auto session = admin();
    db::lab::value(*session, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                             "application_name = 'runbook journal' AND datname = "
                             "current_database()");
}

/// A role of its own, without rights, and the URL for it; dropped at the end.
struct Role {
    std::string name = db::lab::unique("journal_role");
    Role() { db::lab::execute(*admin(), "CREATE ROLE " + name + " LOGIN PASSWORD 'pw-of-role'"); }
    ~Role() {
        auto session = admin();
        db::lab::execute(*session, "DROP OWNED BY " + name);
        db::lab::execute(*session, "DROP ROLE " + name);
    }
    std::string url(const std::string& password = "") const {
        std::string out = location();
        const auto from = out.find("//") + 2, to = out.find('@');
        return out.replace(from, to - from, name + password);
    }
    std::string shown(const std::string& password = "") const {
        return db::Url::parse(url(password)).masked();
    }
};

struct Variable {
    const char* name;
    Variable(const char* variable, const std::string& value) : name(variable) {
        setenv(name, value.c_str(), 1);
    }
    ~Variable() { unsetenv(name); }
};

} // namespace

TEST_CASE("journal on a server: where the password comes from, and that nobody sees it",
          "[journal][postgres]") {
    if (!prepared())
        return;
    Journal::open(location())->create(record());
    const Role role;
    db::lab::execute(*admin(), "GRANT USAGE ON SCHEMA runbook TO " + role.name);
    db::lab::execute(*admin(), "GRANT SELECT ON ALL TABLES IN SCHEMA runbook TO " + role.name);
    CHECK(failure([&] { Journal::open(role.url(), true); }) ==
          "journal: journal " + role.shown() +
              ": fe_sendauth: no password supplied | set a password in the URL, in "
              "RUNBOOK_JOURNAL_PASSWORD or in ~/.pgpass");
    {
        const Variable wrong("RUNBOOK_JOURNAL_PASSWORD", "not-it");
        CHECK(failure([&] { Journal::open(role.url(), true); }) ==
              "journal: journal " + role.shown(":not-it") +
                  ": password authentication failed for user \"" + role.name +
                  "\" (28P01) | check the user's password (env:RUNBOOK_JOURNAL_PASSWORD) and "
                  "pg_hba.conf");
    }
    const Variable right("RUNBOOK_JOURNAL_PASSWORD", "pw-of-role");
    auto book = Journal::open(role.url(), true);
    CHECK(book->name().find("pw-of-role") == std::string::npos);
    CHECK(book->find("r1"));
    CHECK_FALSE(book->audit("r1"));
    CHECK(failure([&] {
              book->post({0, "r1", "approve", "x", "me", 0, {}});
          }) == "journal: journal " + book->name() + ": opened for reading only");
    CHECK(failure([&] { Journal::open(role.url())->create(record("r2")); }) ==
          "journal: journal " + book->name() +
              ": permission denied for table runs (42501) | the role needs USAGE on the schema "
              "runbook and SELECT on its tables; to write, INSERT and UPDATE too, and DELETE on "
              "locks");
    const Variable named("RUNBOOK_JOURNAL", location());
    CHECK(Journal::default_location() == location());
}

TEST_CASE("journal on a server: who may not make its tables is told what to ask for",
          "[journal][postgres]") {
    if (!prepared())
        return;
    const Role role;
    const Variable password("RUNBOOK_JOURNAL_PASSWORD", "pw-of-role");
    CHECK(failure([&] { Journal::open(role.url(), true); }) ==
          "journal: there is no journal in " + role.shown(":x") + " | the first run creates it");
    CHECK(failure([&] { Journal::open(role.url()); }) ==
          "journal: journal " + role.shown(":x") + ": permission denied for database " +
              LabDatabase::get().name() + " (42501); role '" + role.name +
              "' cannot make or change the journal's tables | let an administrator run CREATE "
              "SCHEMA runbook AUTHORIZATION \"" +
              role.name + "\" in this database");
    db::lab::execute(*admin(),
                     fmt::format("CREATE SCHEMA runbook AUTHORIZATION \"{}\"", role.name));
    Journal::open(role.url())->create(record());
    CHECK(Journal::open(role.url(), true)->find("r1"));
    CHECK(failure([&] { Journal::open("postgres://u:geheim@h:x/db"); }).find("geheim") ==
          std::string::npos);
}

TEST_CASE("journal on a server: a schema of somebody else is left alone", "[journal][postgres]") {
    if (!prepared())
        return;
    db::lab::execute(*admin(), "CREATE SCHEMA runbook");
    LabDatabase::get().execute("CREATE TABLE recipes (a int)");
    CHECK(failure([&] { Journal::open(location()); }) ==
          "journal: journal " + shown() +
              ": the schema 'runbook' of this database holds something else | name another "
              "database");
}

TEST_CASE("journal on a server: settings elsewhere do not weaken a commit", "[journal][postgres]") {
    if (!prepared())
        return;
    Journal::open(location())->create(record());
    const std::string alter = "ALTER DATABASE " + LabDatabase::get().name() + " ";
    db::lab::execute(*admin(), alter + "SET synchronous_commit = off");
    db::lab::execute(*admin(), alter + "SET default_transaction_isolation = 'serializable'");
    LabDatabase::get().execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% "
        "%', current_setting('synchronous_commit'), current_setting('transaction_isolation'); "
        "END $$; CREATE TRIGGER tell BEFORE INSERT ON events EXECUTE FUNCTION tell()");
    auto book = Journal::open(location());
    const auto fence = book->acquire("r1", 60);
    CHECK(failure([&] { book->append("r1", fence, "log", "", {}); }) ==
          "journal: journal " + shown() + ": on read committed (P0001)");
    db::lab::execute(*admin(), alter + "SET synchronous_commit = remote_apply"); // stronger: kept
    auto stronger = Journal::open(location());
    CHECK(failure([&] { stronger->append("r1", fence, "log", "", {}); }) ==
          "journal: journal " + shown() + ": remote_apply read committed (P0001)");
    db::lab::execute(*admin(), alter + "RESET ALL");
    CHECK(book->events("r1").empty());
    const bool synced =
        db::lab::value(*admin(), "SELECT current_setting('fsync')") == Value(std::string("on"));
    CHECK(book->warning() ==
          (synced ? ""
                  : "journal " + shown() +
                        ": this server runs with fsync = off; after a crash of its machine "
                        "entries may be missing"));
}

TEST_CASE("journal on a server: a standby takes no entry", "[journal][postgres]") {
    if (!prepared())
        return;
    Journal::open(location())->create(record());
    const std::string alter = "ALTER DATABASE " + LabDatabase::get().name() + " ";
    db::lab::execute(*admin(), alter + "SET default_transaction_read_only = on");
    const std::string said = failure([&] { Journal::open(location())->acquire("r1", 60); });
    auto session = admin();
    db::lab::execute(*session, "SET default_transaction_read_only = off");
    db::lab::execute(*session, alter + "RESET ALL");
    CHECK(said == "journal: journal " + shown() +
                      ": cannot execute SELECT FOR UPDATE in a read-only transaction (25006) | "
                      "this server is a standby, or read-only: name the primary one");
}

TEST_CASE("journal on a server: the encoding must hold every text", "[journal][postgres]") {
    if (!prepared())
        return;
    const std::string name = db::lab::unique("journal_latin");
    db::lab::execute(*admin(), "CREATE DATABASE " + name +
                                   " TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    std::string url = location();
    url.replace(url.find("/" + LabDatabase::get().name()), LabDatabase::get().name().size() + 1,
                "/" + name);
    const std::string said = failure([&] { Journal::open(url); });
    db::lab::execute(*admin(), "DROP DATABASE " + name + " WITH (FORCE)");
    const std::string where = db::Url::parse(url).masked();
    CHECK(said == "journal: journal " + where +
                      ": the encoding of this database is LATIN1, and a journal needs UTF8 | make "
                      "one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0");
}

TEST_CASE("journal on a server: a session that was lost between two entries is opened again, "
          "under the same token",
          "[journal][postgres]") {
    if (!prepared())
        return;
    auto book = Journal::open(location()), other = Journal::open(location());
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    book->append("r1", fence, "run.started", "", {});
    end_sessions();
    CHECK(book->append("r1", fence, "step.started", "a", {}).seq == 2);
    CHECK(book->events("r1").size() == 2);
    CHECK_FALSE(book->audit("r1"));
    end_sessions();
    CHECK(other->runs().size() == 1); // readers too
    const auto next = other->acquire("r1", 60);
    end_sessions();
    CHECK(failure([&] {
              book->append("r1", fence, "step.finished", "a", {});
          }).starts_with("journal.fenced: run r1 was taken over by process "));
    CHECK(other->append("r1", next, "run.resumed", "", {}).seq == 3);
    CHECK_FALSE(other->audit("r1"));
}

TEST_CASE("journal on a server: lost inside of a change, before COMMIT: once more, and once only",
          "[journal][postgres]") {
    if (!prepared())
        return;
    auto book = Journal::open(location());
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    // The sequence's value survives the rollback: the session ends at the first insert only.
    LabDatabase::get().execute(
        "CREATE SEQUENCE turns; CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF nextval('runbook.turns') <= TG_ARGV[0]::int THEN PERFORM "
        "pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER die BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION die('1')");
    CHECK(book->append("r1", fence, "run.started", "", {}).seq == 1);
    CHECK(book->events("r1").size() == 1);
    LabDatabase::get().execute(
        "DROP TRIGGER die ON events; CREATE TRIGGER die BEFORE INSERT ON events "
        "FOR EACH ROW EXECUTE FUNCTION die('1000')");
    const std::string said = failure([&] { book->append("r1", fence, "log", "", {}); });
    CHECK(said.starts_with("journal: journal " + shown() + ": "));
    CHECK(said.find("terminating connection due to administrator command") != std::string::npos);
    LabDatabase::get().execute("DROP TRIGGER die ON events");
    CHECK(book->append("r1", fence, "log", "", {}).seq == 2); // it was known not to be there
    CHECK_FALSE(book->audit("r1"));
}

TEST_CASE("journal on a server: lost during COMMIT is unknown, and nothing is written on top",
          "[journal][postgres]") {
    if (!prepared())
        return;
    auto book = Journal::open(location());
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    book->append("r1", fence, "run.started", "", {});
    LabDatabase::get().execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR "
        "EACH ROW EXECUTE FUNCTION die()");
    const std::string said = failure([&] { book->append("r1", fence, "step.started", "a", {}); });
    CHECK(said.starts_with("journal.unknown: journal " + shown() + ": "));
    CHECK(said.ends_with("; the last entry may or may not be written | nothing was done on top of "
                         "it: when the server answers, resume the run"));
    LabDatabase::get().execute("DROP TRIGGER die ON events");
    CHECK(failure([&] { book->append("r1", fence, "step.started", "a", {}); }) == said);
    CHECK(failure([&] { book->renew("r1", fence, 60); }) == said);
    CHECK(failure([&] { book->finish("r1", RunState::held, "held", 3); }) == said);
    auto again = Journal::open(location()); // a new process sees what is there, and goes on
    CHECK(again->events("r1").size() == 1);
    CHECK_FALSE(again->audit("r1"));
    const auto next = again->acquire("r1", 60);
    CHECK(again->append("r1", next, "run.resumed", "", {}).seq == 2);
}

TEST_CASE("journal: a lock that does not end is told with its holder", "[journal][lock]") {
    // Both backends wait their 10 s at the same time.
    Folder folder;
    const bool server = prepared();
    auto file_book = Journal::open(folder.file());
    file_book->create(record());
    const auto file_fence = file_book->acquire("r1", 60);
    Child shell([&](int out) {
        sqlite3* handle = nullptr;
        if (sqlite3_open(folder.file().c_str(), &handle) != SQLITE_OK ||
            sqlite3_exec(handle, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) != SQLITE_OK)
            _exit(1);
        (void)!::write(out, "+", 1);
    });
    char byte = 0;
    REQUIRE(shell.read(byte));
    std::string said;
    std::thread waiting;
    std::unique_ptr<db::Connection> blocker;
    std::int64_t session = 0;
    if (server) {
        auto book = std::shared_ptr<Journal>(Journal::open(location()));
        book->create(record());
        const auto fence = book->acquire("r1", 60);
        blocker = admin();
        db::lab::execute(*blocker, "SET application_name = 'a console'");
        session = *db::lab::value(*blocker, "SELECT pg_backend_pid()::bigint").get<std::int64_t>();
        Cancel cancel;
        blocker->begin(cancel);
        db::lab::execute(*blocker, "SELECT * FROM runbook.runs FOR UPDATE");
        waiting = std::thread([book, fence, &said] {
            said = failure([&] { book->append("r1", fence, "step.started", "a", {}); });
        });
    }
    CHECK(failure([&] { file_book->append("r1", file_fence, "step.started", "a", {}); }) ==
          fmt::format("journal: journal {}: locked by process {} (unit_tests) for more than 10 s | "
                      "another process keeps it locked (a backup, an sqlite3 shell); end that one "
                      "and try again",
                      folder.file(), shell.pid()));
    shell.kill();
    shell.reap();
    CHECK(file_book->append("r1", file_fence, "step.started", "a", {}).seq == 1);
    if (!server)
        return;
    waiting.join();
    CHECK(said == fmt::format("journal: journal {}: locked by session {} (a console, role {}, from "
                              "127.0.0.1) for more than 10 s | end that session's transaction, "
                              "then resume the run",
                              shown(), session, db::Url::parse(location()).user));
}

TEST_CASE("journal: two holders of one token, or of two, leave one whole chain",
          "[journal][lease]") {
    const Place place(GENERATE(from_range(backends())));
    auto first = place.open(), second = place.open();
    first->create(record());
    const auto fence = first->acquire("r1", 60);
    const auto append = [&](journal::Journal& book) {
        for (int i = 0; i < 50; ++i)
            book.append("r1", fence, "log", "", Map{{"i", i}});
    };
    auto beside = std::async(std::launch::async, [&] { append(*second); });
    append(*first);
    beside.get();
    CHECK(first->events("r1").size() == 100);
    CHECK_FALSE(first->audit("r1"));

    // Another one takes it in the middle: from then on not one entry of the old holder.
    std::atomic<int> written = 0;
    auto old = std::async(std::launch::async, [&] {
        return failure([&] {
            for (;; ++written) {
                first->append("r1", fence, "log", "old", {});
                // A run does something between two events; without a gap the file's other writer
                // starves.
                std::this_thread::sleep_for(std::chrono::milliseconds(2));
            }
        });
    });
    while (written < 10)
        std::this_thread::yield();
    const auto next = second->acquire("r1", 60);
    const auto mark = second->append("r1", next, "run.resumed", "new", {});
    CHECK(old.get().starts_with("journal.fenced: run r1 was taken over by process "));
    const auto events = second->events("r1");
    CHECK(events.size() == 101 + static_cast<std::size_t>(written));
    CHECK(events.back().seq == mark.seq);
    CHECK_FALSE(second->audit("r1"));
}

TEST_CASE("journal: every older version is brought up to date, with all that it holds",
          "[journal][open]") {
    const Place place(GENERATE(from_range(backends())));
    const int from = GENERATE(range(1, journal::newest_version()));
    // Made by hand as that version's program would have: its tables and no later one.
    {
        auto book = place.open();
        book->create(record());
        const auto fence = book->acquire("r1", 60);
        book->append("r1", fence, "run.started", "", Map{{"by", "ada"}});
        book->release("r1", fence);
    }
    place.tamper("DROP TABLE locks; DELETE FROM schema_version WHERE version > " +
                 std::to_string(from));
    const auto reader = place.open(true); // reads it as it is, and changes nothing
    CHECK(reader->events("r1").size() == 1);
    auto book = place.open();
    CHECK(book->events("r1").size() == 1);
    CHECK_FALSE(book->audit("r1"));
    auto locking = record("r2");
    locking.locks = {"shop"};
    book->create(locking);
    locking.run = "r3";
    CHECK(failure([&] {
              place.open()->create(locking);
          }).starts_with("usage: lock \"shop\" is held by run r2"));
    place.tamper("INSERT INTO schema_version VALUES (" +
                 std::to_string(journal::newest_version() + 1) + ", 0)");
    CHECK(failure([&] { place.open(); }).find("written by a newer runbook") != std::string::npos);
}

TEST_CASE("journal on a server: a migration that fails leaves the older journal as it was",
          "[journal][postgres]") {
    if (!prepared())
        return;
    Journal::open(location())->create(record());
    // A view stands where the next version wants its table.
    LabDatabase::get().execute("DROP TABLE locks; DELETE FROM schema_version WHERE version > 1; "
                               "CREATE VIEW locks AS SELECT 1 AS name");
    for (int turn = 0; turn < 2; ++turn)
        CHECK(failure([&] { Journal::open(location()); }) ==
              "journal: journal " + shown() + ": relation \"locks\" already exists (42P07)");
    CHECK(Journal::open(location(), true)->find("r1"));
    CHECK(db::lab::value(*admin(), "SELECT max(version) FROM runbook.schema_version") ==
          Value(std::int64_t{1}));
}
