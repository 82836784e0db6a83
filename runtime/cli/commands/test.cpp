// `runbook test`: the tests of playbooks, each in a state and a journal of its own.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/markup.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/declarations.h"
#include "runtime/cli/output.h"
#include "runtime/engine/rehearsal.h"
#include "runtime/view/lines.h"
#include "runtime/vm/backtrace.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

namespace runbook::cli {

namespace {

namespace fs = std::filesystem;
constexpr std::string_view ending = "_test.lua";

/// A folder for journals that nobody keeps; in memory where the system has such a place, because
/// each event is synced.
class Scratch {
  public:
    Scratch() {
        std::error_code missing;
        const fs::path base = fs::is_directory("/dev/shm", missing) ? fs::path("/dev/shm")
                                                                    : fs::temp_directory_path();
        std::string name = (base / "runbook-test-XXXXXX").string();
        if (!::mkdtemp(name.data()))
            throw Error("fs", fmt::format("cannot make a folder in {}", base.string()));
        path_ = name;
        // Threads that are started later inherit it: signals come to the one that removes.
        sigset_t ends;
        sigemptyset(&ends);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP})
            sigaddset(&ends, signal);
        pthread_sigmask(SIG_BLOCK, &ends, nullptr);
        guard_ = std::thread([this, ends] { wait(ends); });
    }
    ~Scratch() {
        over_ = true;
        guard_.join();
        remove();
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    std::string journal(std::size_t number) const {
        return (path_ / fmt::format("{}.db", number)).string();
    }

  private:
    /// Until the end, or a signal: then the process dies of it as it would have, without the
    /// folder.
    void wait(const sigset_t& ends) const {
        while (!over_) {
            const timespec moment{0, 50'000'000};
            const int signal = sigtimedwait(&ends, nullptr, &moment);
            if (signal <= 0)
                continue;
            remove();
            std::signal(signal, SIG_DFL);
            pthread_sigmask(SIG_UNBLOCK, &ends, nullptr);
            std::raise(signal);
        }
    }
    /// Also while a test still makes files there.
    void remove() const {
        std::error_code ignored;
        for (int i = 0; i < 100 && fs::exists(path_, ignored); ++i)
            fs::remove_all(path_, ignored);
    }
    fs::path path_;
    std::atomic<bool> over_{false};
    std::thread guard_;
};

/// The test files that PATH means: itself, or every *_test.lua below it.
std::vector<std::string> files_of(const std::vector<std::string>& paths) {
    std::vector<std::string> files;
    for (const std::string& path : paths) {
        std::error_code missing;
        if (!fs::is_directory(path, missing)) {
            files.push_back(path);
            continue;
        }
        std::vector<std::string> found;
        for (const auto& entry : fs::recursive_directory_iterator(path))
            if (entry.is_regular_file() && entry.path().string().ends_with(ending))
                found.push_back(entry.path().string());
        if (found.empty())
            throw Error("usage", fmt::format("{}: no file here ends in {}", path, ending));
        std::sort(found.begin(), found.end());
        files.insert(files.end(), found.begin(), found.end());
    }
    return files;
}

struct Ran {
    engine::TestCase test;
    engine::TestResult result;
};

std::string indented(const std::string& text, std::string_view by) {
    std::string out;
    for (const std::string& line : text::split(text, '\n'))
        out += fmt::format("{}{}\n", by, line);
    return out;
}

void show(const Ran& ran, bool unicode, bool backtrace) {
    const engine::TestResult& result = ran.result;
    std::string text = fmt::format("  {} {}\n", result.passed ? "✓" : "✗", ran.test.name);
    if (!result.passed) {
        text += indented(result.message, "      ");
        if (!result.hint.empty())
            text += indented("hint: " + result.hint, "      ");
        if (backtrace && !result.traceback.empty())
            text += indented(result.traceback, "        ");
    }
    fmt::print("{}", unicode ? text : view::in_ascii(text));
    std::fflush(stdout);
}

void show_json(const Ran& ran) {
    Map map{{"file", ran.test.file},
            {"line", ran.test.line},
            {"test", ran.test.name},
            {"passed", ran.result.passed},
            {"seconds", ran.result.seconds}};
    if (!ran.result.passed)
        map.set("message", ran.result.message);
    if (!ran.result.hint.empty())
        map.set("hint", ran.result.hint);
    fmt::print("{}\n", json::dump(map));
    std::fflush(stdout);
}

std::string xml(std::string_view text) {
    return markup::escaped(text, '?');
}

std::string junit(const std::vector<Ran>& all) {
    std::size_t failed = 0;
    double seconds = 0;
    std::string cases;
    for (const Ran& ran : all) {
        failed += ran.result.passed ? 0 : 1;
        seconds += ran.result.seconds;
        cases += fmt::format(
            "  <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.3f}\"",
            xml(ran.test.file), xml(ran.test.name), xml(ran.test.file), ran.test.line,
            ran.result.seconds);
        const std::size_t first = ran.result.message.find('\n');
        cases +=
            ran.result.passed
                ? "/>\n"
                : fmt::format(">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
                              xml(ran.result.message.substr(0, first)), xml(ran.result.message));
    }
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"runbook test\" tests=\"{}\" "
        "failures=\"{}\" time=\"{:.3f}\">\n{}</testsuite>\n",
        all.size(), failed, seconds, cases);
}

std::string count(std::size_t number, std::string_view what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

} // namespace

int run_test(const Context& context, const Arguments& arguments) {
    const std::string filter = arguments.text("filter"), report = arguments.text("junit");
    const bool json = arguments.text("output") == "json",
               unicode = view::settings_for(stdout).unicode;
    vm::whole_stack = arguments.has("backtrace");
    const Scratch scratch;
    std::vector<Ran> all;
    std::size_t failed = 0, left_out = 0;
    for (const std::string& file : files_of(arguments.positional)) {
        const auto tests = engine::Rehearsal(context.register_bindings, file).tests();
        bool named = false;
        for (std::size_t i = 0; i < tests.size(); ++i) {
            if (tests[i].name.find(filter) == std::string::npos) {
                ++left_out;
                continue;
            }
            if (!json && !std::exchange(named, true))
                fmt::print("{}\n", file);
            engine::Rehearsal rehearsal(context.register_bindings, file);
            all.push_back({tests[i], rehearsal.run(i, scratch.journal(all.size()))});
            failed += all.back().result.passed ? 0 : 1;
            if (json)
                show_json(all.back());
            else
                show(all.back(), unicode, vm::whole_stack);
        }
    }
    if (!report.empty())
        write_file(report, junit(all));
    if (all.empty())
        throw Error("usage", fmt::format("no test's name has '{}' in it ({} looked at)", filter,
                                         count(left_out, "test")));
    if (!json)
        fmt::print("{}: {}{}\n", count(all.size(), "test"),
                   failed == 0 ? "all passed" : fmt::format("{} failed", failed),
                   left_out == 0 ? "" : fmt::format(" ({} left out by --filter)", left_out));
    return failed == 0 ? 0 : 1;
}

} // namespace runbook::cli
