// Missing, extra and changed rows, keyless tables, what fails closed: on every engine of the lab.
#include "tests/unit/verify_support.h"

#include <atomic>
#include <thread>

using namespace runbook;
using namespace runbook::verify;
using db::Flavour;
using verify::lab::check;
using verify::lab::Place;
using verify::lab::quick;
using verify::lab::told;

namespace {

/// A table of `count` rows with the key and a text, made by the engine itself.
void fill(Place& place, int count) {
    const std::string n = std::to_string(count);
    place.sql("CREATE TABLE rows_of (id int PRIMARY KEY, v varchar(200))");
    switch (place.flavour()) {
    case Flavour::postgresql:
        return place.sql(
            "INSERT INTO rows_of SELECT i, repeat('v' || i, 10) FROM generate_series(1, " + n +
            ") i");
    case Flavour::sqlite:
        return place.sql(
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < " + n +
            ") INSERT INTO rows_of SELECT i, replace(printf('%.10c', '*'), '*', 'v' || i) FROM s");
    case Flavour::mysql:
        place.sql("SET SESSION cte_max_recursion_depth = 10000000");
        break;
    case Flavour::mariadb:
        place.sql("SET SESSION max_recursive_iterations = 10000000");
        break;
    }
    place.sql("INSERT INTO rows_of WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s "
              "WHERE i < " +
              n + ") SELECT i, repeat(concat('v', i), 10) FROM s");
}

/// Runs `first` once, when rows begin to be compared.
class Once : public ProgressSink {
  public:
    explicit Once(std::function<void()> first) : first_(std::move(first)) {}
    void report(const ProgressReport&) override {
        if (!done_.exchange(true))
            first_();
    }
    void line(std::string_view, std::string_view) override {}

  private:
    std::function<void()> first_;
    std::atomic<bool> done_{false};
};

} // namespace

TEST_CASE("verify: missing, extra and changed rows by key", "[verify][lab]") {
    verify::lab::each_pair("rows_of", [&](Place& source, Place& target) {
        fill(source, 9000);
        fill(target, 9000);
        CHECK(check(source, target).passed());
        target.sql("DELETE FROM rows_of WHERE id IN (1, 4500, 9000)");
        target.sql("INSERT INTO rows_of VALUES (-5, 'new'), (9001, 'new')");
        target.sql("UPDATE rows_of SET v = 'x' WHERE id = 4097");
        Result result = check(source, target);
        INFO(told(result));
        CHECK(result.missing == 3);
        CHECK(result.extra == 2);
        CHECK(result.changed == 1);
        CHECK(result.coverage == 1);
        CHECK(result.rows == 9000);
        REQUIRE(result.samples.size() == 6);
        CHECK(result.samples[0].text() == "rows_of -5: extra (only in the target)");
        CHECK(result.samples[1].text() == "rows_of 1: missing in the target");
        CHECK(result.samples[2].text() == "rows_of 4097: changed: v: source "
                                          "'v4097v4097v4097v4097v4097v4097v4097v4097v4097v4097', "
                                          "target 'x'");
        CHECK(result.match_ratio == Approx(8996.0 / 9000).epsilon(0.001));
    });
}

TEST_CASE("verify: one byte deep inside a long value is shown where it is", "[verify]") {
    Place source(Flavour::sqlite), target(Flavour::sqlite);
    for (Place* place : {&source, &target})
        place->script({"CREATE TABLE docs (a INTEGER, b TEXT, body TEXT, PRIMARY KEY (a, b))",
                       "INSERT INTO docs VALUES (1, 'de', printf('%.500c', 'x') || 'tail')"});
    target.sql("UPDATE docs SET body = printf('%.500c', 'x') || 'tall'");
    Options options = quick();
    options.omit_columns = {};
    Result result = check(source, target, options);
    INFO(told(result));
    REQUIRE(result.samples.size() == 1);
    CHECK(result.samples[0].columns[0].source.find("tail'") != std::string::npos);
    CHECK(result.samples[0].columns[0].target.find("tall'") != std::string::npos);
    options.show_values = false;
    CHECK(check(source, target, options).samples[0].columns[0].source == "(hidden)");
}

