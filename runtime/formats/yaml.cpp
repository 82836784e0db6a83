// YAML 1.2, core schema (contract in yaml.h; the schema: YAML 1.2.2, chapter 10.3).
#include "runtime/formats/yaml.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <memory>
#include <yaml.h>

namespace runbook::yaml {
namespace {

constexpr std::size_t most_values = 100'000, deepest = 200;

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
    for (std::string_view word : words)
        if (text == word)
            return true;
    return false;
}

bool all_of(std::string_view text, std::string_view allowed) {
    return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view decimal_digits = "0123456789";

/// [-+]?[0-9]+
bool is_integer(std::string_view text) {
    if (text.starts_with('-') || text.starts_with('+'))
        text.remove_prefix(1);
    return all_of(text, decimal_digits);
}

/// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_number(std::string_view text) {
    if (const std::size_t mark = text.find_first_of("eE"); mark != std::string_view::npos) {
        if (!is_integer(text.substr(mark + 1)))
            return false;
        text = text.substr(0, mark);
    }
    if (text.starts_with('-') || text.starts_with('+'))
        text.remove_prefix(1);
    const std::size_t dot = text.find('.');
    const std::string_view whole = text.substr(0, dot);
    const std::string_view part =
        dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
    return (whole.empty() ? !part.empty() : all_of(whole, decimal_digits)) &&
           (part.empty() || all_of(part, decimal_digits));
}

Value integer_of(std::string_view text, int base) {
    const bool negative = text.starts_with('-');
    std::string digits(text.substr(text.starts_with('+') || negative ? 1 : 0));
    const std::size_t first = digits.find_first_not_of('0');
    digits.erase(0, first == std::string::npos ? digits.size() - 1 : first);
    const std::string written = (negative ? "-" : "") + digits;
    std::int64_t value = 0;
    const auto [end, error] =
        std::from_chars(written.data(), written.data() + written.size(), value, base);
    if (error == std::errc())
        return value;
    return base == 10 ? Value(Decimal{written}) : Value(std::string(text));
}

/// What a plain scalar stands for.
Value resolved(const std::string& text) {
    if (one_of(text, {"", "~", "null", "Null", "NULL"}))
        return Null{};
    if (one_of(text, {"true", "True", "TRUE"}))
        return true;
    if (one_of(text, {"false", "False", "FALSE"}))
        return false;
    if (is_integer(text))
        return integer_of(text, 10);
    if (text.starts_with("0o") && all_of(std::string_view(text).substr(2), "01234567"))
        return integer_of(std::string_view(text).substr(2), 8);
    if (text.starts_with("0x") &&
        all_of(std::string_view(text).substr(2), "0123456789abcdefABCDEF"))
        return integer_of(std::string_view(text).substr(2), 16);
    if (is_number(text))
        return std::strtod(text.c_str(), nullptr);
    const bool negative = text.starts_with('-');
    const std::string_view rest =
        std::string_view(text).substr(negative || text.starts_with('+') ? 1 : 0);
    if (one_of(rest, {".inf", ".Inf", ".INF"}))
        return negative ? -std::numeric_limits<double>::infinity()
                        : std::numeric_limits<double>::infinity();
    if (one_of(text, {".nan", ".NaN", ".NAN"}))
        return std::numeric_limits<double>::quiet_NaN();
    return text;
}

struct Event {
    yaml_event_t raw{};
    Event() = default;
    ~Event() { yaml_event_delete(&raw); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
};

class Reader {
  public:
    explicit Reader(std::string_view text) {
        yaml_parser_initialize(&parser_);
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size());
    }
    ~Reader() { yaml_parser_delete(&parser_); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    List documents() {
        List all;
        for (;;) {
            auto event = next();
            if (event->raw.type == YAML_STREAM_END_EVENT)
                return all;
            if (event->raw.type != YAML_DOCUMENT_START_EVENT)
                continue;
            anchors_.clear();
            all.push_back(read(*next(), 0));
        }
    }

  private:
    std::unique_ptr<Event> next() {
        auto event = std::make_unique<Event>();
        if (yaml_parser_parse(&parser_, &event->raw) == 0)
            throw Error(
                "yaml",
                fmt::format("line {}, column {}: {}{}", parser_.problem_mark.line + 1,
                            parser_.problem_mark.column + 1,
                            parser_.problem ? parser_.problem : "cannot be read",
                            parser_.context ? std::string(" ") + parser_.context : std::string()));
        return event;
    }

    [[noreturn]] static void fail(const yaml_event_t& event, const std::string& why) {
        throw Error("yaml", fmt::format("line {}, column {}: {}", event.start_mark.line + 1,
                                        event.start_mark.column + 1, why));
    }

    void count(const yaml_event_t& event, std::size_t more) {
        if ((values_ += more) > most_values)
            fail(event, fmt::format("more than {} values, aliases counted each time",
                                    text::grouped(most_values)));
    }

    static std::size_t size_of(const Value& value) {
        std::size_t size = 1;
        if (const auto* map = value.get<Map>())
            for (const auto& entry : *map)
                size += size_of(entry.second);
        if (const auto* list = value.get<List>())
            for (const Value& item : *list)
                size += size_of(item);
        return size;
    }

    Value read(const Event& event, std::size_t depth) {
        const yaml_event_t& raw = event.raw;
        count(raw, 1);
        if (depth > deepest)
            fail(raw, fmt::format("nested deeper than {} levels", deepest));
        switch (raw.type) {
        case YAML_SCALAR_EVENT:
            return keep(raw.data.scalar.anchor, scalar(raw));
        case YAML_ALIAS_EVENT: {
            const std::string name = reinterpret_cast<const char*>(raw.data.alias.anchor);
            const auto found = anchors_.find(name);
            if (found == anchors_.end())
                fail(raw, "*" + name + " names no anchor before it");
            count(raw, size_of(found->second));
            return found->second;
        }
        case YAML_SEQUENCE_START_EVENT: {
            check_tag(raw, raw.data.sequence_start.tag, "seq");
            List list;
            for (auto item = next(); item->raw.type != YAML_SEQUENCE_END_EVENT; item = next())
                list.push_back(read(*item, depth + 1));
            return keep(raw.data.sequence_start.anchor, std::move(list));
        }
        case YAML_MAPPING_START_EVENT: {
            check_tag(raw, raw.data.mapping_start.tag, "map");
            return keep(raw.data.mapping_start.anchor, mapping(depth));
        }
        default:
            fail(raw, "a value is expected here");
        }
    }

    Value mapping(std::size_t depth) {
        std::vector<std::pair<std::string, Value>> entries;
        std::map<std::string, bool> seen;
        for (auto key = next(); key->raw.type != YAML_MAPPING_END_EVENT; key = next()) {
            if (key->raw.type != YAML_SCALAR_EVENT)
                fail(key->raw, "a key is text or a number here, never a list, a map or an alias");
            const auto& data = key->raw.data.scalar;
            std::string name(reinterpret_cast<const char*>(data.value), data.length);
            if (!seen.emplace(name, true).second)
                fail(key->raw, "the key '" + name + "' comes twice");
            entries.emplace_back(std::move(name), read(*next(), depth + 1));
        }
        return Map::of(std::move(entries));
    }

    Value keep(const yaml_char_t* anchor, Value value) {
        if (anchor)
            anchors_[reinterpret_cast<const char*>(anchor)] = value;
        return value;
    }

    /// The part of a core tag after "tag:yaml.org,2002:"; empty for none.
    static std::string core(const yaml_event_t& event, const yaml_char_t* tag) {
        if (!tag)
            return {};
        const std::string name = reinterpret_cast<const char*>(tag);
        constexpr std::string_view prefix = "tag:yaml.org,2002:";
        if (name == "!")
            return "str";
        if (!name.starts_with(prefix))
            fail(event, "the tag " + name + " is not one of YAML's core schema");
        return name.substr(prefix.size());
    }

    static void check_tag(const yaml_event_t& event, const yaml_char_t* tag, const char* wanted) {
        if (const std::string name = core(event, tag); !name.empty() && name != wanted)
            fail(event, fmt::format("the tag !!{} does not fit a {}", name,
                                    std::string_view(wanted) == "seq" ? "list" : "map"));
    }

    static Value scalar(const yaml_event_t& event) {
        const auto& data = event.data.scalar;
        std::string text(reinterpret_cast<const char*>(data.value), data.length);
        const std::string tag = core(event, data.tag);
        if (tag == "str" || (tag.empty() && data.style != YAML_PLAIN_SCALAR_STYLE))
            return text;
        Value value = resolved(text);
        if (tag.empty())
            return value;
        const bool whole = value.get<std::int64_t>() || value.get<Decimal>();
        if ((tag == "null" && value.is_null()) || (tag == "bool" && value.get<bool>()) ||
            (tag == "int" && whole) || (tag == "float" && value.get<double>()))
            return value;
        if (const auto* integer = value.get<std::int64_t>(); tag == "float" && integer)
            return static_cast<double>(*integer);
        fail(event, fmt::format("'{}' is no !!{}", text, tag));
    }

    yaml_parser_t parser_{};
    std::map<std::string, Value> anchors_;
    std::size_t values_ = 0;
};

class Writer {
  public:
    Writer() {
        yaml_emitter_initialize(&emitter_);
        yaml_emitter_set_output(
            &emitter_,
            [](void* to, unsigned char* data, std::size_t size) {
                static_cast<std::string*>(to)->append(reinterpret_cast<char*>(data), size);
                return 1;
            },
            &text_);
        yaml_emitter_set_unicode(&emitter_, 1);
        yaml_emitter_set_width(&emitter_, -1);
        yaml_emitter_set_indent(&emitter_, 2);
        yaml_event_t event;
        yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
        emit(event);
    }
    ~Writer() { yaml_emitter_delete(&emitter_); }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    void document(const Value& value, bool marked) {
        yaml_event_t event;
        yaml_document_start_event_initialize(&event, nullptr, nullptr, nullptr, marked ? 0 : 1);
        emit(event);
        write(value, "");
        yaml_document_end_event_initialize(&event, 1);
        emit(event);
    }
    std::string finish() {
        yaml_event_t event;
        yaml_stream_end_event_initialize(&event);
        emit(event);
        yaml_emitter_flush(&emitter_);
        std::string text = std::move(text_);
        if (text.ends_with("\n...\n")) // libyaml ends a document that is one scalar this way
            text.resize(text.size() - 4);
        return text;
    }

