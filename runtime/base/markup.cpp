#include "runtime/base/markup.h"

namespace runbook::markup {

std::string escaped(std::string_view text, std::optional<char> control) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\'':
            out += "&#39;";
            break;
        default:
            out += control && static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t'
                       ? *control
                       : c;
        }
    }
    return out;
}

} // namespace runbook::markup
