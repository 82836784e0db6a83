// TOML 1.0 (contract in toml.h).
#include "runtime/formats/toml.h"

#include "runtime/base/error.h"
#include "runtime/base/zone.h"

#include <fmt/format.h>
#include <sstream>
#include <toml++/toml.h>

namespace runbook::toml_text {
namespace {

Timestamp timestamp_of(const toml::date_time& when) {
    time::Civil civil;
    civil.year = when.date.year;
    civil.month = when.date.month;
    civil.day = when.date.day;
    civil.hour = when.time.hour;
    civil.minute = when.time.minute;
    civil.second = when.time.second;
    Timestamp timestamp{time::seconds_of(civil) * 1'000'000 + when.time.nanosecond / 1000, {}};
    if (when.offset) {
        timestamp.offset = when.offset->minutes * 60;
        timestamp.micros -= std::int64_t{*timestamp.offset} * 1'000'000;
    }
    return timestamp;
}

Value value_of(const toml::node& node) {
    if (const auto* table = node.as_table()) {
        Map map;
        for (const auto& [key, item] : *table)
            map.set(std::string(key.str()), value_of(item));
        return map;
    }
    if (const auto* array = node.as_array()) {
        List list;
        for (const toml::node& item : *array)
            list.push_back(value_of(item));
        return list;
    }
    if (const auto* text = node.as_string())
        return text->get();
    if (const auto* integer = node.as_integer())
        return integer->get();
    if (const auto* number = node.as_floating_point())
        return number->get();
    if (const auto* truth = node.as_boolean())
        return truth->get();
    if (const auto* when = node.as_date_time())
        return timestamp_of(when->get());
    std::ostringstream out; // a date or a time alone
    if (const auto* date = node.as_date())
        out << date->get();
    else if (const auto* time = node.as_time())
        out << time->get();
    return out.str();
}

[[noreturn]] void refuse(const std::string& path, std::string_view why) {
    throw Error("argument", fmt::format("{}: {}", path.empty() ? "the value" : path, why));
}

toml::date_time date_of(const Timestamp& when) {
    const std::int64_t offset = when.offset.value_or(0);
    std::int64_t micros = when.micros + offset * 1'000'000, fraction = micros % 1'000'000;
    if (fraction < 0)
        fraction += 1'000'000;
    const time::Civil at = time::civil_of((micros - fraction) / 1'000'000);
    const toml::date date(static_cast<int>(at.year), static_cast<int>(at.month),
                          static_cast<int>(at.day));
    const toml::time clock(static_cast<int>(at.hour), static_cast<int>(at.minute),
                           static_cast<int>(at.second), static_cast<int>(fraction) * 1000);
    if (!when.offset)
        return toml::date_time(date, clock);
    return {date, clock, toml::time_offset(0, static_cast<int>(offset / 60))};
}

/// Where the next piece goes: under a key of a table, or to the end of an array.
struct Place {
    toml::table* table = nullptr;
    std::string key;
    toml::array* array = nullptr;

    template <class T>
    void put(T piece) const {
        if (table)
            table->insert_or_assign(key, std::move(piece));
        else
            array->push_back(std::move(piece));
    }
};

toml::table table_of(const Map& map, const std::string& path);

void convert(const Value& value, const std::string& path, const Place& to) {
    if (const auto* map = value.get<Map>()) {
        to.put(table_of(*map, path));
    } else if (const auto* list = value.get<List>()) {
        toml::array inner;
        for (std::size_t i = 0; i < list->size(); ++i)
            convert((*list)[i], fmt::format("{}[{}]", path, i + 1), {nullptr, {}, &inner});
        to.put(std::move(inner));
    } else if (const auto* text = value.get<std::string>()) {
        to.put(*text);
    } else if (const auto* integer = value.get<std::int64_t>()) {
        to.put(*integer);
    } else if (const auto* number = value.get<double>()) {
        to.put(*number);
    } else if (const auto* truth = value.get<bool>()) {
        to.put(*truth);
    } else if (const auto* when = value.get<Timestamp>()) {
        to.put(date_of(*when));
    } else if (const auto* decimal = value.get<Decimal>()) {
        to.put(decimal->text);
    } else if (value.is_null()) {
        refuse(path, "TOML has no null: leave the key out");
    } else {
        refuse(path, fmt::format("TOML has no {}", value.type_name()));
    }
}

toml::table table_of(const Map& map, const std::string& path) {
    toml::table table;
    for (const auto& [key, item] : map)
        convert(item, path.empty() ? key : path + "." + key, {&table, key, nullptr});
    return table;
}

} // namespace

Value parse(std::string_view text) {
    try {
        return value_of(toml::parse(text));
    } catch (const toml::parse_error& error) {
        std::string why(error.description());
        if (why.size() > 300)
            why.resize(300);
        throw Error("toml", fmt::format("line {}, column {}: {}", error.source().begin.line,
                                        error.source().begin.column, why));
    }
}

std::string dump(const Value& value) {
    const auto* map = value.get<Map>();
    if (!map)
        refuse("", fmt::format("table expected, got {}", value.type_name()));
    // The default writes '…' and '''…''' for some texts; plain forms are read by everybody.
    std::ostringstream out;
    out << toml::toml_formatter(table_of(*map, ""), toml::toml_formatter::default_flags &
                                                        ~toml::format_flags::allow_literal_strings);
    std::string text = out.str();
    return text.empty() || text.back() == '\n' ? text : text + "\n";
}

} // namespace runbook::toml_text
