// What a PostgreSQL column becomes where its type in MySQL or MariaDB is given (see asked.h).
#include "runtime/transfer/schema/asked.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace runbook::schema {
namespace {

using catalog::Column;
using catalog::Type;

struct Whole {
    std::string_view name, low, high, high_unsigned;
};
constexpr std::array<Whole, 6> wholes = {{
    {"tinyint", "-128", "127", "255"},
    {"smallint", "-32768", "32767", "65535"},
    {"mediumint", "-8388608", "8388607", "16777215"},
    {"int", "-2147483648", "2147483647", "4294967295"},
    {"integer", "-2147483648", "2147483647", "4294967295"},
    {"bigint", "-9223372036854775808", "9223372036854775807", "18446744073709551615"},
}};

/// Texts and octets without a number; bytes they hold.
struct Large {
    std::string_view name;
    std::int64_t bytes;
};
constexpr std::array<Large, 4> texts = {
    {{"tinytext", 255}, {"text", 65535}, {"mediumtext", 16777215}, {"longtext", 4294967295}}};
constexpr std::array<Large, 4> blobs = {
    {{"tinyblob", 255}, {"blob", 65535}, {"mediumblob", 16777215}, {"longblob", 4294967295}}};

const std::vector<std::string> words = {
    "tinyint",   "smallint",  "mediumint", "int",        "integer",  "bigint",
    "decimal",   "numeric",   "float",     "double",     "bit",      "char",
    "varchar",   "tinytext",  "text",      "mediumtext", "longtext", "binary",
    "varbinary", "tinyblob",  "blob",      "mediumblob", "longblob", "date",
    "datetime",  "timestamp", "time",      "json",       "enum",     "uuid",
    "point",     "year",      "set",       "boolean",    "bool",     "double precision"};

template <class Table>
auto find(const Table& table, const std::string& name) {
    return std::find_if(table.begin(), table.end(),
                        [&](const auto& entry) { return entry.name == name; });
}

std::string capitals(const AskedType& type) {
    std::string name = type.base;
    for (char& c : name)
        c = static_cast<char>(toupper(static_cast<unsigned char>(c)));
    if (type.first && find(wholes, type.base) == wholes.end()) // INT(11) is INT
        name += fmt::format("({}{})", *type.first,
                            type.second ? "," + std::to_string(*type.second) : "");
    return name + (type.is_unsigned ? " UNSIGNED" : "");
}

class Asking {
  public:
    Asking(const Column& column, const AskedType& wanted, std::string x, const Target& target,
           std::int64_t longest)
        : column_(column), wanted_(wanted), x_(std::move(x)),
          mariadb_(target.server.flavour == db::Flavour::mariadb), target_(target),
          longest_(longest) {
        out_.type = capitals(wanted);
        out_.select = x_;
    }

    Asked run() {
        if (!by_source())
            refuse();
        return std::move(out_);
    }

  private:
    void bad(const std::string& condition, const std::string& problem) {
        out_.misfits.push_back({condition, problem});
    }

    [[noreturn]] void refuse() const {
        throw Error("copy.refused", fmt::format("{} cannot become {}: it becomes {}",
                                                column_.engine_type, capitals(wanted_), choices()));
    }

    std::string choices() const {
        switch (column_.type) {
        case Type::boolean:
            return "an integer or BIT(1)";
        case Type::int16:
        case Type::int32:
        case Type::int64:
            return "an integer, DECIMAL or a text";
        case Type::oid:
            return "an integer, LONGBLOB (the large object) or a text";
        case Type::numeric:
        case Type::money:
            return "DECIMAL, an integer, DOUBLE or a text";
        case Type::float32:
        case Type::float64:
            return "DOUBLE, FLOAT or a text";
        case Type::bytes:
            return "BLOB, VARBINARY or BINARY";
        case Type::date:
            return "DATE, DATETIME or a text";
        case Type::timestamp:
            return "DATETIME or a text";
        case Type::timestamptz:
            return "DATETIME, TIMESTAMP or a text";
        case Type::time:
            return "TIME or a text";
        case Type::uuid:
            return mariadb_ ? "CHAR(36), BINARY(16), UUID or a text"
                            : "CHAR(36), BINARY(16) or a text";
        case Type::json:
        case Type::jsonb:
        case Type::array:
        case Type::hstore:
        case Type::composite:
            return "JSON or a text";
        case Type::bit:
            return "BIT or a text";
        case Type::enumeration:
            return "ENUM or a text";
        case Type::geometry:
            return "POINT or a text";
        default:
            return "a text";
        }
    }

