// Quoting, names and literals (see text.h). Pure functions.
#include "runtime/transfer/schema/text.h"

#include "runtime/base/digest.h"
#include "runtime/base/text.h"

#include <algorithm>

namespace runbook::schema {
namespace {

std::string quoted(std::string_view text, char quote, bool backslashes) {
    std::string out(1, quote);
    for (char c : text) {
        if (c == quote || (backslashes && c == '\\'))
            out += c;
        out += c;
    }
    return out + quote;
}

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

/// The end of the parenthesis that opens at 0, or npos.
std::size_t closing(std::string_view text) {
    int depth = 0;
    bool inside = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\'')
            inside = !inside;
        else if (!inside && text[i] == '(')
            ++depth;
        else if (!inside && text[i] == ')' && --depth == 0)
            return i;
    }
    return std::string_view::npos;
}

bool is_cast_tail(std::string_view text) {
    return text.starts_with("::") && text.find('\'') == std::string_view::npos &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return isalnum(static_cast<unsigned char>(c)) || c < 0 ||
                      std::string_view(":_\". (),[]").find(c) != std::string_view::npos;
           });
}

std::optional<Literal> string_literal(std::string_view text) {
    bool escapes = text.starts_with("E'");
    if (escapes)
        text.remove_prefix(1);
    if (!text.starts_with('\''))
        return std::nullopt;
    Literal literal;
    literal.is_string = true;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (escapes && text[i] == '\\') {
            if (i + 1 >= text.size() || text[i + 1] != '\\')
                return std::nullopt;
            ++i;
        } else if (text[i] == '\'') {
            if (i + 1 < text.size() && text[i + 1] == '\'') {
                ++i;
            } else {
                std::string_view tail = text.substr(i + 1);
                if (!tail.empty() && !is_cast_tail(tail))
                    return std::nullopt;
                return literal;
            }
        }
        literal.text += text[i];
    }
    return std::nullopt;
}

} // namespace

std::string mysql_name(std::string_view name) {
    return quoted(name, '`', false);
}

std::string standard_name(std::string_view name) {
    return quoted(name, '"', false);
}

std::string qualified(std::string_view schema, std::string_view name) {
    return standard_name(schema) + "." + standard_name(name);
}

std::string mysql_string(std::string_view text) {
    return quoted(text, '\'', true);
}

std::string standard_string(std::string_view text) {
    return quoted(text, '\'', false);
}

std::string short_name(const std::string& name, std::size_t limit) {
    auto characters = static_cast<std::size_t>(
        std::count_if(name.begin(), name.end(), [](char c) { return !is_continuation(c); }));
    if (characters <= limit)
        return name;
    std::size_t keep = limit - 9, at = 0;
    while (keep > 0) {
        ++at;
        while (at < name.size() && is_continuation(name[at]))
            ++at;
        --keep;
    }
    return name.substr(0, at) + '_' + digest::sha256_hex(name).substr(0, 8);
}

std::string postgresql_name(const std::string& name) {
    if (name.size() <= 63)
        return name;
    std::size_t at = 63 - 9;
    while (at > 0 && is_continuation(name[at]))
        --at;
    return name.substr(0, at) + '_' + digest::sha256_hex(name).substr(0, 8);
}

std::optional<Literal> postgresql_literal(std::string_view expression) {
    std::string held = text::trim(expression);
    std::string_view text = held;
    if (text.starts_with('(')) {
        std::size_t end = closing(text);
        if (end == std::string_view::npos)
            return std::nullopt;
        std::string_view tail = text.substr(end + 1);
        if (!tail.empty() && !is_cast_tail(tail))
            return std::nullopt;
        return postgresql_literal(text.substr(1, end - 1));
    }
    if (auto literal = string_literal(text))
        return literal;
    std::size_t cast = text.find("::");
    if (cast != std::string_view::npos) {
        if (!is_cast_tail(text.substr(cast)))
            return std::nullopt;
        text = text.substr(0, cast);
    }
    std::string word = text::lower(text);
    if (word == "null")
        return Literal{true, false, {}};
    if (word == "true" || word == "false")
        return Literal{false, false, word};
    bool digits = false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] >= '0' && word[i] <= '9')
            digits = true;
        else if (!(word[i] == '.' || (word[i] == '-' && i == 0)))
            return std::nullopt;
    }
    if (!digits)
        return std::nullopt;
    return Literal{false, false, word};
}

} // namespace runbook::schema
