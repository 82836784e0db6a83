// What is written stays, and whoever changes it is found.
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "tests/unit/journal_support.h"

#include <fmt/format.h>
#include <fstream>

using namespace journal_test;
using journal::Journal;
using journal::RunState;

namespace {

/// Five events of run r1.
std::unique_ptr<Journal> filled(const Place& place) {
    auto book = place.open();
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    for (int i = 1; i <= 5; ++i)
        book->append("r1", fence, "step.started", "s" + std::to_string(i), Map{{"attempt", i}});
    return book;
}

} // namespace

TEST_CASE("journal: events come back as they were written", "[journal]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    book->create(record());
    const auto fence = book->acquire("r1", 60);
    const Map data{{"result", Map{{"total", Decimal{"12345678901234567890.10"}},
                                  {"at", Timestamp{5, 3600}},
                                  {"raw", Bytes{std::string("\0\xff", 2)}},
                                  {"list", List{1, 2.0, Null{}, true}}}}};
    const auto first = book->append("r1", fence, "step.finished", "copy", data);
    const auto second = book->append("r1", fence, "run.finished", "", Map{});
    CHECK(first.seq == 1);
    CHECK(second.seq == 2);
    CHECK(first.hash.size() == 64);
    const auto again = place.open(true)->events("r1");
    REQUIRE(again.size() == 2);
    CHECK(again[0].event == "step.finished");
    CHECK(again[0].step == "copy");
    CHECK((again[0].data == data));
    CHECK(again[0].hash == first.hash);
    CHECK(again[0].micros == first.micros);
    CHECK(book->events("r1", 1).size() == 1);
    CHECK(book->events("r1", 2).empty());
    CHECK(book->events("none").empty());
}

TEST_CASE("journal: an event as JSON", "[journal]") {
    journal::Event event{
        "r1", 7, 1'500'000, "step.finished", "copy", Map{{"elapsed_s", 1.5}, {"step", "x"}}, "h"};
    CHECK(
        json::dump(journal::to_json(event)) ==
        R"({"ts":"1970-01-01T00:00:01.500Z","run":"r1","seq":7,"event":"step.finished","step":"copy",)"
        R"("elapsed_s":1.5,"step_":"x"})");
    event.seq = 0;
    event.step.clear();
    event.data = Map{};
    CHECK(json::dump(journal::to_json(event)) ==
          R"({"ts":"1970-01-01T00:00:01.500Z","run":"r1","event":"step.finished"})");
}

TEST_CASE("journal: a whole chain passes the audit", "[journal][audit]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = filled(place);
    CHECK_FALSE(book->audit("r1"));
    CHECK_FALSE(place.open(true)->audit("r1"));
    book->finish("r1", RunState::finished, "succeeded", 0);
    CHECK_FALSE(book->audit("r1"));
}

TEST_CASE("journal: the audit finds what was altered or removed", "[journal][audit]") {
    const auto [sql, seq] = GENERATE(table<std::string, std::int64_t>(
        {{"UPDATE events SET data = '{\"attempt\":9}' WHERE seq = 3", 3},
         {"UPDATE events SET step = 'other' WHERE seq = 2", 2},
         {"UPDATE events SET micros = micros + 1 WHERE seq = 5", 5},
         {"UPDATE events SET event = 'step.failed' WHERE seq = 1", 1},
         {"UPDATE events SET hash = '00' WHERE seq = 4", 4},
         {"DELETE FROM events WHERE seq = 3", 3},
         {"DELETE FROM events WHERE seq = 1", 1},
         {"DELETE FROM events WHERE seq = 5", 5},
         {"DELETE FROM events", 1},
         {"DELETE FROM events WHERE seq = 3; UPDATE events SET seq = 3 WHERE seq = 4; "
          "UPDATE events SET seq = 4 WHERE seq = 5",
          3},
         {"UPDATE runs SET pinned = '{\"source\":\"other\"}'", 1},
         {"UPDATE runs SET file = '/tmp/other.lua'", 1}}));
    const Place place(GENERATE(from_range(backends())));
    filled(place);
    place.tamper(sql);
    INFO(sql);
    CHECK(place.open()->audit("r1") == seq);
}

TEST_CASE("journal: events are append-only for everybody who does not disarm it", "[journal]") {
    const Place place(GENERATE(from_range(backends())));
    filled(place);
    const std::vector<std::pair<std::string, std::string>> refused = {
        {"UPDATE events SET step = ''", "events are append-only"},
        {"DELETE FROM events", "events are append-only"},
        {"DELETE FROM runs", "runs are never removed"}};
    if (!place.is_file()) {
        auto session = db::lab::open(db::Url::parse(place.location()), db::Access::admin);
        db::lab::execute(*session, "SET search_path = runbook");
        for (const auto& [sql, why] : refused)
            CHECK(db::lab::error_of([&, &sql = sql] {
                      db::lab::execute(*session, sql);
                  }).message() == place.shown() + ": " + why + " (P0001)");
        CHECK(db::lab::error_of([&] { db::lab::execute(*session, "TRUNCATE events"); }).message() ==
              place.shown() + ": events are append-only (P0001)");
        return;
    }
    sqlite3* handle = nullptr;
    REQUIRE(sqlite3_open(place.location().c_str(), &handle) == SQLITE_OK);
    for (const auto& [sql, why] : refused) {
        CHECK(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_CONSTRAINT);
        CHECK(sqlite3_errmsg(handle) == why);
    }
    sqlite3_close(handle);
}

