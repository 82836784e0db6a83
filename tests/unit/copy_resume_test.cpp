// A copy that was cut off and is gone on with: only where a fence proves that the source stood
// still, no row lost and none doubled, with and without keys, on real servers.
#include "tests/unit/catch.h"
#include "tests/unit/copy_support.h"

#include "runtime/base/files.h"
#include "runtime/db/fence/fence.h"
#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/copy/versions.h"
#include "runtime/transfer/verify/verify.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

using namespace runbook;

namespace {

/// Cancels the copy after so many rows, and keeps the lines for people.
class Watch : public ProgressSink {
  public:
    explicit Watch(std::int64_t rows = 0, Cancel* cancel = nullptr)
        : rows_(rows), cancel_(cancel) {}
    ~Watch() override {
        if (thread_.joinable())
            thread_.join();
    }
    void report(const ProgressReport& report) override {
        if (cancel_ && report.bytes > 0 && report.rows >= rows_ && !called_.exchange(true))
            thread_ = std::thread([this] { cancel_->request(Cancel::Reason::cancelled); });
    }
    void line(std::string_view, std::string_view text) override {
        std::lock_guard lock(mutex_);
        lines_ += std::string(text) + "\n";
    }
    std::string lines() {
        std::lock_guard lock(mutex_);
        return lines_;
    }

  private:
    std::int64_t rows_;
    Cancel* cancel_;
    std::atomic<bool> called_{false};
    std::thread thread_;
    std::mutex mutex_;
    std::string lines_;
};

copy::Options small_chunks(const test::LabDatabase& source) {
    copy::Options options;
    options.streams = 2;
    options.chunk_bytes = 1'000'000;
    options.fence = copy::Fence{source.url(), {}};
    return options;
}

/// 13,000 rows with a key and as many without, each of them twice.
constexpr const char* tables =
    "CREATE TABLE keyed (id int PRIMARY KEY, body text); INSERT INTO keyed SELECT n, "
    "repeat(md5(n::text), 20) FROM generate_series(1, 13000) n; CREATE INDEX keyed_body ON keyed "
    "(id, left(body, 5)); CREATE INDEX keyed_plain ON keyed (id, body); CREATE TABLE keyless (n "
    "int, body text); INSERT INTO keyless SELECT n % 6500, repeat(md5((n % 6500)::text), 20) FROM "
    "generate_series(1, 13000) n; CREATE TABLE empty (id int PRIMARY KEY); ANALYZE";

void close_fence(const test::LabDatabase& source) {
    Cancel cancel;
    db::fence_on(*source.open(), {}, cancel);
}
void open_fence(const test::LabDatabase& source) {
    Cancel cancel;
    db::fence_off(*source.open(), {}, cancel);
}

/// Begins a copy that is cut off after some chunks.
void cut_off(const test::LabDatabase& source, const test::LabDatabase& target,
             copy::Options options, std::int64_t rows = 9000) {
    Cancel cancel;
    options.rate_bytes_s = 6'000'000;
    auto progress = std::make_shared<Watch>(rows, &cancel);
    CHECK_THROWS_AS(copy::copy_database(source.url(), target.url(), options, progress, cancel),
                    Error);
    Cancel another;
    CHECK(copy::state(target.url(), another).state == "partial");
}

std::string refused(const test::LabDatabase& source, const test::LabDatabase& target,
                    const copy::Options& options) {
    Cancel cancel;
    try {
        copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
    } catch (const Error& error) {
        return error.kind() + ": " + error.message() + " | " + error.hint();
    }
    return "copied";
}

void check_equal(const test::LabDatabase& source, const test::LabDatabase& target) {
    Cancel cancel;
    const verify::Result result =
        verify::verify_database(source.url(), target.url(), {}, nullptr, cancel);
    CHECK(result.mismatches() == 0);
    CHECK(result.coverage == 1);
}

template <class Fn>
void on_both(Fn fn) {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::PostgresDatabase source;
        test::MysqlDatabase target(mariadb);
        if (source.there() && target.there())
            fn(source, target);
    }
}

} // namespace

