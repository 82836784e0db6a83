// JSON text to and from Value (contract in json.h). The only file that knows the JSON library; used
// through its SAX interface, so that the order of keys and the digits of numbers survive. Any
// thread, no state.
#include "runtime/base/json.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/base/utf8.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

namespace runbook::json {
namespace {

constexpr std::size_t deepest = 500; // a Value is destroyed by recursion

using Entries = std::vector<std::pair<std::string, Value>>;

// --- reading -------------------------------------------------------------------------------------

/// "12.50e1" as a Decimal's text ("125.0"); nothing where the exponent would make it absurdly long.
std::optional<std::string> without_exponent(const std::string& literal) {
    const std::size_t mark = literal.find_first_of("eE");
    if (mark == std::string::npos)
        return literal;
    int exponent = 0;
    const char* begin = literal.c_str() + mark + 1;
    if (*begin == '+')
        ++begin;
    if (std::from_chars(begin, literal.c_str() + literal.size(), exponent).ec != std::errc{} ||
        exponent > 400 || exponent < -400)
        return {};
    std::string digits = literal.substr(0, mark);
    const bool negative = digits.front() == '-';
    if (negative)
        digits.erase(0, 1);
    const std::size_t dot = digits.find('.');
    int point = static_cast<int>(dot == std::string::npos ? digits.size() : dot);
    if (dot != std::string::npos)
        digits.erase(dot, 1);
    point += exponent;
    if (point <= 0) {
        digits.insert(0, static_cast<std::size_t>(1 - point), '0');
        point = 1;
    }
    if (static_cast<std::size_t>(point) > digits.size())
        digits.append(static_cast<std::size_t>(point) - digits.size(), '0');
    if (static_cast<std::size_t>(point) < digits.size())
        digits.insert(static_cast<std::size_t>(point), 1, '.');
    const std::size_t zeros = std::min(digits.find_first_not_of('0'), digits.size() - 1);
    digits.erase(0, digits[zeros] == '.' ? zeros - 1 : zeros);
    return (negative ? "-" : "") + digits;
}

/// A double where 17 significant digits say it all, else a Decimal.
Value number(double value, const std::string& literal) {
    bool integer = true, leading = true;
    std::size_t digits = 0;
    for (char c : literal) {
        if (c == 'e' || c == 'E') {
            integer = false;
            break;
        }
        integer &= c != '.';
        if (c < '0' || c > '9' || (leading && c == '0'))
            continue;
        leading = false;
        ++digits;
    }
    if (integer || digits > 17)
        if (auto text = without_exponent(literal))
            return Decimal{std::move(*text)};
    return value;
}

class Reader : public nlohmann::json_sax<nlohmann::json> {
  public:
    Reader(std::string_view text, bool tagged) : text_(text), tagged_(tagged) {}

    Value result;

