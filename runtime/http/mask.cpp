// What of a URL may be shown.
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/http/http.h"

#include <array>

namespace runbook::http {
namespace {

bool secret_name(std::string_view name) {
    static constexpr std::array words{"token", "key",  "secret", "password", "passwd",     "pwd",
                                      "sig",   "auth", "pass",   "session",  "credential", "code"};
    std::string lower = text::lower(name);
    for (const char* word : words)
        if (lower.find(word) != std::string::npos)
            return true;
    return false;
}

} // namespace

std::string mask_url(std::string_view url) {
    std::string text(url);
    std::size_t begin = text.find("://");
    begin = begin == std::string::npos ? 0 : begin + 3;
    std::size_t end = std::min(text.find_first_of("/?#", begin), text.size());
    std::size_t at = text.rfind('@', end);
    if (at != std::string::npos && at >= begin && at < end) {
        std::size_t colon = text.find(':', begin);
        std::size_t from = colon < at ? colon + 1 : begin; // a lone user part is often a token
        text.replace(from, at - from, "***");
    }
    std::size_t query = text.find('?');
    if (query != std::string::npos) {
        std::size_t hash = std::min(text.find('#', query), text.size());
        std::string tail = text.substr(hash), masked;
        for (const auto& pair : text::split(text.substr(query + 1, hash - query - 1), '&')) {
            std::size_t equals = pair.find('=');
            bool hide = equals != std::string::npos && secret_name(pair.substr(0, equals));
            masked +=
                (masked.empty() ? "" : "&") + (hide ? pair.substr(0, equals + 1) + "***" : pair);
        }
        text = text.substr(0, query + 1) + masked + tail;
    }
    return redact(text);
}

} // namespace runbook::http
