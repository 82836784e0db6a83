// JSON by meaning, numbers exact. Pure functions; independent of base/json, which may round a
// number to a double.
#include "runtime/transfer/verify/form.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace runbook::verify {
namespace {

constexpr int max_depth = 512;

/// Recursive descent over one text. Writes: `n`, `t`, `f`, `#decimal;`, `"length:octets`, `[…]`,
/// `{…}`.
class Canonical {
  public:
    explicit Canonical(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}

    bool whole(std::string& out) {
        blanks();
        if (!value(out, 0))
            return false;
        blanks();
        return at_ == end_;
    }

  private:
    void blanks() {
        while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r'))
            ++at_;
    }
    bool eat(char c) {
        if (at_ == end_ || *at_ != c)
            return false;
        ++at_;
        return true;
    }
    bool word(std::string_view expected) {
        if (static_cast<std::size_t>(end_ - at_) < expected.size() ||
            std::string_view(at_, expected.size()) != expected)
            return false;
        at_ += expected.size();
        return true;
    }

    bool value(std::string& out, int depth) {
        if (at_ == end_ || depth > max_depth)
            return false;
        switch (*at_) {
        case 'n':
            out.push_back('n');
            return word("null");
        case 't':
            out.push_back('t');
            return word("true");
        case 'f':
            out.push_back('f');
            return word("false");
        case '"':
            return string(out);
        case '[':
            return array(out, depth);
        case '{':
            return object(out, depth);
        default:
            return number(out);
        }
    }

    bool number(std::string& out) {
        const char* from = at_;
        while (at_ < end_ && (std::string_view("+-.eE").find(*at_) != std::string_view::npos ||
                              (*at_ >= '0' && *at_ <= '9')))
            ++at_;
        out.push_back('#');
        if (!canonical_decimal({from, static_cast<std::size_t>(at_ - from)}, out))
            return false;
        out.push_back(';');
        return true;
    }

    bool string(std::string& out) {
        std::string text;
        if (!unescape(text))
            return false;
        out.push_back('"');
        out.append(std::to_string(text.size())).push_back(':');
        out.append(text);
        return true;
    }

    bool hex4(std::uint32_t& code) {
        if (end_ - at_ < 4)
            return false;
        auto [stop, error] = std::from_chars(at_, at_ + 4, code, 16);
        if (error != std::errc() || stop != at_ + 4)
            return false;
        at_ += 4;
        return true;
    }

    bool escape_unicode(std::string& text) {
        std::uint32_t code = 0, low = 0;
        if (!hex4(code))
            return false;
        if (code >= 0xD800 && code < 0xDC00) {
            if (!eat('\\') || !eat('u') || !hex4(low) || low < 0xDC00 || low > 0xDFFF)
                return false;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        if (code < 0x80) {
            text.push_back(static_cast<char>(code));
        } else if (code < 0x800) {
            text.push_back(static_cast<char>(0xC0 | code >> 6));
            text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
        } else if (code < 0x10000) {
            text.push_back(static_cast<char>(0xE0 | code >> 12));
            text.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
            text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
        } else {
            text.push_back(static_cast<char>(0xF0 | code >> 18));
            text.push_back(static_cast<char>(0x80 | (code >> 12 & 0x3F)));
            text.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
            text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
        }
        return true;
    }

    bool unescape(std::string& text) {
        if (!eat('"'))
            return false;
        while (at_ < end_ && *at_ != '"') {
            if (*at_ != '\\') {
                text.push_back(*at_++);
                continue;
            }
            if (++at_ == end_)
                return false;
            static constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
            char c = *at_++;
            if (c == 'u') {
                if (!escape_unicode(text))
                    return false;
                continue;
            }
            std::size_t which = from.find(c);
            if (which == std::string_view::npos)
                return false;
            text.push_back(to[which]);
        }
        return eat('"');
    }

    bool array(std::string& out, int depth) {
        ++at_;
        out.push_back('[');
        blanks();
        if (!eat(']')) {
            do {
                blanks();
                if (!value(out, depth + 1))
                    return false;
                blanks();
            } while (eat(','));
            if (!eat(']'))
                return false;
        }
        out.push_back(']');
        return true;
    }

    bool object(std::string& out, int depth) {
        struct Member {
            std::string key, value;
        };
        std::vector<Member> members;
        ++at_;
        blanks();
        if (!eat('}')) {
            do {
                Member member;
                blanks();
                if (!unescape(member.key))
                    return false;
                blanks();
                if (!eat(':'))
                    return false;
                blanks();
                if (!value(member.value, depth + 1))
                    return false;
                members.push_back(std::move(member));
                blanks();
            } while (eat(','));
            if (!eat('}'))
                return false;
        }
        std::stable_sort(members.begin(), members.end(),
                         [](const Member& a, const Member& b) { return a.key < b.key; });
        out.push_back('{');
        for (std::size_t i = 0; i < members.size(); ++i) {
            if (i + 1 < members.size() && members[i + 1].key == members[i].key)
                continue; // the last of duplicates counts
            out.push_back('"');
            out.append(std::to_string(members[i].key.size())).push_back(':');
            out.append(members[i].key).append(members[i].value);
        }
        out.push_back('}');
        return true;
    }

    const char* at_;
    const char* end_;
};

} // namespace

bool canonical_json(std::string_view text, std::string& out) {
    out.clear();
    return Canonical(text).whole(out);
}

bool canonical_decimal(std::string_view text, std::string& out) {
    if (text == "NaN" || text == "Infinity" || text == "-Infinity") {
        out.append(text);
        return true;
    }
    bool negative = text.starts_with('-');
    if (negative || text.starts_with('+'))
        text.remove_prefix(1);
    std::int64_t exponent = 0;
    if (std::size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
        std::string_view digits = text.substr(e + 1);
        if (digits.starts_with('+'))
            digits.remove_prefix(1);
        auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
        if (error != std::errc() || end != digits.data() + digits.size() || exponent > 20000 ||
            exponent < -20000)
            return false;
        text = text.substr(0, e);
    }
    std::size_t dot = text.find('.');
    std::string_view whole = text.substr(0, dot);
    std::string_view fraction = dot == std::string_view::npos ? "" : text.substr(dot + 1);
    auto digits_only = [](std::string_view part) {
        return part.find_first_not_of("0123456789") == std::string_view::npos;
    };
    if ((whole.empty() && fraction.empty()) || !digits_only(whole) || !digits_only(fraction))
        return false;
    std::string moved;
    if (exponent != 0) { // move the point; rare
        moved.assign(whole).append(fraction);
        std::int64_t point = static_cast<std::int64_t>(whole.size()) + exponent;
        if (point < 0)
            moved.insert(0, static_cast<std::size_t>(-point), '0'), point = 0;
        if (point > static_cast<std::int64_t>(moved.size()))
            moved.append(static_cast<std::size_t>(point) - moved.size(), '0');
        whole = std::string_view(moved).substr(0, static_cast<std::size_t>(point));
        fraction = std::string_view(moved).substr(static_cast<std::size_t>(point));
    }
    while (whole.starts_with('0'))
        whole.remove_prefix(1);
    fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
    if (whole.empty() && fraction.empty()) {
        out.push_back('0');
        return true;
    }
    if (negative)
        out.push_back('-');
    out.append(whole.empty() ? std::string_view("0") : whole);
    if (!fraction.empty()) {
        out.push_back('.');
        out.append(fraction);
    }
    return true;
}

} // namespace runbook::verify
