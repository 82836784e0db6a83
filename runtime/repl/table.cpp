#include "runtime/repl/table.h"

#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace runbook::repl {

namespace {

struct Lines {
    std::string_view down, across, cross;
};

Lines lines_of(const Style& style) {
    return style.unicode ? Lines{"│", "─", "┼"} : Lines{"|", "-", "+"};
}

std::string repeated(std::string_view piece, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i)
        out += piece;
    return out;
}

bool is_number(const Value& value) {
    return value.get<std::int64_t>() || value.get<double>() || value.get<Decimal>();
}

/// Digits of a key are not a quantity.
bool is_quantity(const std::string& column) {
    const std::string name = text::lower(column);
    for (const char* word : {"id", "pid", "oid", "port", "year", "xmin", "xid"})
        if (name == word)
            return false;
    return !name.ends_with("_id") && !name.ends_with("_no") && !name.ends_with("version");
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : redact(text)) { // before a cell is cut: half a secret would not be known
        if (c == '\n')
            out += "\\n";
        else if (c == '\t')
            out += "\\t";
        else if (c == '\r')
            out += "\\r";
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        else
            out += c;
    }
    return out;
}

/// The integer part in groups of three.
std::string grouped_decimal(const std::string& digits) {
    const std::size_t start = digits.starts_with('-') ? 1 : 0;
    std::size_t point = digits.find('.');
    if (point == std::string::npos)
        point = digits.size();
    std::string out = digits.substr(0, start);
    for (std::size_t i = start; i < point; ++i) {
        if (i > start && (point - i) % 3 == 0)
            out += ',';
        out += digits[i];
    }
    return out + digits.substr(point);
}

struct Shown {
    std::string text;
    bool null = false;
};

Shown shown(const Value& value, bool quantity) {
    if (value.is_null())
        return {"NULL", true};
    if (const auto* integer = value.get<std::int64_t>(); integer && quantity)
        return {text::grouped(*integer), false};
    if (const auto* decimal = value.get<Decimal>(); decimal && quantity)
        return {grouped_decimal(decimal->text), false};
    if (const auto* number = value.get<double>(); number && quantity && std::isfinite(*number))
        if (const std::string digits = format_value(value); digits.find('e') == std::string::npos)
            return {grouped_decimal(digits), false};
    return {format_value(redact(value)), false}; // before it is cut
}

struct Layout {
    std::vector<std::vector<Shown>> cells;
    std::vector<std::size_t> widths;
    std::vector<bool> right;

    explicit Layout(const Grid& grid) : right(grid.columns.size(), false) {
        for (const std::string& column : grid.columns)
            widths.push_back(text::display_width(escaped(redact(column))));
        for (std::size_t c = 0; c < grid.columns.size(); ++c) {
            bool any = false, all = true;
            for (const auto& row : grid.rows)
                if (!row[c].is_null()) {
                    any = true;
                    all = all && is_number(row[c]);
                }
            right[c] = any && all;
        }
        for (const auto& row : grid.rows) {
            cells.emplace_back();
            for (std::size_t c = 0; c < grid.columns.size(); ++c) {
                cells.back().push_back(shown(row[c], is_quantity(grid.columns[c])));
                widths[c] = std::max(widths[c], text::display_width(cells.back()[c].text));
            }
        }
    }

    std::size_t total() const {
        std::size_t sum = 0;
        for (const std::size_t width : widths)
            sum += width + 3;
        return sum > 0 ? sum - 1 : 0;
    }
};

std::string padded(const std::string& text, std::size_t width, bool right) {
    const std::size_t size = text::display_width(text);
    const std::string blanks(width > size ? width - size : 0, ' ');
    return right ? blanks + text : text + blanks;
}

std::string dimmed(const std::string& text, bool dim) {
    return dim ? "\x1b[2m" + text + "\x1b[0m" : text;
}

std::string trimmed_line(std::string line) {
    while (line.ends_with(' '))
        line.pop_back();
    return line + "\n";
}

std::string as_table(const Grid& grid, const Layout& layout, const Style& style) {
    const Lines lines = lines_of(style);
    std::string head, rule, out;
    for (std::size_t c = 0; c < grid.columns.size(); ++c) {
        const std::string name =
            text::ellipsize(escaped(redact(grid.columns[c])), layout.widths[c]);
        head += fmt::format("{} {} ", c ? lines.down : "",
                            padded(name, layout.widths[c], layout.right[c]));
        rule +=
            fmt::format("{}{}", c ? lines.cross : "", repeated(lines.across, layout.widths[c] + 2));
    }
    out = trimmed_line(head) + rule + "\n";
    for (const auto& row : layout.cells) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c) {
            const std::string text = text::ellipsize(row[c].text, layout.widths[c]);
            line += fmt::format("{} {} ", c ? lines.down : "",
                                dimmed(padded(text, layout.widths[c], layout.right[c]),
                                       row[c].null && style.colour));
        }
        out += trimmed_line(line);
    }
    return out;
}

