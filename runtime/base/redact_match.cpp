// Search for many literals at once. The first four bytes of a match decide: a filter of one bit a
// hash is asked at each position of plain text; where an escape stands among the four, all its
// readings are. What passes is compared byte by byte.
#include "runtime/base/redact_match.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

namespace runbook::redaction {
namespace {

constexpr std::size_t gram_size = 4;
constexpr std::size_t longest_escape = 24;  ///< bytes: a JSON surrogate pair, escaped again
constexpr std::size_t wrapped_line = 40;    ///< base64 characters before a line end that wraps
constexpr std::size_t most_backslashes = 8; ///< in a row, that are told apart
constexpr std::size_t longest_run = 64;     ///< of backslashes, that is read as one
constexpr unsigned most_bits = 23;

std::uint32_t load(const char* at) {
    std::uint32_t gram = 0;
    std::memcpy(&gram, at, gram_size);
    return gram;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char low = static_cast<char>(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/// The number in `count` digits of `base` (8 or 16) at `at`, or -1.
int number(std::string_view text, std::size_t at, std::size_t count, int base = 16) {
    if (at + count > text.size())
        return -1;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const int digit = hex_digit(text[at + i]);
        if (digit < 0 || digit >= base)
            return -1;
        value = value * base + digit;
    }
    return value;
}

bool base64_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '/' || c == '-' || c == '_';
}

bool word_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

/// One reading of the text at a place: what it stands for, and how much of the text it takes.
struct Reading {
    std::size_t used, size;
    char bytes[most_backslashes + 4];
    bool wrap; ///< a line end inside an encoding: stands for nothing