  private:
    void emit(yaml_event_t& event) {
        if (yaml_emitter_emit(&emitter_, &event) == 0)
            throw Error("argument", fmt::format("cannot be written as YAML: {}",
                                                emitter_.problem ? emitter_.problem : "unknown"));
    }

    void scalar(const std::string& text, yaml_scalar_style_t style) {
        yaml_event_t event;
        if (yaml_scalar_event_initialize(&event, nullptr, nullptr,
                                         reinterpret_cast<const unsigned char*>(text.data()),
                                         static_cast<int>(text.size()), 1, 1, style) == 0)
            throw Error("argument", "text that is not UTF-8 has no form in YAML");
        emit(event);
    }

    /// Also what readers of YAML 1.1 take for booleans, numbers in base 60 and 8, dates.
    static bool looks_special(const std::string& text) {
        const std::string low = text::lower(text);
        if (!resolved(text).get<std::string>() || text == "=" || text == "<<" ||
            one_of(low, {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}))
            return true;
        return all_of(text, "0123456789_:.,-+eExXoOabcdefABCDEFtTzZ ") &&
               text.find_first_of(decimal_digits) != std::string::npos &&
               (text.find_first_not_of("0123456789") == std::string::npos ||
                text.find_first_of(":_-+,") != std::string::npos || text.front() == '0');
    }

