// What a report answers first, in sentences, and the tables inside results. Any thread, no state.
#pragma once

#include "runtime/view/model.h"
#include "runtime/view/report/report.h"

#include <string>
#include <utility>
#include <vector>

namespace runbook::report {

/// Who decided what, what was waived or kept, what is still open.
struct Facts {
    std::vector<std::string> decided, waived, kept, open;
};

/// Rows of a result, such as one per table of a verify; `columns` in order of first appearance.
struct Table {
    std::string title;
    std::vector<std::string> columns;
    std::vector<std::vector<std::string>> rows;
};

/// The model of the (redacted) events; `options.source` fills in source lines.
view::Model model_of(const std::vector<journal::Event>& events, const Options& options = {});
Facts facts_of(const view::Model& model);
/// Every list of maps, and every map of maps, inside the result.
std::vector<Table> tables_of(const Value& result);
/// The plain entries of a result, ready to show.
std::vector<std::pair<std::string, std::string>> values_of(const Value& result);
/// "done", "failed", "skipped", "in doubt", "running", "not started", "not needed".
std::string status_word(const view::Item& item);
/// "undone in 0:04", "kept: …", "undo failed: …"; empty where nothing was undone.
std::string undo_words(const view::Item& item);
/// "approved", "rejected", what was decided, or the answer itself in quotes.
std::string answer_words(const view::Question& question);
/// What was undone, or else what the way back would have been; empty where there is no effect.
std::string way_words(const view::Item& item);
/// One line that says what became of the run.
std::string headline(const view::Model& model);
/// "events 1 to 42, hash chain whole".
std::string audit_words(const std::vector<journal::Event>& events, const Options& options);

} // namespace runbook::report