TEST_CASE("journal: no secret is stored, only where it came from", "[journal][redact]") {
    const Place place(GENERATE(from_range(backends())));
    const SecretPtr secret = make_secret("s3cr3t/journal value", "env:TARGET_PASSWORD");
    auto book = place.open();
    auto run = record();
    run.pinned =
        Map{{"target", "mysql://app:s3cr3t%2Fjournal%20value@db2/x"}, {"password", secret}};
    book->create(run);
    const auto fence = book->acquire("r1", 60);
    const auto event =
        book->append("r1", fence, "log", "step s3cr3t/journal value",
                     Map{{"text", "-p 's3cr3t/journal value'"}, {"list", List{secret}}});
    CHECK(event.step == "step ***");
    CHECK(event.data.text("text") == "-p '***'");
    book->post({0, "r1", "approve", "s3cr3t/journal value", "ops", 0,
                Map{{"why", "s3cr3t/journal value"}}});
    CHECK(book->requests("r1", 0).front().subject == "***");
    const auto found = book->find("r1");
    CHECK(found->pinned.text("target") == "mysql://app:***@db2/x");
    const Value* kept = found->pinned.find("password");
    REQUIRE(kept->get<SecretPtr>());
    CHECK((*kept->get<SecretPtr>())->origin() == "env:TARGET_PASSWORD");
    if (!place.is_file()) {
        auto session = db::lab::open(db::Url::parse(place.location()), db::Access::admin);
        for (const char* table : {"runs", "events", "requests"})
            CHECK((db::lab::value(*session, fmt::format("SELECT count(*) FROM runbook.{0} t WHERE "
                                                        "t::text LIKE '%s3cr3t%'",
                                                        table)) == Value(std::int64_t{0})));
        return;
    }
    for (std::string name : {"", "-wal"}) {
        std::ifstream file(place.location() + name);
        const std::string raw{std::istreambuf_iterator<char>(file),
                              std::istreambuf_iterator<char>()};
        CHECK(raw.find("s3cr3t") == std::string::npos);
    }
}

TEST_CASE("journal: runs, newest first", "[journal]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    for (int i = 1; i <= 3; ++i) {
        auto run = record("r" + std::to_string(i));
        run.started = i * 1'000'000;
        book->create(run);
    }
    book->finish("r2", RunState::finished, "rolled back", 1);
    const auto runs = book->runs(2);
    REQUIRE(runs.size() == 2);
    CHECK(runs[0].run == "r3");
    CHECK(runs[0].state == RunState::running);
    CHECK(runs[1].run == "r2");
    CHECK(runs[1].state == RunState::finished);
    CHECK(runs[1].outcome == "rolled back");
    CHECK(runs[1].exit == 1);
    CHECK(runs[1].playbook == "demo");
    CHECK(runs[1].file == "/srv/demo.lua");
    CHECK_FALSE(book->find("r9"));
    CHECK(failure([&] { book->create(record("r1")); }) ==
          "usage: run r1 exists already in journal " + place.shown() +
              " | name another one with --run-id, or go on with `runbook resume r1`");
    CHECK(failure([&] { book->acquire("r9", 1); }) ==
          "usage: there is no run r9 in journal " + place.shown() + " | `runbook runs` lists them");
}

TEST_CASE("journal: requests of other terminals", "[journal]") {
    const Place place(GENERATE(from_range(backends())));
    auto book = place.open();
    book->create(record());
    book->create(record("r2"));
    book->post({0, "r1", "approve", "go live", "anna", 0, Map{{"via", "tty"}}});
    book->post({0, "r2", "cancel", "", "ben", 0, {}});
    place.open()->post({0, "r1", "reject", "go live", "carl", 0, {}});
    const auto all = book->requests("r1", 0);
    REQUIRE(all.size() == 2);
    CHECK(all[0].verb == "approve");
    CHECK(all[0].by == "anna");
    CHECK(all[0].data.text("via") == "tty");
    CHECK(all[0].micros > 0);
    CHECK(all[1].by == "carl");
    CHECK(book->requests("r1", all[0].id).size() == 1);
    CHECK(book->requests("r1", all[1].id).empty());
    CHECK(failure([&] {
              book->post({0, "r9", "cancel", "", "ben", 0, {}});
          }) ==
          "usage: there is no run r9 in journal " + place.shown() + " | `runbook runs` lists them");
}
