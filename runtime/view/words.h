// The wording that the terminal, the log and the report share: one fact is always said in the same
// words. Any thread, no state. Plain text without escapes.
#pragma once

#include "runtime/view/model.h"

#include <string>
#include <vector>

namespace runbook::view {

/// A result for one line: the engine's detail, or else the first plain entries of the result ("rows
/// 250,000").
std::string detail_of(const Item& item);
/// A scalar for people: grouped integers, seconds where the key ends in _s, bytes where it is
/// `bytes`.
std::string shown(std::string_view key, const Value& value);

/// "succeeded", "rolled back", "failed", "a person is needed", "held".
std::string outcome_words(const Model& model);
/// "22:00:04" in UTC of an ISO time, else the text itself.
std::string clock_of(const std::string& iso);
/// "anna" with "(console)" where it says how.
std::string person(const std::string& by, const std::string& via);
/// What people did beside a final answer: a partial approval, a refused answer, a question passed
/// on. Empty for other events.
std::string people_words(const journal::Event& event);
/// "connection refused (db.connection)".
std::string error_words(const ErrorInfo& error);
/// "step", "toggle", "checkpoint", "gate"… and the name: `checkpoint "CP-3"`.
std::string named(const Item& item);

/// "downtime 8:12 of 30m (met)", or empty where there is none.
std::string window_words(const Model& model);
/// "12 steps, 1 retried, 2 skipped · 5 of 5 checkpoints passed".
std::string steps_words(const Model& model);
/// "goal downtime met: 4m20s, target below 30m".
std::string goal_words(const Goal& goal);
/// ✓ ✗ ?
std::string_view goal_sign(const Goal& goal);
/// "first hour: p95, p95 above 200 for 5s – ask".
std::string breach_words(const journal::Event& event);
/// What a person should do next; empty where there is nothing.
std::string next_command(const Model& model);
/// The names, at most `most` of them: "a, b and 3 more".
std::string some_of(const std::vector<std::string>& names, std::size_t most);
/// What has not begun, in order.
std::vector<std::string> not_started(const Model& model);

/// Joins with " · " into lines of at most `columns`; later lines begin with `indent`.
std::string wrap_parts(const std::vector<std::string>& parts, std::size_t columns,
                       std::string_view indent);
/// Words into lines of at most `columns`, each with `indent` before it; a longer word stays whole.
std::vector<std::string> wrap(std::string_view text, std::size_t columns, std::string_view indent);
/// Padded with blanks to `columns`; never cut.
std::string pad(std::string text, std::size_t columns);
std::string pad_left(std::string text, std::size_t columns);

/// What a sub-step, a sleep or an overdue step says; empty for every other event.
std::string part_words(const journal::Event& event);

} // namespace runbook::view