    bool null() override { return put(Null{}); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(number_integer_t value) override { return put(std::int64_t{value}); }
    bool number_unsigned(number_unsigned_t value) override {
        if (value > static_cast<number_unsigned_t>(INT64_MAX))
            return put(Decimal{std::to_string(value)});
        return put(static_cast<std::int64_t>(value));
    }
    bool number_float(number_float_t value, const string_t& literal) override {
        return put(number(value, literal));
    }
    bool string(string_t& value) override { return put(std::move(value)); }
    bool binary(binary_t&) override { return false; }

    bool start_object(std::size_t) override { return open(true); }
    bool start_array(std::size_t) override { return open(false); }
    bool key(string_t& name) override {
        stack_.back().key = std::move(name);
        return true;
    }
    bool end_array() override {
        Value list = std::move(stack_.back().list);
        stack_.pop_back();
        return put(std::move(list));
    }
    bool end_object() override {
        Entries entries = std::move(stack_.back().entries);
        stack_.pop_back();
        return put(tagged_ ? untag(std::move(entries)) : Value(Map::of(std::move(entries))));
    }
    bool parse_error(std::size_t position, const std::string& /*token*/,
                     const nlohmann::detail::exception& problem) override {
        std::size_t line = 1, column = 0;
        for (std::size_t i = 0; i < std::min(position, text_.size()); ++i) {
            ++column;
            if (text_[i] == '\n' && i + 1 < position)
                ++line, column = 0;
        }
        const bool overflow = std::string_view(problem.what()).find("406") != std::string::npos;
        const bool at_end = position > text_.size();
        std::string what = overflow ? "number out of range" : "unexpected " + shown_at(position);
        if (!overflow && at_end)
            what = "the text ends too early";
        throw Error("json", "invalid JSON at line " + std::to_string(line) + ", column " +
                                std::to_string(column) + ": " + what);
    }

  private:
    struct Level {
        bool object;
        std::string key;
        Entries entries;
        std::unordered_map<std::string, std::size_t> places; ///< filled from the 16th key on
        List list;
    };

    /// The character that the reader, having read `position` bytes, did not like.
    std::string shown_at(std::size_t position) const {
        const std::size_t at = position ? position - 1 : 0;
        const std::size_t length = at < text_.size() ? utf8_sequence(text_, at) : 0;
        const auto byte = static_cast<unsigned char>(at < text_.size() ? text_[at] : 0);
        if (length == 0 || byte < 0x20)
            return "byte 0x" + digest::hex({reinterpret_cast<const char*>(&byte), 1});
        return "'" + std::string(text_.substr(at, length)) + "'";
    }

    bool open(bool object) {
        if (stack_.size() >= deepest)
            throw Error("json",
                        "JSON is nested deeper than " + std::to_string(deepest) + " levels");
        stack_.push_back({object, {}, {}, {}, {}});
        return true;
    }

    bool put(Value value) {
        if (stack_.empty()) {
            result = std::move(value);
            return true;
        }
        Level& level = stack_.back();
        if (!level.object) {
            level.list.push_back(std::move(value));
            return true;
        }
        if (Value* present = find(level))
            *present = std::move(value);
        else
            level.entries.emplace_back(std::move(level.key), std::move(value));
        return true;
    }

    /// The entry that the current key already has; a hash table where the object is large.
    static Value* find(Level& level) {
        constexpr std::size_t large = 16;
        if (level.entries.size() < large) {
            for (auto& [name, value] : level.entries)
                if (name == level.key)
                    return &value;
            return nullptr;
        }
        if (level.places.empty())
            for (std::size_t i = 0; i < level.entries.size(); ++i)
                level.places.emplace(level.entries[i].first, i);
        const auto [place, added] = level.places.emplace(level.key, level.entries.size());
        return added ? nullptr : &level.entries[place->second].second;
    }

    static Value untag(Entries entries) {
        if (entries.size() == 1 && entries.front().first.starts_with('$')) {
            const auto& [tag, inner] = entries.front();
            const std::string* text = inner.get<std::string>();
            if (tag == "$decimal" && text)
                return Decimal{*text};
            if (tag == "$bytes" && text)
                return Bytes{digest::unbase64(*text)};
            if (tag == "$text" && text)
                return digest::unbase64(*text);
            if (tag == "$opaque" && text)
                return Opaque{*text};
            if (tag == "$secret" && text)
                return closed_secret(*text);
            if (tag == "$number" && text)
                return *text == "nan" ? std::nan("") : *text == "inf" ? HUGE_VAL : -HUGE_VAL;
            const List* parts = inner.get<List>();
            if (tag == "$timestamp" && parts && parts->size() == 2 &&
                parts->front().get<std::int64_t>()) {
                Timestamp at{*parts->front().get<std::int64_t>(), {}};
                if (const auto* offset = parts->back().get<std::int64_t>())
                    at.offset = static_cast<std::int32_t>(*offset);
                return at;
            }
        }
        for (auto& [name, value] : entries)
            if (name.starts_with("$$"))
                name.erase(0, 1);
        return Map::of(std::move(entries));
    }

    std::string_view text_;
    bool tagged_;
    std::vector<Level> stack_;
};

Value read(std::string_view text, bool tagged) {
    Reader reader(text, tagged);
    nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
    return std::move(reader.result);
}

// --- writing -------------------------------------------------------------------------------------

void write_text(std::string& out, std::string_view text) {
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_sequence(text, at);
        const char c = text[at];
        if (length == 0) {
            out += "\xEF\xBF\xBD";
            ++at;
            continue;
        }
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r";
        } else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)) {
            out += "\\u00" + digest::hex({&c, 1});
        } else {
            out.append(text.substr(at, length));
        }
        at += length;
    }
    out += '"';
}

