// The catalogue of backups: what stays, what goes, whether the newest is young enough; on files,
// and on thousands of made-up catalogues.
#include "runtime/backup/retention.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "tests/unit/backup_support.h"

#include <algorithm>
#include <fmt/format.h>
#include <random>
#include <set>
#include <sqlite3.h>

using namespace runbook;
using namespace runbook::backup;
using runbook::backup::test::Folder;
using runbook::db::lab::error_of;

namespace {

constexpr std::int64_t micros = 1'000'000;
/// 2026-11-20T22:00:00Z, a Friday.
const std::int64_t now = time::parse("2026-11-20T22:00:00Z")->micros;

Entry entry(double age, const std::string& source = "postgres://db:5432/shop") {
    Entry made;
    made.backup.started = now - static_cast<std::int64_t>(age * micros);
    made.backup.source = source;
    made.backup.file = fmt::format("/backup/{}.dump", made.backup.started);
    made.backup.files = {made.backup.file};
    made.backup.bytes = 1000;
    made.backup.verified = Verified::read;
    return made;
}

std::vector<std::string> reasons(const std::vector<Decision>& decisions) {
    std::vector<std::string> all;
    for (const Decision& decision : decisions)
        all.push_back((decision.stays ? "stays: " : "goes: ") + decision.why);
    return all;
}

db::Url make_database(const Folder& folder) {
    const std::string path = folder.path + "/app.db";
    sqlite3* handle = nullptr;
    sqlite3_open(path.c_str(), &handle);
    sqlite3_exec(handle, "create table if not exists t(a); insert into t values (1)", nullptr,
                 nullptr, nullptr);
    sqlite3_close(handle);
    return db::Url::parse("sqlite:" + path);
}

/// A backup on the disk whose manifest says that it was started `age` seconds ago.
std::string make_backup(const db::Url& source, const std::string& folder, const std::string& name,
                        double age) {
    Cancel cancel;
    Options options;
    options.to = {folder};
    options.name = name;
    const Backup made = create(source, options, cancel);
    std::string text = files::read(made.file + ".json");
    const std::string stamp = time::iso(Timestamp{made.started, 0});
    const std::size_t at = text.find(stamp);
    REQUIRE(at != std::string::npos);
    text.replace(at, stamp.size(),
                 time::iso(Timestamp{made.started - static_cast<std::int64_t>(age * micros), 0}));
    files::write(made.file + ".json", text);
    return made.file;
}

} // namespace

TEST_CASE("the newest backups of each database stay, whatever their age") {
    Keep keep;
    keep.last = 2;
    CHECK(reasons(retain({entry(40 * day), entry(50 * day), entry(60 * day),
                          entry(90 * day, "sqlite:/app.db")},
                         keep, now)) ==
          std::vector<std::string>{"stays: among the last 2", "stays: among the last 2",
                                   "goes: older than every rule", "stays: among the last 2"});
}

TEST_CASE("hourly for a day, daily for a week, weekly for a month") {
    Keep keep;
    keep.last = 1;
    keep.hourly = day;
    keep.daily = week;
    keep.weekly = 30 * day;
    CHECK(reasons(retain({entry(600), entry(1200), entry(2 * hour), entry(2 * day),
                          entry(2 * day + hour), entry(10 * day), entry(11 * day), entry(31 * day)},
                         keep, now)) ==
          std::vector<std::string>{"stays: the last one", "goes: older than every rule",
                                   "stays: newest of its hour", "stays: newest of its day",
                                   "goes: older than every rule", "stays: newest of its week",
                                   "goes: older than every rule", "goes: older than every rule"});
}

TEST_CASE("a week begins on Monday, a day at midnight, both in UTC") {
    Keep keep;
    keep.last = 1;
    keep.weekly = 60 * day;
    // now is Friday 22:00; 4 days 22 hours before is Monday 00:00.
    const double monday = 4 * day + 22 * hour;
    CHECK(reasons(retain({entry(0), entry(monday), entry(monday + 1)}, keep, now)) ==
          std::vector<std::string>{"stays: the last one", "goes: older than every rule",
                                   "stays: newest of its week"});
}

TEST_CASE(
    "what is pinned, broken, unverified or from the future is left alone and counts for nothing") {
    Entry pinned = entry(90 * day), broken = entry(80 * day), gone = entry(70 * day),
          unread = entry(60 * day), future = entry(-60);
    pinned.backup.pinned = "audit";
    broken.problem = "12 bytes, its manifest says 1,000";
    gone.problem = "its file is gone";
    unread.backup.verified = Verified::none;
    Keep keep;
    keep.last = 1;
    CHECK(reasons(retain({future, entry(50 * day), unread, gone, broken, pinned}, keep, now)) ==
          std::vector<std::string>{
              "stays: dated after now: look at the clock first", "stays: the last one",
              "stays: never verified: look at it first", "goes: its file is gone",
              "stays: broken: 12 bytes, its manifest says 1,000", "stays: pinned: audit"});
}

