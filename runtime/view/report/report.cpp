// The report as JSON, and reports by name (contract in report.h).
#include "runtime/view/report/report.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/report/facts.h"

#include <map>

namespace runbook::report {
namespace {

List strings(const std::vector<std::string>& texts) {
    return {texts.begin(), texts.end()};
}

Value at(std::int64_t micros) {
    return micros ? Value(time::iso_millis(micros)) : Value();
}

Value item_json(const view::Item& item) {
    Map out{
        {"name", item.name},           {"kind", item.kind},           {"owner", item.owner},
        {"status", status_word(item)}, {"started", at(item.started)}, {"ended", at(item.ended)},
        {"elapsed_s", item.elapsed_s}, {"takes_s", item.takes_s},     {"attempts", item.attempts},
        {"detail", item.detail},       {"way_back", item.way_back},   {"undo", undo_words(item)}};
    if (!item.verdict.empty())
        out.set("verdict", item.verdict);
    if (!item.why.empty())
        out.set("why", item.why);
    if (!item.error.message.empty())
        out.set("error", Map{{"kind", item.error.kind},
                             {"message", item.error.message},
                             {"hint", item.error.hint},
                             {"where", item.error.where()}});
    out.set("result", item.result);
    return out;
}

Value monitor_json(const view::Monitor& monitor) {
    List series, breaches;
    for (const view::Series& one : monitor.series) {
        List samples;
        for (const auto& [micros, value] : one.samples)
            samples.push_back(List{time::iso_millis(micros), value});
        List limits, missing;
        for (const view::Limit& limit : one.limits)
            limits.push_back(Map{{"value", limit.value}, {"severity", limit.severity}});
        for (const std::int64_t micros : one.gaps)
            missing.emplace_back(time::iso_millis(micros));
        series.push_back(Map{{"metric", one.metric},
                             {"unit", one.unit},
                             {"limit", one.limits.empty() ? Value() : one.limits.front().value},
                             {"limits", std::move(limits)},
                             {"missing", std::move(missing)},
                             {"samples", std::move(samples)}});
    }
    for (const view::Breach& one : monitor.breaches)
        breaches.push_back(Map{{"at", time::iso_millis(one.micros)},
                               {"metric", one.metric},
                               {"why", one.why},
                               {"verdict", one.verdict}});
    return Map{
        {"name", monitor.name}, {"series", std::move(series)}, {"breaches", std::move(breaches)}};
}

Value question_json(const view::Question& one) {
    return Map{{"step", one.step},      {"kind", one.kind},       {"ask", one.ask},
               {"role", one.role},      {"asked", at(one.asked)}, {"answered", at(one.answered)},
               {"answer", one.answer},  {"by", one.by},           {"via", one.via},
               {"expired", one.expired}};
}

} // namespace

std::string json(const std::vector<journal::Event>& events, const Options& options) {
    const view::Model model = model_of(events, options);
    const Facts facts = facts_of(model);
    List items, questions, all;
    for (const view::Item& item : model.items)
        items.push_back(item_json(item));
    for (const view::Question& one : model.questions)
        questions.push_back(question_json(one));
    for (const journal::Event& event : events) {
        Value value = redact(journal::to_json(event));
        if (Map* map = value.get<Map>(); map && !event.hash.empty())
            map->set("hash", event.hash);
        all.push_back(std::move(value));
    }
    Map window{{"from", model.window_from}, {"to", model.window_to}};
    window.set("target_s", model.window_target_s).set("max_s", model.window_max_s);
    window.set("spent_s", model.downtime_s() < 0 ? Value() : Value(model.downtime_s()));
    Map out{{"run", model.run},
            {"playbook", model.playbook},
            {"summary", model.summary},
            {"file", model.file},
            {"env", model.env},
            {"initiator", model.initiator},
            {"host", model.host},
            {"version", model.version},
            {"outcome", model.outcome.empty() ? "unfinished" : model.outcome},
            {"exit", model.exit < 0 ? Value() : Value(model.exit)},
            {"why", model.why},
            {"started", at(model.started)},
            {"ended", at(model.ended)},
            {"elapsed_s", static_cast<double>(model.last - model.started) / 1e6},
            {"window", window},
            {"params", model.params},
            {"decided", strings(facts.decided)},
            {"waived", strings(facts.waived)},
            {"kept", strings(facts.kept)},
            {"open", strings(facts.open)},
            {"steps", std::move(items)},
            {"questions", std::move(questions)}};
    if (model.went_back())
        out.set("rollback", Map{{"why", model.rollback.why},
                                {"way", model.rollback.way},
                                {"elapsed_s", model.rollback.elapsed_s},
                                {"within_s", model.rollback.within_s},
                                {"met", model.rollback.met}});
    List goals, monitors;
    for (const view::Goal& one : model.goals)
        goals.push_back(Map{{"name", one.name},
                            {"target", one.target},
                            {"actual", one.actual},
                            {"met", one.known ? Value(one.met) : Value()}});
    for (const view::Monitor& one : model.monitors)
        monitors.push_back(monitor_json(one));
    out.set("goals", std::move(goals)).set("monitors", std::move(monitors));
    if (options.audited)
        out.set("chain", options.altered ? Value(*options.altered) : Value("whole"));
    out.set("events", std::move(all));
    return json::dump(out, 2) + "\n";
}

std::function<std::string(const std::string&, int)> pinned_source(const Map& pinned) {
    std::map<std::string, std::string> texts = {{pinned.text("file"), pinned.text("source")}};
    const Value* modules = pinned.find("modules");
    if (const List* list = modules ? modules->get<List>() : nullptr)
        for (const Value& value : *list)
            if (const Map* one = value.get<Map>())
                texts.emplace(one->text("path"), one->text("text"));
    return [texts = std::move(texts)](const std::string& file, int line) {
        const auto found = texts.find(file);
        if (found == texts.end() || line < 1)
            return std::string();
        const auto lines = text::split(found->second, '\n');
        const auto at = static_cast<std::size_t>(line) - 1;
        return at < lines.size() ? redact(lines[at]) : std::string();
    };
}

std::string render(const std::string& format, const std::vector<journal::Event>& events,
                   const Options& options) {
    if (format == "html")
        return html(events, options);
    if (format == "md" || format == "markdown")
        return markdown(events, options);
    if (format == "json")
        return json(events, options);
    if (format == "junit")
        return junit(events, options);
    const std::vector<std::string> names = {"html", "md", "json", "junit", "markdown"};
    throw Error("usage",
                "--format: unknown form '" + redact(format) + "'" +
                    text::did_you_mean(format, names),
                "use html, md, json or junit");
}

std::string file_name(const std::string& playbook, const std::string& run,
                      const std::string& format) {
    std::string out = (playbook.empty() ? "run" : playbook) + "-" + run.substr(run.rfind('-') + 1);
    for (char& c : out) {
        const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        c = safe ? c : '_';
    }
    if (out.front() == '.')
        out.front() = '_';
    return out + "." + (format == "markdown" ? "md" : format == "junit" ? "xml" : format);
}

} // namespace runbook::report
