// Cells compared by meaning and shown to people. Pure functions; nothing here runs for equal rows.
#include "runtime/base/digest.h"
#include "runtime/base/redact.h"
#include "runtime/transfer/verify/form.h"

#include <fmt/format.h>

namespace runbook::verify {
namespace {

struct Civil {
    std::int64_t year;
    unsigned month, day;
};

Civil civil_from_days(std::int64_t days) {
    days += 719468;
    const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const auto of_era = static_cast<unsigned>(days - era * 146097);
    const unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned shifted = (5 * of_year + 2) / 153;
    const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
    return {static_cast<std::int64_t>(year_of_era) + era * 400 + (month <= 2), month,
            of_year - (153 * shifted + 2) / 5 + 1};
}

std::string show_date(std::int64_t days) {
    Civil c = civil_from_days(days);
    if (c.year < 1)
        return fmt::format("{:04}-{:02}-{:02} BC", 1 - c.year, c.month, c.day);
    return fmt::format("{:04}-{:02}-{:02}", c.year, c.month, c.day);
}

std::string show_clock(std::int64_t micros) {
    const char* sign = micros < 0 ? "-" : "";
    std::int64_t m = micros < 0 ? -micros : micros;
    std::string text = fmt::format("{}{:02}:{:02}:{:02}", sign, m / 3'600'000'000,
                                   m / 60'000'000 % 60, m / 1'000'000 % 60);
    if (m % 1'000'000) {
        text += fmt::format(".{:06}", m % 1'000'000);
        text.erase(text.find_last_not_of('0') + 1);
    }
    return text;
}

std::string show_fixed(const ColumnPair& pair, std::int64_t value) {
    if (pair.form == Form::date || pair.form == Form::timestamp) {
        if (value == INT64_MAX || value == INT64_MIN)
            return value > 0 ? "infinity" : "-infinity";
        if (pair.form == Form::date)
            return show_date(value);
        std::int64_t days = value / 86'400'000'000, rest = value % 86'400'000'000;
        if (rest < 0)
            rest += 86'400'000'000, --days;
        bool zoned =
            pair.source.family == Family::timestamptz || pair.target.family == Family::timestamptz;
        return show_date(days) + " " + show_clock(rest) + (zoned ? "+00" : "");
    }
    if (pair.form == Form::time)
        return show_clock(value);
    if (pair.form == Form::real32 || pair.form == Form::real64) {
        double real = 0;
        std::memcpy(&real, &value, 8);
        return pair.form == Form::real32 ? fmt::format("{}", static_cast<float>(real))
                                         : fmt::format("{}", real);
    }
    return fmt::format("{}", value);
}

std::string show_interval(std::string_view parts) {
    std::int64_t months = 0, days = 0, micros = 0;
    std::memcpy(&months, parts.data(), 8);
    std::memcpy(&days, parts.data() + 8, 8);
    std::memcpy(&micros, parts.data() + 16, 8);
    return fmt::format("{} months {} days {}", months, days, show_clock(micros));
}

bool printable(std::string_view text) {
    for (unsigned char c : text)
        if (c < 0x20 || c == 0x7f)
            return false;
    return true;
}

/// Quoted, control characters as escapes, cut at a character's border.
std::string show_text(std::string_view whole, std::size_t limit) {
    const std::string text = redact(whole); // before it is cut: half a secret would not be known
    std::size_t cut = std::min(text.size(), limit);
    while (cut < text.size() && cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80)
        --cut;
    const std::string_view head = std::string_view(text).substr(0, cut);
    std::string out = "'";
    if (printable(head)) {
        out.append(head);
    } else {
        for (unsigned char c : head)
            if (c < 0x20 || c == 0x7f)
                out += fmt::format("\\x{:02x}", c);
            else
                out.push_back(static_cast<char>(c));
    }
    out += "'";
    if (cut < text.size())
        out += fmt::format("… ({} bytes)", whole.size());
    return out;
}

std::string show_octets(std::string_view data, std::size_t limit) {
    if (holds_secret(data))
        return "***";
    std::string_view head = data.substr(0, limit / 2);
    std::string out = "\\x" + digest::hex(head);
    if (head.size() < data.size())
        out += fmt::format("… ({} bytes)", data.size());
    return out;
}

} // namespace

bool same(const ColumnPair& pair, const CellView& a, const CellView& b) {
    if (a.tag != b.tag)
        return false;
    if (a.tag == Tag::null)
        return true;
    if (a.tag == Tag::fixed)
        return a.fixed == b.fixed;
    if (a.var == b.var)
        return true;
    if (pair.form != Form::json)
        return false;
    std::string left, right;
    return canonical_json(a.var, left) && canonical_json(b.var, right) && left == right;
}

void put_strict(const ColumnPair& pair, const CellView& cell, Buffer& out) {
    if (cell.tag == Tag::null)
        return put_null(out);
    if (cell.tag == Tag::fixed)
        return put_fixed(out, cell.fixed);
    thread_local std::string canonical;
    if (pair.form == Form::json && cell.tag == Tag::var && canonical_json(cell.var, canonical))
        return put_var(out, canonical);
    put_var(out, cell.var, cell.tag);
}

std::string show(const ColumnPair& pair, const CellView& cell, std::size_t limit) {
    switch (cell.tag) {
    case Tag::null:
        return "NULL";
    case Tag::fixed:
        return show_fixed(pair, cell.fixed);
    case Tag::invalid:
        return show_text(cell.var, limit) + fmt::format(" (no {})", form_name(pair.form));
    case Tag::var:
        break;
    }
    switch (pair.form) {
    case Form::decimal:
    case Form::bits:
        return std::string(cell.var.substr(0, limit));
    case Form::bytes:
        return show_octets(cell.var, limit);
    case Form::uuid: {
        std::string hex = digest::hex(cell.var);
        for (std::size_t at : {std::size_t{20}, std::size_t{16}, std::size_t{12}, std::size_t{8}})
            hex.insert(at, "-");
        return hex;
    }
    case Form::interval:
        return show_interval(cell.var);
    case Form::dynamic:
        if (!cell.var.empty() && cell.var[0] == 'x')
            return show_octets(cell.var.substr(1), limit);
        return !cell.var.empty() && cell.var[0] == 's' ? show_text(cell.var.substr(1), limit)
                                                       : std::string(cell.var.substr(1));
    default:
        return show_text(cell.var, limit);
    }
}

} // namespace runbook::verify