    void put(char c) { bytes[size++] = c; }
    void put_utf8(unsigned code) {
        if (code < 0x80) {
            put(static_cast<char>(code));
        } else if (code < 0x800) {
            put(static_cast<char>(0xC0 | (code >> 6)));
            put(static_cast<char>(0x80 | (code & 0x3F)));
        } else if (code < 0x10000) {
            put(static_cast<char>(0xE0 | (code >> 12)));
            put(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
            put(static_cast<char>(0x80 | (code & 0x3F)));
        } else {
            put(static_cast<char>(0xF0 | (code >> 18)));
            put(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
            put(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
            put(static_cast<char>(0x80 | (code & 0x3F)));
        }
    }
    std::string_view text() const { return {bytes, size}; }
};

/// All readings at one place, its own byte first. Not initialized: this is the hot path.
struct Readings {
    std::array<Reading, 2 * most_backslashes + 8> list;
    std::size_t count;

    Reading& add(std::size_t used) {
        Reading& reading = list[count++];
        reading.used = used;
        reading.size = 0;
        reading.wrap = false;
        return reading;
    }
};

constexpr std::array<bool, 256> make_introducers() {
    std::array<bool, 256> table{};
    for (char c : {'%', '\\', '&', '\'', '"', '+', '\n', '\r'})
        table[static_cast<unsigned char>(c)] = true;
    return table;
}
constexpr std::array<bool, 256> introducers = make_introducers();

/// The first introducer at `at` or behind it, text.size() where there is none: sixteen bytes at
/// once, since most text has few.
std::size_t next_introducer(std::string_view text, std::size_t at) {
    using Block = unsigned char __attribute__((vector_size(16)));
    for (Block block; at + sizeof block <= text.size(); at += sizeof block) {
        std::memcpy(&block, text.data() + at, sizeof block);
        const auto found = (block == '\n') | (block == '\r') | (block == '"') | (block == '+') |
                           (block == '\\') | (block - '%' <= '\'' - '%'); // % & ' in a row
        std::uint64_t halves[2];
        std::memcpy(halves, &found, sizeof halves);
        if (halves[0] | halves[1])
            break;
    }
    while (at < text.size() && !introducers[static_cast<unsigned char>(text[at])])
        ++at;
    return at;
}

/// Whether at least `wrapped_line` base64 characters stand right before `at`.
bool wraps(std::string_view text, std::size_t at) {
    if (at < wrapped_line)
        return false;
    for (std::size_t i = 1; i <= wrapped_line; ++i) // from the end: most lines end in another way
        if (!base64_char(text[at - i]))
            return false;
    return true;
}

/// Whether the byte at `at` can be read in another way than as itself. Where the text ends, it may.
bool escape(std::string_view text, std::size_t at) {
    const char here = text[at];
    if (!introducers[static_cast<unsigned char>(here)])
        return false;
    const std::size_t left = text.size() - at;
    const char next = left > 1 ? text[at + 1] : '\0';
    switch (here) {
    case '%':
        return left < 3 || number(text, at + 1, 2) >= 0;
    case '&':
        return left < 2 || std::strchr("#aglq", next);
    case '\'':
        return left < 2 || next == '\\' || next == '"' || next == '\'';
    case '"':
        return left > 1 && next == '"';
    case '\n':
        return wraps(text, at);
    case '\r':
        return left < 2 || next == '\n';
    default:
        return true;
    }
}

/// What follows a run of backslashes, read as its escape: `\n`, `\u00e9` (JSON; with its second
/// surrogate), `\xe9`, `\303` (bash's $'…').
bool read_escaped(std::string_view text, std::size_t at, Reading& reading) {
    constexpr std::string_view letters = "nrtbfaev", controls = "\n\r\t\b\f\a\033\v";
    const char next = text[at];
    if (next == 'u') {
        int code = number(text, at + 1, 4);
        std::size_t used = 5;
        if (code >= 0xD800 && code < 0xDC00) { // its other half, escaped as often
            std::size_t end = at + used;
            while (end < text.size() && end < at + used + longest_run && text[end] == '\\')
                ++end;
            const int low = end > at + used && end < text.size() && text[end] == 'u'
                                ? number(text, end + 1, 4)
                                : -1;
            if (low >= 0xDC00 && low < 0xE000) {
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                used = end + 5 - at;
            }
        }
        if (code < 0)
            return false;
        reading.put_utf8(static_cast<unsigned>(code));
        reading.used += used;
        return true;
    }
    if (next == 'x') {
        const int code = number(text, at + 1, 2);
        if (code < 0)
            return false;
        reading.put(static_cast<char>(code));
        reading.used += 3;
        return true;
    }
    if (const int code = number(text, at, 3, 8); code >= 0 && code < 256) {
        reading.put(static_cast<char>(code));
        reading.used += 3;
        return true;
    }
    const auto found = letters.find(next);
    if (found == std::string_view::npos)
        return false;
    reading.put(controls[found]);
    ++reading.used;
    return true;
}

/// A run of backslashes, also one that was escaped more than once: it stands for any smaller number
/// of them, and the last may belong to what follows.
void read_backslashes(std::string_view text, std::size_t at, Readings& out) {
    std::size_t end = at;
    while (end < text.size() && end < at + longest_run && text[end] == '\\')
        ++end;
    const std::size_t run = end - at, most = std::min(run, most_backslashes);
    for (std::size_t kept = 0; kept <= most; ++kept) {
        if (kept > 0) {
            Reading& alone = out.add(run);
            std::memset(alone.bytes, '\\', kept);
            alone.size = kept;
        }
        if (end == text.size() || kept == run)
            continue;
        Reading& escaped = out.add(run);
        std::memset(escaped.bytes, '\\', kept);
        escaped.size = kept;
        if (!read_escaped(text, end, escaped)) {
            escaped.put(text[end]);
            ++escaped.used;
        } else if (kept == 0) {
            Reading& itself = out.add(run + 1); // `\n` of a shell without $'…' is an n
            itself.put(text[end]);
        }
    }
}

void read_entity(std::string_view text, std::size_t at, Readings& out) {
    constexpr std::array<std::pair<char, std::string_view>, 5> named = {
        {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}}};
    for (const auto& [plain, entity] : named)
        if (text.substr(at, entity.size()) == entity)
            out.add(entity.size()).put(plain);
    if (text.substr(at, 2) != "&#")
        return;
    const bool hex = text.substr(at + 2, 1) == "x" || text.substr(at + 2, 1) == "X";
    unsigned code = 0;
    for (std::size_t i = at + (hex ? 3 : 2); i < text.size() && i < at + 10; ++i) {
        if (text[i] == ';') {
            if (code > 0 && code < 0x110000)
                out.add(i + 1 - at).put_utf8(code);
            return;
        }
        const int digit = hex_digit(text[i]);
        if (digit < 0 || (!hex && digit > 9))
            return;
        code = code * (hex ? 16 : 10) + static_cast<unsigned>(digit);
    }
}

void read(std::string_view text, std::size_t at, Readings& out) {
    out.count = 0;
    const char here = text[at];
    out.add(1).put(here);
    switch (here) {
    case '%':
        if (const int code = number(text, at + 1, 2); code >= 0)
            out.add(3).put(static_cast<char>(code));
        break;
    case '+':
        out.add(1).put(' ');
        break;
    case '\\':
        read_backslashes(text, at, out);
        break;
    case '&':
        read_entity(text, at, out);
        break;
    case '\'':
        for (std::string_view form : {"'\\''", "'\"'\"'", "''"})
            if (text.substr(at, form.size()) == form)
                out.add(form.size()).put('\'');
        break;
    case '"':
        if (text.substr(at, 2) == "\"\"")
            out.add(2).put('"');
        break;
    case '\r':
        if (text.substr(at, 2) == "\r\n") {
            out.add(2).put('\n');
            if (wraps(text, at))
                out.add(2).wrap = true;
        }
        break;
    case '\n':
        if (wraps(text, at))
            out.add(1).wrap = true;
        break;
    default:
        break;
    }
}

/// End of the match of `pattern` at `at`, or 0. `cut`: the text ended before it was decided.
std::size_t match(std::string_view text, std::size_t at, const Pattern& pattern, bool& cut) {
    const std::string_view wanted = pattern.text;
    std::vector<std::pair<std::size_t, std::size_t>> todo, seen; // (text, pattern)
    std::size_t pos = at, i = 0;
    Readings readings; // NOLINT(cppcoreguidelines-pro-type-member-init): see there
    for (;;) {
        if (i == wanted.size())
            return pos;
        bool stuck = false;
        if (pos >= text.size()) {
            cut = stuck = true;
        } else if (!escape(text, pos)) {
            stuck = text[pos] != wanted[i];
            ++pos, ++i;
        } else {
            if (pos + longest_escape > text.size())
                cut = true;
            read(text, pos, readings);
            std::size_t next_pos = 0, next_i = 0;
            for (std::size_t k = readings.count; k-- > 0;) { // escapes first: they cover more
                const Reading& reading = readings.list[k];
                if (reading.wrap ? !pattern.encoded || i == 0
                                 : !wanted.substr(i).starts_with(reading.text()))
                    continue;
                if (next_pos) {
                    const std::pair other(pos + reading.used, i + reading.size);
                    if (std::find(seen.begin(), seen.end(), other) == seen.end()) {
                        seen.push_back(other);
                        todo.push_back(other);
                    }
                } else {
                    next_pos = pos + reading.used;
                    next_i = i + reading.size;
                }
            }
            stuck = next_pos == 0;
            pos = next_pos;
            i = next_i;
        }
        if (stuck) {
            if (todo.empty())
                return 0;
            std::tie(pos, i) = todo.back();
            todo.pop_back();
        }
    }
}

/// Whether [begin, end) stands alone: no letter, digit or `_` beside it that is not the end of an
/// escape. `-pVALUE`, an option of one letter, counts as alone.
bool stands_alone(std::string_view text, std::size_t begin, std::size_t end,
                  std::string_view pattern) {
    if (word_char(pattern.back()) && end < text.size() && word_char(text[end]))
        return false;
    if (!word_char(pattern.front()) || begin == 0 || !word_char(text[begin - 1]))
        return true;
    if (begin >= 3 && text[begin - 3] == '%')
        if (const int code = number(text, begin - 2, 2); code >= 0)
            return !word_char(static_cast<char>(code));
    if (begin >= 2 && text[begin - 2] == '\\')
        return true;
    if (begin >= 6 && text.substr(begin - 6, 2) == "\\u")
        return true;
    return begin >= 2 && text[begin - 2] == '-' && (begin == 2 || !word_char(text[begin - 3]));
}

std::size_t pair_of(const char* bytes) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) << 8 |
           static_cast<unsigned char>(bytes[1]);
}

std::uint32_t prefix_key(std::string_view bytes, bool encoded) {
    auto key = static_cast<std::uint32_t>(bytes.size()) << 24 | (encoded ? 1u << 31 : 0);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        key |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return key;
}

} // namespace

Index::Index() {
    grow(16);
}

void Index::mark(std::uint32_t gram) {
    const std::uint32_t bit = gram * 0x9E3779B1u >> shift_;
    filter_[bit >> 6] |= std::uint64_t{1} << (bit & 63);
}

void Index::grow(unsigned bits) {
    shift_ = 32 - bits;
    filter_.assign((std::size_t{1} << bits) / 64, 0);
    for (const auto& [gram, patterns] : by_gram_)
        mark(gram);
}

void Index::add(Pattern pattern) {
    if (pattern.text.size() < gram_size || !known_.insert(pattern.text).second)
        return;
    const std::uint32_t gram = load(pattern.text.data());
    by_gram_[gram].push_back(static_cast<std::uint32_t>(patterns_.size()));
    first_.set(static_cast<unsigned char>(pattern.text.front()));
    pairs_.set(pair_of(pattern.text.data()));
    for (std::size_t size = 1; size < gram_size; ++size)
        for (bool wrapped : {false, true})
            if (pattern.encoded || !wrapped)
                prefixes_.insert(
                    prefix_key(std::string_view(pattern.text).substr(0, size), wrapped));
    patterns_.push_back(std::move(pattern));
    // 64 bits a pattern keep the hash table out of the way of ordinary text
    const unsigned bits = 32 - shift_;
    if (by_gram_.size() * 64 > std::size_t{1} << bits && bits < most_bits)
        grow(std::min(bits + 2, most_bits));
    else
        mark(gram);
}

/// One search.
struct Index::Scan {
    const Index& index;
    std::string_view text;
    std::vector<Span>& spans;
    std::size_t* open;

