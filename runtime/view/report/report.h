// The report of a run, from its events alone.
// Owns: nothing; any thread, no file, no clock: the same events always give the same text.
// Everything in it has passed redact(), and every text is escaped for its format.
#pragma once

#include "runtime/journal/journal.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace runbook::report {

struct Options {
    bool audited = false;                  ///< the hash chain was checked…
    std::optional<std::int64_t> altered{}; ///< …and this event is the first that does not fit
    /// A line of the playbook, for errors whose event has none; empty where it is not known.
    std::function<std::string(const std::string& file, int line)> source{};
};

/// Lines of the sources that a run's record has pinned ({file, source, modules: [{path, text}]}).
std::function<std::string(const std::string&, int)> pinned_source(const Map& pinned);

/// One self-contained file: no script, no external resource; prints well; light and dark.
std::string html(const std::vector<journal::Event>& events, const Options& options = {});
/// GitHub-flavoured Markdown.
std::string markdown(const std::vector<journal::Event>& events, const Options& options = {});
/// One pretty-printed object, with all events at its end.
std::string json(const std::vector<journal::Event>& events, const Options& options = {});

/// JUnit XML for build servers: one suite a run, one case a step, checkpoint, gate and undo; the
/// last case is the outcome.
std::string junit(const std::vector<journal::Event>& events, const Options& options = {});

/// By the name of --format: "html", "md", "json", "junit". Throws Error{`usage`} naming the
/// nearest.
std::string render(const std::string& format, const std::vector<journal::Event>& events,
                   const Options& options = {});
/// "mysql8-unification-7f3a.html": playbook and the last part of the run's id, safe as a file name.
std::string file_name(const std::string& playbook, const std::string& run,
                      const std::string& format);

} // namespace runbook::report
