// The copy under writers, kills and cancels, on real servers.
#include "tests/unit/catch.h"
#include "tests/unit/copy_support.h"

#include "runtime/transfer/copy/copy.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

using namespace runbook;

namespace {

/// Calls `fn` once, on a thread of its own, when the first rows have been sent.
class OnFirstRows : public ProgressSink {
  public:
    explicit OnFirstRows(std::function<void()> fn) : fn_(std::move(fn)) {}
    ~OnFirstRows() override {
        if (thread_.joinable())
            thread_.join();
    }
    void report(const ProgressReport& report) override {
        if (report.item.starts_with("big ") && report.rows > 0 && !called_.exchange(true))
            thread_ = std::thread(fn_);
    }
    void line(std::string_view, std::string_view) override {}
    bool called() const { return called_; }

  private:
    std::function<void()> fn_;
    std::atomic<bool> called_{false};
    std::thread thread_;
};

copy::Options small_chunks() {
    copy::Options options;
    options.streams = 2;
    options.chunk_bytes = 1'000'000;
    // Slow enough that the fault always comes first; it ends the copy at once.
    options.rate_bytes_s = 4'000'000;
    return options;
}

constexpr const char* big = "CREATE TABLE big (id int PRIMARY KEY, body text); INSERT INTO big "
                            "SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 30000) n; "
                            "ANALYZE big";

/// Rows of whole chunks only: what the ledger says is what is there.
void check_no_partial_chunk(const test::LabDatabase& target) {
    CHECK(
        target.value("SELECT COUNT(*) FROM big") ==
        target.value("SELECT CAST(COALESCE(SUM(loaded), 0) AS CHAR) FROM _runbook_copy WHERE kind "
                     "= 'chunk'"));
    CHECK(target.value("SELECT COUNT(*) FROM _runbook_copy WHERE kind = 'chunk' AND state <> "
                       "'done'") == "0");
}

} // namespace

TEST_CASE("copy: a source that is killed leaves no partial chunk, the next copy begins anew",
          "[copy][lab]") {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::PostgresDatabase source;
        test::MysqlDatabase target(mariadb);
        if (!source.there() || !target.there())
            continue;
        source.script(big);
        auto progress = std::make_shared<OnFirstRows>([&] {
            source.script("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                          "current_database() AND application_name = 'runbook copy'");
        });
        Cancel cancel;
        try {
            copy::copy_database(source.url(), target.url(), small_chunks(), progress, cancel);
            FAIL("the copy did not notice");
        } catch (const Error& error) {
            CHECK(error.kind() == "db.connection");
        }
        check_no_partial_chunk(target);
        copy::State state = copy::state(target.url(), cancel);
        CHECK(state.state == "partial");
        copy::CopyResult result =
            copy::copy_database(source.url(), target.url(), {}, nullptr, cancel);
        CHECK(result.restarted == state.run);
        CHECK(result.rows == 30000);
        CHECK(target.value("SELECT COUNT(*) FROM big") == "30000");
    }
}

TEST_CASE("copy: a target session that is killed leaves no partial chunk", "[copy][lab]") {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::PostgresDatabase source;
        test::MysqlDatabase target(mariadb);
        if (!source.there() || !target.there())
            continue;
        source.script(big);
        auto progress = std::make_shared<OnFirstRows>([&] {
            auto connection = target.open();
            Cancel cancel;
            // between two chunks no session loads: look until one does
            for (int killed = 0, looks = 0; killed == 0 && looks < 200; ++looks) {
                for (const Map& row : db::fetch_all(
                         *connection, "SELECT id FROM information_schema.processlist WHERE db = "
                                      "DATABASE() AND info LIKE 'LOAD DATA%'")) {
                    connection->script("KILL " + std::to_string(row.integer("id")), cancel);
                    ++killed;
                }
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
            }
        });
        Cancel cancel;
        CHECK_THROWS_AS(
            copy::copy_database(source.url(), target.url(), small_chunks(), progress, cancel),
            Error);
        check_no_partial_chunk(target);
        CHECK(copy::state(target.url(), cancel).state == "partial");
    }
}

TEST_CASE("copy: a cancel ends it with whole chunks only", "[copy][lab]") {
    test::PostgresDatabase source;
    test::MysqlDatabase target(false);
    if (!source.there() || !target.there())
        return;
    source.script(big);
    Cancel cancel;
    auto progress =
        std::make_shared<OnFirstRows>([&] { cancel.request(Cancel::Reason::cancelled); });
    try {
        copy::copy_database(source.url(), target.url(), small_chunks(), progress, cancel);
        FAIL("the copy went on");
    } catch (const Error& error) {
        CHECK(error.kind() == "cancelled");
    }
    check_no_partial_chunk(target);
}

TEST_CASE("copy: all streams see one snapshot while writers go on", "[copy][lab]") {
    test::PostgresDatabase source;
    test::MysqlDatabase target(false);
    if (!source.there() || !target.there())
        return;
    source.script(std::string(big) +
                  "; CREATE TABLE a (id int PRIMARY KEY, n bigint); CREATE TABLE b (id int PRIMARY "
                  "KEY, n bigint); INSERT INTO a VALUES (1, 0); INSERT INTO b VALUES (1, 0)");
    std::atomic<bool> stop{false};
    std::atomic<int> moves{0};
    std::thread writer([&] {
        auto connection = source.open();
        Cancel cancel;
        while (!stop) {
            connection->script(
                "BEGIN; UPDATE a SET n = n - 1; UPDATE b SET n = n + 1; DELETE FROM big "
                "WHERE id = (SELECT max(id) FROM big); INSERT INTO big SELECT min(id) - "
                "1, 'new' FROM big; COMMIT",
                cancel);
            ++moves;
        }
    });
    Cancel cancel;
    copy::Options options = small_chunks();
    options.rate_bytes_s = 20'000'000;
    copy::CopyResult result;
    std::string problem;
    try {
        result = copy::copy_database(source.url(), target.url(), options, nullptr, cancel);
    } catch (const Error& error) {
        problem = error.message();
    }
    stop = true;
    writer.join();
    CHECK(problem.empty());
    CHECK(moves > 0);
    CHECK(result.rows == 30002);
    // What was moved from a to b and from the end of big to its beginning is one number.
    CHECK(target.value("SELECT a.n + b.n FROM a, b") == "0");
    CHECK(target.value("SELECT b.n - (SELECT COUNT(*) FROM big WHERE body = 'new') FROM b") == "0");
}
