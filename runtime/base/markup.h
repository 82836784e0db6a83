// Text inside of HTML and XML. Any thread, no state.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace runbook::markup {

/// `text` for an element or for an attribute in quotes: & < > " ' as character references. Control
/// characters other than newline and tab have no place in either; `control` stands for each,
/// nothing leaves them as they are.
std::string escaped(std::string_view text, std::optional<char> control = {});

} // namespace runbook::markup