    void text(const std::string& text) {
        yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
        if (looks_special(text))
            style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        else if (text.find('\n') != std::string::npos)
            style = YAML_LITERAL_SCALAR_STYLE;
        scalar(text, style);
    }

    static std::string number(double value) {
        if (std::isnan(value))
            return ".nan";
        if (std::isinf(value))
            return value < 0 ? "-.inf" : ".inf";
        std::string text = fmt::format("{}", value);
        if (text.find_first_of(".e") == std::string::npos)
            text += ".0";
        return text;
    }

    void write(const Value& value, const std::string& path) {
        const auto plain = [&](const std::string& text) { scalar(text, YAML_PLAIN_SCALAR_STYLE); };
        if (const auto* map = value.get<Map>())
            return write_map(*map, path);
        if (const auto* list = value.get<List>())
            return write_list(*list, path);
        if (value.is_null())
            plain("null");
        else if (const auto* truth = value.get<bool>())
            plain(*truth ? "true" : "false");
        else if (const auto* integer = value.get<std::int64_t>())
            plain(std::to_string(*integer));
        else if (const auto* number_value = value.get<double>())
            plain(number(*number_value));
        else if (const auto* decimal = value.get<Decimal>())
            plain(decimal->text);
        else if (const auto* string = value.get<std::string>())
            text(*string);
        else if (const auto* when = value.get<Timestamp>())
            scalar(time::iso(*when), YAML_DOUBLE_QUOTED_SCALAR_STYLE);
        else
            throw Error("argument",
                        fmt::format("{}: YAML has no {}", path.empty() ? "the value" : path,
                                    value.type_name()));
    }

    void write_map(const Map& map, const std::string& path) {
        yaml_event_t event;
        yaml_mapping_start_event_initialize(&event, nullptr, nullptr, 1,
                                            map.empty() ? YAML_FLOW_MAPPING_STYLE
                                                        : YAML_BLOCK_MAPPING_STYLE);
        emit(event);
        for (const auto& [key, item] : map) {
            text(key);
            write(item, path.empty() ? key : path + "." + key);
        }
        yaml_mapping_end_event_initialize(&event);
        emit(event);
    }

    void write_list(const List& list, const std::string& path) {
        yaml_event_t event;
        yaml_sequence_start_event_initialize(&event, nullptr, nullptr, 1,
                                             list.empty() ? YAML_FLOW_SEQUENCE_STYLE
                                                          : YAML_BLOCK_SEQUENCE_STYLE);
        emit(event);
        for (std::size_t i = 0; i < list.size(); ++i)
            write(list[i], fmt::format("{}[{}]", path, i + 1));
        yaml_sequence_end_event_initialize(&event);
        emit(event);
    }

    yaml_emitter_t emitter_{};
    std::string text_;
};

} // namespace

List parse_all(std::string_view text) {
    return Reader(text).documents();
}

Value parse(std::string_view text) {
    List documents = parse_all(text);
    if (documents.size() > 1)
        throw Error("yaml", fmt::format("the text has {} documents", documents.size()),
                    "yaml.documents reads all of them");
    return documents.empty() ? Value{} : std::move(documents.front());
}

std::string dump(const Value& value) {
    Writer writer;
    writer.document(value, false);
    return writer.finish();
}

std::string dump_all(const List& documents) {
    Writer writer;
    for (const Value& document : documents)
        writer.document(document, true);
    return writer.finish();
}

} // namespace runbook::yaml