    void opened(std::size_t at) const {
        if (open)
            *open = std::min(*open, at);
    }

    void found(const Pattern& pattern, std::size_t begin, std::size_t end) const {
        if (pattern.word && !stands_alone(text, begin, end, pattern.text))
            return;
        if (pattern.lead && begin > 0 && base64_char(text[begin - 1]))
            --begin;
        if (pattern.tail && end < text.size() && base64_char(text[end]))
            ++end;
        if (!spans.empty() && begin < spans.back().end) {
            spans.back().begin = std::min(spans.back().begin, begin);
            spans.back().end = std::max(spans.back().end, end);
        } else {
            spans.push_back({begin, end});
        }
    }

    /// Compares the patterns that begin with `gram` at `at`.
    void compare(std::uint32_t gram, std::size_t at) const {
        const auto listed = index.by_gram_.find(gram);
        if (listed == index.by_gram_.end())
            return;
        for (const std::uint32_t number : listed->second) {
            const Pattern& pattern = index.patterns_[number];
            bool cut = false;
            if (const std::size_t end = match(text, at, pattern, cut))
                found(pattern, at, end);
            else if (cut)
                opened(at);
        }
    }

    /// All readings of the text from `start`, until four bytes are known.
    void expand(std::size_t start, std::size_t at, std::array<char, 16>& bytes, std::size_t size,
                bool wrapped) const {
        if (size > 0 && !index.first_.test(static_cast<unsigned char>(bytes[0])))
            return;
        if (size > 1 && !index.pairs_.test(pair_of(bytes.data())))
            return;
        if (size >= gram_size) {
            const std::uint32_t gram = load(bytes.data());
            if (index.marked(gram))
                compare(gram, start);
            return;
        }
        if (at >= text.size()) {
            if (open && size > 0 &&
                index.prefixes_.contains(prefix_key({bytes.data(), size}, wrapped)))
                opened(start);
            return;
        }
        if (!escape(text, at)) {
            bytes[size] = text[at];
            expand(start, at + 1, bytes, size + 1, wrapped);
            return;
        }
        if (open && at + longest_escape > text.size() && text.find('\n', at) == text.npos)
            opened(start); // an escape that may be cut off: never at the end of a line
        Readings readings; // NOLINT(cppcoreguidelines-pro-type-member-init): see there
        read(text, at, readings);
        for (std::size_t k = 0; k < readings.count; ++k) {
            const Reading& reading = readings.list[k];
            if (reading.wrap) {
                if (size > 0)
                    expand(start, at + reading.used, bytes, size, true);
                continue;
            }
            std::array<char, 16> more = bytes;
            std::memcpy(more.data() + size, reading.bytes,
                        std::min(reading.size, more.size() - size));
            expand(start, at + reading.used, more, size + reading.size, wrapped);
        }
    }

