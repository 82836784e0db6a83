// Value and Map: plain data, no I/O. Any thread; see value.h.
#include "runtime/base/value.h"

#include <algorithm>
#include <array>

namespace runbook {

Map::Map(std::initializer_list<std::pair<std::string, Value>> entries) : entries_(entries) {}

Map Map::of(std::vector<std::pair<std::string, Value>> entries) {
    Map map;
    map.entries_ = std::move(entries);
    return map;
}

const Value* Map::find(std::string_view key) const {
    auto it = std::find_if(entries_.begin(), entries_.end(),
                           [&](const auto& entry) { return entry.first == key; });
    return it == entries_.end() ? nullptr : &it->second;
}

Value* Map::find(std::string_view key) {
    return const_cast<Value*>(std::as_const(*this).find(key));
}

Map& Map::set(std::string key, Value value) {
    if (Value* present = find(key))
        *present = std::move(value);
    else
        entries_.emplace_back(std::move(key), std::move(value));
    return *this;
}

void Map::erase(std::string_view key) {
    std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
}

std::string Map::text(std::string_view key, std::string otherwise) const {
    const Value* value = find(key);
    const auto* text = value ? value->get<std::string>() : nullptr;
    if (text)
        return *text;
    return otherwise;
}

std::int64_t Map::integer(std::string_view key, std::int64_t otherwise) const {
    const Value* value = find(key);
    if (!value)
        return otherwise;
    if (const auto* number = value->get<std::int64_t>())
        return *number;
    const auto* number = value->get<double>();
    return number ? static_cast<std::int64_t>(*number) : otherwise;
}

double Map::number(std::string_view key, double otherwise) const {
    const Value* value = find(key);
    if (!value)
        return otherwise;
    if (const auto* number = value->get<double>())
        return *number;
    const auto* number = value->get<std::int64_t>();
    return number ? static_cast<double>(*number) : otherwise;
}

bool Map::boolean(std::string_view key, bool otherwise) const {
    const Value* value = find(key);
    const bool* flag = value ? value->get<bool>() : nullptr;
    return flag ? *flag : otherwise;
}

bool Map::empty() const {
    return entries_.empty();
}
std::size_t Map::size() const {
    return entries_.size();
}
std::vector<std::pair<std::string, Value>>::const_iterator Map::begin() const {
    return entries_.begin();
}
std::vector<std::pair<std::string, Value>>::const_iterator Map::end() const {
    return entries_.end();
}
bool Map::operator==(const Map& other) const {
    return entries_ == other.entries_;
}

std::string_view Value::type_name() const {
    static constexpr std::array<std::string_view, 12> names = {
        "null",    "boolean",   "integer", "number", "string", "bytes",
        "decimal", "timestamp", "opaque",  "secret", "list",   "map"};
    static_assert(names.size() == std::variant_size_v<Variant>);
    return names.at(v_.index());
}

bool Value::operator==(const Value& other) const {
    return v_ == other.v_;
}

} // namespace runbook
