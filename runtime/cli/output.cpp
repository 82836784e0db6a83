#include "runtime/cli/output.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/declarations.h"
#include "runtime/engine/identity.h"
#include "runtime/journal/journal.h"
#include "runtime/view/report/report.h"
#include "runtime/view/state.h"
#include "runtime/vm/backtrace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

namespace runbook::cli {

namespace {

class Silent final : public view::EventSink {
  public:
    void on_event(const journal::Event&) override {}
};

/// Better now than after the night's work.
void check_writable(const std::string& path) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    std::error_code ignored;
    if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
        throw Error("usage",
                    fmt::format("--report {}: there is no folder {}", path, folder.string()));
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
        throw Error("usage", fmt::format("--report {}: the folder cannot be written", path));
}

} // namespace

Shown::Shown(const Arguments& arguments) : report_(arguments.text("report")) {
    if (!report_.empty()) {
        report_format(report_);
        check_writable(report_);
    }
    output_ = view::file_output(stdout);
    view::Settings settings = view::settings_for(stdout);
    settings.report = report_;
    settings.backtrace = vm::whole_stack = arguments.has("backtrace");
    const bool terminal = ::isatty(STDOUT_FILENO) != 0;
    view_ = view::make_view(arguments.text("output", terminal ? "tty" : "plain"), *output_,
                            std::move(settings));
}

Shown::~Shown() = default;

void Shown::on_event(const journal::Event& event) {
    events_.push_back(event);
    view_->on_event(event);
}

void Shown::on_history(const journal::Event& event) {
    events_.push_back(event);
    view_->on_history(event);
}

void Shown::on_progress(const std::string& step, const ProgressReport& report) {
    view_->on_progress(step, report);
}

void Shown::on_output(const std::string& step, std::string_view stream, std::string_view text) {
    view_->on_output(step, stream, text);
}

void Shown::tick() {
    view_->tick();
}

void Shown::suspend() {
    view_->suspend();
}

void Shown::resume() {
    view_->resume();
}

void Shown::finish() {
    if (!report_.empty() && !events_.empty())
        write_file(report_, report::render(report_format(report_), events_));
}

view::EventSink& silent() {
    static Silent sink;
    return sink;
}

std::string report_format(const std::string& path) {
    const std::string ending = std::filesystem::path(path).extension().string();
    if (ending == ".html" || ending == ".md" || ending == ".json")
        return ending.substr(1);
    if (ending == ".xml")
        return "junit";
    throw Error(
        "usage",
        fmt::format("report {}: the ending says the form: .html, .md, .json or .xml (JUnit)",
                    path));
}

std::string journal_location(const Arguments& arguments) {
    return arguments.text("journal", journal::Journal::default_location());
}

std::unique_ptr<journal::Journal> open_journal(const Arguments& arguments, bool read_only) {
    const std::string location = journal_location(arguments);
    if (journal::Journal::is_remote(location)) {
        auto reading = journal::Journal::open(location, true); // an answer makes no journal
        return read_only ? std::move(reading) : journal::Journal::open(location, false);
    }
    const std::string path = location.starts_with("sqlite:") ? location.substr(7) : location;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
        throw Error("usage", fmt::format("there is no journal at {}", path),
                    "a first `runbook exec` makes it; --journal names another");
    return journal::Journal::open(location, read_only);
}

journal::RunRecord find_run(journal::Journal& journal, const std::string& word) {
    if (const auto exact = journal.find(word))
        return *exact;
    const std::vector<journal::RunRecord> runs = journal.runs(1000);
    if (word == "last")
        for (const journal::RunRecord& run : runs)
            if (!view::is_schedule(run))
                return run;
    std::vector<const journal::RunRecord*> found;
    std::vector<std::string> names;
    for (const journal::RunRecord& run : runs) {
        names.push_back(run.run);
        if (run.run.find(word) != std::string::npos)
            found.push_back(&run);
    }
    if (found.size() == 1)
        return *found.front();
    if (found.empty())
        throw Error("usage", fmt::format("no run '{}'{}", word, text::did_you_mean(word, names)),
                    "runbook runs lists them");
    throw Error("usage",
                fmt::format("'{}' is part of {} runs: {}, {}{}", word, found.size(), found[0]->run,
                            found[1]->run, found.size() > 2 ? ", …" : ""),
                "give more of it");
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t c = 0; c < row.size(); ++c)
            widths[c] = std::max(widths[c], text::display_width(row[c]));
    }
    std::string out;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c) {
            line += row[c];
            if (c + 1 < row.size())
                line += std::string(widths[c] - text::display_width(row[c]) + 2, ' ');
        }
        while (line.ends_with(' '))
            line.pop_back();
        out += line + "\n";
    }
    return out;
}

void print_error(const Error& error, const std::string& what) {
    std::fflush(stdout);
    fmt::print(stderr, "error: {}{}\n", what.empty() ? "" : what + ": ", redact(error.message()));
    if (!error.hint().empty())
        fmt::print(stderr, "hint: {}\n", redact(error.hint()));
}

std::string user_name() {
    return engine::current_user();
}

} // namespace runbook::cli