    bool by_source() {
        switch (column_.type) {
        case Type::boolean:
            return boolean();
        case Type::int16:
        case Type::int32:
        case Type::int64:
            return whole() || decimal() || text(Asked::Text::ascii);
        case Type::oid:
            return whole() || large_object() || text(Asked::Text::ascii);
        case Type::money:
            x_ += "::numeric";
            out_.select = x_;
            return decimal() || whole() || real() || text(Asked::Text::ascii);
        case Type::numeric:
            return decimal() || whole() || real() || text(Asked::Text::ascii);
        case Type::float32:
        case Type::float64:
            return real() || text(Asked::Text::ascii);
        case Type::bytes:
            return octets();
        case Type::date:
            return moment("date") || moment("datetime") || text(Asked::Text::ascii);
        case Type::timestamp:
            return moment("datetime") || text(Asked::Text::ascii);
        case Type::timestamptz:
            return zoned() || text(Asked::Text::ascii);
        case Type::time:
            return moment("time") || text(Asked::Text::ascii);
        case Type::uuid:
            return uuid() || text(Asked::Text::ascii);
        case Type::json:
        case Type::jsonb:
        case Type::array:
        case Type::hstore:
        case Type::composite:
            return json();
        case Type::bit:
            return bits() || text(Asked::Text::ascii);
        case Type::enumeration:
            return labels() || text(Asked::Text::exact);
        case Type::geometry:
            return point() || text(Asked::Text::ascii);
        case Type::text:
        case Type::varchar:
        case Type::character:
        case Type::citext:
        case Type::xml:
            return text(Asked::Text::plain);
        case Type::range:
        case Type::tsvector:
        case Type::tsquery:
            return text(Asked::Text::exact);
        case Type::inet:
        case Type::cidr:
        case Type::macaddr:
        case Type::interval:
        case Type::timetz:
        case Type::varbit:
            return text(Asked::Text::ascii);
        default:
            return text(Asked::Text::plain);
        }
    }

    bool boolean() {
        if (wanted_.base == "bit") {
            out_.type = "BIT(1)";
            out_.select = fmt::format("({})::int::bit(1)", x_);
            out_.codec = Codec::bits;
            return true;
        }
        if (find(wholes, wanted_.base) == wholes.end() && wanted_.base != "boolean" &&
            wanted_.base != "bool")
            return false;
        if (wanted_.base.starts_with("bool"))
            out_.type = "TINYINT(1)";
        out_.codec = Codec::boolean;
        return true;
    }

    bool whole() {
        const auto* type = find(wholes, wanted_.base);
        if (type == wholes.end())
            return false;
        const std::string low = wanted_.is_unsigned ? "0" : std::string(type->low);
        const std::string high(wanted_.is_unsigned ? type->high_unsigned : type->high);
        const bool number = column_.type == Type::numeric || column_.type == Type::money;
        if (number)
            bad(fmt::format("{0} <> trunc({0})", x_), "no whole number");
        const bool same = (column_.type == Type::int16 && wanted_.base != "tinyint") ||
                          (column_.type == Type::int32 &&
                           (wanted_.base.starts_with("int") || wanted_.base == "bigint")) ||
                          (column_.type == Type::int64 && wanted_.base == "bigint");
        if (!same || wanted_.is_unsigned)
            bad(fmt::format("{0} < {1} OR {0} > {2}", x_ + (number ? "" : "::int8"), low, high),
                fmt::format("outside of {}", out_.type));
        return true;
    }

    bool decimal() {
        if (wanted_.base != "decimal" && wanted_.base != "numeric")
            return false;
        const std::int64_t precision = wanted_.first.value_or(10),
                           scale = wanted_.second.value_or(0);
        if (precision < 1 || precision > 65 || scale > 30 || scale > precision || scale < 0)
            throw Error("argument", fmt::format("{}: DECIMAL holds 65 digits in all and 30 after "
                                                "the point",
                                                out_.type));
        out_.type = fmt::format("DECIMAL({},{})", precision, scale);
        out_.key_bytes = precision / 2 + 4;
        bad(fmt::format("abs({0}) >= 1e{1}::numeric OR round({0}::numeric, {2}) <> {0}", x_,
                        precision - scale, scale),
            "more digits than " + out_.type + " holds");
        return true;
    }

    bool real() {
        if (wanted_.first) // DOUBLE(10,2) rounds
            return false;
        const bool single = wanted_.base == "float";
        if (!single && wanted_.base != "double" && wanted_.base != "double precision")
            return false;
        out_.type = single ? "FLOAT" : "DOUBLE";
        const char* cast = single ? "float4" : "float8";
        if (column_.type == Type::float32)
            out_.select = x_ + "::float8";
        else if (single || column_.type != Type::float64)
            bad(fmt::format("CASE WHEN abs({0}) < 1e{2} AND (abs({0}) > 1e-{2} OR {0} = 0) THEN "
                            "{0}::{1}::{3} <> {0} ELSE true END",
                            x_, cast, single ? 37 : 300,
                            column_.type == Type::float64 ? "float8" : "numeric"),
                "rounded by " + out_.type);
        return true;
    }

