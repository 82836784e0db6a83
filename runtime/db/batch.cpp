// From cells to owned values, and PostgreSQL's array text both ways. Any thread, no state.
#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/db/detail.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace runbook::db {

Value Batch::value(std::size_t row, std::size_t column) const {
    Cell cell = this->cell(row, column);
    switch (cell.kind) {
    case Kind::null:
        return Null{};
    case Kind::boolean:
        return cell.integer != 0;
    case Kind::integer:
        return cell.integer;
    case Kind::number:
        return cell.number;
    case Kind::decimal:
        return Decimal{std::string(cell.text)};
    case Kind::text:
        return std::string(cell.text);
    case Kind::bytes:
        return Bytes{std::string(cell.text)};
    case Kind::timestamp:
        return Timestamp{cell.integer,
                         cell.has_offset ? std::optional<std::int32_t>(cell.offset) : std::nullopt};
    case Kind::json:
        return json::parse(cell.text);
    case Kind::array: {
        std::string_view type = columns()[column].type;
        if (type.ends_with("[]"))
            type.remove_suffix(2);
        return parse_array(cell.text, type);
    }
    }
    return Null{};
}

namespace {

/// Two or four digits at `at`, or -1.
int digits(std::string_view text, std::size_t at, std::size_t count) {
    if (at + count > text.size())
        return -1;
    int number = 0;
    for (std::size_t i = at; i < at + count; ++i) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

std::int64_t days_from_civil(int year, int month, int day) {
    year -= month <= 2;
    std::int64_t era = year / 400;
    int year_of_era = year - static_cast<int>(era) * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/// "+02", "-03:30", "+00:19:32", "Z"; false where it is none of these.
bool parse_zone(std::string_view text, std::int32_t& offset) {
    offset = 0;
    if (text == "Z")
        return true;
    if (text.size() < 3 || (text[0] != '+' && text[0] != '-'))
        return false;
    int scale = 3600;
    for (std::size_t at = 1; at < text.size(); at += 3, scale /= 60) {
        int part = digits(text, at, 2);
        if (part < 0 || scale == 0 || (at + 2 < text.size() && text[at + 2] != ':'))
            return false;
        offset += part * scale;
    }
    if (text[0] == '-')
        offset = -offset;
    return true;
}

} // namespace

std::optional<Cell> parse_timestamp(std::string_view text) {
    int year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
    int hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || hour < 0 || minute < 0 || second < 0 ||
        text[4] != '-' || text[7] != '-' || (text[10] != ' ' && text[10] != 'T'))
        return std::nullopt;
    std::size_t at = 19;
    std::int64_t fraction = 0;
    if (at < text.size() && text[at] == '.') {
        std::int64_t scale = 100'000;
        for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10)
            fraction += (text[at] - '0') * scale;
    }
    Cell cell;
    cell.kind = Kind::timestamp;
    if (at < text.size()) {
        if (!parse_zone(text.substr(at), cell.offset))
            return std::nullopt;
        cell.has_offset = true;
    }
    std::int64_t seconds =
        days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    cell.integer = (seconds - cell.offset) * 1'000'000 + fraction;
    return cell;
}

Kind element_kind(std::string_view type) {
    if (type == "int2" || type == "int4" || type == "int8" || type == "oid" || type == "smallint" ||
        type == "integer" || type == "bigint")
        return Kind::integer;
    if (type == "bool" || type == "boolean")
        return Kind::boolean;
    if (type == "float4" || type == "float8" || type == "real" || type == "double precision")
        return Kind::number;
    if (type == "numeric" || type.starts_with("numeric("))
        return Kind::decimal;
    if (type.starts_with("timestamp"))
        return Kind::timestamp;
    if (type == "bytea")
        return Kind::bytes;
    if (type == "json" || type == "jsonb")
        return Kind::json;
    return Kind::text;
}