TEST_CASE("copy: behind a fence a copy that was cut off is gone on with", "[copy][resume][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(tables);
        close_fence(source);
        copy::Options options = small_chunks(source);
        cut_off(source, target, options);
        const std::string before = target.value("SELECT CAST(SUM(loaded) AS CHAR) FROM "
                                                "_runbook_copy WHERE kind = 'chunk'");
        const std::string first = target.value(
            "SELECT GROUP_CONCAT(CONCAT(object, part, chunk, at) ORDER BY object, part, chunk) "
            "FROM _runbook_copy WHERE kind = 'chunk'");
        Cancel cancel;
        auto progress = std::make_shared<Watch>();
        options.resume = copy::Resume::always;
        copy::CopyResult result =
            copy::copy_database(source.url(), target.url(), options, progress, cancel);
        CHECK(result.resumed);
        CHECK(result.rows == 26000);
        CHECK(std::to_string(result.resumed_rows) == before);
        CHECK(result.resumed_rows > 0);
        CHECK(progress->lines().starts_with("going on with the copy " + result.run + ": "));
        // What had been loaded was not loaded again.
        CHECK(target
                  .value("SELECT GROUP_CONCAT(CONCAT(object, part, chunk, at) ORDER BY object, "
                         "part, chunk) FROM _runbook_copy WHERE kind = 'chunk'")
                  .find(first.substr(0, first.find(','))) != std::string::npos);
        CHECK(target.value("SELECT state FROM _runbook_copy WHERE kind = 'run'") == "done");
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema "
                           "= DATABASE() AND index_name = 'keyed_plain' AND seq_in_index = 1") ==
              "1");
        check_equal(source, target);
    });
}

TEST_CASE("copy: without proof that the source stood still a copy is not gone on with",
          "[copy][resume][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(tables);
        copy::Options options = small_chunks(source);
        const std::string from = source.url().masked(), to = target.url().masked();
        const std::string hint =
            " | with resume = false (--anew) its tables are dropped and the copy begins anew";
        CHECK(refused(source, target, options) ==
              "copy.refused: " + from +
                  ": the write fence does not hold: the fence is not closed | close it before the "
                  "copy begins, and keep it closed until it is done");
        copy::Options plain = options;
        plain.fence.reset();
        cut_off(source, target, plain);
        Cancel cancel;
        std::string run = copy::state(target.url(), cancel).run;
        plain.resume = copy::Resume::always;
        CHECK(refused(source, target, plain) ==
              "copy.refused: " + to + ": the unfinished copy " + run +
                  " cannot be gone on with: it was begun without a write fence, and its snapshot "
                  "has died with it: what is read now is another moment of the source" +
                  hint);
        // Nothing was touched by the refusal, and the default begins anew and says why.
        CHECK(copy::state(target.url(), cancel).run == run);
        close_fence(source);
        options.resume = copy::Resume::where_proven;
        cut_off(source, target, options);
        run = copy::state(target.url(), cancel).run;
        options.resume = plain.resume = copy::Resume::always;
        CHECK(refused(source, target, plain) ==
              "copy.refused: " + to + ": the unfinished copy " + run +
                  " cannot be gone on with: no write fence is given that proves that the source "
                  "has not changed since its snapshot, which has died with it" +
                  hint);
        open_fence(source);
        source.script("DELETE FROM keyed WHERE id = 1");
        close_fence(source);
        CHECK(refused(source, target, options)
                  .find(" cannot be gone on with: the write fence was opened meanwhile: it stood "
                        "since 2") != std::string::npos);
        options.resume = copy::Resume::where_proven;
        copy::CopyResult result =
            copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
        CHECK_FALSE(result.resumed);
        CHECK(result.restarted == run);
        CHECK(result.why_restarted.starts_with("the write fence was opened meanwhile"));
        CHECK(result.rows == 25999);
        check_equal(source, target);
    });
}

TEST_CASE("copy: rows that lie elsewhere by now, or another plan, are not gone on with",
          "[copy][resume][lab]") {
    test::PostgresDatabase source;
    test::MysqlDatabase target(false);
    if (!source.there() || !target.there())
        return;
    source.script(tables);
    close_fence(source);
    copy::Options options = small_chunks(source);
    cut_off(source, target, options);
    options.resume = copy::Resume::always;
    copy::Options other = options;
    other.collation = "utf8mb4_unicode_ci";
    CHECK(refused(source, target, other)
              .find("cannot be gone on with: tables, columns or options are not those that it was "
                    "begun with") != std::string::npos);
    source.script("VACUUM FULL keyless");
    CHECK(refused(source, target, options)
              .find("cannot be gone on with: keyless was written anew meanwhile (VACUUM FULL or "
                    "CLUSTER): its rows lie elsewhere") != std::string::npos);
}

