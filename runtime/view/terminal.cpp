// Lines for people (contract in view.h). Two parts: what has happened is written once and stays;
// what runs is a few lines below it that are erased and drawn again. On a terminal that cannot
// redraw, only the first part is written, and a step that is silent for two seconds gets a line of
// its own.
#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/lines.h"
#include "runtime/view/words.h"

#include <fmt/format.h>
#include <map>
#include <set>

namespace runbook::view {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::size_t output_kept = 10, running_shown = 8;

class TerminalView : public EventSink {
  public:
    TerminalView(Output& output, Settings settings)
        : output_(output), settings_(std::move(settings)) {}

    void on_event(const journal::Event& event) override;
    void on_history(const journal::Event& event) override {
        model_.apply(event);
        known_from_history_ = true;
    }
    void on_progress(const std::string& step, const ProgressReport& report) override {
        works_[step].rate.add(settings_.now(), report);
        works_[step].reported = true;
    }
    void on_output(const std::string& step, std::string_view stream,
                   std::string_view text) override;
    void tick() override;
    void suspend() override {
        flush(false);
        suspended_ = true;
    }
    void resume() override {
        suspended_ = false;
        flush(true);
    }

  private:
    struct Work {
        RateMeter rate;
        std::deque<std::string> output;
        bool reported = false;
        std::int64_t announced = 0; ///< without redrawing: when it was last mentioned
    };

    std::size_t columns() const {
        return static_cast<std::size_t>(std::max(0, settings_.columns()));
    }
    Layout layout() const { return Layout::of(model_, settings_.columns()); }
    void say(const Lines& lines);
    void say_row(std::string_view symbol, const journal::Event& event, const std::string& took,
                 const std::string& detail, bool estimate = true);
    void say_failure(const Item& item);
    void say_note(std::string_view symbol, const std::string& words);
    void say_phase(const journal::Event& event);
    void show_run(const journal::Event& event);
    void show_step(const journal::Event& event);
    void show_question(const journal::Event& event);
    void show_rollback(const journal::Event& event);
    void show_note(const journal::Event& event);
    Lines live_lines() const;
    void announce();
    void flush(bool draw);
    std::string paint(const std::string& line) const;

