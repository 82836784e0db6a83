// One stamped line per event, for logs (contract in view.h): "2026-11-20T22:00:04.123Z
// step.finished copy: …". No escapes, no wrapping, nothing that is not in the event; progress at
// most every ten seconds.
#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/lines.h"
#include "runtime/view/words.h"

#include <map>

namespace runbook::view {
namespace {

class PlainView : public EventSink {
  public:
    PlainView(Output& output, Settings settings)
        : output_(output), settings_(std::move(settings)) {}

    void on_event(const journal::Event& event) override {
        model_.apply(event);
        if (event.event == "monitor.sampled")
            return; // the report shows its course; a line each would bury the rest
        write(event.micros, event.event, event.step, words(event));
        if (event.event == "step.failed" || event.event == "undo.failed" ||
            (event.event == "checkpoint.judged" && !event.data.boolean("passed")))
            write_failure(event);
        if (event.event == "run.finished" || event.event == "run.held")
            for (const std::string& line : closing_lines(model_, settings_, 0))
                if (!line.empty())
                    write(event.micros, "summary", "", line);
    }
    void on_history(const journal::Event& event) override { model_.apply(event); }

    void on_progress(const std::string& step, const ProgressReport& report) override {
        const std::int64_t now = settings_.now();
        Work& work = works_[step];
        work.rate.add(now, report);
        constexpr std::int64_t apart = 10'000'000;
        if (now - work.written < apart)
            return;
        work.written = now;
        write(now, "progress", step, progress_words(work.rate, 0));
    }

    void on_output(const std::string& step, std::string_view stream,
                   std::string_view text) override {
        const std::string_view name = stream == "stderr" ? "stderr" : "output";
        const std::string before = harmless(redact(stamped(settings_.now(), name, step))) + ": ";
        std::string all;
        each_line(harmless(text),
                  [&](std::string_view line) { all.append(before).append(line) += '\n'; });
        output_.write(settings_.unicode ? all : in_ascii(all));
    }

  private:
    struct Work {
        RateMeter rate;
        std::int64_t written = 0;
    };

    std::string words(const journal::Event& event) const;
    std::string step_words(const journal::Event& event, const Item& item) const;

    void write_failure(const journal::Event& event) {
        const Item* item = model_.find(event.step);
        if (!item)
            return;
        for (const std::string& line : failure_lines(model_, *item, {}, settings_, 0))
            if (!line.empty())
                write(event.micros, "failure", event.step, line);
    }

    static std::string stamped(std::int64_t micros, std::string_view name,
                               const std::string& step) {
        return time::iso_millis(micros) + " " + std::string(name) +
               (step.empty() ? "" : " " + step);
    }

    void write(std::int64_t micros, std::string_view name, const std::string& step,
               const std::string& words) {
        std::string line = stamped(micros, name, step);
        if (!words.empty())
            line += ": " + words;
        line = harmless(redact(line));
        for (std::size_t at = 0; (at = line.find('\n', at)) != std::string::npos;)
            line.replace(at, 1, " / ");
        output_.write((settings_.unicode ? line : in_ascii(line)) + "\n");
    }