    bool octets() {
        out_.codec = Codec::bytea;
        if (const auto* blob = find(blobs, wanted_.base); blob != blobs.end()) {
            out_.key_bytes = 4096;
            if (wanted_.base != "longblob")
                bad(fmt::format("octet_length({}) > {}", x_, blob->bytes),
                    "longer than " + out_.type + " holds");
            return true;
        }
        if ((wanted_.base != "varbinary" && wanted_.base != "binary") || !wanted_.first)
            return false;
        out_.key_bytes = *wanted_.first;
        const bool fixed = wanted_.base == "binary";
        bad(fmt::format("octet_length({}) {} {}", x_, fixed ? "<>" : ">", *wanted_.first),
            (fixed ? "of another length than " : "longer than ") + out_.type);
        return true;
    }

    bool large_object() {
        if (wanted_.base != "longblob")
            return false;
        out_.select = fmt::format("lo_get({})", x_);
        out_.codec = Codec::bytea;
        out_.key_bytes = 4096;
        bad(fmt::format("{0} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
                        "pg_catalog.pg_largeobject_metadata WHERE "
                        "pg_largeobject_metadata.oid = {0})",
                        x_),
            "the number of no large object");
        return true;
    }

    /// DATE, DATETIME(n) and TIME(n); without a number, the column's own digits.
    bool moment(const std::string& base) {
        if (wanted_.base != base)
            return false;
        if (base == "date")
            return true;
        const int own = std::clamp(column_.precision.value_or(6), 0, 6);
        const auto digits = static_cast<int>(wanted_.first.value_or(own));
        if (digits > 6)
            throw Error("argument", out_.type + ": 6 digits after the second at most");
        std::string name = capitals({base, {}, {}, false, {}});
        out_.type = digits == 0 ? name : fmt::format("{}({})", name, digits);
        if (digits < own && column_.type != Type::date)
            bad(fmt::format("{0}::{1}({2}) <> {0}", x_,
                            column_.type == Type::time          ? "time"
                            : column_.type == Type::timestamptz ? "timestamptz"
                                                                : "timestamp",
                            digits),
                fmt::format("rounded by {}", out_.type));
        return true;
    }

    bool zoned() {
        if (!moment("datetime")) {
            if (!moment("timestamp"))
                return false;
            bad(fmt::format("{0} < '1970-01-01 00:00:01+00' OR {0} >= '2038-01-19 03:14:08+00'",
                            x_),
                "outside of what TIMESTAMP holds (1970 to 2038)");
        }
        out_.codec = Codec::zone;
        return true;
    }

    bool uuid() {
        // LOAD DATA sends octets, and MariaDB's UUID takes 16 of them.
        out_.select = fmt::format("decode(replace({}::text, '-', ''), 'hex')", x_);
        out_.codec = Codec::bytea;
        out_.key_bytes = 16;
        if (wanted_.base == "binary" && wanted_.first == 16)
            return true;
        if (wanted_.base != "uuid") {
            out_.select = x_;
            out_.codec = Codec::as_is;
            return false;
        }
        const bool old =
            target_.server.major < 10 || (target_.server.major == 10 && target_.server.minor < 7);
        if (!mariadb_ || old)
            throw Error("copy.refused", std::string(mariadb_ ? "MariaDB before 10.7" : "MySQL") +
                                            " has no type UUID: a uuid becomes " + choices());
        return true;
    }

    bool json() {
        if (column_.type != Type::json && column_.type != Type::jsonb)
            x_ = out_.select = fmt::format("to_json({})", x_);
        if (wanted_.base == "json") {
            out_.json = !mariadb_;
            out_.key_bytes = 4096;
            return true;
        }
        const bool done = text(Asked::Text::exact);
        out_.json_check = done && wanted_.base == "longtext";
        return done;
    }

    bool bits() {
        const std::int64_t own = column_.length.value_or(1);
        if (wanted_.base != "bit" || wanted_.first.value_or(1) < own)
            return false;
        out_.codec = Codec::bits;
        return true;
    }