    Output& output_;
    Settings settings_;
    Model model_;
    std::map<std::string, Work> works_;
    std::set<std::string> phases_;
    std::string pending_; ///< lines that stay, not yet written
    std::string drawn_;   ///< what stands below them now
    std::size_t drawn_lines_ = 0;
    std::int64_t written_ = 0; ///< when the last lasting line was written
    bool suspended_ = false, ended_ = false, known_from_history_ = false, failure_shown_ = false;
};

void TerminalView::say(const Lines& lines) {
    for (const std::string& line : lines)
        pending_ += paint(harmless(redact(line))) + "\n";
}

void TerminalView::say_row(std::string_view symbol, const journal::Event& event,
                           const std::string& took, const std::string& detail, bool estimate) {
    const Item* item = model_.find(event.step);
    Item unnamed;
    unnamed.name = event.step.empty() ? "run" : event.step;
    say(row(layout(), symbol, item ? *item : unnamed, took, harmless(detail), estimate));
}

void TerminalView::say_failure(const Item& item) {
    say(failure_lines(model_, item, works_[item.name].output, settings_, columns()));
    failure_shown_ = true;
}

/// The heading of the phase that the event's step belongs to, once.
void TerminalView::say_phase(const journal::Event& event) {
    std::string phase;
    for (const Item& item : model_.items) {
        if (item.kind == "phase")
            phase = item.name;
        if (item.name == event.step)
            break;
    }
    if (phase.empty() || !phases_.insert(phase).second)
        return;
    say({"", phase});
}

void TerminalView::show_run(const journal::Event& event) {
    if (event.event == "run.started")
        say(header_lines(model_, settings_, columns()));
    if (event.event == "run.resumed") {
        if (known_from_history_)
            say(header_lines(model_, settings_, columns()));
        std::string line = "resumed by " + person(event.data.text("by"), event.data.text("host"));
        if (const std::size_t done = model_.count(Status::done))
            line += fmt::format(" · {} of {} done before", done, model_.items.size());
        say({line, ""});
    }
    if (event.event == "run.held") {
        say({""});
        say_note("‖", "held: " + event.data.text("why"));
        if (const auto names = not_started(model_); !names.empty())
            say(wrap("not started: " + some_of(names, 6), columns(), "  "));
    }
    if (event.event == "run.paused")
        say_note("‖", event.data.text("why") + "; " + event.data.text("resume") + " goes on");
    if (event.event == "run.continued")
        say_note("▸", event.data.text("why"));
    if (event.event == "run.resumed")
        ended_ = false;
    if ((event.event == "run.finished" || event.event == "run.held") && !ended_) {
        ended_ = true;
        say(closing_lines(model_, settings_, columns()));
    }
}

void TerminalView::show_step(const journal::Event& event) {
    const Map& data = event.data;
    const Item* item = model_.find(event.step);
    if (!item || event.event == "step.captured")
        return;
    say_phase(event);
    const std::string took = text::clock(item->elapsed_s);
    if (event.event == "step.finished" && item->kind != "checkpoint")
        say_row("✓", event, took, detail_of(*item));
    if (event.event == "checkpoint.judged" && item->status == Status::done)
        say_row("✓", event, took, detail_of(*item));
    if (event.event == "checkpoint.judged" && item->status == Status::failed) {
        say_row("✗", event, took, item->verdict + (item->why.empty() ? "" : ": " + item->why));
        say_failure(*item);
    }
    if (event.event == "step.failed") {
        say_row("✗", event, took,
                item->error.kind.empty() ? "failed" : "failed: " + item->error.kind);
        say_failure(*item);
    }
    if (event.event == "step.skipped")
        say_row("–", event, "", item->why.empty() ? "skipped" : "skipped: " + item->why);
    if (event.event == "step.retried")
        say_row("↻", event, "", data.text("why"));
    if (event.event == "step.in_doubt")
        say_row("?", event, "",
                "in doubt: " + data.text("state") + (item->why.empty() ? "" : ", " + item->why));
    if (event.event == "attempt.failed") {
        const Value* error = data.find("error");
        const Map* map = error ? error->get<Map>() : nullptr;
        std::string detail =
            fmt::format("attempt {} of {}: ", data.integer("attempt"), data.integer("of")) +
            (map ? error_words(error_info(*map)) : data.text("error"));
        if (data.contains("retry_in_s"))
            detail += ", again in " + text::duration(data.number("retry_in_s"));
        say_row("↻", event, text::clock(static_cast<double>(event.micros - item->started) / 1e6),
                detail);
    }
}

void TerminalView::show_question(const journal::Event& event) {
    if (model_.questions.empty())
        return;
    const Question* question = nullptr;
    for (const Question& one : model_.questions)
        if (one.step == event.step)
            question = &one;
    if (!question)
        return;
    say_phase(event);
    const double waited = static_cast<double>(event.micros - question->asked) / 1e6;
    if (event.event == "gate.opened" || event.event == "decision.asked") {
        std::string detail = question->ask;
        const std::string who = question->title.empty() ? question->role : question->title;
        if (!who.empty())
            detail += (detail.empty() ? "" : " – ") + who;
        if (!question->deadline.empty())
            detail += ", until " + clock_of(question->deadline) + " UTC";
        if (!question->otherwise.empty())
            detail += ", otherwise " + question->otherwise;
        say_row("◆", event, "waits", detail, false);
        const std::string subject =
            question->confirm ? event.step + ": " + question->ask : event.step;
        if (question->kind == "gate")
            say({"      runbook " + std::string(question->confirm ? "confirm " : "approve ") +
                 model_.run + " " + text::shell_quote(subject)});
        return;
    }
    if (event.event == "gate.expired") {
        say_row("✗", event, text::clock(waited), "no answer in time: " + question->otherwise,
                false);
        return;
    }
    const bool approved = question->answer == "approve", rejected = question->answer == "reject";
    say_row(rejected ? "✗" : "✓", event, text::clock(waited),
            (approved   ? "approved"
             : rejected ? "rejected"
                        : "decided: " + question->answer) +
                std::string(" by ") + person(question->by, question->via),
            false);
}

void TerminalView::show_rollback(const journal::Event& event) {
    const Item* item = model_.find(event.step);
    if (event.event == "rollback.started")
        say(rollback_lines(model_, columns(), !failure_shown_));
    if (!item)
        return;
    if (event.event == "undo.finished")
        say_row("↩", event, text::clock(item->undo_s), item->undo_why, false);
    if (event.event == "undo.kept")
        say_row("·", event, "", "kept" + (item->undo_why.empty() ? "" : ": " + item->undo_why),
                false);
    if (event.event == "undo.failed") {
        say_row("✗", event, "", "undo failed", false);
        say_failure(*item);
    }
}

/// A symbol and words; further lines begin below the words, so that no text can pass for a line of
/// the view.
void TerminalView::say_note(std::string_view symbol, const std::string& words) {
    Lines lines = wrap(words, columns(), "    ");
    lines.front().replace(0, 4, "  " + std::string(symbol) + " ");
    say(lines);
}

void TerminalView::show_note(const journal::Event& event) {
    const Map& data = event.data;
    if (const std::string words = people_words(event); !words.empty()) {
        if (event.step.empty())
            say_note("◆", words);
        else
            say_row(event.event == "answer.refused" ? "!" : "◆", event, "", words, false);
        return;
    }
    if (event.event == "repair.started")
        say_note("▸", "repair: " + data.text("why", event.step));
    if (event.event == "repair.finished")
        say_note("✓", "repair finished, judging again");
    if (event.event == "notify.sent") {
        const std::string channel = data.text("channel");
        say_note("»", (channel.empty() || channel == "console" ? "" : channel + ": ") +
                          data.text("text"));
    }
    if (event.event == "notify.failed")
        say_note("!",
                 "not told, " + data.text("channel") + ": " + model_.notifications.back().error);
    if (event.event == "goal.judged" && !model_.goals.empty())
        say_note(goal_sign(model_.goals.back()), goal_words(model_.goals.back()));
    if (event.event == "monitor.breached")
        say_note("!", breach_words(event));
    if (event.event == "monitor.started" || event.event == "monitor.resumed" ||
        event.event == "monitor.ended")
        say_note(event.event == "monitor.ended" ? "✓" : "▸",
                 "monitor " + event.step + ": " + data.text("why"));
    if (event.event == "control.taken" || event.event == "control.refused")
        say_note(event.event == "control.taken" ? "»" : "!",
                 data.text("why") + ", from another terminal");
    if (event.event == "statement.cancelled" && data.integer("count") > 0)
        say_note("!", "statement cancelled in the server: " + data.text("why"));
    if (event.event == "redo.started")
        say_note("↩", "back to " + data.text("to") + ": " + data.text("why"));
    if (event.event == "redo.finished")
        say_note("▸", data.text("why"));
    if (event.event == "followup.scheduled" || event.event == "followup.missed" ||
        event.event == "notice.missed" || event.event == "task.opened" ||
        event.event == "detach.postponed" || event.event == "reminder.posted")
        say_note(event.event == "followup.scheduled" || event.event == "task.opened" ? "…" : "!",
                 data.text("why"));
    const bool only_begins =
        event.event == "substep.started" || event.event == "substep.undo_started";
    if (const std::string part = part_words(event); !part.empty() && !only_begins)
        say_note(event.event == "substep.finished"   ? "✓"
                 : event.event == "substep.undone"   ? "↩"
                 : event.event == "substep.in_doubt" ? "?"
                 : event.event == "substep.failed"   ? "✗"
                                                     : "·",
                 part);
    if (event.event == "log") {
        const std::string level = data.text("level", "info");
        const bool plain = level == "info" || level == "debug";
        say_note(plain ? " " : "!", (plain ? "" : level + ": ") + data.text("text"));
    }
    if (event.event.ends_with(".waived"))
        say_row("–", event, "",
                "waived by " + person(data.text("by"), data.text("via")) + ": " + data.text("why"),
                false);
}

void TerminalView::on_event(const journal::Event& event) {
    model_.apply(event);
    const std::string& name = event.event;
    // What people did and has words of its own is a note, whatever it is about.
    const std::string_view kind = people_words(event).empty() ? std::string_view(name) : "";
    if (name == "plan") {
        say(window_lines(model_, columns()));
        say({""});
    } else if (name.starts_with("run.")) {
        show_run(event);
    } else if (kind.starts_with("gate.") || kind.starts_with("decision.")) {
        show_question(event);
    } else if (kind.starts_with("rollback.") || kind.starts_with("undo.")) {
        show_rollback(event);
    } else if (kind.starts_with("step.") || kind.starts_with("checkpoint.") ||
               kind.starts_with("attempt.")) {
        show_step(event);
    } else {
        show_note(event);
    }
    const Item* item = model_.find(event.step);
    if (item && item->status != Status::running && item->undo != Undo::running)
        works_.erase(event.step);
    flush(true);
}

/// The end of the text with as many lines as are kept.
std::string_view last_lines(std::string_view text) {
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    std::size_t begin = text.size();
    for (std::size_t i = 0; i < output_kept && begin != std::string_view::npos; ++i)
        begin = begin == 0 ? std::string_view::npos : text.rfind('\n', begin - 1);
    return begin == std::string_view::npos ? text : text.substr(begin + 1);
}

void TerminalView::on_output(const std::string& step, std::string_view stream,
                             std::string_view text) {
    auto& kept = works_[step].output;
    each_line(last_lines(text), [&](std::string_view line) {
        kept.push_back(harmless(std::string(line)));
        if (kept.size() > output_kept)
            kept.pop_front();
    });
}

void TerminalView::tick() {
    if (suspended_ || ended_)
        return;
    if (settings_.live)
        flush(true);
    else
        announce();
}

/// Without redrawing: a running step that nobody has heard of for a while.
void TerminalView::announce() {
    const std::int64_t now = settings_.now();
    for (const Item& item : model_.items) {
        const bool undoing = item.undo == Undo::running;
        if ((item.status != Status::running && !undoing) || item.kind == "monitor")
            continue;
        Work& work = works_[item.name];
        const std::int64_t silent = now - std::max({work.announced, item.started, written_});
        if (silent < (work.announced ? 10 : 2) * second)
            continue;
        work.announced = now;
        say(row(layout(), undoing ? "↩" : "▸", item,
                text::clock(static_cast<double>(now - item.started) / 1e6),
                work.reported ? progress_words(work.rate, 12) : "still running", !undoing));
    }
    flush(false);
}

Lines TerminalView::live_lines() const {
    Lines out;
    const std::int64_t now = settings_.now();
    const Layout widths = layout();
    std::size_t running = 0;
    for (const Item& item : model_.items) {
        const bool undoing = item.undo == Undo::running;
        if ((item.status != Status::running && !undoing) || item.kind == "gate" ||
            running == running_shown)
            continue;
        ++running;
        const auto work = works_.find(item.name);
        std::string detail;
        if (work != works_.end() && work->second.reported)
            detail = progress_words(work->second.rate, 16);
        for (const std::string& line :
             row(widths, undoing ? "↩" : "▸", item,
                 undoing ? "" : text::clock(static_cast<double>(now - item.started) / 1e6), detail,
                 !undoing))
            out.push_back(line);
        if (work != works_.end() && detail.empty() && !work->second.output.empty())
            out.push_back("      | " + work->second.output.back());
    }
    std::size_t shown = 0, waiting = 0;
    for (const Item& item : model_.items) {
        if (item.status != Status::waiting || item.on == "rollback" || item.kind == "phase" ||
            model_.went_back())
            continue;
        if (++waiting > 2)
            continue;
        const Lines next = row(widths, " ", item, "", outlook(model_, item, now));
        out.push_back(next.front());
        ++shown;
    }
    if (waiting > shown)
        out.push_back(fmt::format("    … and {} more", waiting - shown));
    for (std::string& line :
         text::split(status_words(model_, now, columns() > 1 ? columns() - 1 : 79), '\n'))
        out.push_back(std::move(line));
    return out;
}

/// Writes what is pending, and below it, where that can be redrawn, what runs now: in one piece, so
/// that nothing flickers.
void TerminalView::flush(bool draw) {
    std::string live;
    std::size_t live_count = 0;
    if (draw && settings_.live && !suspended_ && !ended_ && model_.started) {
        const std::size_t width =
            columns() > 1 ? columns() - 1 : 79; // a full line would wrap and spoil the count
        for (const std::string& line : live_lines()) {
            live += paint(text::ellipsize(harmless(redact(line)), width)) + "\n";
            ++live_count;
        }
    }
    if (pending_.empty() && live == drawn_)
        return;
    std::string all;
    if (drawn_lines_)
        all = fmt::format("\r\x1b[{}A\x1b[J", drawn_lines_);
    if (!pending_.empty())
        written_ = settings_.now();
    all += std::exchange(pending_, {}) + live;
    drawn_ = std::move(live);
    drawn_lines_ = live_count;
    output_.write(all);
}

/// Colour repeats what the symbol says already.
std::string TerminalView::paint(const std::string& line) const {
    std::string shown = settings_.unicode ? line : in_ascii(line);
    if (!settings_.colour)
        return shown;
    struct Paint {
        std::string_view start, code;
    };
    static constexpr std::array<Paint, 11> paints = {{{"  ✓", "32"},
                                                      {"  ✗", "1;31"},
                                                      {"  ▸", "36"},
                                                      {"  ↩", "33"},
                                                      {"  ↻", "33"},
                                                      {"  ?", "1;33"},
                                                      {"  ◆", "1;36"},
                                                      {"  ‖", "1;33"},
                                                      {"  !", "33"},
                                                      {"on track", "32"},
                                                      {"LATE", "1;31"}}};
    for (const Paint& one : paints) {
        const std::string start = settings_.unicode ? std::string(one.start) : in_ascii(one.start);
        if (line.starts_with(one.start) && shown.starts_with(start))
            return "\x1b[" + std::string(one.code) + "m" + start + "\x1b[0m" +
                   shown.substr(start.size());
    }
    return shown;
}

} // namespace

std::unique_ptr<EventSink> terminal_view(Output& output, Settings settings) {
    if (!settings.now)
        settings.now = time::now_micros;
    return std::make_unique<TerminalView>(output, std::move(settings));
}

} // namespace runbook::view