std::string expanded(const Grid& grid, const Layout& layout, const Style& style) {
    const Lines lines = lines_of(style);
    std::size_t name_width = 0;
    for (const std::string& column : grid.columns)
        name_width = std::max(name_width, text::display_width(escaped(redact(column))));
    std::string out;
    for (std::size_t r = 0; r < layout.cells.size(); ++r) {
        const std::string title =
            fmt::format("row {}", text::grouped(static_cast<std::int64_t>(r + 1)));
        out +=
            repeated(lines.across, 2) + " " + title + " " +
            repeated(lines.across, name_width > title.size() ? name_width - title.size() + 8 : 8) +
            "\n";
        for (std::size_t c = 0; c < grid.columns.size(); ++c)
            out += trimmed_line(fmt::format(
                " {} {} {}", padded(escaped(redact(grid.columns[c])), name_width, false),
                lines.down,
                dimmed(layout.cells[r][c].text, layout.cells[r][c].null && style.colour)));
    }
    return out;
}

/// Rows of a list of maps whose values are plain; empty where it is something else.
bool to_grid(const List& list, Grid& grid) {
    for (const Value& item : list) {
        const Map* map = item.get<Map>();
        if (!map || map->empty())
            return false;
        for (const auto& [key, value] : *map)
            if (std::find(grid.columns.begin(), grid.columns.end(), key) == grid.columns.end())
                grid.columns.push_back(key);
        if (grid.columns.size() > 40)
            return false;
    }
    for (const Value& item : list) {
        grid.rows.emplace_back();
        for (const std::string& column : grid.columns) {
            const Value* value = item.get<Map>()->find(column);
            grid.rows.back().push_back(value ? *value : Value{});
        }
    }
    return !list.empty();
}

bool is_nested(const Value& value) {
    const auto* list = value.get<List>();
    const auto* map = value.get<Map>();
    return (list && !list->empty()) || (map && !map->empty());
}

void pretty(std::string& out, const Value& value, std::size_t depth) {
    const std::string indent(depth * 2, ' ');
    if (const auto* list = value.get<List>(); list && !list->empty()) {
        for (std::size_t i = 0; i < list->size(); ++i) {
            out += fmt::format("{}{}:", i || depth ? "\n" + indent : "", i + 1);
            out += is_nested((*list)[i]) ? "" : " ";
            pretty(out, (*list)[i], depth + 1);
        }
    } else if (const auto* map = value.get<Map>(); map && !map->empty()) {
        std::vector<std::pair<std::string, Value>> entries(map->begin(), map->end());
        std::stable_sort(entries.begin(), entries.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        bool first = depth == 0;
        for (const auto& [key, inner] : entries) {
            out += fmt::format("{}{} =", first ? "" : "\n" + indent, key);
            out += is_nested(inner) ? "" : " ";
            pretty(out, inner, depth + 1);
            first = false;
        }
    } else {
        out += format_value(value);
    }
}

} // namespace

std::string format_value(const Value& value) {
    if (value.is_null())
        return "NULL";
    if (const auto* text = value.get<std::string>())
        return escaped(*text);
    if (const auto* boolean = value.get<bool>())
        return *boolean ? "true" : "false";
    if (const auto* integer = value.get<std::int64_t>())
        return std::to_string(*integer);
    if (const auto* number = value.get<double>())
        return *number == std::floor(*number) && std::abs(*number) < 9007199254740992.0
                   ? fmt::format("{:.0f}", *number)
                   : fmt::format("{}", *number);
    if (const auto* decimal = value.get<Decimal>())
        return decimal->text;
    if (const auto* timestamp = value.get<Timestamp>())
        return time::iso(*timestamp);
    if (const auto* bytes = value.get<Bytes>()) {
        std::string out = "\\x";
        for (const char c : std::string_view(bytes->data).substr(0, 32))
            out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        return bytes->data.size() > 32
                   ? fmt::format("{}… ({})", out,
                                 text::bytes(static_cast<std::int64_t>(bytes->data.size())))
                   : out;
    }
    if (const auto* opaque = value.get<Opaque>())
        return opaque->what;
    if (value.get<SecretPtr>())
        return "***";
    return json::dump(value);
}

std::string format_grid(const Grid& grid, const Style& style) {
    if (grid.columns.empty())
        return {};
    Layout layout(grid);
    if (style.width == 0 || layout.total() <= style.width)
        return as_table(grid, layout, style);
    Layout cut = layout;
    for (std::size_t& width : cut.widths)
        width = std::min(width, style.most_text);
    // What is left over is taken from the widest columns, down to a readable rest.
    while (cut.total() > style.width) {
        const auto widest = std::max_element(cut.widths.begin(), cut.widths.end());
        if (*widest <= 24)
            return expanded(grid, layout, style);
        --*widest;
    }
    return as_table(grid, cut, style);
}

std::string format_result(const Value& value, const Style& style) {
    if (const auto* text = value.get<std::string>())
        return *text + "\n";
    if (value.is_null())
        return "null\n";
    if (const auto* list = value.get<List>()) {
        Grid grid;
        if (to_grid(*list, grid))
            return format_grid(grid, style);
        if (list->empty())
            return "{}\n";
    }
    if (const auto* map = value.get<Map>(); map && map->empty())
        return "{}\n";
    std::string out;
    pretty(out, value, 0);
    return out + "\n";
}

} // namespace runbook::repl
