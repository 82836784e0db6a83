// What the parts of the power-loss test share: a folder, what was promised, a recorded run,
// figures.
#pragma once

#include "runtime/journal/journal.h"
#include "tests/crash/disk.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace crash {

constexpr const char* run_id = "r1";

/// A folder of its own in memory where there is such a place: what is measured is order, not a
/// disk's speed.
struct Folder {
    std::string path;
    Folder() {
        const bool memory = std::filesystem::is_directory("/dev/shm");
        std::string pattern =
            (memory ? std::string("/dev/shm") : std::filesystem::temp_directory_path().string()) +
            "/rb-power-XXXXXX";
        if (!::mkdtemp(pattern.data()))
            throw std::runtime_error("no temporary folder");
        path = pattern;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    void clear() const {
        for (const auto& entry : std::filesystem::directory_iterator(path))
            std::filesystem::remove_all(entry.path());
    }
    std::string journal() const { return path + "/journal.db"; }
};

/// What has been said to be durable at a point of the log.
struct Promise {
    bool created = false, finished = false;
    std::int64_t seq = 0, fence = 0, requests = 0;
    std::vector<std::string> effects; ///< of the world outside, in order

    void apply(const Operation& mark) {
        const std::size_t blank = mark.data.find(' ');
        const std::string word = mark.data.substr(0, blank),
                          rest = mark.data.substr(std::min(blank, mark.data.size() - 1) + 1);
        if (word == "create")
            created = true;
        else if (word == "finish")
            finished = true;
        else if (word == "event")
            seq = std::max<std::int64_t>(seq, std::stoll(rest));
        else if (word == "fence")
            fence = std::max<std::int64_t>(fence, std::stoll(rest));
        else if (word == "request")
            requests = std::stoll(rest);
        else if (word == "effect")
            effects.push_back(rest);
    }
};

struct Figures {
    std::uint64_t states = 0, failures = 0, resumes = 0, faults = 0;
    double seconds = 0;
    bool verbose = false;
    std::uint64_t shown = 0;
    void fail(const std::string& where, const std::string& what) {
        ++failures;
        if (verbose || ++shown <= 5)
            std::printf("  %s: %s\n", where.c_str(), what.c_str());
    }
};

struct Scenario {
    std::string name;
    std::vector<Operation> log;
    std::vector<std::string> hashes; ///< of every event, in order
    bool engine = false;
    bool unknown = false; ///< one more event may be there: its append said that it did not know
};

runbook::journal::RunRecord new_run();
/// A run as the engine writes it: two processes one after the other, a lease renewed by another
/// connection, requests, events small and large, checkpoints of the log in the middle. `early` says
/// that it promises before it has written.
void write_journal(const std::string& path, Recorder& disk, int events, std::size_t large,
                   bool early = false);
Scenario record_journal(const std::string& name, int events, std::size_t large, bool early = false);
/// An engine's run of a playbook that is written into `playbook` and stays there.
Scenario record_engine(const Folder& playbook, bool fails);
/// The engine goes on from what is left: each effect is there once, and the end is that of a run
/// that nobody cut. Returns what is wrong, or nothing.
std::string resume_problem(const Folder& folder, const Promise& promise, bool fails);

} // namespace crash
