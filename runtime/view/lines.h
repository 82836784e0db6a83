// Whole lines of the terminal view, as plain text: no escapes, no state. 0 columns means no
// wrapping.
#pragma once

#include "runtime/view/model.h"
#include "runtime/view/rate.h"
#include "runtime/view/view.h"

#include <deque>
#include <string>
#include <vector>

namespace runbook::view {

using Lines = std::vector<std::string>;

/// How wide the columns of the step table are, for the items of one run.
struct Layout {
    std::size_t columns = 80, name = 20, owner = 8;
    static Layout of(const Model& model, int columns);
};

/// One line of the step table: symbol, name, owner, estimate, time, detail. A detail that does not
/// fit goes below.
Lines row(const Layout& layout, std::string_view symbol, const Item& item, const std::string& took,
          const std::string& detail, bool estimate = true);

Lines header_lines(const Model& model, const Settings& settings, std::size_t columns);
Lines window_lines(const Model& model, std::size_t columns);
/// Where it failed, the source line, what was found, the hint, the last output.
Lines failure_lines(const Model& model, const Item& item, const std::deque<std::string>& output,
                    const Settings& settings, std::size_t columns);
/// The way back, what is kept and what was never begun.
Lines rollback_lines(const Model& model, std::size_t columns, bool with_why);
/// The three lines for the ticket.
Lines closing_lines(const Model& model, const Settings& settings, std::size_t columns);

/// "contents  ███████░░░  71 %  182k rows/s  12.4 MB/s  ETA 0:16".
std::string progress_words(const RateMeter& rate, std::size_t bar_columns);
/// "on track · site down for 2:38 of 30m · latest moment for rollback 22:20 · Ctrl-C asks", in at
/// most two lines. What matters least is left out first where it does not fit.
std::string status_words(const Model& model, std::int64_t now, std::size_t columns);
/// "next checkpoint in about 1:10", for the first waiting checkpoint; empty for any other item.
std::string outlook(const Model& model, const Item& item, std::int64_t now);

/// Control characters made visible, so that no output of a program can move the cursor. Newlines
/// stay.
std::string harmless(std::string_view text);
/// The symbols in ASCII, for a locale that has no others.
std::string in_ascii(std::string_view text);

} // namespace runbook::view
