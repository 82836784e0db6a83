#include "runtime/serve/page.h"

#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/html_parts.h"
#include "runtime/view/state.h"

#include <fmt/format.h>

namespace runbook::serve {
namespace {

using report::element;
using report::escaped;

constexpr int again_s = 10;

std::string_view tone(const std::string& state) {
    return state == "succeeded"                                                  ? "good"
           : state == "running"                                                  ? "calm"
           : state == "held" || state == "interrupted" || state == "rolled_back" ? "warn"
                                                                                 : "bad";
}

/// A run's id is safe in a path as it is made; one that was given may hold anything.
std::string path_of(const std::string& run) {
    std::string path = "/runs/";
    for (const char c : run)
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_')
            path += c;
        else
            path += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    return path;
}

/// What it is at, whom it waits for, or why it is as it is.
std::string now_words(const Seen& seen) {
    if (!seen.waits_for.empty())
        return fmt::format("waits{} at {}", seen.role.empty() ? "" : " for " + seen.role,
                           seen.waits_for);
    if (!seen.paused.empty())
        return seen.paused;
    if (!seen.current.empty())
        return text::join(seen.current, ", ");
    return seen.why;
}

std::string row(const Seen& seen) {
    const std::string iso = time::iso_millis(seen.record.started);
    return "<tr><td class=\"name\"><a href=\"" + escaped(path_of(seen.record.run)) + "\">" +
           escaped(seen.record.run) + "</a></td>" + element("td", seen.record.playbook) +
           "<td class=\"status\">" +
           element("span", view::state_of(seen.record), tone(seen.state)) + "</td>" +
           element("td", fmt::format("{} of {}", seen.done, seen.planned), "num") +
           element("td", now_words(seen)) +
           element("td", iso.substr(0, 10) + " " + iso.substr(11, 8), "time") +
           element("td", text::clock(seen.seconds), "num") + "</tr>\n";
}

} // namespace

std::string page_of(const std::vector<Seen>& runs, const std::string& journal) {
    std::string out =
        fmt::format("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<meta name=\"color-scheme\" content=\"light dark\">\n"
                    "<meta http-equiv=\"refresh\" content=\"{}\">\n<title>runs</title>\n<style>",
                    again_s);
    out += std::string(report::style()) + "</style>\n</head>\n<body>\n<main>\n<header>" +
           element("p", "as of " + time::iso_millis(time::now_micros()).substr(0, 19) + " UTC",
                   "eyebrow") +
           element("h1", "Runs") + element("p", journal, "summary") + "</header>\n";
    if (runs.empty())
        return out + "<p>There is no run yet.</p>\n</main>\n</body>\n</html>\n";
    out += "<div class=\"panel below\"><table>\n<thead><tr><th>run</th><th>playbook</th>"
           "<th>state</th><th class=\"num\">steps</th><th>now</th><th>started (UTC)</th>"
           "<th class=\"num\">took</th></tr></thead>\n<tbody>\n";
    for (const Seen& seen : runs)
        out += row(seen);
    return out + "</tbody></table></div>\n</main>\n</body>\n</html>\n";
}

} // namespace runbook::serve
