// `runbook approve`, `reject`, `confirm`, `waive` and `answer`: what people say to a run, through
// the journal. Checked here against the pinned roster, so that a refusal is told at once; the run
// checks again, and its word is what counts.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/cli/questions.h"
#include "runtime/engine/identity.h"
#include "runtime/journal/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace runbook::cli {

namespace {

struct Asking {
    std::unique_ptr<journal::Journal> journal;
    journal::RunRecord run;
    Questions questions;
    std::int64_t seq = 0; ///< newest event that was read
};

Asking open_run(const Arguments& arguments) {
    Asking out;
    out.journal = open_journal(arguments, false);
    out.run = find_run(*out.journal, arguments.positional[0]);
    if (out.run.state == journal::RunState::finished)
        throw Error("usage",
                    fmt::format("run {} has ended already: {}", out.run.run, out.run.outcome));
    const auto events = out.journal->events(out.run.run);
    out.questions = questions_of(events);
    out.seq = events.empty() ? 0 : events.back().seq;
    return out;
}

double now_s() {
    return static_cast<double>(time::now_micros()) / 1e6;
}

std::string clock(double seconds) {
    return time::iso_millis(static_cast<std::int64_t>(seconds * 1e6));
}

/// Throws where the question cannot be answered now.
void check_time(const Asking& asking, const Question& one, bool waives) {
    const bool extendable = one.kind != "decision";
    const bool late = one.until > 0 && now_s() > one.until && one.state == QuestionState::open;
    if (one.state == QuestionState::expired || late)
        throw Error(
            "usage",
            fmt::format("{}: too late: it could be answered until {}", one.label, clock(one.until)),
            extendable ? fmt::format("runbook resume {} --extend 30m asks again", asking.run.run)
                       : "");
    if (one.state == QuestionState::answered) {
        const bool old = one.valid_s > 0 && now_s() - one.answered_at > one.valid_s;
        const bool again = one.kind == "confirm" && one.ahead && old;
        // a no to an item is asked again when the run is resumed
        const bool no = one.kind == "confirm" && one.answer == "reject" && !asking.run.owner_alive;
        if (!again && !no)
            throw Error("usage", one.kind == "probe"
                                     ? one.label + " holds: there is nothing to waive"
                                     : fmt::format("{} is answered already: {} by {}", one.label,
                                                   one.answer, one.by));
    }
    if (one.state == QuestionState::not_yet && !one.ahead)
        throw Error("usage",
                    fmt::format("{} is not asked yet: the run has not come to it", one.label),
                    one.kind == "gate" ? "a gate with `at` may be approved before; the initiator "
                                         "may with --approve"
                    : waives ? "an item of a checklist with a due date may be waived before"
                             : "an item of a checklist with a due date may be confirmed before");
}

/// Answers that wait in the journal for the next resume count too.
void add_pending(Asking& asking, Question& one) {
    for (const journal::Request& request : asking.journal->requests(asking.run.run, 0)) {
        const auto& used = asking.questions.used;
        if (request.subject != one.subject || (!one.ahead && request.id <= one.floor) ||
            (request.verb != "approve" && request.verb != "confirm") ||
            request.data.text("plan") != asking.questions.plan_sha256 ||
            std::find(used.begin(), used.end(), request.id) != used.end())
            continue;
        const engine::Given given{request.by, request.data.text("as"),
                                  request.data.text("evidence"), true,
                                  static_cast<double>(request.micros) / 1e6 - one.opened};
        const engine::Right right =
            engine::right_of(one.asked, asking.questions.roster, asking.questions.initiators, given,
                             one.answers, one.label);
        if (right.refusal.empty())
            one.answers.push_back(right.answer);
    }
}

std::int64_t post(Asking& asking, const Arguments& arguments, const std::string& verb,
                  const Question& one, const std::string& answer) {
    journal::Request request;
    request.run = asking.run.run;
    request.verb = verb;
    request.subject = one.subject;
    request.by = user_name();
    for (const char* key : {"why", "evidence", "as"})
        if (arguments.has(key))
            request.data.set(key, arguments.text(key));
    if (!answer.empty())
        request.data.set("answer", answer);
    request.data.set("from", engine::current_place());
    request.data.set("plan", asking.questions.plan_sha256);
    asking.journal->post(request);
    std::int64_t id = 0;
    for (const journal::Request& found : asking.journal->requests(asking.run.run, 0))
        if (found.by == request.by && found.verb == verb && found.subject == one.subject)
            id = found.id;
    return id;
}

/// What a live run made of request `id`: true once it said so. Throws where it refused.
bool taken(Asking& asking, const Question& one, std::int64_t id, std::string& progress) {
    bool over = false;
    for (const journal::Event& event : asking.journal->events(asking.run.run, asking.seq)) {
        asking.seq = event.seq;
        const Map& data = event.data;
        if (data.integer("request") == id) {
            if (event.event == "answer.refused")
                throw Error("usage", data.text("why"));
            progress = data.text("progress");
            return true;
        }
        const bool same =
            event.step == one.step &&
            (one.kind != "confirm" || one.subject == one.step + ": " + data.text("item"));
        over = over ||
               (same && (event.event == "gate.expired" || event.event == "gate.answered" ||
                         event.event == "decision.answered")) ||
               event.event == "run.finished";
    }
    if (over)
        throw Error("usage", fmt::format("{}: too late: it was settled meanwhile", one.label),
                    fmt::format("runbook show {}", asking.run.run));
    return false;
}

/// Waits a moment for the run's word; a run that nobody holds gives none.
std::string settle(Asking& asking, const Question& one, std::int64_t id) {
    std::string progress;
    if (!asking.run.owner_alive || one.state != QuestionState::open)
        return progress;
    const double until = time::monotonic() + 3;
    while (!taken(asking, one, id, progress) && time::monotonic() < until)
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return progress;
}

void note_unchecked(const engine::Right& right, const Question& one) {
    if (!right.answer.checked && !one.asked.roles.empty())
        fmt::print(
            stderr, "note: not checked: runbook.toml has no people for role {}\n",
            text::join(right.answer.roles.empty() ? one.asked.roles : right.answer.roles, " or "));
}

void note_held(const Asking& asking) {
    if (!asking.run.owner_alive)
        fmt::print("nobody runs it now: runbook resume {}\n", asking.run.run);
}

int say(const Arguments& arguments, const std::string& verb, const char* done,
        const std::vector<std::string>& kinds) {
    Asking asking = open_run(arguments);
    Question& one = asking.questions.find(asking.run.run, arguments.positional[1], kinds);
    check_time(asking, one, false);
    add_pending(asking, one);
    const engine::Given given{user_name(), arguments.text("as"), arguments.text("evidence"),
                              verb != "reject", now_s() - (one.opened > 0 ? one.opened : now_s())};
    const engine::Right right =
        engine::right_of(one.asked, asking.questions.roster, asking.questions.initiators, given,
                         one.answers, one.label);
    if (!right.refusal.empty())
        throw Error("usage", right.refusal);
    const std::int64_t id = post(asking, arguments, verb, one, "");
    std::string progress = settle(asking, one, id);
    if (verb != "reject" && progress.empty() && !asking.run.owner_alive) {
        one.answers.push_back(right.answer);
        const engine::Tally tally = engine::tally(one.asked, asking.questions.roster,
                                                  asking.questions.initiators, one.answers);
        if (!tally.enough)
            progress = tally.words();
    }
    fmt::print("{} {} as {}{}\n", done, one.subject, given.by,
               progress.empty() ? "" : " (" + progress + ")");
    note_unchecked(right, one);
    note_held(asking);
    return 0;
}

std::string loss_words(const Value& loses) {
    const Map* map = loses.get<Map>();
    const Value* rows = map ? map->find("rows") : nullptr;
    if (!rows)
        return {};
    if (const auto* count = rows->get<std::int64_t>())
        return fmt::format("a rollback from here loses {} rows", text::grouped(*count));
    if (const auto* number = rows->get<double>())
        return fmt::format("a rollback from here loses {} rows",
                           text::grouped(static_cast<std::int64_t>(*number)));
    return "a rollback from here loses an unknown number of rows";
}

} // namespace