TEST_CASE("copy: a resume waits for the rollback of a dead session and says so",
          "[copy][resume][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(tables);
        close_fence(source);
        copy::Options options = small_chunks(source);
        cut_off(source, target, options);
        Cancel cancel;
        std::string run = copy::state(target.url(), cancel).run;
        // What a client that was killed leaves for as long as the server is at it.
        auto dead = target.open();
        dead->begin(cancel);
        dead->execute("INSERT INTO _runbook_copy (run, kind, object, part, chunk, state, loaded, "
                      "bytes) VALUES ('" +
                          run + "', 'chunk', 'keyed', 0, 999, 'begun', 0, 0)",
                      {}, {}, cancel);
        auto progress = std::make_shared<Watch>();
        std::thread end([&] {
            for (int i = 0; i < 600 && progress->lines().empty(); ++i)
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
            dead.reset();
        });
        options.resume = copy::Resume::always;
        copy::CopyResult result =
            copy::copy_database(source.url(), target.url(), options, progress, cancel);
        end.join();
        CHECK(result.rows == 26000);
        CHECK(progress->lines().starts_with("waiting for the rollback of a session that died in "
                                            "the middle of a chunk, 2 s so far\n"));
        check_equal(source, target);
    });
}

TEST_CASE("copy: what was cut off behind the last row needs no fence", "[copy][resume][lab]") {
    on_both([](auto& source, auto& target) {
        source.script(tables);
        copy::Options options = small_chunks(source);
        options.fence.reset();
        Cancel cancel;
        copy::CopyResult first =
            copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
        // As a kill in the middle of the indexes leaves it: one made, its row not written any more.
        target.script("UPDATE _runbook_copy SET state = 'begun' WHERE kind IN ('run', 'indexes')");
        source.script("INSERT INTO keyed VALUES (99999, 'later')");
        options.resume = copy::Resume::always;
        copy::CopyResult second =
            copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
        CHECK(second.resumed);
        CHECK(second.run == first.run);
        CHECK(second.rows == 26000);
        target.script("UPDATE _runbook_copy SET state = 'begun' WHERE kind IN ('run', 'indexes'); "
                      "ALTER TABLE keyed DROP KEY keyed_plain");
        CHECK(copy::copy_database(source.url(), target.url(), options, nullptr, cancel).resumed);
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema "
                           "= DATABASE() AND index_name = 'keyed_plain' AND seq_in_index = 1") ==
              "1");
        // Rows that somebody else took away are missed.
        target.script("UPDATE _runbook_copy SET state = 'begun' WHERE kind = 'run'; DELETE FROM "
                      "keyed WHERE id = 1");
        CHECK(refused(source, target, options)
                  .starts_with("copy.mismatch: keyed: 13000 rows were copied, the target holds "
                               "12999"));
    });
}

TEST_CASE("copy: servers that are too old are refused by version", "[copy]") {
    using db::Flavour;
    auto said = [](Flavour flavour, int major, int minor, const char* version) -> std::string {
        db::ServerInfo server;
        server.flavour = flavour;
        server.major = major;
        server.minor = minor;
        server.version = version;
        try {
            copy::check_version(server, db::Url::parse("mysql://u@h:1/shop"));
        } catch (const Error& error) {
            return error.kind() + ": " + error.message();
        }
        return "";
    };
    CHECK(
        said(Flavour::postgresql, 11, 22, "11.22") ==
        "copy.refused: mysql://u@h:1/shop: PostgreSQL 11.22 is too old: a copy needs 12 or newer");
    CHECK(said(Flavour::mysql, 5, 7, "5.7.44") ==
          "copy.refused: mysql://u@h:1/shop: MySQL 5.7.44 is too old: a copy needs 8.0 or newer");
    CHECK(
        said(Flavour::mariadb, 10, 4, "10.4.34") ==
        "copy.refused: mysql://u@h:1/shop: MariaDB 10.4.34 is too old: a copy needs 10.5 or newer");
    CHECK(said(Flavour::postgresql, 12, 0, "12.0").empty());
    CHECK(said(Flavour::mysql, 9, 7, "9.7.4").empty());
    CHECK(said(Flavour::mariadb, 11, 1, "11.1.0").empty());
}

