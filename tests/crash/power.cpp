// Power loss: runs the real journal (and the real engine on top of it) on a disk that remembers
// every operation, then cuts the power after each of them, with what was not synced kept, dropped
// or torn, and opens what is left with the real code. The other half makes each operation fail
// once, or from there on. Prints figures; exit 1 on a failure.
//
// usage: crash_power [--short|--long] [--prove] [--verbose]
//   --prove   shows that the checks notice: disks that lie about syncs and a runtime that promises
//   too early must fail
#include "tests/crash/power.h"
#include "runtime/base/error.h"
#include "runtime/base/time.h"

#include <fmt/format.h>
#include <set>
#include <sqlite3.h>

using namespace runbook;
using namespace crash;
namespace fs = std::filesystem;

namespace {

// --- what must hold

/// Opens what is left in `folder`. Returns what is wrong, or nothing; `found` is the number of
/// events.
std::string problem_of(const Folder& folder, const Scenario& scenario, const Promise& promise,
                       bool thorough, std::int64_t& found) {
    found = -1;
    try {
        auto journal = journal::Journal::open(folder.journal());
        const auto record = journal->find(run_id);
        if (!record)
            return promise.created ? "the run is gone" : "";
        if (const auto bad = journal->audit(run_id))
            return fmt::format("the chain breaks at event {}", *bad);
        const auto events = journal->events(run_id);
        found = static_cast<std::int64_t>(events.size());
        if (found < promise.seq)
            return fmt::format("event {} was promised, {} are there", promise.seq, found);
        const std::size_t known = scenario.hashes.size();
        if (events.size() > known + (scenario.unknown ? 1 : 0))
            return fmt::format("{} events, {} were ever written", found, known);
        for (std::size_t i = 0; i < std::min(events.size(), known); ++i)
            if (events[i].hash != scenario.hashes[i])
                return fmt::format("event {} is another one", i + 1);
        if (promise.finished && record->state != journal::RunState::finished)
            return "the run's end was promised and is not there";
        if (record->fence < promise.fence)
            return fmt::format("fence {} was promised, {} is there", promise.fence, record->fence);
        if (static_cast<std::int64_t>(journal->requests(run_id, 0).size()) < promise.requests)
            return "a request that was promised is gone";
        const std::int64_t fence = journal->acquire(run_id, 30);
        if (fence <= promise.fence)
            return fmt::format("token {} was given twice", fence);
        const auto next = journal->append(run_id, fence, "run.resumed", "", {});
        if (next.seq != found + 1)
            return fmt::format("event {} follows {}", next.seq, found);
        if (!thorough)
            return "";
        journal.reset();
        journal = journal::Journal::open(folder.journal());
        if (const auto bad = journal->audit(run_id))
            return fmt::format("opened again, the chain breaks at event {}", *bad);
        journal.reset();
        sqlite3* handle = nullptr;
        std::string answer;
        sqlite3_open(folder.journal().c_str(), &handle);
        sqlite3_exec(
            handle, "PRAGMA integrity_check",
            [](void* to, int, char** row, char**) {
                return static_cast<std::string*>(to)->append(row[0]), 0;
            },
            &answer, nullptr);
        sqlite3_close(handle);
        return answer == "ok" ? "" : "integrity_check: " + answer;
    } catch (const Error& error) {
        return error.kind() + ": " + error.message();
    } catch (const std::exception& error) {
        return error.what();
    }
}

// --- the cuts

struct Effort {
    int torn = 2;          ///< torn variants a cut
    std::size_t every = 1; ///< cuts left out between two
    bool fails = false;    ///< engine: the run rolls back
    Lie lie = Lie::none;
    const Folder* playbook = nullptr;
};

void cut_everywhere(const Scenario& scenario, const Effort& effort, Figures& figures) {
    const Folder folder;
    Platter platter(effort.lie);
    Promise promise;
    std::mt19937_64 random(20'261'121);
    std::set<std::pair<std::int64_t, std::size_t>>
        resumed; // what a resume sees: events and effects
    const double start = time::monotonic();
    for (std::size_t cut = 0; cut <= scenario.log.size(); ++cut) {
        const bool mark = cut > 0 && scenario.log[cut - 1].kind == Operation::mark;
        if (mark)
            promise.apply(scenario.log[cut - 1]);
        else if (cut > 0)
            platter.apply(scenario.log[cut - 1]);
        if (cut % effort.every != 0 && !mark)
            continue;
        const int variants = platter.open() == 0 ? 1 : 2 + effort.torn;
        for (int variant = 0; variant < variants; ++variant) {
            const auto files = variant == 0   ? platter.dropped()
                               : variant == 1 ? platter.kept()
                                              : platter.torn(random);
            const char* how = variant == 0 ? "dropped" : variant == 1 ? "kept" : "torn";
            const std::string where =
                fmt::format("{}, power cut after operation {} of {}, the rest {}", scenario.name,
                            cut, scenario.log.size(), how);
            folder.clear();
            write_files(folder.path, files);
            std::int64_t found = -1;
            ++figures.states;
            const std::string problem =
                problem_of(folder, scenario, promise, figures.states % 16 == 0, found);
            if (!problem.empty()) {
                figures.fail(where, problem);
                continue;
            }
            if (!scenario.engine || found < 0 ||
                !resumed.emplace(found, promise.effects.size()).second)
                continue;
            ++figures.resumes;
            folder.clear();
            write_files(folder.path, files);
            fs::copy_file(effort.playbook->path + "/power.lua", folder.path + "/power.lua");
            // the pinned file is found where it was; what the run touches is the copy's journal
            const std::string wrong = resume_problem(folder, promise, effort.fails);
            if (!wrong.empty())
                figures.fail(where, wrong);
        }
    }
    figures.seconds += time::monotonic() - start;
}

/// One operation fails: the call says so, nothing more is written on top, and what is left is
/// legal.
void fail_everywhere(const Scenario& clean, int events, std::size_t large, std::uint64_t step,
                     int torn, Figures& figures) {
    const Folder folder, replay;
    std::mt19937_64 random(7);
    const double start = time::monotonic();
    std::uint64_t operations = 0;
    for (const Operation& one : clean.log)
        operations += one.kind == Operation::write || one.kind == Operation::truncate ||
                      one.kind == Operation::sync;
    for (std::uint64_t at = 1; at <= operations; at += step)
        for (int kind = 0; kind < 4; ++kind) {
            const Fault faults[] = {{at, false, false, "sync"},
                                    {at, true, false, "sync"},
                                    {at, true, false, "write"},
                                    {at, true, true, "write"}};
            const char* names[] = {"a sync fails once", "syncs fail", "the disk is full",
                                   "the disk is full halfway through a write"};
            const std::string where =
                fmt::format("{} from operation {} of {}", names[kind], at, operations);
            folder.clear();
            std::vector<Operation> log;
            std::vector<std::string> hashes;
            {
                Recorder disk(faults[kind]);
                try {
                    write_journal(folder.journal(), disk, events, large);
                } catch (const Error& error) {
                    if (error.kind() != "journal" && error.kind() != "journal.unknown")
                        figures.fail(where, "not a kind of the journal: " + error.kind() + ": " +
                                                error.message());
                    if (error.hint().empty() && error.kind() == "journal.unknown")
                        figures.fail(where, "no hint: " + error.message());
                }
                log = disk.take();
                ++figures.faults;
            }
            try {
                // All that anybody can ever see of this run: whatever the page cache holds now.
                auto journal = journal::Journal::open(folder.journal());
                if (journal->find(run_id))
                    for (const journal::Event& event : journal->events(run_id))
                        hashes.push_back(event.hash);
            } catch (const Error& error) {
                figures.fail(where, "reopened: " + error.message());
            }
            Platter platter;
            Promise promise;
            for (const Operation& one : log)
                one.kind == Operation::mark ? promise.apply(one) : platter.apply(one);
            Scenario seen{where, {}, hashes, false, true};
            for (int variant = 0; variant < 2 + torn; ++variant) {
                replay.clear();
                write_files(replay.path, variant == 0   ? platter.dropped()
                                         : variant == 1 ? platter.kept()
                                                        : platter.torn(random));
                std::int64_t found = -1;
                ++figures.states;
                const std::string problem = problem_of(replay, seen, promise, false, found);
                if (!problem.empty())
                    figures.fail(where, problem);
            }
        }
    figures.seconds += time::monotonic() - start;
}

/// After a commit that failed the same journal takes nothing more, although the disk works again.
void refuses_after_failure(Figures& figures) {
    const Folder folder;
    Recorder disk(Fault{60, false, false, "sync"});
    auto journal = journal::Journal::open(folder.journal());
    journal->create(new_run());
    const std::int64_t fence = journal->acquire(run_id, 30);
    int failed = 0, after = 0;
    for (int i = 0; i < 40; ++i)
        try {
            journal->append(run_id, fence, "step.started", "x", {});
            after += failed > 0;
        } catch (const Error& error) {
            ++failed;
            if (error.kind() != "journal.unknown")
                figures.fail("after a failed sync", error.kind() + ": " + error.message());
        }
    if (failed == 0 || after != 0)
        figures.fail("after a failed sync",
                     fmt::format("{} appends refused, {} accepted on top of it", failed, after));
}

int report(const char* title, const Figures& figures) {
    std::printf("%s: %llu states (%llu of them after an injected fault each), %llu resumed by the "
                "engine, %.2f ms a state, failures %llu\n",
                title, static_cast<unsigned long long>(figures.states),
                static_cast<unsigned long long>(figures.faults),
                static_cast<unsigned long long>(figures.resumes),
                figures.seconds * 1000 /
                    static_cast<double>(std::max<std::uint64_t>(1, figures.states)),
                static_cast<unsigned long long>(figures.failures));
    return figures.failures == 0 ? 0 : 1;
}

/// The checks must be able to fail: each of these is a bug of the kind that they are there for.
int prove() {
    int missed = 0;
    const auto must_fail = [&](const char* what, const Scenario& scenario, Lie lie) {
        Figures figures;
        figures.shown = 5; // quiet: these failures are wanted
        Effort effort;
        effort.lie = lie;
        cut_everywhere(scenario, effort, figures);
        std::printf("%s: %llu of %llu states fail%s\n", what,
                    static_cast<unsigned long long>(figures.failures),
                    static_cast<unsigned long long>(figures.states),
                    figures.failures ? "" : " - NOT NOTICED");
        missed += figures.failures == 0;
    };
    const Scenario honest = record_journal("journal", 12, 9000);
    must_fail("a disk that ignores every sync", honest, Lie::every_sync);
    must_fail("a log that is not synced at commit (synchronous=NORMAL)", honest, Lie::wal_sync);
    must_fail("an append that returns before it is written",
              record_journal("journal", 12, 9000, true), Lie::none);
    return missed == 0 ? 0 : 1;
}

int run(bool lengthy, bool verbose) {
    Figures figures;
    figures.verbose = verbose;
    Effort effort;
    effort.torn = lengthy ? 12 : 2;
    const int events = lengthy ? 40 : 14;
    cut_everywhere(record_journal("journal", events, 9000), effort, figures);
    if (lengthy) { // large enough that SQLite moves its log by itself, in the middle of a commit's
                   // aftermath
        Effort sparse = effort;
        sparse.torn = 3;
        sparse.every = 23;
        cut_everywhere(record_journal("large journal", 60, 150'000), sparse, figures);
    }
    for (const bool fails : {false, true}) {
        const Folder playbook;
        const Scenario scenario = record_engine(playbook, fails);
        Effort deep = effort;
        deep.fails = fails;
        deep.playbook = &playbook;
        cut_everywhere(scenario, deep, figures);
    }
    const Scenario small = record_journal("journal", 5, 9000);
    fail_everywhere(small, 5, 9000, lengthy ? 1 : 2, lengthy ? 4 : 1, figures);
    refuses_after_failure(figures);
    return report("power loss", figures);
}

} // namespace

int main(int argc, char** argv) {
    bool lengthy = false, proof = false, verbose = false;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--long")
            lengthy = true;
        else if (word == "--prove")
            proof = true;
        else if (word == "--verbose")
            verbose = true;
        else if (word != "--short") {
            std::fprintf(stderr, "usage: crash_power [--short|--long] [--prove] [--verbose]\n");
            return 2;
        }
    }
    try {
        return proof ? prove() : run(lengthy, verbose);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "crash_power: %s\n", error.what());
        return 1;
    }
}