namespace {

Value element(std::string text, Kind kind) {
    switch (kind) {
    case Kind::integer: {
        std::int64_t number = 0;
        std::from_chars(text.data(), text.data() + text.size(), number);
        return number;
    }
    case Kind::boolean:
        return text == "t";
    case Kind::number:
        return std::strtod(text.c_str(), nullptr);
    case Kind::decimal:
        if (text == "NaN" || text.ends_with("Infinity"))
            return std::strtod(text.c_str(), nullptr);
        return Decimal{std::move(text)};
    case Kind::timestamp:
        if (auto cell = parse_timestamp(text))
            return Timestamp{cell->integer, cell->has_offset
                                                ? std::optional<std::int32_t>(cell->offset)
                                                : std::nullopt};
        return text;
    case Kind::bytes:
        return Bytes{text.starts_with("\\x") ? digest::unhex(std::string_view(text).substr(2))
                                             : text};
    case Kind::json:
        return json::parse(text);
    default:
        return text;
    }
}

/// Recursive descent over one `{…}`; arrays nest at most six deep in PostgreSQL.
class ArrayParser {
  public:
    ArrayParser(std::string_view text, Kind kind) : text_(text), kind_(kind) {}

    List list() {
        List out;
        ++at_;
        while (at_ < text_.size() && text_[at_] != '}') {
            if (text_[at_] == '{')
                out.emplace_back(list());
            else
                out.push_back(scalar());
            if (at_ < text_.size() && text_[at_] == ',')
                ++at_;
        }
        ++at_;
        return out;
    }

  private:
    Value scalar() {
        std::string word;
        if (text_[at_] == '"') {
            for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
                if (text_[at_] == '\\')
                    ++at_;
                if (at_ < text_.size())
                    word += text_[at_];
            }
            ++at_;
            return element(std::move(word), kind_);
        }
        while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}') {
            if (text_[at_] == '\\')
                ++at_;
            if (at_ < text_.size())
                word += text_[at_++];
        }
        if (word == "NULL")
            return Null{};
        return element(std::move(word), kind_);
    }

    std::string_view text_;
    Kind kind_;
    std::size_t at_ = 0;
};

std::string element_literal(const Value& value) {
    if (value.is_null())
        return "NULL";
    if (const auto* list = value.get<List>())
        return array_literal(*list);
    std::string text;
    if (const auto* flag = value.get<bool>())
        return *flag ? "t" : "f";
    if (const auto* integer = value.get<std::int64_t>())
        return fmt::format("{}", *integer);
    if (const auto* number = value.get<double>())
        return number_text(*number);
    if (const auto* decimal = value.get<Decimal>())
        return decimal->text;
    if (const auto* timestamp = value.get<Timestamp>())
        text = time::iso(*timestamp);
    else if (const auto* bytes = value.get<Bytes>())
        text = "\\x" + digest::hex(bytes->data);
    else if (const auto* string = value.get<std::string>())
        text = *string;
    else
        throw Error("argument", fmt::format("a {} cannot stand in an array", value.type_name()));
    std::string quoted = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\')
            quoted += '\\';
        quoted += c;
    }
    return quoted + '"';
}

} // namespace

Value parse_array(std::string_view text, std::string_view element_type) {
    // Bounds that do not start at 1 stand before the braces: [0:2]={…}
    auto open = text.find('{');
    if (open == std::string_view::npos)
        return std::string(text);
    return ArrayParser(text.substr(open), element_kind(element_type)).list();
}

std::string array_literal(const List& list) {
    std::string out = "{";
    for (const Value& value : list) {
        if (out.size() > 1)
            out += ',';
        out += element_literal(value);
    }
    return out + '}';
}

void refuse_parameter(std::size_t index, const Value& value) {
    std::string what(value.type_name());
    if (value.get<Map>() || value.get<List>())
        throw Error("argument", fmt::format("parameter {}: a table cannot be bound", index + 1),
                    "json.encode(value) binds it as JSON");
    throw Error("argument",
                fmt::format("parameter {}: a value of type {} cannot be bound", index + 1, what));
}

void check_parameter_count(std::size_t expected, std::size_t given) {
    if (expected != given)
        throw Error("argument",
                    fmt::format("the statement has {} placeholder{}, but {} value{} given",
                                expected, expected == 1 ? "" : "s", given,
                                given == 1 ? " is" : "s are"));
}

std::string number_text(double number) {
    if (std::isnan(number))
        return "NaN";
    if (std::isinf(number))
        return number > 0 ? "Infinity" : "-Infinity";
    char buffer[32];
    auto [end, failed] = std::to_chars(buffer, buffer + sizeof buffer, number);
    return std::string(buffer, end);
}

} // namespace runbook::db
