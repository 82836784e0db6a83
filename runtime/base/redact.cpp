// Secrets and their removal from text (contract in redact.h; the search in redact_match.h).
// Owns: the process-wide index of patterns; searches share its lock, a new secret takes it alone.
// Any thread. Never forgets a secret.
#include "runtime/base/redact.h"

#include "runtime/base/digest.h"
#include "runtime/base/redact_match.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <unordered_set>
#include <utility>

namespace runbook {
namespace {

using redaction::Pattern;
using redaction::Span;

constexpr std::size_t shortest = 4;       ///< bytes; shorter values are not searched for
constexpr std::size_t shortest_plain = 8; ///< shorter values are found as whole words only
constexpr std::size_t longest_piece = 64 * 1024;
constexpr std::string_view mask = "***";

struct Registry {
    std::shared_mutex mutex;
    redaction::Index index;
    std::unordered_set<std::string> values;
};

/// Never destroyed: static objects may register a secret or redact before main() and after it.
Registry& registry() {
    static auto* const one = new Registry;
    return *one;
}

/// What base64 shows of the secret when `offset` (0, 1, 2) bytes stand before it in its group of
/// three.
Pattern base64_pattern(const std::string& secret, std::size_t offset, bool url_safe) {
    const std::string encoded = digest::base64(std::string(offset, '\0') + secret);
    const std::size_t first_bit = offset * 8, end_bit = (offset + secret.size()) * 8;
    const std::size_t first = (first_bit + 5) / 6, end = end_bit / 6;
    Pattern pattern{encoded.substr(first, end - first), first_bit % 6 != 0, end_bit % 6 != 0, true,
                    false};
    if (url_safe) {
        std::replace(pattern.text.begin(), pattern.text.end(), '+', '-');
        std::replace(pattern.text.begin(), pattern.text.end(), '/', '_');
    }
    return pattern;
}

std::string upper_hex(const std::string& text) {
    std::string out = digest::hex(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'f')
            c = static_cast<char>(c - 'a' + 'A');
    return out;
}

void add_secret(redaction::Index& index, const std::string& secret) {
    if (secret.size() < shortest)
        return;
    index.add({secret, false, false, false, secret.size() < shortest_plain});
    index.add({digest::hex(secret), false, false, true, false});
    index.add({upper_hex(secret), false, false, true, false});
    for (std::size_t offset = 0; offset < 3; ++offset)
        for (bool url_safe : {false, true})
            index.add(base64_pattern(secret, offset, url_safe));
}

} // namespace

void hide(const std::string& value) {
    if (value.size() < shortest)
        return;
    std::lock_guard lock(registry().mutex);
    if (!registry().values.insert(value).second)
        return;
    redaction::Index& index = registry().index;
    add_secret(index, value);
    // Output is shown line by line, so each line of a key is a secret of its own; so is a password
    // without the newline that its file ended with.
    if (value.find('\n') == std::string::npos)
        return;
    const std::size_t wanted = value.find('\n') + 1 == value.size() ? shortest : shortest_plain;
    for (std::size_t begin = 0; begin < value.size();) {
        const std::size_t end = std::min(value.find('\n', begin), value.size());
        std::string line = value.substr(begin, end - begin);
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (line.size() >= wanted)
            add_secret(index, line);
        begin = end + 1;
    }
}

namespace {

/// text[0, to) without what the spans cover.
std::string masked(std::string_view text, const std::vector<Span>& spans, std::size_t to) {
    std::string out;
    out.reserve(to);
    std::size_t copied = 0;
    for (const Span& span : spans) {
        if (span.begin >= to)
            break;
        if (span.begin > copied)
            out.append(text.substr(copied, span.begin - copied));
        out.append(mask);
        copied = span.end;
    }
    if (copied < to)
        out.append(text.substr(copied, to - copied));
    return out;
}

} // namespace

std::string redact(std::string_view text) {
    std::vector<Span> spans;
    if (text.size() >= shortest) {
        std::shared_lock lock(registry().mutex);
        spans = registry().index.search(text);
    }
    return spans.empty() ? std::string(text) : masked(text, spans, text.size());
}

bool holds_secret(std::string_view text) {
    if (text.size() < shortest)
        return false;
    std::shared_lock lock(registry().mutex);
    return !registry().index.search(text).empty();
}

std::string_view cover_warning(std::size_t bytes) {
    if (bytes < shortest)
        return "is shorter than 4 characters: it cannot be hidden where it is shown";
    if (bytes < shortest_plain)
        return "is shorter than 8 characters: it is hidden only where it stands as a word of its "
               "own";
    return {};
}

std::string StreamRedactor::write(std::string_view piece) {
    held_.append(piece);
    const bool long_line = held_.size() >= longest_piece;
    const std::size_t line_end = held_.rfind('\n');
    if (!long_line && line_end == std::string::npos)
        return {};
    return take(long_line ? held_.size() : line_end + 1, true);
}

std::string StreamRedactor::finish() {
    return take(held_.size(), false);
}

std::string StreamRedactor::take(std::size_t limit, bool more) {
    std::vector<Span> spans;
    std::size_t open = held_.size();
    {
        std::shared_lock lock(registry().mutex);
        spans = registry().index.search(held_, more ? &open : nullptr);
    }
    limit = std::min(limit, open);
    for (const Span& span : spans)
        if (span.begin < limit && span.end > limit)
            limit = more ? span.begin : span.end;
    if (!spans.empty() && spans.front().begin < limit) {
        std::string out = masked(held_, spans, limit);
        held_.erase(0, limit);
        return out;
    }
    std::string rest = held_.substr(limit); // short, as a rule: the text itself is handed on
    held_.resize(limit);
    return std::exchange(held_, std::move(rest));
}

Value redact(const Value& value) {
    if (const auto* text = value.get<std::string>())
        return redact(std::string_view(*text));
    if (const auto* bytes = value.get<Bytes>())
        return Bytes{redact(std::string_view(bytes->data))};
    if (const auto* opaque = value.get<Opaque>())
        return Opaque{redact(std::string_view(opaque->what))};
    if (value.get<SecretPtr>())
        return std::string(mask);
    if (const auto* list = value.get<List>()) {
        List out;
        out.reserve(list->size());
        for (const Value& item : *list)
            out.push_back(redact(item));
        return out;
    }
    if (const auto* map = value.get<Map>()) {
        std::vector<std::pair<std::string, Value>> entries;
        entries.reserve(map->size());
        for (const auto& [key, item] : *map)
            entries.emplace_back(redact(std::string_view(key)), redact(item));
        return Map::of(std::move(entries));
    }
    return value;
}

} // namespace runbook
