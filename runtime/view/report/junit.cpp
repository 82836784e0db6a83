// The report as JUnit XML (contract in report.h): what build servers read. A goal is a property and
// never a failure; what was not needed is skipped.
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/html_parts.h"
#include "runtime/view/report/report.h"
#include "runtime/view/words.h"

#include <fmt/format.h>

namespace runbook::report {
namespace {

using view::Item;
using view::Model;
using view::Status;

/// The bytes of the UTF-8 character at `at`, or 0 where there is none that XML allows.
std::size_t character(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const unsigned first = byte(at);
    if (first < 0x80)
        return first >= 0x20 || first == '\n' || first == '\t' ? 1 : 0;
    const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || at + size > text.size())
        return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((byte(at + i) & 0xC0U) != 0x80)
            return 0;
    const unsigned second = byte(at + 1);
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
    const bool banned = first == 0xEF && second == 0xBF && byte(at + 2) >= 0xBE; // U+FFFE, U+FFFF
    return overlong || outside || banned ? 0 : size;
}

/// For text and attribute values; what XML cannot hold becomes U+FFFD.
std::string xml(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t size = character(text, at);
        if (size == 0)
            out += "\xEF\xBF\xBD";
        else if (text[at] == '\n')
            out += "&#10;";
        else if (text[at] == '\t')
            out += "&#9;";
        else
            out += size > 1 ? std::string(text.substr(at, size)) : escaped(text.substr(at, 1));
        at += size ? size : 1;
    }
    return out;
}

struct Case {
    std::string area, name, body;
    double seconds = 0;
    bool failed = false, erred = false, skipped = false;
};

std::string verdict_element(std::string_view tag, const std::string& message,
                            const std::string& type, const std::string& text) {
    return fmt::format("<{0} message=\"{1}\" type=\"{2}\">{3}</{0}>", tag, xml(message), xml(type),
                       xml(text));
}

std::string skipped_element(const std::string& why) {
    return "<skipped message=\"" + xml(why) + "\"/>";
}

/// Everything that is known of what went wrong, for people.
std::string story(const Item& item) {
    std::string out = item.error.empty() ? item.why : view::error_words(item.error);
    if (!item.error.where().empty())
        out += "\n" + item.error.where() +
               (item.error.source.empty() ? "" : ": " + text::trim(item.error.source));
    if (const std::string detail = view::detail_of(item); !detail.empty())
        out += "\n" + detail;
    if (!item.error.hint.empty())
        out += "\nhint: " + item.error.hint;
    return out;
}

Case case_of(const Item& item) {
    Case out{item.kind.empty() ? "step" : item.kind, item.name, "", item.elapsed_s};
    switch (item.status) {
    case Status::done:
        if (const std::string detail = view::detail_of(item); !detail.empty())
            out.body = "<system-out>" + xml(detail) + "</system-out>";
        break;
    case Status::failed:
        out.failed = true;
        out.body =
            verdict_element("failure",
                            !item.error.message.empty()
                                ? item.error.message
                                : status_word(item) + (item.why.empty() ? "" : ": " + item.why),
                            !item.error.kind.empty() ? item.error.kind
                            : item.verdict.empty()   ? item.kind
                                                     : item.verdict,
                            story(item));
        break;
    case Status::in_doubt:
    case Status::running:
        out.erred = true;
        out.body = verdict_element("error", status_word(item), "in_doubt", item.why);
        break;
    case Status::skipped:
    case Status::waiting:
        out.skipped = true;
        out.body = skipped_element(item.why.empty() ? status_word(item) : item.why);
        break;
    }
    return out;
}

Case undo_case(const Item& item) {
    Case out{"undo", item.name, "", item.undo_s};
    out.failed = item.undo == view::Undo::failed;
    out.erred = item.undo == view::Undo::running;
    out.skipped = item.undo == view::Undo::kept;
    if (out.failed)
        out.body = verdict_element("failure", item.undo_why, item.error.kind, undo_words(item));
    if (out.erred)
        out.body = verdict_element("error", undo_words(item), "in_doubt", "");
    if (out.skipped)
        out.body = skipped_element(undo_words(item));
    return out;
}

/// A build must not be green because nothing but the run itself failed.
Case outcome_case(const Model& model) {
    Case out{"run", "outcome", "", 0};
    out.failed = model.outcome != "succeeded" && !model.outcome.empty();
    out.erred = model.outcome.empty();
    if (out.failed || out.erred)
        out.body = verdict_element(out.failed ? "failure" : "error", headline(model),
                                   model.outcome.empty() ? "unfinished" : model.outcome,
                                   view::next_command(model));
    return out;
}

std::string property(std::string_view name, std::string_view value) {
    if (value.empty())
        return {};
    return "      <property name=\"" + xml(name) + "\" value=\"" + xml(value) + "\"/>\n";
}

std::string properties(const Model& model, const Facts& facts) {
    std::string out = property("run", model.run) + property("environment", model.env) +
                      property("initiator", model.initiator) + property("file", model.file) +
                      property("outcome", view::outcome_words(model)) +
                      property("exit", model.exit < 0 ? "" : std::to_string(model.exit)) +
                      property("downtime", view::window_words(model));
    for (const view::Goal& goal : model.goals)
        out += property("goal: " + goal.name,
                        goal.word() + ", target " + view::shown("", goal.target) + ", actual " +
                            (goal.actual.is_null() ? "unknown" : view::shown("", goal.actual)));
    for (const auto& [name, list] :
         {std::pair{"decided", &facts.decided}, std::pair{"waived", &facts.waived},
          std::pair{"kept", &facts.kept}, std::pair{"open", &facts.open}})
        for (const std::string& entry : *list)
            out += property(name, entry);
    return "    <properties>\n" + out + "    </properties>\n";
}

} // namespace

std::string junit(const std::vector<journal::Event>& events, const Options& options) {
    const Model model = model_of(events, options);
    std::vector<Case> cases;
    for (const Item& item : model.items)
        if (item.kind != "phase")
            cases.push_back(case_of(item));
    for (auto item = model.items.rbegin(); item != model.items.rend(); ++item)
        if (item->undo != view::Undo::none)
            cases.push_back(undo_case(*item));
    cases.push_back(outcome_case(model));
    std::size_t failed = 0, erred = 0, skipped = 0;
    for (const Case& one : cases) {
        failed += one.failed;
        erred += one.erred;
        skipped += one.skipped;
    }
    const std::string name = model.playbook.empty() ? "run " + model.run : model.playbook;
    const double seconds = static_cast<double>(model.last - model.started) / 1e6;
    const std::string counts =
        fmt::format("tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3f}\"",
                    cases.size(), failed, erred, skipped, seconds);
    std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"runbook\" " +
                      counts + ">\n  <testsuite name=\"" + xml(name) + "\" " + counts +
                      " timestamp=\"" + time::iso_millis(model.started).substr(0, 19) +
                      "\" hostname=\"" + xml(model.host) + "\">\n";
    out += properties(model, facts_of(model));
    for (const Case& one : cases)
        out += fmt::format("    <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3f}\"{}\n",
                           xml(name), xml(one.area), xml(one.name), one.seconds,
                           one.body.empty() ? "/>" : ">" + one.body + "</testcase>");
    return out + "  </testsuite>\n</testsuites>\n";
}

} // namespace runbook::report
