// What a run asks people (contract in questions.h).
#include "runtime/cli/questions.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/engine/lists.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::cli {

namespace {

using engine::list_at;

double seconds_of(const std::string& iso) {
    const auto at = time::parse(iso);
    return at ? static_cast<double>(at->micros) / 1e6 : 0;
}

class Reader {
  public:
    explicit Reader(Questions& out) : out_(out) {}

    void apply(const journal::Event& event) {
        const Map& data = event.data;
        if (data.integer("request") > 0)
            out_.used.push_back(data.integer("request"));
        if (event.event == "run.started" || event.event == "plan.changed")
            out_.initiators.push_back(
                data.text(event.event == "plan.changed" ? "by" : "initiator"));
        if (event.event == "plan" || event.event == "plan.changed")
            plan(data);
        else if (event.event == "decision.asked")
            decision_asked(event);
        else if (event.event == "decision.answered")
            close(decision(), data, event);
        else if (event.event == "checkpoint.judged" && data.text("kind") == "checklist")
            judged(event);
        else if (Question* one = subject(event))
            question(*one, event);
    }

  private:
    void add(const std::string& subject, const std::string& kind, const std::string& label,
             const std::string& step, const Map& asked) {
        Question one;
        one.subject = subject;
        one.kind = kind;
        one.label = label;
        one.step = step;
        const Value* who = asked.find("who");
        if (const Map* map = who ? who->get<Map>() : nullptr)
            one.asked = engine::Asked::from(*map);
        // what is open stays open, but what people agreed to was another plan
        for (const Question& old : before_)
            if (old.subject == subject && old.state == QuestionState::open) {
                one.state = old.state;
                one.opened = old.opened;
                one.until = old.until;
                one.floor = old.floor;
            }
        out_.all.push_back(std::move(one));
    }

    void plan(const Map& data) {
        before_ = std::move(out_.all);
        out_.all.clear();
        out_.plan_sha256 = data.text("plan_sha256");
        if (const Value* roster = data.find("roster"); roster && roster->get<Map>())
            out_.roster = engine::Roster(*roster->get<Map>());
        for (const Value& value : list_at(data, "items")) {
            const Map& item = *value.get<Map>();
            const std::string name = item.text("name"), kind = item.text("kind");
            const Value* found = item.find("people");
            const Map* people = found ? found->get<Map>() : nullptr;
            const std::string label = fmt::format("{} \"{}\"", kind, name);
            if (people && !people->contains("entries"))
                add(name, kind == "step" ? "manual" : kind, label, name, *people);
            else if (!people && kind == "gate") // a journal from before people were checked
                add(name, kind, label, name, {});
            for (const Value& value_of : people ? list_at(*people, "entries") : List{}) {
                const Map& entry = *value_of.get<Map>();
                const std::string text = entry.text("text");
                add(name + ": " + text, entry.text("kind"),
                    fmt::format("\"{}\" of {}", text, label), name, entry);
                out_.all.back().valid_s = people->number("valid_s");
            }
            if (people && people->boolean("ahead"))
                for (Question& one : out_.all)
                    if (one.step == name)
                        one.ahead = true;
        }
        before_.clear();
    }

    Question* subject(const journal::Event& event) {
        const std::string entry = event.data.text(
            "item", event.data.text("kind") == "confirm" ? event.data.text("ask") : std::string());
        const std::string name = entry.empty() ? event.step : event.step + ": " + entry;
        for (Question& one : out_.all)
            if (one.subject == name && one.kind != "decision")
                return &one;
        return nullptr;
    }

    Question* decision() { return out_.decision(); }

    static void open(Question& one, const journal::Event& event) {
        const Map& data = event.data;
        one.state = QuestionState::open;
        one.answers.clear();
        one.opened = data.number("at", static_cast<double>(event.micros) / 1e6);
        one.floor = data.integer("floor");
        if (const Value* who = data.find("who"); who && who->get<Map>())
            one.asked = engine::Asked::from(*who->get<Map>());
        one.until = one.asked.limit_s() > 0 ? one.opened + one.asked.limit_s() : 0;
    }

