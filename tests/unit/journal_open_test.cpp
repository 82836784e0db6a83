// Opening, and everything that a disk can refuse: exact messages.
#include "runtime/journal/migrations.h"
#include "tests/unit/journal_support.h"

#include <fstream>
#include <sys/stat.h>

using namespace journal_test;
using journal::Journal;
namespace fs = std::filesystem;

namespace {

unsigned mode(const std::string& path) {
    struct stat status {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    return status.st_mode & 0777;
}

constexpr const char* place_hint =
    " | make it writable for this user, or point XDG_STATE_HOME elsewhere";

} // namespace

TEST_CASE("journal open: only its user may read it", "[journal][open]") {
    Folder folder;
    const std::string file = folder.file("state/runbook/journal.db");
    auto book = Journal::open(file);
    book->create(record());
    CHECK(mode(folder.file("state")) == 0700);
    CHECK(mode(folder.file("state/runbook")) == 0700);
    CHECK(mode(file) == 0600);
    CHECK(mode(file + "-wal") == 0600);
}

TEST_CASE("journal open: the default place", "[journal][open]") {
    const char* state = std::getenv("XDG_STATE_HOME");
    const std::string before = state ? state : "";
    setenv("XDG_STATE_HOME", "/var/state", 1);
    CHECK(Journal::default_location() == "/var/state/runbook/journal.db");
    unsetenv("XDG_STATE_HOME");
    if (const char* home = std::getenv("HOME"))
        CHECK(Journal::default_location() ==
              std::string(home) + "/.local/state/runbook/journal.db");
    if (state)
        setenv("XDG_STATE_HOME", before.c_str(), 1);
}

TEST_CASE("journal open: what is not a journal", "[journal][open]") {
    Folder folder;
    std::ofstream(folder.file("text")) << std::string(5000, 'x');
    tamper(folder.file("other.db"), "CREATE TABLE mine (a)");
    CHECK(failure([&] { Journal::open(folder.file("text")); }) ==
          "journal: journal " + folder.file("text") +
              ": this file is not a SQLite database | keep the file for the inquiry, and name "
              "another journal");
    for (bool read_only : {false, true}) {
        CHECK(failure([&] { Journal::open(folder.file("other.db"), read_only); }) ==
              "journal: journal " + folder.file("other.db") +
                  ": this SQLite database is not a journal of runbook | name another file");
        CHECK(failure([&] { Journal::open(folder.path, read_only); }) ==
              "journal: journal " + folder.path + ": this is a folder | name a file in it");
    }
    CHECK(failure([&] { Journal::open(folder.file("none"), true); }) ==
          "journal: there is no journal at " + folder.file("none") + " | the first run creates it");
    CHECK_FALSE(fs::exists(folder.file("none")));
    CHECK(failure([&] { Journal::open("mysql://u:geheim@h/db"); }) ==
          "journal: journal mysql://…: a journal is a SQLite file or a schema of a PostgreSQL "
          "database | name a path, sqlite:PATH, or postgres://user@host/database");
    CHECK(failure([&] { Journal::open("sqlite:"); }) ==
          "journal: the journal's location is empty | name a path, sqlite:PATH, or "
          "postgres://user@host/database");
}

TEST_CASE("journal open: written by a newer runbook", "[journal][open]") {
    const Place place(GENERATE(from_range(backends())));
    place.open();
    const int newer = journal::newest_version() + 1;
    place.tamper("INSERT INTO schema_version VALUES (" + std::to_string(newer) + ", 0)");
    for (const bool read_only : {false, true})
        CHECK(failure([&] { place.open(read_only); }) ==
              "journal: journal " + place.shown() + ": written by a newer runbook (schema " +
                  std::to_string(newer) + ", this one knows " + std::to_string(newer - 1) +
                  ") | use the newer runbook");
}

TEST_CASE("journal open: reading changes nothing", "[journal][open]") {
    const Place place(GENERATE(from_range(backends())));
    place.open()->create(record());
    auto book = place.open(true);
    CHECK(book->runs().size() == 1);
    CHECK(failure([&] { book->create(record("r2")); }) ==
          "journal: journal " + place.shown() + ": opened for reading only");
}

TEST_CASE("journal open: folders and files without permission", "[journal][open]") {
    Folder folder;
    auto book = Journal::open(folder.file("kept/journal.db"));
    book->create(record());
    const bool with_wal = GENERATE(false, true);
    if (!with_wal)
        book.reset(); // the last one out moves the -wal into the file and removes it
    REQUIRE(fs::exists(folder.file("kept/journal.db-wal")) == with_wal);
    // What a snapshot of a file system shows: no -shm, nothing writable.
    fs::copy(folder.file("kept"), folder.file("locked"));
    fs::remove(folder.file("locked/journal.db-shm"));
    for (const auto& entry : fs::directory_iterator(folder.file("locked")))
        fs::permissions(entry.path(), static_cast<fs::perms>(0444));
    fs::permissions(folder.file("locked"), static_cast<fs::perms>(0555));
    fs::permissions(folder.path, static_cast<fs::perms>(0755));
    {
        const AsNobody nobody;
        const std::string file = folder.file("locked/journal.db");
        CHECK(failure([&] { Journal::open(file); }) ==
              "journal: journal " + file + ": this file is read-only" + place_hint);
        CHECK(failure([&] { Journal::open(folder.file("locked/new.db")); }) ==
              "journal: cannot create the journal " + folder.file("locked/new.db") +
                  ": Permission denied" + place_hint);
        CHECK(failure([&] { Journal::open(folder.file("locked/deep/er/new.db")); }) ==
              "journal: cannot create the journal's folder " + folder.file("locked/deep") +
                  ": Permission denied" + place_hint);
        const auto reader = Journal::open(file, true);
        REQUIRE(reader->find("r1"));
        CHECK(reader->find("r1")->playbook == "demo");
        CHECK_FALSE(reader->audit("r1"));
    }
    fs::permissions(folder.file("locked"), static_cast<fs::perms>(0777));
    fs::permissions(folder.file("locked/journal.db"), static_cast<fs::perms>(0666));
    fs::permissions(folder.file("locked"), static_cast<fs::perms>(0555));
    const AsNobody nobody;
    CHECK(failure([&] { Journal::open(folder.file("locked/journal.db")); }) ==
          "journal: journal " + folder.file("locked/journal.db") +
              ": its folder cannot be written, and a journal needs files beside it" + place_hint);
}

TEST_CASE("journal: a commit that failed on sync is unknown, and nothing is written on top",
          "[journal][disk]") {
    Folder folder;
    FailingDisk disk;
    auto book = Journal::open(folder.file());
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    book->append("r1", fence, "run.started", "", {});
    FailingDisk::fail_sync() = true;
    const std::string unknown = "journal.unknown: journal " + folder.file() +
                                ": input/output error; the last entry may or may not be written | "
                                "nothing was done on top of it: free "
                                "space or repair the disk, then resume the run";
    CHECK(failure([&] { book->append("r1", fence, "step.started", "copy", {}); }) == unknown);
    FailingDisk::fail_sync() = false;
    CHECK(failure([&] { book->append("r1", fence, "step.started", "copy", {}); }) == unknown);
    CHECK(failure([&] { book->renew("r1", fence, 60); }) == unknown);
    book.reset();
    auto again = Journal::open(folder.file());
    CHECK_FALSE(again->audit("r1")); // whichever of the two happened
    CHECK(again->events("r1").size() <= 2);
    const auto next = again->acquire("r1", 60);
    again->append("r1", next, "run.resumed", "", {});
    CHECK_FALSE(again->audit("r1"));
}

TEST_CASE("journal: a full disk", "[journal][disk]") {
    Folder folder;
    FailingDisk disk;
    auto book = Journal::open(folder.file());
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    FailingDisk::fail_write() = true;
    CHECK(failure([&] { book->append("r1", fence, "step.started", "copy", {}); }) ==
          "journal.unknown: journal " + folder.file() +
              ": the disk is full; the last entry may or may not be written | nothing was done on "
              "top of it: free "
              "space or repair the disk, then resume the run");
    book.reset();
    CHECK(failure([&] { Journal::open(folder.file("new.db")); }) ==
          "journal: journal " + folder.file("new.db") +
              ": the disk is full | free space on its file system, then resume the run");
    FailingDisk::fail_write() = false;
    auto again = Journal::open(folder.file());
    CHECK(again->events("r1").empty());
    CHECK_FALSE(again->audit("r1"));
}

TEST_CASE("journal: two processes open a new one at the same moment", "[journal][open]") {
    const Place place(GENERATE(from_range(backends())));
    const auto work = [&](const std::string& run) {
        return [&place, run](int out) {
            auto book = place.open();
            book->create(record(run));
            const auto fence = book->acquire(run, 60);
            for (int i = 0; i < 20; ++i)
                book->append(run, fence, "log", "", {});
            (void)!::write(out, "+", 1);
        };
    };
    Child a(work("a")), b(work("b")), c(work("c"));
    char byte = 0;
    CHECK(a.read(byte));
    CHECK(b.read(byte));
    CHECK(c.read(byte));
    auto book = place.open();
    for (const char* run : {"a", "b", "c"}) {
        CHECK(book->events(run).size() == 20);
        CHECK_FALSE(book->audit(run));
    }
}