TEST_CASE("verify: a registered secret never appears in a sample", "[verify]") {
    SecretPtr secret = make_secret("hunter2-verify", "test");
    Place source(Flavour::sqlite), target(Flavour::sqlite);
    for (Place* place : {&source, &target})
        place->script({"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
                       "INSERT INTO t VALUES (1, 'hunter2-verify')"});
    target.sql("UPDATE t SET v = 'other'");
    CHECK(check(source, target).samples[0].text() ==
          "t 1: changed: v: source '***', target 'other'");
}

TEST_CASE("verify: text keys under any collation", "[verify][lab]") {
    const std::vector<std::string> keys = {"a",   "A", "á",  "ä",   "ae",  "ß",  "ss",
                                           "B",   "b", "ab", "a-b", "a_b", "aB", "Zed",
                                           "zed", "ﬀ", "ff", "😀",   "～",  "ａ"};
    verify::lab::each_pair("words", [&](Place& source, Place& target) {
        for (Place* place : {&source, &target}) {
            const bool my =
                place->flavour() == Flavour::mysql || place->flavour() == Flavour::mariadb;
            place->sql(
                my ? "CREATE TABLE words (w varchar(40) COLLATE utf8mb4_bin, n int NOT NULL, v "
                     "text, "
                     "PRIMARY KEY (w, n))"
                   : "CREATE TABLE words (w varchar(40) NOT NULL, n int NOT NULL, v text, "
                     "PRIMARY KEY (w, n))");
            for (const std::string& key : keys)
                for (const char* n : {"1", "2"})
                    place->sql("INSERT INTO words VALUES ('" + key + "', " + n + ", 'x')");
        }
        Result clean = check(source, target);
        INFO(told(clean));
        CHECK(clean.passed());
        target.sql("UPDATE words SET v = 'y' WHERE w = 'ß' AND n = 2");
        Result result = check(source, target);
        INFO(told(result));
        REQUIRE(result.samples.size() == 1);
        CHECK(result.samples[0].text() == "words 'ß', 2: changed: v: source 'x', target 'y'");
    });
}

TEST_CASE("verify: tables without a key are compared with multiplicities", "[verify][lab]") {
    verify::lab::each_pair("bag", [&](Place& source, Place& target) {
        for (Place* place : {&source, &target}) {
            place->sql("CREATE TABLE bag (a int, b varchar(20))");
            for (const char* row :
                 {"(1, 'x')", "(1, 'x')", "(2, NULL)", "(2, NULL)", "(2, NULL)", "(3, '')"})
                place->sql(std::string("INSERT INTO bag VALUES ") + row);
        }
        Result clean = check(source, target);
        INFO(told(clean));
        CHECK(clean.passed());
        CHECK(clean.tables.at(0).method == "multiset");
        // Both copies of a pair gone: an XOR of hashes would not see it.
        target.sql("DELETE FROM bag WHERE a = 1");
        target.sql("INSERT INTO bag VALUES (3, ''), (3, '')");
        Result result = check(source, target);
        INFO(told(result));
        CHECK(result.missing == 2);
        CHECK(result.extra == 2);
        CHECK(!result.passed());
        target.sql("UPDATE bag SET b = '' WHERE a = 2");
        CHECK(check(source, target).missing == 5);
    });
}

TEST_CASE("verify: what cannot be compared is unchecked, never a pass", "[verify]") {
    Place source(Flavour::sqlite), target(Flavour::sqlite);
    for (Place* place : {&source, &target})
        place->script(
            {"CREATE TABLE good (id INTEGER PRIMARY KEY)", "INSERT INTO good VALUES (1)"});
    source.sql("CREATE TABLE lost (id INTEGER PRIMARY KEY)");
    source.sql("CREATE TABLE narrow (id INTEGER PRIMARY KEY, a, b)");
    target.sql("CREATE TABLE narrow (id INTEGER PRIMARY KEY, a)");
    target.sql("CREATE TABLE other (id INTEGER PRIMARY KEY)");
    Options options = quick();
    options.tables = {"good", "lost", "narrow", "no_such"};
    Result result = check(source, target, options);
    INFO(told(result));
    CHECK(!result.passed());
    CHECK(result.coverage == 0.25);
    CHECK(result.mismatches() == 0);
    REQUIRE(result.unchecked.size() == 3);
    CHECK(result.unchecked[0].table == "no_such");
    CHECK(result.unchecked[0].reason == "not in the source");
    CHECK(result.unchecked[1].reason == "there is no table lost in the target");
    CHECK(result.unchecked[2].reason == "column b is not in the target");
    CHECK(result.only_in_target == std::vector<std::string>{"other"});

    options.tables = {"good", "narrow"};
    options.omit_columns = {"narrow.b"};
    Result asked = check(source, target, options);
    CHECK(asked.passed());
    CHECK(asked.omitted_columns == std::vector<std::string>{"narrow.b (left out as asked)"});

    options.tables = {"lost"};
    options.rename = {{"lost", "other"}};
    CHECK(check(source, target, options).passed());

    Place empty(Flavour::sqlite), nothing(Flavour::sqlite);
    CHECK(check(empty, nothing).coverage == 0); // nothing compared proves nothing
    CHECK(!check(empty, nothing).passed());
}

