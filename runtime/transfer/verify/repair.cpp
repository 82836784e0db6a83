// The statements that would make the target's rows equal to the source's (see compare.h). Written
// for people to read and to run; nothing here runs them. On the caller's thread.
#include "runtime/base/digest.h"
#include "runtime/transfer/verify/compare.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

namespace runbook::verify {
namespace {

using db::Flavour;

bool is_mysql(Flavour flavour) {
    return flavour == Flavour::mysql || flavour == Flavour::mariadb;
}

std::string real_literal(Flavour flavour, double value) {
    if (std::isfinite(value))
        return fmt::format("{}{}", value, flavour == Flavour::postgresql ? "::float8" : "");
    if (flavour == Flavour::postgresql)
        return fmt::format("'{}'::float8", value);
    return flavour == Flavour::sqlite && std::isinf(value) ? (value > 0 ? "9e999" : "-9e999") : "";
}

std::string interval_text(std::string_view parts) {
    std::int64_t months = 0, days = 0, micros = 0;
    std::memcpy(&months, parts.data(), 8);
    std::memcpy(&days, parts.data() + 8, 8);
    std::memcpy(&micros, parts.data() + 16, 8);
    const bool negative = micros < 0;
    const std::int64_t size = negative ? -micros : micros;
    return fmt::format("P{}M{}DT{}{}.{:06}S", months, days, negative ? "-" : "", size / 1'000'000,
                       size % 1'000'000);
}

std::string octets_literal(Flavour flavour, std::string_view octets) {
    if (flavour == Flavour::postgresql)
        return fmt::format("'\\x{}'::bytea", digest::hex(octets));
    return fmt::format("X'{}'", digest::hex(octets));
}

/// A string that people can read, where the text has nothing that needs octets.
std::string readable(Flavour flavour, std::string_view text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\')
            return text_literal(flavour, text);
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? "''" : std::string(1, c);
    return out + "'";
}

/// SQLite against SQLite: storage class and value.
std::string dynamic_literal(std::string_view cell) {
    const std::string_view value = cell.substr(1);
    if (cell[0] == 'x')
        return octets_literal(Flavour::sqlite, value);
    return cell[0] == 's' ? readable(Flavour::sqlite, value) : std::string(value);
}

/// The source's value in the words of the target, or empty where that has none.
std::string value_literal(const ColumnPair& pair, const CellView& cell) {
    const Side& there = pair.target;
    if (cell.tag == Tag::null)
        return "NULL";
    if (cell.tag == Tag::invalid)
        return {};
    switch (pair.form) {
    case Form::integer:
        if (there.wire == Wire::pg_bool)
            return cell.fixed ? "true" : "false";
        return fmt::format("{}", cell.fixed);
    case Form::decimal:
        return there.family == Family::text || cell.var == "NaN" || cell.var.ends_with("Infinity")
                   ? readable(there.flavour, cell.var)
                   : std::string(cell.var);
    case Form::real32:
    case Form::real64: {
        double value = 0;
        std::memcpy(&value, &cell.fixed, 8);
        return real_literal(there.flavour, value);
    }
    case Form::bytes:
        return octets_literal(there.flavour, cell.var);
    case Form::uuid:
        return there.family == Family::bytes ? octets_literal(there.flavour, cell.var)
                                             : readable(there.flavour, show(pair, cell));
    case Form::date:
    case Form::timestamp:
    case Form::time: {
        std::string text = show(pair, cell);
        if (there.flavour != Flavour::postgresql && text.ends_with("+00"))
            text.resize(text.size() - 3);
        return readable(there.flavour, text);
    }
    case Form::interval:
        return readable(there.flavour, interval_text(cell.var));
    case Form::bits:
        if (there.flavour == Flavour::postgresql)
            return fmt::format("B'{}'", cell.var);
        return is_mysql(there.flavour) && there.wire == Wire::my_bits
                   ? fmt::format("b'{}'", cell.var)
                   : readable(there.flavour, cell.var);
    case Form::json:
        return there.family == Family::array ? std::string() : readable(there.flavour, cell.var);
    case Form::text:
        return readable(there.flavour, cell.var);
    case Form::dynamic:
        return cell.var.empty() ? std::string() : dynamic_literal(cell.var);
    }
    return {};
}

std::string quoted(const ColumnPair& pair) {
    const char mark = is_mysql(pair.target.flavour) ? '`' : '"';
    std::string out(1, mark);
    for (char c : pair.target.name) {
        if (c == mark)
            out += c;
        out += c;
    }
    return out + mark;
}

class Writer {
  public:
    Writer(const TablePlan& plan, RepairSink& sink) : plan_(plan), sink_(sink) {}

    /// False where a value has no literal there.
    bool write(const std::string& source, const std::string& target) {
        const std::string where = where_keys(
            plan_, Which::target, {key_payload(plan_, source.empty() ? target : source)});
        const std::string sql = target.empty()  ? insert(source)
                                : where.empty() ? std::string()
                                : source.empty()
                                    ? "DELETE FROM " + plan_.target_from + " WHERE " + where
                                    : update(source, target, where);
        if (sql.empty())
            return false;
        sink_(sql + ";\n");
        return true;
    }

  private:
    std::string insert(const std::string& source) const {
        std::string names, values;
        const char* at = source.data();
        for (const ColumnPair& pair : plan_.columns) {
            const std::string value = value_literal(pair, next_cell(at));
            if (value.empty())
                return {};
            names += (names.empty() ? "" : ", ") + quoted(pair);
            values += (values.empty() ? "" : ", ") + value;
        }
        const bool postgres = plan_.side(Which::target, 0).flavour == Flavour::postgresql;
        return fmt::format("INSERT INTO {} ({}){} VALUES ({})", plan_.target_from, names,
                           postgres ? " OVERRIDING SYSTEM VALUE" : "", values);
    }

    std::string update(const std::string& source, const std::string& target,
                       const std::string& where) const {
        std::string set;
        const char* a = source.data();
        const char* b = target.data();
        for (const ColumnPair& pair : plan_.columns) {
            const CellView left = next_cell(a), right = next_cell(b);
            if (same(pair, left, right))
                continue;
            const std::string value = value_literal(pair, left);
            if (value.empty())
                return {};
            set += (set.empty() ? "" : ", ") + quoted(pair) + " = " + value;
        }
        return fmt::format("UPDATE {} SET {} WHERE {}", plan_.target_from, set, where);
    }

    const TablePlan& plan_;
    RepairSink& sink_;
};

} // namespace

Repaired write_repair(const TablePlan& plan, Comparison& comparison, RowSource& source,
                      RowSource& target, RepairSink& sink, Cancel& cancel) {
    Repaired out;
    const std::int64_t all = comparison.result.mismatches() + comparison.result.unsettled;
    if (plan.key_columns == 0) {
        out.left = all;
        return out;
    }
    Writer writer(plan, sink);
    look_up(plan, comparison.suspects, source, target, cancel,
            [&](Suspect& suspect, const std::string& left, const std::string& right) {
                const bool stands = !suspect.moved && hash_of(left) == suspect.source &&
                                    hash_of(right) == suspect.target;
                if (stands && writer.write(left, right))
                    ++out.statements;
            });
    out.left = all - out.statements;
    return out;
}

} // namespace runbook::verify