    void expand(std::size_t start) const {
        const char here = text[start];
        if (!introducers[static_cast<unsigned char>(here)] &&
            !index.first_.test(static_cast<unsigned char>(here)))
            return;
        std::array<char, 16> bytes{};
        expand(start, start, bytes, 0, false);
    }
};

std::vector<Span> Index::search(std::string_view text, std::size_t* open) const {
    std::vector<Span> spans;
    if (open)
        *open = text.size();
    if (patterns_.empty())
        return spans;
    const Scan scan{*this, text, spans, open};
    const std::size_t size = text.size();
    const std::size_t last = size >= gram_size ? size - gram_size + 1 : 0; // begins of a whole gram
    std::size_t at = 0;
    while (at < last) {
        std::size_t next = next_introducer(text, at); // the next escape
        while (next < size && !escape(text, next))
            next = next_introducer(text, next + 1);
        const std::size_t plain = next == size ? last : std::min(last, next > 3 ? next - 3 : 0);
        for (; at < plain; ++at)
            if (const std::uint32_t gram = load(text.data() + at); marked(gram))
                scan.compare(gram, at);
        for (; at < last && at <= next && next < size; ++at)
            scan.expand(at);
    }
    if (open)
        for (; at < size; ++at)
            scan.expand(at);
    return spans;
}

} // namespace runbook::redaction
