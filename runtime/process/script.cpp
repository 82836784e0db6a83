#include "runtime/process/script.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>
#include <set>
#include <vector>

namespace runbook::process {
namespace {

std::string word_of(const std::string& name, const Value& value) {
    if (value.get<SecretPtr>())
        throw Error("usage",
                    fmt::format("script: {{{}}} is a secret, and a script stands in the "
                                "arguments of a command",
                                name),
                    "pass it in `env`, and write \"$NAME\" in the script");
    if (const auto* words = value.get<std::string>())
        return text::shell_quote(*words);
    if (const auto* whole = value.get<std::int64_t>())
        return std::to_string(*whole);
    if (const auto* number = value.get<double>())
        return fmt::format("{}", *number);
    if (const auto* flag = value.get<bool>())
        return *flag ? "true" : "false";
    throw Error("usage", fmt::format("script: {{{}}}: text, number, boolean or a list of them "
                                     "expected, got {}",
                                     name, value.get<Map>() ? "table" : value.type_name()));
}

std::string words_of(const std::string& name, const Value& value) {
    const List* list = value.get<List>();
    if (!list)
        return word_of(name, value);
    std::vector<std::string> words;
    for (const Value& item : *list)
        words.push_back(word_of(name, item));
    return text::join(words, " ");
}

/// Length of a name at `at`; 0 for none.
std::size_t name_length(std::string_view text, std::size_t at) {
    std::size_t end = at;
    while (end < text.size() &&
           (text[end] == '_' || std::isalnum(static_cast<unsigned char>(text[end]))))
        ++end;
    const bool digit = end > at && std::isdigit(static_cast<unsigned char>(text[at]));
    return digit ? 0 : end - at;
}

} // namespace

std::string fill_script(std::string_view text, const Map& values) {
    std::string out;
    std::set<std::string> used;
    char quote = 0; ///< the quotes that `at` stands in
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '\\' && quote != '\'' && at + 1 < text.size()) {
            out += text.substr(at++, 2);
            continue;
        }
        if (c == '\'' || c == '"')
            quote = quote == 0 ? c : quote == c ? '\0' : quote;
        if (c == '{' && text.substr(at, 2) == "{{") {
            out += c;
            ++at;
            continue;
        }
        const std::size_t length = c == '{' ? name_length(text, at + 1) : 0;
        const bool closed = length > 0 && at + 1 + length < text.size() &&
                            text[at + 1 + length] == '}' && (at == 0 || text[at - 1] != '$');
        if (!closed) {
            out += c;
            continue;
        }
        const std::string name(text.substr(at + 1, length));
        const Value* value = values.find(name);
        if (!value)
            throw Error("usage", fmt::format("script: no value for {{{}}}", name),
                        fmt::format("a brace that stays one is written twice: {{{{{}}}", name));
        if (quote)
            throw Error("usage", fmt::format("script: {{{}}} stands inside quotes", name),
                        "leave the quotes out: values are quoted where that is needed");
        out += words_of(name, *value);
        used.insert(name);
        at += length + 1;
    }
    for (const auto& [name, value] : values)
        if (!used.contains(name))
            throw Error("usage", fmt::format("script: the value '{}' is never used", name));
    return out;
}

} // namespace runbook::process