    bool labels() {
        if (wanted_.base != "enum")
            return false;
        std::vector<std::string> labels = wanted_.labels.empty() ? column_.labels : wanted_.labels;
        for (const std::string& label : column_.labels)
            if (std::find(labels.begin(), labels.end(), label) == labels.end())
                bad(fmt::format("{}::text = {}", x_, standard_string(label)),
                    "no label of the enum there");
        out_.type = "ENUM(";
        for (const std::string& label : labels)
            out_.type += (out_.type.ends_with('(') ? "" : ",") + mysql_string(label);
        out_.type += ")";
        out_.text = Asked::Text::exact;
        out_.key_bytes = 2;
        return true;
    }

    bool point() {
        if (wanted_.base != "point" || !column_.engine_type.starts_with("point"))
            return false;
        out_.codec = Codec::point;
        out_.key_bytes = 4096;
        return true;
    }

    bool text(Asked::Text kind) {
        out_.text = kind;
        const std::string shown = x_ + "::text";
        if (const auto* large = find(texts, wanted_.base); large != texts.end()) {
            out_.key_bytes = 4096;
            if (wanted_.base != "longtext")
                bad(fmt::format("octet_length({}) > {}", shown, large->bytes),
                    fmt::format("longer than {} bytes, what {} holds", text::grouped(large->bytes),
                                out_.type));
            return true;
        }
        if (wanted_.base != "varchar" && wanted_.base != "char")
            return false;
        const bool fixed = wanted_.base == "char";
        std::int64_t size =
            wanted_.first.value_or(fixed ? 1 : std::max<std::int64_t>(255, longest_));
        if (size < 1 || size > (fixed ? 255 : 16383))
            throw Error("argument", fmt::format("{}: {} takes 1 to {} characters", out_.type,
                                                fixed ? "CHAR" : "VARCHAR", fixed ? 255 : 16383));
        out_.type = fmt::format("{}({})", fixed ? "CHAR" : "VARCHAR", size);
        out_.key_bytes = size * (kind == Asked::Text::ascii ? 1 : 4);
        bad(fmt::format("char_length({}) > {}", shown, size),
            fmt::format("longer than {} characters", size));
        if (fixed && column_.type != Type::character && kind != Asked::Text::ascii)
            bad(fmt::format("{} LIKE '% '", shown), "blanks at its end, which CHAR drops");
        return true;
    }

    const Column& column_;
    const AskedType& wanted_;
    std::string x_;
    bool mariadb_ = false;
    const Target& target_;
    std::int64_t longest_;
    Asked out_;
};

} // namespace

AskedType parse_type(const std::string& given) {
    AskedType type;
    std::string text = text::lower(text::trim(given));
    if (text.ends_with(" unsigned")) {
        type.is_unsigned = true;
        text = text::trim(text.substr(0, text.size() - 9));
    }
    const std::size_t open = text.find('(');
    type.base = text::trim(text.substr(0, open));
    if (std::find(words.begin(), words.end(), type.base) == words.end())
        throw Error("argument", fmt::format("there is no type '{}'{}", given,
                                            text::did_you_mean(type.base, words)));
    if (open == std::string::npos)
        return type;
    if (!text.ends_with(')'))
        throw Error("argument", fmt::format("'{}' is no type: a parenthesis is open", given));
    if (type.base == "enum" || type.base == "set") {
        std::string_view rest = std::string_view(given).substr(given.find('(') + 1);
        std::string label;
        bool inside = false;
        for (std::size_t i = 0; i < rest.size(); ++i) {
            if (rest[i] != '\'') {
                if (inside)
                    label += rest[i];
            } else if (inside && i + 1 < rest.size() && rest[i + 1] == '\'') {
                label += rest[++i];
            } else {
                if (inside)
                    type.labels.push_back(std::move(label));
                label.clear();
                inside = !inside;
            }
        }
        return type;
    }
    const std::string inside = text.substr(open + 1, text.size() - open - 2);
    std::vector<std::int64_t> numbers;
    for (const std::string& part : text::split(inside, ',')) {
        const std::string digits = text::trim(part);
        std::int64_t number = 0;
        auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (error != std::errc() || end != digits.data() + digits.size() || digits.empty())
            throw Error("argument",
                        fmt::format("'{}' is no type: a number expected in ( )", given));
        numbers.push_back(number);
    }
    if (numbers.size() > 2)
        throw Error("argument", fmt::format("'{}' is no type: two numbers at most", given));
    type.first = numbers[0];
    if (numbers.size() == 2)
        type.second = numbers[1];
    return type;
}

Asked asked_type(const Column& column, const AskedType& wanted, const std::string& expression,
                 const Target& target, std::int64_t longest) {
    return Asking(column, wanted, expression, target, longest).run();
}

bool asks_length(const std::string& to) {
    return to == "varchar" || to == "char";
}

} // namespace runbook::schema