TEST_CASE("copy: rows that the target refuses are left out within the budget, each with its reason",
          "[copy][rejects][lab]") {
    on_both([](auto& source, auto& target) {
        // 7 values that no DOUBLE and no DATE of the target holds, in 5,000 rows.
        source.script(
            "CREATE TABLE t (id int PRIMARY KEY, f float8, d date); INSERT INTO t SELECT "
            "n, CASE WHEN n % 1000 = 0 THEN 'NaN'::float8 ELSE n END, CASE WHEN n IN (1, "
            "4999) THEN '20000-01-01'::date ELSE '2024-01-01' END FROM generate_series(1, "
            "5000) n; CREATE TABLE bare (f float8); INSERT INTO bare SELECT CASE WHEN n = "
            "7 THEN 'Infinity'::float8 ELSE n END FROM generate_series(1, 100) n; ANALYZE");
        copy::Options options;
        options.streams = 2;
        CHECK(refused(source, target, options)
                  .starts_with("copy.refused: the source holds what the "
                               "target cannot: "));
        options.rejects = 7;
        CHECK(
            refused(source, target, options)
                .find("bare.f: 1 row: not a number that DOUBLE holds (NaN or Infinity); more than "
                      "may be rejected (Infinity)") != std::string::npos);
        options.rejects = 8;
        options.reject_file = "/tmp/" + test::unique_name("rb_rejects") + ".json";
        Cancel cancel;
        copy::CopyResult result =
            copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
        CHECK(result.rejected == 8);
        CHECK(result.rows == 5092);
        CHECK(target.value("SELECT COUNT(*) FROM t") == "4993");
        CHECK(target.value("SELECT COUNT(*) FROM t WHERE id % 1000 = 0 OR id IN (1, 4999)") == "0");
        CHECK(target.value("SELECT COUNT(*) FROM bare") == "99");
        CHECK(target.value("SELECT GROUP_CONCAT(SUBSTRING_INDEX(content, '\t', 1) ORDER BY "
                           "CAST(content AS UNSIGNED)) FROM _runbook_rejects WHERE object = 't'") ==
              "1,1000,2000,3000,4000,4999,5000");
        CHECK(target.value("SELECT COUNT(*) FROM _runbook_rejects WHERE object = 't' AND content "
                           "LIKE '4999%' AND reason LIKE '%loading t: %20000-01-01%'") == "1");
        const std::string file = files::read(options.reject_file);
        files::remove(options.reject_file);
        CHECK(std::count(file.begin(), file.end(), '\n') == 8);
        CHECK(file.find("{\"table\":\"bare\",\"reason\":\"") == 0);
        CHECK(copy::discard(target.url(), cancel).size() == 2);
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                           "DATABASE()") == "0");
    });
}

TEST_CASE("copy: a MySQL source is gone on with too, in the order of its keys",
          "[copy][resume][lab]") {
    test::MysqlDatabase source(false);
    test::PostgresDatabase target;
    if (!source.there() || !target.there())
        return;
    const std::string user = test::unique_name("u").substr(0, 30);
    source.script("SET SESSION cte_max_recursion_depth = 20000; CREATE TABLE keyed (id int PRIMARY "
                  "KEY, body text, KEY (body(9), id)); INSERT INTO keyed WITH RECURSIVE s (n) AS "
                  "(SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 13000) SELECT n * 3, "
                  "REPEAT(SHA2(n, 256), 10) FROM s; CREATE USER " +
                  user + "@'%' IDENTIFIED BY 'open-sesame-4711'; GRANT ALL ON `" + source.name() +
                  "`.* TO " + user + "@'%'");
    copy::Options options = small_chunks(source);
    options.fence->options.roles = {user};
    Cancel cancel;
    db::fence_on(*source.open(), options.fence->options, cancel);
    cut_off(source, target, options, 5000);
    options.resume = copy::Resume::always;
    copy::CopyResult result =
        copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
    source.script("DROP USER " + user + "@'%'");
    CHECK(result.resumed);
    CHECK(result.resumed_rows > 0);
    CHECK(result.rows == 13000);
    CHECK(target.value("SELECT count(*)::text || ' ' || count(DISTINCT id) || ' ' || max(id) FROM "
                       "keyed") == "13000 13000 39000");
    check_equal(source, target);
}