TEST_CASE("a retention that keeps nothing is refused") {
    const Error error = error_of([] { retain({}, Keep{}, now); });
    CHECK(error.kind() == "usage");
    CHECK(error.message() ==
          "retention: keep must be at least 1: with none, an old backup would go "
          "before a new one is there");
}

TEST_CASE("ten thousand catalogues: the minimum holds, pins hold, the order does not matter") {
    std::mt19937 random(20261120);
    auto pick = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
    for (int round = 0; round < 10'000; ++round) {
        std::vector<Entry> entries;
        for (int i = pick(12); i >= 0; --i) {
            Entry made = entry(pick(60) * day / 4 + pick(86'400), pick(2) ? "a" : "b");
            made.backup.file += std::to_string(i);
            made.backup.verified = pick(9) ? Verified::read : Verified::none;
            if (pick(9) == 0)
                made.backup.pinned = "kept";
            if (pick(9) == 0)
                made.problem = "12 bytes, its manifest says 1,000";
            entries.push_back(made);
        }
        Keep keep;
        keep.last = 1 + pick(3);
        keep.within = pick(1) ? pick(10) * day : 0;
        keep.hourly = pick(1) ? pick(48) * hour : 0;
        keep.daily = pick(1) ? pick(14) * day : 0;
        keep.weekly = pick(1) ? pick(30) * day : 0;
        const std::vector<Decision> decisions = retain(entries, keep, now);
        REQUIRE(decisions.size() == entries.size());
        for (const char* source : {"a", "b"}) {
            int whole = 0, stays = 0;
            std::int64_t newest_goes = 0;
            for (const Decision& decision : decisions) {
                if (decision.entry.backup.source != source || !decision.entry.whole())
                    continue;
                ++whole;
                stays += decision.stays;
                if (!decision.stays)
                    newest_goes = std::max(newest_goes, decision.entry.backup.started);
            }
            REQUIRE(stays >= std::min(whole, keep.last));
            REQUIRE(newest_goes <= now - static_cast<std::int64_t>(keep.within * micros));
        }
        for (const Decision& decision : decisions)
            if (!decision.entry.backup.pinned.empty() || !decision.entry.whole())
                REQUIRE(decision.stays);
        // The same catalogue in another order gives the same result.
        std::vector<Entry> shuffled = entries;
        std::shuffle(shuffled.begin(), shuffled.end(), random);
        auto gone = [](const std::vector<Decision>& all) {
            std::multiset<std::int64_t> started;
            for (const Decision& decision : all)
                if (!decision.stays)
                    started.insert(decision.entry.backup.started);
            return started;
        };
        REQUIRE(gone(retain(shuffled, keep, now)) == gone(decisions));
        // What stays is kept again: a second call removes nothing more.
        std::vector<Entry> left;
        for (const Decision& decision : decisions)
            if (decision.stays)
                left.push_back(decision.entry);
        for (const Decision& decision : retain(left, keep, now))
            REQUIRE(decision.stays);
    }
}

TEST_CASE("prune removes exactly what its preview names, with digest and manifest") {
    Folder folder;
    const db::Url source = make_database(folder);
    const std::string first = folder.path + "/b", second = folder.path + "/c";
    for (int i = 0; i < 5; ++i)
        make_backup(source, first, fmt::format("b{}", i), i * 10 * day + 60);
    Cancel cancel;
    const std::string copy = copy_to(first + "/b4.sqlite", second, cancel);
    pin(first + "/b3.sqlite", "audit");
    Keep keep;
    keep.last = 2;
    std::vector<std::string> previewed, removed;
    for (const Decision& decision : prune({first, second}, {}, keep, false))
        if (!decision.stays)
            previewed.insert(previewed.end(), decision.entry.backup.files.begin(),
                             decision.entry.backup.files.end());
    CHECK(previewed == std::vector<std::string>{first + "/b2.sqlite", first + "/b4.sqlite", copy});
    CHECK(files::list(first).size() == 15);
    for (const Decision& decision : prune({first, second}, {}, keep, true))
        if (!decision.stays)
            removed.insert(removed.end(), decision.entry.backup.files.begin(),
                           decision.entry.backup.files.end());
    CHECK(removed == previewed);
    CHECK(files::list(first) ==
          std::vector<std::string>{"b0.sqlite", "b0.sqlite.json", "b0.sqlite.sha256", "b1.sqlite",
                                   "b1.sqlite.json", "b1.sqlite.sha256", "b3.sqlite",
                                   "b3.sqlite.json", "b3.sqlite.sha256"});
    CHECK(files::list(second).empty());
}

TEST_CASE("a removal that was cut off half-way is cleared away by the next") {
    Folder folder;
    const db::Url source = make_database(folder);
    const std::string file = make_backup(source, folder.path + "/b", "old", 90 * day);
    make_backup(source, folder.path + "/b", "new", 60);
    files::remove(file);
    CHECK(list({folder.path + "/b"})[1].problem == "its file is gone");
    Keep keep;
    keep.last = 5;
    prune({folder.path + "/b"}, {}, keep, true);
    CHECK(files::list(folder.path + "/b").size() == 3);
}

TEST_CASE("a copy in another folder is the same backup, and is found broken by its size") {
    Folder folder;
    const db::Url source = make_database(folder);
    const std::string file = make_backup(source, folder.path + "/b", "one", 60);
    Cancel cancel;
    const std::string copy = copy_to(file, folder.path + "/c", cancel);
    std::vector<Entry> entries = list({folder.path + "/b", folder.path + "/c"});
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].backup.files == std::vector<std::string>{file, copy});
    files::write(file, "short");
    entries = list({folder.path + "/b", folder.path + "/c"});
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].problem.empty());
    CHECK(entries[0].backup.file == copy);
    const Error error = error_of([&] { copy_to(file, folder.path + "/d", cancel); });
    CHECK(error.kind() == "backup.unverified");
    CHECK(error.message() ==
          folder.path + "/d/one.sqlite: the copy differs from the manifest of " + file);
    CHECK_FALSE(files::exists(folder.path + "/d/one.sqlite"));
}

