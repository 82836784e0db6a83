// How a command shows a run: the view by --output, the report by --report.
// Owns: the view, and the run's events for the report. Main thread.
#pragma once

#include "runtime/base/error.h"
#include "runtime/base/value.h"
#include "runtime/view/view.h"

#include <memory>
#include <string>
#include <vector>

namespace runbook::journal {
class Journal;
struct RunRecord;
} // namespace runbook::journal

namespace runbook::cli {

struct Arguments;

/// --output, or tty on a terminal and plain elsewhere. Events go to standard output.
class Shown final : public view::EventSink {
  public:
    /// Throws Error{`usage`} where --report ends in something unknown or cannot be written.
    explicit Shown(const Arguments& arguments);
    ~Shown() override;

    void on_event(const journal::Event& event) override;
    void on_history(const journal::Event& event) override;
    void on_progress(const std::string& step, const ProgressReport& report) override;
    void on_output(const std::string& step, std::string_view stream,
                   std::string_view text) override;
    void tick() override;
    void suspend() override;
    void resume() override;

    /// Writes the report, where one was asked for. Throws Error{`fs`}.
    void finish();

  private:
    std::string report_;
    std::vector<journal::Event> events_;
    std::unique_ptr<view::Output> output_;
    std::unique_ptr<view::EventSink> view_;
};

/// A sink that shows nothing: for plan and check.
view::EventSink& silent();

/// html, md, json or junit by the file's ending; throws Error{`usage`} for another.
std::string report_format(const std::string& path);

/// --journal, or the default.
std::string journal_location(const Arguments& arguments);
/// For looking only; throws Error{`usage`} where there is no journal yet.
std::unique_ptr<journal::Journal> open_journal(const Arguments& arguments, bool read_only = true);
/// The run named by an id, a unique part of one, or "last". Throws Error{`usage`}.
journal::RunRecord find_run(journal::Journal& journal, const std::string& word);

/// A table for people: aligned columns, no lines; the first row is the head.
std::string aligned(const std::vector<std::vector<std::string>>& rows);
/// "error: what: message" and the hint, masked, on standard error after all output so far; without
/// `what` the message alone.
void print_error(const Error& error, const std::string& what = {});
/// The operating system's user.
std::string user_name();

} // namespace runbook::cli
