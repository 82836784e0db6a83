// Secrets and their removal from text (contract in redact.h).
// Owns: the process-wide set of patterns, an immutable snapshot that is replaced when a secret is
// registered, so that redact() holds the lock only to copy a pointer. Any thread. Never forgets a
// secret.
#include "runtime/base/redact.h"

#include "runtime/base/digest.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_set>

namespace runbook {
namespace {

constexpr std::size_t shortest = 4;
constexpr std::string_view mask = "***";

/// `lead` and `tail`: further base64 characters beside the match that hold some bits of the secret.
struct Pattern {
    std::string text;
    std::size_t lead = 0, tail = 0;
};

struct Patterns {
    std::vector<Pattern> list;
    std::array<bool, 256> first{}; ///< bytes at which a match may begin
};

struct Registry {
    std::mutex mutex;
    std::shared_ptr<const Patterns> patterns = std::make_shared<Patterns>();
    std::unordered_set<std::string> values;
};

/// Never destroyed: static objects may register a secret or redact before main() and after it.
Registry& registry() {
    static auto* const one = new Registry;
    return *one;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char low = static_cast<char>(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/// The number in `count` hex digits at `at`, or -1.
int hex_number(std::string_view text, std::size_t at, std::size_t count) {
    if (at + count > text.size())
        return -1;
    int number = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const int digit = hex_digit(text[at + i]);
        if (digit < 0)
            return -1;
        number = number * 16 + digit;
    }
    return number;
}

void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

struct Step {
    std::size_t text = 0, secret = 0; ///< bytes consumed on either side; zero: no match
};

/// `\uXXXX` (JSON; with its second surrogate), `\xXX`, `\n`…, or a backslash before the byte
/// itself.
Step match_backslash(std::string_view text, std::size_t at, std::string_view rest) {
    if (at + 1 >= text.size())
        return {};
    const char next = text[at + 1];
    std::string decoded;
    std::size_t used = 2;
    if (next == 'u') {
        int code = hex_number(text, at + 2, 4);
        used = 6;
        if (code >= 0xD800 && code < 0xDC00 && text.substr(at + 6, 2) == "\\u") {
            const int low = hex_number(text, at + 8, 4);
            if (low >= 0xDC00 && low < 0xE000) {
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                used = 12;
            }
        }
        if (code >= 0)
            append_utf8(decoded, static_cast<unsigned>(code));
    } else if (next == 'x') {
        const int code = hex_number(text, at + 2, 2);
        used = 4;
        if (code >= 0)
            decoded += static_cast<char>(code);
    } else {
        constexpr std::string_view letters = "nrtbf", controls = "\n\r\t\b\f";
        const auto found = letters.find(next);
        if (found != std::string_view::npos && rest.front() == controls[found])
            return {2, 1};
    }
    if (!decoded.empty() && rest.starts_with(decoded))
        return {used, decoded.size()};
    return next == rest.front() ? Step{2, 1} : Step{};
}

/// One byte (or one code point) of the secret at `at`, in any of the forms an encoder may give it.
Step match_one(std::string_view text, std::size_t at, std::string_view rest) {
    const char here = text[at], wanted = rest.front();
    if (here == '%') {
        const int code = hex_number(text, at + 1, 2);
        if (code >= 0 && static_cast<char>(code) == wanted)
            return {3, 1};
    }
    if (here == '\\')
        if (const Step step = match_backslash(text, at, rest); step.text)
            return step;
    const std::string_view left = text.substr(at);
    if (wanted == '\'')
        for (std::string_view form : {"'\\''", "'\"'\"'", "''", "&#39;", "&apos;"})
            if (left.starts_with(form))
                return {form.size(), 1};
    if (here == '&') {
        constexpr std::array<std::pair<char, std::string_view>, 4> entities = {
            {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}}};
        for (const auto& [plain, entity] : entities)
            if (wanted == plain && left.starts_with(entity))
                return {entity.size(), 1};
    }
    if (here == wanted || (here == '+' && wanted == ' '))
        return {1, 1};
    return {};
}

/// Length of the match of `secret` at `at`, 0 for none. Encoders differ in which bytes they escape,
/// so every byte may be plain or escaped.
std::size_t match_at(std::string_view text, std::size_t at, std::string_view secret) {
    if (text.substr(at, secret.size()) == secret)
        return secret.size();
    std::size_t pos = at;
    for (std::size_t i = 0; i < secret.size();) {
        if (pos >= text.size())
            return 0;
        const Step step = match_one(text, pos, secret.substr(i));
        if (step.text == 0)
            return 0;
        pos += step.text;
        i += step.secret;
    }
    return pos - at;
}

/// What base64 shows of the secret when `offset` (0, 1, 2) bytes stand before it in its group of
/// three.
Pattern base64_pattern(const std::string& secret, std::size_t offset, bool url_safe) {
    const std::string encoded = digest::base64(std::string(offset, '\0') + secret);
    const std::size_t first_bit = offset * 8, end_bit = (offset + secret.size()) * 8;
    const std::size_t first = (first_bit + 5) / 6, end = end_bit / 6;
    Pattern pattern{encoded.substr(first, end - first), first_bit % 6 ? 1u : 0u,
                    end_bit % 6 ? 1u : 0u};
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

void add(Patterns& patterns, Pattern pattern) {
    if (pattern.text.size() < shortest)
        return;
    const bool known =
        std::any_of(patterns.list.begin(), patterns.list.end(),
                    [&](const Pattern& other) { return other.text == pattern.text; });
    if (known)
        return;
    const char first = pattern.text.front();
    patterns.first[static_cast<unsigned char>(first)] = true;
    patterns.first[static_cast<unsigned char>('+')] |= first == ' ';
    for (char c : {'%', '\\', '&', '\''})
        patterns.first[static_cast<unsigned char>(c)] = true;
    patterns.list.push_back(std::move(pattern));
}

void add_secret(Patterns& patterns, const std::string& secret) {
    if (secret.size() < shortest)
        return;
    add(patterns, {secret});
    add(patterns, {digest::hex(secret)});
    add(patterns, {upper_hex(secret)});
    for (std::size_t offset = 0; offset < 3; ++offset)
        for (bool url_safe : {false, true})
            add(patterns, base64_pattern(secret, offset, url_safe));
}

void register_secret(const std::string& value) {
    std::lock_guard lock(registry().mutex);
    if (value.size() < shortest || !registry().values.insert(value).second)
        return;
    auto next = std::make_shared<Patterns>(*registry().patterns);
    add_secret(*next, value);
    // Output is shown line by line, so each line of a key is a secret of its own; so is a password
    // without the newline that its file ended with.
    constexpr std::size_t shortest_line = 8;
    if (value.find('\n') != std::string::npos) {
        const std::size_t wanted = value.find('\n') + 1 == value.size() ? shortest : shortest_line;
        for (std::size_t begin = 0; begin < value.size();) {
            const std::size_t end = std::min(value.find('\n', begin), value.size());
            std::string line = value.substr(begin, end - begin);
            if (!line.empty() && line.back() == '\r')
                line.pop_back();
            if (line.size() >= wanted)
                add_secret(*next, line);
            begin = end + 1;
        }
    }
    registry().patterns = std::move(next);
}

bool base64_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '/' || c == '-' || c == '_';
}

} // namespace

Secret::Secret(std::string value, std::string origin)
    : value_(std::move(value)), origin_(std::move(origin)) {
    register_secret(value_);
}

SecretPtr make_secret(std::string value, std::string origin) {
    return std::make_shared<const Secret>(std::move(value), std::move(origin));
}

std::string redact(std::string_view text) {
    std::shared_ptr<const Patterns> patterns;
    {
        std::lock_guard lock(registry().mutex);
        patterns = registry().patterns;
    }
    if (patterns->list.empty() || text.size() < shortest)
        return std::string(text);
    std::string out;
    std::size_t copied = 0,
                hidden_to =
                    0; // [copied, …) is still to be written; what is below hidden_to is masked
    bool hiding = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (!patterns->first[static_cast<unsigned char>(text[at])])
            continue;
        for (const Pattern& pattern : patterns->list) {
            const std::size_t length = match_at(text, at, pattern.text);
            if (length == 0)
                continue;
            std::size_t begin = at, end = at + length;
            if (pattern.lead && begin > 0 && base64_char(text[begin - 1]))
                --begin;
            if (pattern.tail && end < text.size() && base64_char(text[end]))
                ++end;
            if (!hiding || begin >= hidden_to) {
                if (hiding)
                    copied = hidden_to;
                begin = std::max(begin, copied);
                out.append(text.substr(copied, begin - copied)).append(mask);
                hiding = true;
                hidden_to = end;
            } else {
                hidden_to = std::max(hidden_to, end);
            }
        }
    }
    if (hiding)
        copied = hidden_to;
    out.append(text.substr(copied));
    return out;
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