TEST_CASE("one missed backup is a warning, two in a row or none at all are critical") {
    Policy policy;
    policy.every = hour;
    auto at = [&](double age) {
        return health({entry(age)}, "postgres://db:5432/shop", policy, now);
    };
    CHECK(at(0.5 * hour).level == "ok");
    CHECK(at(1.09 * hour).met);
    const Health warning = at(1.2 * hour), critical = at(2.2 * hour);
    CHECK(warning.level == "warning");
    CHECK(warning.why == std::vector<std::string>{
                             "1 backup missed: the newest is 1h12m old, one is due every 1h"});
    CHECK(critical.level == "critical");
    CHECK(critical.why == std::vector<std::string>{"2 backups in a row missed: the newest is 2h12m "
                                                   "old, one is due every 1h"});
    const Health none = health({entry(1, "sqlite:/x")}, "postgres://db:5432/shop", policy, now);
    CHECK(none.level == "critical");
    CHECK(none.why ==
          std::vector<std::string>{"there is no whole backup of postgres://db:5432/shop"});
}

TEST_CASE("a policy asks for a number, a test restore, and a plausible size") {
    Policy policy;
    policy.keep = 3;
    policy.restored = 30 * day;
    std::vector<Entry> entries = {entry(60), entry(day)};
    entries[0].backup.bytes = 400;
    entries[1].backup.verified = Verified::restored;
    CHECK(health(entries, entries[0].backup.source, policy, now).why ==
          std::vector<std::string>{"2 whole backups, required are 3",
                                   "the newest has 400 B, the one before had 1.0 kB"});
    entries[1].backup.started -= static_cast<std::int64_t>(30 * day * micros);
    policy.keep = 1;
    policy.shrink = 0;
    CHECK(health(entries, entries[0].backup.source, policy, now).why ==
          std::vector<std::string>{"the newest test-restored backup is 31d old, allowed are 30d"});
}

TEST_CASE("a backup cut at any percent, or with any one bit flipped, is found") {
    Folder folder;
    const std::string file = make_backup(make_database(folder), folder.path + "/b", "one", 60);
    const std::string whole = files::read(file);
    auto kind = [&] {
        return error_of([&] {
                   Cancel cancel;
                   verify(file, cancel);
               })
            .kind();
    };
    std::mt19937 random(7);
    for (std::size_t percent = 0; percent < 100; ++percent) {
        files::write(file, whole.substr(0, whole.size() * percent / 100));
        REQUIRE(kind() == "backup.unverified");
    }
    for (int i = 0; i < 1000; ++i) {
        std::string text = whole;
        text[random() % text.size()] ^= static_cast<char>(1U << (random() % 8));
        files::write(file, text);
        REQUIRE(kind() == "backup.unverified");
    }
}
