// The form of rules, from the table of a playbook (see rules.h). Pure functions.
#include "runtime/transfer/rules/rules.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace runbook::rules {
namespace {

const std::vector<std::string> options = {
    "schema", "table",  "column", "type",         "index",         "when",    "optional", "to",
    "using",  "rename", "where",  "drop_default", "drop_not_null", "exclude", "include",  "split"};
const std::vector<std::string> properties = {"nullable", "default",  "length", "precision",
                                             "scale",    "indexed",  "unique", "primary_key",
                                             "identity", "generated"};

[[noreturn]] void fail(std::size_t number, const std::string& problem) {
    throw Error("argument", fmt::format("option 'rules': rule {}: {}", number, problem));
}

std::string text_of(std::size_t number, const std::string& name, const Value& value) {
    const auto* text = value.get<std::string>();
    if (!text || text->empty())
        fail(number, fmt::format("'{}': a text expected, got {}", name,
                                 text ? "an empty one" : std::string(value.type_name())));
    return *text;
}

bool flag_of(std::size_t number, const std::string& name, const Value& value) {
    const bool* flag = value.get<bool>();
    if (!flag)
        fail(number, fmt::format("'{}': true or false expected, got {}", name, value.type_name()));
    return *flag;
}

std::optional<double> number_of(std::string_view text) {
    double number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return number;
}

bool is_numeric(const std::string& property) {
    return property == "length" || property == "precision" || property == "scale";
}

Guard comparison(std::size_t number, const std::string& property, const std::string& text) {
    Guard guard{property, "=", text, 0};
    if (text == "none") {
        guard.sign = "is";
        return guard;
    }
    std::string rest = text::trim(text);
    for (const char* sign : {"<=", ">=", "<>", "<", ">", "="})
        if (rest.starts_with(sign)) {
            guard.sign = sign;
            rest = text::trim(rest.substr(guard.sign.size()));
            break;
        }
    auto value = number_of(rest);
    if (!value)
        fail(number, fmt::format("when.{}: a number or a comparison as \"> 255\" expected, got "
                                 "\"{}\"",
                                 property, text));
    guard.number = *value;
    return guard;
}

std::vector<Guard> guards_of(std::size_t number, const Value& value) {
    const Map* map = value.get<Map>();
    if (!map || map->empty())
        fail(number, "'when': a table of conditions expected, as { nullable = true }");
    std::vector<Guard> guards;
    for (const auto& [property, wanted] : *map) {
        if (std::find(properties.begin(), properties.end(), property) == properties.end())
            fail(number, fmt::format("when: unknown condition '{}'{}", property,
                                     text::did_you_mean(property, properties)));
        const auto* text = wanted.get<std::string>();
        if (is_numeric(property)) {
            if (text) {
                guards.push_back(comparison(number, property, *text));
            } else if (const auto* whole = wanted.get<std::int64_t>()) {
                guards.push_back({property, "=", {}, static_cast<double>(*whole)});
            } else {
                fail(number, fmt::format("when.{}: a number or a comparison as \"> 255\" "
                                         "expected, got {}",
                                         property, wanted.type_name()));
            }
        } else if (const bool* flag = wanted.get<bool>()) {
            guards.push_back({property, "is", *flag ? "true" : "false", 0});
        } else if (text && property == "default") {
            guards.push_back({property, "is", *text, 0});
        } else {
            fail(number, fmt::format("when.{}: true or false expected, got {}", property,
                                     wanted.type_name()));
        }
    }
    return guards;
}

Transform transform_of(std::size_t number, const Value& value) {
    Transform transform;
    const Map* map = value.get<Map>();
    const List* list = value.get<List>();
    if (const auto* text = value.get<std::string>())
        transform.name = *text;
    else if (list && !list->empty() && list->front().get<std::string>())
        transform.name = *list->front().get<std::string>();
    else if (map)
        transform.name = map->text("name");
    if (transform.name.empty())
        fail(number, "'using': the name of a change expected, as \"nan-to-null\"");
    const std::vector<std::string> names = transform_names();
    if (std::find(names.begin(), names.end(), transform.name) == names.end())
        fail(number, fmt::format("using: unknown change '{}'{}", transform.name,
                                 text::did_you_mean(transform.name, names)));
    if (map) {
        for (const auto& [key, given] : *map) {
            if (key == "name")
                continue;
            if (key == "low" && transform.name == "infinity-to")
                transform.low = text_of(number, "using.low", given);
            else if (key == "high" && transform.name == "infinity-to")
                transform.high = text_of(number, "using.high", given);
            else if (key == "length" && transform.name == "truncate" && given.get<std::int64_t>())
                transform.length = *given.get<std::int64_t>();
            else
                fail(number, fmt::format("using: '{}' takes no '{}'", transform.name, key));
        }
    }
    if (list && list->size() == 2 && (*list)[1].get<std::int64_t>() && transform.name == "truncate")
        transform.length = *(*list)[1].get<std::int64_t>();
    else if (list && list->size() > 1)
        fail(number, fmt::format("using: '{}' takes no list", transform.name));
    if (transform.name == "infinity-to" && (transform.low.empty() || transform.high.empty()))
        fail(number, "using: 'infinity-to' needs low and high, as { name = \"infinity-to\", "
                     "low = \"1000-01-01\", high = \"9999-12-31\" }");
    if (transform.name == "truncate" && transform.length < 1)
        fail(number, "using: 'truncate' needs a length of 1 or more, as { \"truncate\", 255 }");
    return transform;
}

std::vector<std::string> split_of(std::size_t number, const Value& value) {
    std::vector<std::string> names;
    if (const List* list = value.get<List>())
        for (const Value& name : *list)
            names.push_back(text_of(number, "split", name));
    if (names.size() != 2 || names[0] == names[1])
        fail(number, "'split': two names expected, as { \"starts\", \"ends\" }");
    return names;
}

void check(const Rule& rule) {
    const std::size_t n = rule.number;
    const bool of_columns = !rule.column.empty() || !rule.type.empty();
    const bool changes = !rule.to.empty() || !rule.transform.name.empty() || rule.drop_default ||
                         rule.drop_not_null || !rule.split.empty();
    if (rule.table.empty() && rule.column.empty() && rule.type.empty() && rule.index.empty())
        fail(n, "it names no table, column, type or index");
    if (!changes && rule.rename.empty() && rule.filter.empty() && !rule.exclude && !rule.include)
        fail(n, "it says nothing to do: one of to, using, rename, where, exclude, include, "
                "drop_default, drop_not_null, split is needed");
    if (!rule.index.empty() && (of_columns || changes || !rule.filter.empty() || rule.include ||
                                !rule.rename.empty() || !rule.exclude))
        fail(n, "a rule for an index can only exclude it");
    if (rule.exclude && (changes || rule.include || !rule.rename.empty() || !rule.filter.empty()))
        fail(n, "what is excluded cannot be changed too");
    if (rule.include && of_columns)
        fail(n, "'include' is for tables, all columns are included");
    if (!rule.filter.empty() && (of_columns || rule.table.empty()))
        fail(n, "'where' is for tables: name a table and no column or type");
    if (!of_columns && changes)
        fail(n, "it changes columns, but names no column and no type");
    if (!of_columns && !rule.when.empty())
        fail(n, "'when' is for columns: name a column or a type");
    if (!rule.rename.empty() && (rule.rename.find('*') != std::string::npos))
        fail(n, "'rename': one name expected, without '*'");
    if (!rule.rename.empty() &&
        (of_columns ? rule.column : rule.table).find('*') != std::string::npos)
        fail(n, "'rename': several things cannot get one name; name one");
    if (!rule.rename.empty() && of_columns && rule.column.empty())
        fail(n, "'rename': name the column that is renamed");
    if (!rule.split.empty() &&
        (!rule.to.empty() || !rule.rename.empty() || !rule.transform.name.empty()))
        fail(n, "'split' makes two columns: to, using and rename have no meaning beside it");
    if (!rule.split.empty() && rule.column.empty())
        fail(n, "'split': name the column that is split");
}

Rule rule_of(std::size_t number, const Value& value) {
    const Map* map = value.get<Map>();
    if (!map)
        fail(number, "a table expected, as { type = \"uuid\", to = \"binary(16)\" }, got " +
                         std::string(value.type_name()));
    Rule rule;
    rule.number = number;
    for (const auto& [name, given] : *map) {
        if (name == "when")
            rule.when = guards_of(number, given);
        else if (name == "using")
            rule.transform = transform_of(number, given);
        else if (name == "split")
            rule.split = split_of(number, given);
        else if (name == "optional")
            rule.optional = flag_of(number, name, given);
        else if (name == "drop_default")
            rule.drop_default = flag_of(number, name, given);
        else if (name == "drop_not_null")
            rule.drop_not_null = flag_of(number, name, given);
        else if (name == "exclude")
            rule.exclude = flag_of(number, name, given);
        else if (name == "include")
            rule.include = flag_of(number, name, given);
        else if (name == "schema")
            rule.schema = text_of(number, name, given);
        else if (name == "table")
            rule.table = text_of(number, name, given);
        else if (name == "column")
            rule.column = text_of(number, name, given);
        else if (name == "type")
            rule.type = text::lower(text_of(number, name, given));
        else if (name == "index")
            rule.index = text_of(number, name, given);
        else if (name == "to")
            rule.to = text::lower(text_of(number, name, given));
        else if (name == "rename")
            rule.rename = text_of(number, name, given);
        else if (name == "where")
            rule.filter = text_of(number, name, given);
        else
            fail(number,
                 fmt::format("unknown option '{}'{}", name, text::did_you_mean(name, options)));
    }
    check(rule);
    return rule;
}

} // namespace

std::string Rule::text() const {
    std::string about;
    auto add = [&](const char* word, const std::string& name) {
        if (!name.empty())
            about += fmt::format("{}{} \"{}\"", about.empty() ? "" : ", ", word, name);
    };
    add("type", type);
    add("schema", schema);
    add("table", table);
    add("column", column);
    add("index", index);
    return fmt::format("rule {} ({})", number, about);
}

Rules parse(const Value& value) {
    const List* list = value.get<List>();
    const Map* map = value.get<Map>();
    if (map && map->empty())
        return {};
    if (!list)
        throw Error("argument",
                    "option 'rules': a list of rules expected, as { { type = \"uuid\", to = "
                    "\"binary(16)\" } }, got " +
                        std::string(map ? "one table" : value.type_name()));
    Rules rules;
    for (const Value& item : *list)
        rules.push_back(rule_of(rules.size() + 1, item));
    return rules;
}

} // namespace runbook::rules
