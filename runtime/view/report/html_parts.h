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

/// The bars of all items over the run's time, with the window and its limits.
std::string timeline(const view::Model& model);
/// The style sheet.
std::string_view style();

} // namespace runbook::report