struct Writer {
    std::string& out;
    bool tagged;
    int indent;
    int depth = 0;

    void line() const {
        if (indent > 0)
            out.append("\n").append(static_cast<std::size_t>(indent * depth), ' ');
    }
    void tag(std::string_view name, std::string_view text) const {
        out.append("{\"$").append(name).append("\":");
        write_text(out, text);
        out += '}';
    }

    void operator()(Null) const { out += "null"; }
    void operator()(bool value) const { out += value ? "true" : "false"; }
    void operator()(std::int64_t value) const { out += std::to_string(value); }
    void operator()(double value) const {
        if (!std::isfinite(value)) {
            if (tagged)
                tag("number", std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
            else
                out += "null";
            return;
        }
        char text[40];
        const char* end = std::to_chars(text, text + sizeof text, value).ptr;
        const std::string_view digits(text, static_cast<std::size_t>(end - text));
        out += digits;
        if (digits.find_first_of(".e") == std::string_view::npos)
            out += ".0"; // still a number with a fraction when it is read back
    }
    void operator()(const std::string& value) const {
        if (tagged && !valid_utf8(value))
            tag("text", digest::base64(value));
        else
            write_text(out, value);
    }
    void operator()(const Bytes& value) const {
        tagged ? tag("bytes", digest::base64(value.data))
               : write_text(out, digest::base64(value.data));
    }
    void operator()(const Decimal& value) const {
        tagged ? tag("decimal", value.text) : write_text(out, value.text);
    }
    void operator()(const Timestamp& value) const {
        if (!tagged)
            return write_text(out, time::iso(value));
        out.append("{\"$timestamp\":[").append(std::to_string(value.micros)).append(",");
        out.append(value.offset ? std::to_string(*value.offset) : "null").append("]}");
    }
    void operator()(const Opaque& value) const {
        tagged ? tag("opaque", value.what) : write_text(out, value.what);
    }
    void operator()(const SecretPtr& value) const {
        tagged ? tag("secret", value ? value->origin() : "") : write_text(out, "***");
    }
    void operator()(const List& list) {
        sequence_of('[', ']', list, [&](const Value& item) { std::visit(*this, item.variant()); });
    }
    void operator()(const Map& map) {
        sequence_of('{', '}', map, [&](const auto& entry) {
            write_text(out,
                       tagged && entry.first.starts_with('$') ? "$" + entry.first : entry.first);
            out += indent > 0 ? ": " : ":";
            std::visit(*this, entry.second.variant());
        });
    }
    template <class Items, class One>
    void sequence_of(char open, char close, const Items& items, One one) {
        out += open;
        bool first = true;
        ++depth;
        for (const auto& item : items) {
            if (!first)
                out += ',';
            first = false;
            line();
            one(item);
        }
        --depth;
        if (!first)
            line();
        out += close;
    }
};

} // namespace

Value parse(std::string_view text) {
    return read(text, false);
}
Value parse_tagged(std::string_view text) {
    return read(text, true);
}

std::string dump(const Value& value, int indent) {
    std::string out;
    std::visit(Writer{out, false, indent}, value.variant());
    return out;
}

std::string dump_tagged(const Value& value) {
    std::string out;
    std::visit(Writer{out, true, 0}, value.variant());
    return out;
}

} // namespace runbook::json