    Output& output_;
    Settings settings_;
    Model model_;
    std::map<std::string, Work> works_;
};

std::string PlainView::step_words(const journal::Event& event, const Item& item) const {
    const Map& data = event.data;
    const std::string took = "in " + text::clock(item.elapsed_s);
    if (event.event == "step.started")
        return wrap_parts({item.owner,
                           item.takes_s > 0 ? text::duration(item.takes_s) + " planned" : "",
                           item.attempts > 1 ? "attempt " + std::to_string(item.attempts) : ""},
                          0, "");
    if (event.event == "step.finished")
        return wrap_parts({took, detail_of(item)}, 0, "");
    if (event.event == "step.failed")
        return wrap_parts({took, error_words(item.error)}, 0, "");
    if (event.event == "checkpoint.judged")
        return wrap_parts({item.status == Status::done ? "passed" : "did not pass: " + item.verdict,
                           item.why, took, item.status == Status::done ? detail_of(item) : ""},
                          0, "");
    if (event.event == "attempt.failed") {
        const Value* error = data.find("error");
        const Map* map = error ? error->get<Map>() : nullptr;
        return wrap_parts({"attempt " + std::to_string(data.integer("attempt")) + " of " +
                               std::to_string(data.integer("of")),
                           map ? error_words(error_info(*map)) : data.text("error"),
                           data.contains("retry_in_s")
                               ? "again in " + text::duration(data.number("retry_in_s"))
                               : ""},
                          0, "");
    }
    if (event.event == "step.retried")
        return data.text("why");
    if (event.event == "step.skipped")
        return item.why;
    if (event.event == "step.in_doubt")
        return wrap_parts({data.text("state"), item.why}, 0, "");
    if (event.event == "undo.finished")
        return wrap_parts({"in " + text::clock(item.undo_s), item.undo_why}, 0, "");
    if (event.event == "undo.kept")
        return item.undo_why;
    return {};
}

std::string PlainView::words(const journal::Event& event) const {
    const Map& data = event.data;
    const std::string& name = event.event;
    const Item* item = model_.find(event.step);
    if (item && (name.starts_with("step.") || name.starts_with("undo.") ||
                 name.starts_with("checkpoint.") || name.starts_with("attempt.")))
        return step_words(event, *item);
    if (name == "run.started")
        return wrap_parts({model_.playbook, "run " + model_.run,
                           model_.env.empty() ? "" : "env " + model_.env,
                           "journal " + model_.journal},
                          0, "");
    if (name == "run.resumed")
        return "by " + person(data.text("by"), data.text("host"));
    if (name == "plan") {
        std::vector<std::string> parts = {std::to_string(model_.items.size()) + " items"};
        for (const std::string& line : window_lines(model_, 0))
            parts.push_back(line);
        return wrap_parts(parts, 0, "");
    }
    if (name == "gate.opened" || name == "decision.asked") {
        const Question& open = model_.questions.back();
        return wrap_parts({open.ask, open.title.empty() ? open.role : open.title,
                           open.deadline.empty() ? "" : "until " + clock_of(open.deadline) + " UTC",
                           open.otherwise.empty() ? "" : "otherwise " + open.otherwise},
                          0, "");
    }
    if (std::string words = people_words(event); !words.empty())
        return words;
    if (name == "gate.answered" || name == "decision.answered")
        return data.text("answer") + " by " + person(data.text("by"), data.text("via"));
    if (name == "gate.expired")
        return "otherwise " + data.text("otherwise");
    if (name == "rollback.started") {
        std::vector<std::string> parts = {model_.rollback.why};
        for (const std::string& line : rollback_lines(model_, 0, false))
            parts.push_back(text::trim(line));
        return wrap_parts(parts, 0, "");
    }
    if (name == "rollback.finished")
        return wrap_parts({"in " + text::clock(model_.rollback.elapsed_s),
                           model_.rollback.within_s > 0
                               ? "limit " + text::duration(model_.rollback.within_s)
                               : "",
                           model_.rollback.met ? "" : "limit missed"},
                          0, "");
    if (name == "notify.sent" || name == "notify.failed")
        return wrap_parts(
            {data.text("channel"), data.text("text"), model_.notifications.back().error}, 0, "");
    if (name == "goal.judged" && !model_.goals.empty())
        return goal_words(model_.goals.back());
    if (name == "monitor.breached")
        return breach_words(event);
    if (std::string part = part_words(event); !part.empty())
        return part;
    if (name == "log")
        return data.text("level", "info") + " " + data.text("text");
    if (name == "run.held")
        return wrap_parts({model_.why, model_.resume}, 0, "");
    if (name == "run.finished")
        return outcome_words(model_);
    return data.text("why");
}

} // namespace

std::unique_ptr<EventSink> plain_view(Output& output, Settings settings) {
    if (!settings.now)
        settings.now = time::now_micros;
    return std::make_unique<PlainView>(output, std::move(settings));
}

} // namespace runbook::view