int run_approve(const Context&, const Arguments& arguments) {
    return say(arguments, "approve", "approved", {"gate", "manual"});
}

int run_reject(const Context&, const Arguments& arguments) {
    return say(arguments, "reject", "rejected", {"gate", "manual", "confirm"});
}

int run_confirm(const Context&, const Arguments& arguments) {
    return say(arguments, "confirm", "confirmed", {"confirm", "manual"});
}

int run_waive(const Context&, const Arguments& arguments) {
    if (text::trim(arguments.text("why")).empty())
        throw Error("usage", "waive: --why is missing: a reason is required",
                    "it stands in the journal and in the report");
    Asking asking = open_run(arguments);
    Question& one =
        asking.questions.find(asking.run.run, arguments.positional[1], {"confirm", "probe"});
    check_time(asking, one, true);
    engine::Names answered;
    for (const engine::Answer& answer : one.answers)
        answered.push_back(answer.by);
    const engine::Right right = engine::right_to_waive(
        one.asked, asking.questions.roster, {user_name(), arguments.text("as"), "", true, 0},
        answered, one.label);
    if (!right.refusal.empty())
        throw Error("usage", right.refusal);
    const std::int64_t id = post(asking, arguments, "waive", one, "");
    if (one.kind == "confirm")
        settle(asking, one, id);
    fmt::print("waived {} as {}\n", one.subject, user_name());
    note_held(asking);
    return 0;
}

int run_answer(const Context&, const Arguments& arguments) {
    const std::vector<std::string> known = {"rollback", "hold", "go-on"};
    const std::string& word = arguments.positional[1];
    if (std::find(known.begin(), known.end(), word) == known.end())
        throw Error(
            "usage",
            fmt::format("answer: '{}' is no decision{}", word, text::did_you_mean(word, known)),
            "rollback, hold or go-on");
    Asking asking = open_run(arguments);
    Question* one = asking.questions.decision();
    if (!one)
        throw Error("usage", fmt::format("run {} asks for no decision now", asking.run.run),
                    fmt::format("runbook show {} says where it is; a gate is answered with approve "
                                "or reject",
                                asking.run.run));
    check_time(asking, *one, false);
    const engine::Given given{user_name(), arguments.text("as"), "", true, now_s() - one->opened};
    const engine::Right right = engine::right_of(
        one->asked, asking.questions.roster, asking.questions.initiators, given, {}, one->label);
    if (!right.refusal.empty())
        throw Error("usage", right.refusal);
    fmt::print("{}\n", one->why);
    if (const std::string lost = loss_words(one->loses); !lost.empty())
        fmt::print("{}\n", lost);
    const std::string answer = word == "go-on" ? "go_on" : word;
    settle(asking, *one, post(asking, arguments, "answer", *one, answer));
    fmt::print("answered {} as {}\n", word, given.by);
    note_unchecked(right, *one);
    note_held(asking);
    return 0;
}

} // namespace runbook::cli
