// See quantity.h.
#include "runtime/base/quantity.h"

#include "runtime/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace runbook::quantity {
namespace {

struct Suffix {
    std::string_view text, unit;
    double factor;
};

constexpr std::array suffixes = {Suffix{"%", "ratio", 0.01},
                                 Suffix{"B", "bytes", 1},
                                 Suffix{"kB", "bytes", 1e3},
                                 Suffix{"MB", "bytes", 1e6},
                                 Suffix{"GB", "bytes", 1e9},
                                 Suffix{"TB", "bytes", 1e12},
                                 Suffix{"KiB", "bytes", 1024},
                                 Suffix{"MiB", "bytes", 1024.0 * 1024},
                                 Suffix{"GiB", "bytes", 1024.0 * 1024 * 1024},
                                 Suffix{"TiB", "bytes", 1024.0 * 1024 * 1024 * 1024},
                                 Suffix{"/s", "per_second", 1},
                                 Suffix{"/min", "per_second", 1.0 / 60},
                                 Suffix{"/h", "per_second", 1.0 / 3600}};

constexpr std::array<std::string_view, 5> units = {"ratio", "seconds", "bytes", "per_second",
                                                   "count"};

} // namespace

std::optional<Quantity> parse(std::string_view text) {
    const std::string trimmed = text::trim(text);
    if (const auto seconds = text::parse_duration(trimmed))
        return Quantity{*seconds, "seconds"};
    double number = 0;
    const char* end = trimmed.data() + trimmed.size();
    const auto [stop, problem] =
        std::from_chars(trimmed.data(), end, number, std::chars_format::fixed);
    if (problem != std::errc{} || !std::isfinite(number))
        return {};
    const std::string suffix =
        text::trim(std::string_view(stop, static_cast<std::size_t>(end - stop)));
    const auto* found = std::find_if(suffixes.begin(), suffixes.end(),
                                     [&](const Suffix& one) { return one.text == suffix; });
    if (found == suffixes.end())
        return {};
    // Divided, not multiplied, where that is exact: "5 %" is the number 0.05.
    return Quantity{found->unit == "ratio" ? number / 100 : number * found->factor, found->unit};
}

std::string shown(double number, std::string_view unit) {
    const double size = std::abs(number);
    if (unit == "ratio")
        return fmt::format("{:.4g} %", number * 100);
    if (unit == "seconds") {
        if (size == 0 || size >= 60)
            return number < 0 ? "-" + text::duration(-number) : text::duration(number);
        if (size < 0.001)
            return fmt::format("{:.3g}us", number * 1e6);
        return size < 1 ? fmt::format("{:.3g}ms", number * 1e3) : fmt::format("{:.3g}s", number);
    }
    if (unit == "bytes" && size < 9e18)
        return text::bytes(static_cast<std::int64_t>(number));
    if (unit == "per_second")
        return fmt::format("{:.4g}/s", number);
    return fmt::format("{:.6g}", number);
}

bool known(std::string_view unit) {
    return std::find(units.begin(), units.end(), unit) != units.end();
}

} // namespace runbook::quantity