    void decision_asked(const journal::Event& event) {
        if (Question* old = decision())
            old->state = QuestionState::answered;
        Question one;
        one.subject = one.step = event.step;
        one.kind = "decision";
        one.label = fmt::format("the decision at \"{}\"", event.step);
        one.why = event.data.text("why");
        if (const Value* loses = event.data.find("loses"))
            one.loses = *loses;
        open(one, event);
        out_.all.push_back(std::move(one));
    }

    static void close(Question* one, const Map& data, const journal::Event& event) {
        if (!one)
            return;
        one->state = QuestionState::answered;
        one->answer = data.text("answer");
        one->by = data.text("by");
        one->answered_at = static_cast<double>(event.micros) / 1e6;
        if (const std::string given = data.text("given_at"); !given.empty())
            one->answered_at = seconds_of(given);
    }

    void question(Question& one, const journal::Event& event) {
        const Map& data = event.data;
        if (event.event == "gate.opened") {
            open(one, event);
        } else if (event.event == "approval.given") {
            one.answers.push_back(engine::answer_from(data));
        } else if (event.event == "gate.answered" || event.event == "item.waived") {
            close(&one, data, event);
            if (event.event == "item.waived")
                one.answer = "waive";
            if (list_at(data, "people").empty())
                one.answers = {engine::answer_from(data)};
        } else if (event.event == "gate.expired") {
            one.state = QuestionState::expired;
        } else if (event.event == "gate.extended") {
            for (Question& each : out_.all)
                if (each.step == one.step && each.state != QuestionState::answered) {
                    each.state = QuestionState::open;
                    each.until = seconds_of(data.text("deadline"));
                }
        } else if (event.event == "confirmation.expired") {
            one.state = QuestionState::not_yet;
            one.answers.clear();
        }
    }

    /// What was said no to is asked again when the run is resumed; a probe is looked at again.
    void judged(const journal::Event& event) {
        for (Question& one : out_.all)
            if (one.step == event.step && one.kind == "probe")
                one.state =
                    event.data.boolean("passed") ? QuestionState::answered : QuestionState::open;
    }

    Questions& out_;
    std::vector<Question> before_;
};

} // namespace

Question& Questions::find(const std::string& run, const std::string& word,
                          const std::vector<std::string>& kinds) {
    std::vector<std::string> names;
    std::vector<Question*> found;
    for (Question& one : all) {
        if (std::find(kinds.begin(), kinds.end(), one.kind) == kinds.end())
            continue;
        if (one.subject == word)
            return one;
        names.push_back(one.subject);
        if (text::lower(one.subject).find(text::lower(word)) != std::string::npos)
            found.push_back(&one);
    }
    const bool gates = kinds.front() == "gate";
    const std::string what = gates ? "gate" : "item";
    if (found.size() == 1)
        return *found.front();
    if (found.size() > 1)
        throw Error("usage",
                    fmt::format("'{}' is part of {} {}s of run {}: {}, {}{}", word, found.size(),
                                what, run, found[0]->subject, found[1]->subject,
                                found.size() > 2 ? ", …" : ""),
                    "give more of it");
    throw Error(
        "usage",
        fmt::format("run {} has no {} '{}'{}", run, what, word, text::did_you_mean(word, names)),
        names.empty() ? "" : what + "s: " + text::join(names, ", "));
}

Question* Questions::decision() {
    for (auto one = all.rbegin(); one != all.rend(); ++one)
        if (one->kind == "decision" && one->state == QuestionState::open)
            return &*one;
    return nullptr;
}

Questions questions_of(const std::vector<journal::Event>& events) {
    Questions out;
    Reader reader(out);
    for (const journal::Event& event : events)
        reader.apply(event);
    return out;
}

} // namespace runbook::cli