TEST_CASE("verify: counts and samples say how little they cover", "[verify][lab]") {
    for (Flavour to : verify::lab::all_flavours()) {
        Place source(Flavour::postgresql), target(to);
        if (!source || !target)
            continue;
        INFO(target.name());
        fill(source, 1000);
        fill(target, 1000);
        target.sql("UPDATE rows_of SET v = 'x' WHERE id > 500");
        Options options = quick();
        options.mode = Mode::counts;
        Result counts = check(source, target, options);
        CHECK(counts.coverage == 0);
        CHECK(counts.mismatches() == 0);
        CHECK(!counts.passed());
        options.mode = Mode::sample;
        options.sample = 200;
        Result sample = check(source, target, options);
        INFO(told(sample));
        CHECK(sample.coverage == Approx(0.2));
        CHECK(sample.changed > 50);
        target.sql("DELETE FROM rows_of WHERE id = 1000");
        options.mode = Mode::counts;
        CHECK(check(source, target, options).missing == 1);
    }
}

TEST_CASE("verify: a connection that dies in the middle leaves its table unchecked",
          "[verify][lab]") {
    for (Flavour to : {Flavour::postgresql, Flavour::mysql, Flavour::mariadb}) {
        Place source(Flavour::sqlite), target(to);
        if (!target)
            continue;
        INFO(target.name());
        fill(source, 300'000);
        fill(target, 300'000);
        for (Place* place : {&source, &target}) {
            place->sql("CREATE TABLE zzz (id int PRIMARY KEY)");
            place->sql("INSERT INTO zzz VALUES (1)");
        }
        auto progress = std::make_shared<Once>([&] {
            if (to == Flavour::postgresql) {
                db::lab::value(
                    *target,
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                    "application_name = 'runbook verify' AND datname = current_database()");
                return;
            }
            Value id = db::lab::value(
                *target, "SELECT id FROM information_schema.processlist WHERE db = database() "
                         "AND id <> connection_id() AND info LIKE '%rows_of%'");
            REQUIRE(id.get<std::int64_t>());
            target.sql("KILL " + std::to_string(*id.get<std::int64_t>()));
        });
        Cancel cancel;
        Result result = verify_database(source.url(), target.url(), quick(), progress, cancel);
        INFO(told(result));
        CHECK(!result.passed());
        CHECK(result.coverage == 0);
        REQUIRE(result.unchecked.size() == 2);
        CHECK(result.unchecked[0].table == "rows_of");
        CHECK(result.unchecked[0].reason.find("***") != std::string::npos);
        CHECK(result.unchecked[1].table == "zzz");
        CHECK(result.unchecked[1].reason.ends_with("the connection was lost before this table"));
    }
}

TEST_CASE("verify: a cancel ends it at once", "[verify][lab]") {
    for (Flavour to : verify::lab::all_flavours()) {
        Place source(Flavour::sqlite), target(to);
        if (!target)
            continue;
        INFO(target.name());
        fill(source, 300'000);
        fill(target, 300'000);
        Cancel cancel;
        auto progress = std::make_shared<Once>([&] { cancel.request(Cancel::Reason::cancelled); });
        Error error = db::lab::error_of(
            [&] { verify_database(source.url(), target.url(), quick(), progress, cancel); });
        CHECK(error.kind() == "cancelled");
    }
}

TEST_CASE("verify: a row that keeps changing is unsettled, one that stands is a difference",
          "[verify][lab]") {
    Place source(Flavour::postgresql), target(Flavour::postgresql);
    if (!source || !target)
        return;
    fill(source, 1000);
    fill(target, 1000);
    target.sql("UPDATE rows_of SET v = 'frozen' WHERE id = 5");
    target.sql("UPDATE rows_of SET v = 'behind' WHERE id = 8");
    std::atomic<bool> stop{false};
    std::atomic<int> written{0};
    std::thread writer([&] {
        auto session = db::lab::open(source.url());
        for (int i = 0; !stop; ++i) {
            db::lab::execute(*session,
                             "UPDATE rows_of SET v = 'w" + std::to_string(i) + "' WHERE id = 7");
            written = i;
        }
    });
    while (written < 3)
        std::this_thread::yield();
    Options options = quick();
    options.recheck_delay = 0.2;
    auto catches_up = std::make_shared<Once>([&] {});
    std::thread replica([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        auto session = db::lab::open(target.url());
        db::lab::execute(*session, "UPDATE rows_of SET v = repeat('v8', 10) WHERE id = 8");
    });
    Result result = check(source, target, options);
    stop = true;
    writer.join();
    replica.join();
    INFO(told(result));
    CHECK(result.unsettled == 1);
    CHECK(result.changed == 1);
    CHECK(!result.passed());
    CHECK(result.coverage == 1);
}

TEST_CASE("verify: row security that would hide rows is an error, not half a comparison",
          "[verify][lab]") {
    Place source(Flavour::postgresql), target(Flavour::sqlite);
    auto app = db::lab::url("RUNBOOK_LAB_PG_APP");
    if (!source || !app)
        return;
    fill(source, 10);
    fill(target, 5);
    source.script({"ALTER TABLE rows_of ENABLE ROW LEVEL SECURITY",
                   "CREATE POLICY half ON rows_of USING (id <= 5)",
                   "GRANT SELECT ON rows_of TO " + app->user});
    app->name = source.url().name;
    Cancel cancel;
    Result result = verify_database(*app, target.url(), quick(), nullptr, cancel);
    INFO(told(result));
    CHECK(!result.passed());
    REQUIRE(result.unchecked.size() == 1);
    CHECK(result.unchecked[0].reason.find("row-level security policy") != std::string::npos);
}

TEST_CASE("verify: partitions are their parent's rows, a tsvector is named as omitted",
          "[verify][lab]") {
    Place source(Flavour::postgresql), target(Flavour::sqlite);
    if (!source)
        return;
    source.script(
        {"CREATE TABLE pay (id int, at date, words tsvector, PRIMARY KEY (id, at)) PARTITION BY "
         "RANGE (at)",
         "CREATE TABLE pay_1 PARTITION OF pay FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
         "CREATE TABLE pay_2 PARTITION OF pay FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
         "INSERT INTO pay VALUES (1, '2024-01-05', 'x'), (2, '2024-02-05', 'y')"});
    target.script({"CREATE TABLE pay (id INTEGER, at DATE, PRIMARY KEY (id, at)) WITHOUT ROWID",
                   "INSERT INTO pay VALUES (1, '2024-01-05'), (2, '2024-02-05')"});
    Result result = check(source, target);
    INFO(told(result));
    CHECK(result.passed());
    CHECK(result.rows == 2);
    CHECK(result.omitted_columns ==
          std::vector<std::string>{"pay.words (tsvector has no counterpart)"});
}

TEST_CASE("verify: an exported snapshot is read, not what was written since", "[verify][lab]") {
    Place source(Flavour::postgresql), target(Flavour::sqlite);
    if (!source)
        return;
    fill(source, 10);
    fill(target, 10);
    auto holder = db::lab::open(source.url());
    db::lab::execute(*holder, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    Options options = quick();
    options.shared_snapshot =
        *db::lab::value(*holder, "SELECT pg_export_snapshot()").get<std::string>();
    source.sql("DELETE FROM rows_of WHERE id = 3");
    CHECK(check(source, target, options).passed());
    CHECK(check(source, target).extra == 1);
}

TEST_CASE("verify: keys without a shared order are compared as a multiset", "[verify][lab]") {
    Place source(Flavour::postgresql), target(Flavour::sqlite);
    if (!source)
        return;
    const std::string rows = "INSERT INTO t VALUES ('B0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11', 'x'), "
                             "('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'y')";
    source.script({"CREATE TABLE t (id uuid PRIMARY KEY, v text)", rows});
    target.script({"CREATE TABLE t (id UUID PRIMARY KEY NOT NULL, v TEXT)", rows});
    Result result = check(source, target);
    INFO(told(result));
    CHECK(result.passed());
    REQUIRE(result.tables.size() == 1);
    CHECK(result.tables[0].method == "multiset");
    target.sql("UPDATE t SET v = 'z' WHERE v = 'y'");
    CHECK(check(source, target).mismatches() == 2);
}

TEST_CASE("verify: differing rows are found again by keys of every type", "[verify][lab]") {
    struct Key {
        std::string postgresql, mysql, sqlite;
        std::vector<std::string> values; ///< as text literals
    };
    const std::vector<Key> keys = {
        {"boolean", "tinyint(1)", "BOOLEAN", {"0", "1"}},
        {"numeric(12,3)", "decimal(12,3)", "NUMERIC", {"-1.5", "0", "12345.678"}},
        {"date", "date", "DATE", {"'0999-12-31'", "'2024-02-29'"}},
        {"timestamptz",
         "datetime(6)",
         "TIMESTAMP",
         {"'2024-02-29 01:02:03.000004'", "'1969-01-01 00:00:00'"}},
        {"time", "time(6)", "TIME", {"'00:00:00'", "'23:59:59.5'"}},
        {"uuid",
         "char(36) CHARACTER SET ascii COLLATE ascii_bin",
         "TEXT",
         {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000001'"}},
        {"char(5)", "char(5)", "TEXT", {"'ab'", "'abc'"}},
        {"text", "varchar(100) COLLATE utf8mb4_bin", "TEXT", {"''", "'it''s'", "'ü 😀'"}},
    };
    verify::lab::each_pair("keyed", [&](Place& source, Place& target) {
        if (source.flavour() != Flavour::postgresql)
            return; // each engine's literals occur where it is the target
        for (const Key& key : keys) {
            INFO(key.postgresql);
            for (Place* place : {&source, &target}) {
                const bool my =
                    place->flavour() == Flavour::mysql || place->flavour() == Flavour::mariadb;
                place->sql("DROP TABLE IF EXISTS keyed");
                place->sql("CREATE TABLE keyed (k " +
                           (my                                        ? key.mysql
                            : place->flavour() == Flavour::postgresql ? key.postgresql
                                                                      : key.sqlite) +
                           " NOT NULL, n int NOT NULL, v int, PRIMARY KEY (k, n))");
                for (const std::string& value : key.values) {
                    const bool cast =
                        key.postgresql == "boolean" && place->flavour() == Flavour::postgresql;
                    place->sql("INSERT INTO keyed VALUES (" + value +
                               (cast ? "::int::boolean" : "") + ", 1, 1)");
                }
            }
            CHECK(check(source, target).passed());
            target.sql("UPDATE keyed SET v = 2");
            Result result = check(source, target);
            INFO(told(result));
            CHECK(result.changed == static_cast<std::int64_t>(key.values.size()));
            CHECK(result.unsettled == 0);
            CHECK(result.tables.at(0).method == "key");
            target.sql("DELETE FROM keyed");
            CHECK(check(source, target).missing == static_cast<std::int64_t>(key.values.size()));
        }
    });
}

TEST_CASE("verify: MySQL's zero dates", "[verify][lab]") {
    for (Flavour flavour : {Flavour::mysql, Flavour::mariadb}) {
        Place source(flavour), target(Flavour::postgresql);
        if (!source || !target)
            continue;
        INFO(source.name());
        source.script({"SET SESSION sql_mode = ''",
                       "CREATE TABLE t (id int PRIMARY KEY, d date, at datetime)",
                       "INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00 00:00:00'), (2, "
                       "'2024-00-10', NULL)"});
        target.script({"CREATE TABLE t (id int PRIMARY KEY, d date, at timestamp)",
                       "INSERT INTO t VALUES (1, NULL, NULL), (2, NULL, NULL)"});
        CHECK(check(source, target).changed == 2);
        Options options = quick();
        options.zero_date_is_null = true;
        Result result = check(source, target, options);
        INFO(told(result));
        REQUIRE(result.samples.size() == 1); // a date without a month is no zero date
        CHECK(result.samples[0].text() ==
              "t 2: changed: d: source '2024-00-10' (no date), target NULL");
    }
}
