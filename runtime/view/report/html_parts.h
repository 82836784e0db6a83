// Pieces of the HTML report. Any thread, no state. Every piece returns whole elements, escaped.
#pragma once

#include "runtime/view/model.h"
#include "runtime/view/report/facts.h"

#include <string>
#include <string_view>

namespace runbook::report {

/// For text and for attribute values in double quotes.
std::string escaped(std::string_view text);
/// <tag class="…">text</tag>, the text escaped.
std::string element(std::string_view tag, std::string_view text, std::string_view css = {});
/// "good", "bad", "warn" or "calm", for a class that only repeats what the words say.
std::string_view tone(const view::Item& item);
std::string_view tone(const view::Model& model);
/// ✓ ✗ ? – ▸ before a status word.
std::string_view mark(const view::Item& item);

/// "85 ms" below a second, else "1:52".
std::string took_words(double seconds);
/// The bars of all items over the run's time, planned and actual, with the window and its limits.
std::string timeline(const view::Model& model);
/// Targets with their Actual; empty where the playbook has none.
std::string goals(const view::Model& model);
/// What each checkpoint and checklist saw and led to.
std::string checkpoints(const view::Model& model);
/// What was undone and kept, in the order of the way back; empty where the run did not go back.
std::string way_back(const view::Model& model);
/// What monitors saw, as a small picture each, and what they found over its limit.
std::string monitors(const view::Model& model);
/// The style sheet.
std::string_view style();

} // namespace runbook::report
