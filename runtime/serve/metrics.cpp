#include "runtime/serve/metrics.h"

#include <cmath>
#include <fmt/format.h>

namespace runbook::serve {
namespace {

std::string escaped(std::string_view text, bool quotes) {
    std::string out;
    for (const char c : text)
        if (c == '\n')
            out += "\\n";
        else if (c == '\\' || (quotes && c == '"'))
            out.append("\\").append(1, c);
        else
            out += c;
    return out;
}

/// Whole numbers as such: a time in seconds stays exact.
std::string number(double value) {
    if (value == std::floor(value) && std::fabs(value) < 1e15)
        return fmt::format("{:.0f}", value);
    return fmt::format("{}", value);
}

} // namespace

void Metrics::family(std::string name, std::string_view type, std::string_view help) {
    name_ = std::move(name);
    head_ = fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name_, escaped(help, false), type);
}

void Metrics::sample(double value, const Labels& labels) {
    text_ += std::exchange(head_, {}) + name_;
    for (std::size_t i = 0; i < labels.size(); ++i)
        text_ += fmt::format("{}{}=\"{}\"", i == 0 ? "{" : ",", labels[i].first,
                             escaped(labels[i].second, true));
    text_ += (labels.empty() ? " " : "} ") + number(value) + "\n";
}

} // namespace runbook::serve
