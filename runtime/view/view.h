// What people and machines see of a run while it goes.
// Owns: the interface through which the engine shows a run, and the three ways of showing it. All
// calls come on the loop thread. A view never decides anything, never touches the journal, and
// redacts whatever it writes but output, which has been when it comes.
#pragma once

#include "runtime/base/progress.h"
#include "runtime/journal/journal.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace runbook::view {

class EventSink {
  public:
    virtual ~EventSink() = default;
    /// One event, journaled by now.
    virtual void on_event(const journal::Event& event) = 0;
    /// One event of an earlier process of the run, before its `run.resumed`: known, but not shown
    /// again.
    virtual void on_history(const journal::Event& event) {}
    /// How far a step's work is; as often as it likes.
    virtual void on_progress(const std::string& step, const ProgressReport& report) {}
    /// What a step's work wrote (a child process, a server's notice): one line or many, "\n"
    /// between them and perhaps at the end, redacted by who sends them. Shown, never journaled.
    virtual void on_output(const std::string& step, std::string_view stream,
                           std::string_view text) {}
    /// Time has passed: redraw. About ten times a second on a terminal.
    virtual void tick() {}
    /// Somebody else is about to write to the terminal (a question to a person), and has finished.
    virtual void suspend() {}
    virtual void resume() {}
};

/// Where a view writes.
class Output {
  public:
    virtual ~Output() = default;
    virtual void write(std::string_view text) = 0;
};

/// A FILE that somebody else closes; flushed after each write.
std::unique_ptr<Output> file_output(std::FILE* file);

class StringOutput : public Output {
  public:
    void write(std::string_view written) override { text += written; }
    std::string text;
};

/// What the surroundings allow. Defaults are those of a log file.
struct Settings {
    bool live = false;   ///< a terminal on which lines can be redrawn
    bool colour = false; ///< NO_COLOR is not set, TERM is not "dumb"
    bool unicode = true; ///< the locale's encoding is UTF-8
    std::string home;    ///< shown as ~
    std::string report;  ///< path of the report that will be written; empty: none
    bool backtrace = false;
    std::function<int()> columns = [] { return 80; };
    std::function<std::int64_t()> now; ///< microseconds; empty: the wall clock
    /// A line of a playbook, or empty; empty function: read from the file.
    std::function<std::string(const std::string& file, int line)> source;
};

/// From the environment (NO_COLOR, TERM, COLUMNS, LC_ALL, LC_CTYPE, LANG, HOME) and the terminal
/// behind `file`.
Settings settings_for(std::FILE* file);

/// Lines for people: finished steps stay, what runs is redrawn below them where the terminal can do
/// that.
std::unique_ptr<EventSink> terminal_view(Output& output, Settings settings);
/// One stamped line per event, no escapes; for logs.
std::unique_ptr<EventSink> plain_view(Output& output, Settings settings);
/// One JSON object a line.
std::unique_ptr<EventSink> json_view(Output& output, Settings settings);
/// By the name of --output: "tty", "plain", "json". Throws Error{`usage`} naming the nearest.
std::unique_ptr<EventSink> make_view(const std::string& name, Output& output, Settings settings);

} // namespace runbook::view
