// What is known of a run (contract in model.h).
#include "runtime/view/model.h"

#include "runtime/base/text.h"

#include <algorithm>

namespace runbook::view {
namespace {

const Map* map_at(const Map& data, std::string_view key) {
    const Value* value = data.find(key);
    return value ? value->get<Map>() : nullptr;
}

const List* list_at(const Map& data, std::string_view key) {
    const Value* value = data.find(key);
    return value ? value->get<List>() : nullptr;
}

void read_where(const Map& data, ErrorInfo& out) {
    if (const Map* where = map_at(data, "where")) {
        out.file = where->text("file");
        out.line = static_cast<int>(where->integer("line"));
        out.source = where->text("source");
        return;
    }
    const std::string text = data.text("where");
    const std::size_t colon = text.rfind(':');
    if (colon != std::string::npos) {
        out.file = text.substr(0, colon);
        out.line = std::atoi(text.c_str() + colon + 1);
    }
}

ErrorInfo error_of(const Map& data) {
    const Map* error = map_at(data, "error");
    if (error)
        return error_info(*error);
    ErrorInfo out;
    out.message = data.text("error");
    return out;
}

} // namespace

std::string ErrorInfo::where() const {
    return file.empty() || line <= 0 ? file : file + ":" + std::to_string(line);
}

ErrorInfo error_info(const Map& error) {
    ErrorInfo out;
    out.kind = error.text("kind");
    out.message = error.text("message");
    out.hint = error.text("hint");
    out.sqlstate = error.text("sqlstate");
    out.traceback = error.text("traceback");
    read_where(error, out);
    if (out.source.empty())
        out.source = error.text("source");
    return out;
}

Item* Model::find(const std::string& name) {
    return const_cast<Item*>(std::as_const(*this).find(name));
}

const Item* Model::find(const std::string& name) const {
    // Events follow the order of the items: looking goes on where the last one was found, so that a
    // long history is not searched from its start for each of its events.
    for (std::size_t i = 0; i < items.size(); ++i) {
        const std::size_t at = (last_found_ + i) % items.size();
        if (items[at].name == name) {
            last_found_ = at;
            return &items[at];
        }
    }
    return nullptr;
}

/// The item of the event; one that the plan does not know goes behind the last that has begun.
Item& Model::item(const journal::Event& event) {
    if (Item* known = find(event.step))
        return *known;
    auto last_begun = std::find_if(items.rbegin(), items.rend(),
                                   [](const Item& one) { return one.status != Status::waiting; });
    Item added;
    added.name = event.step;
    added.kind = event.data.text("kind", "step");
    added.planned = false;
    return *items.insert(last_begun.base(), std::move(added));
}

void Model::apply(const journal::Event& event) {
    last = std::max(last, event.micros);
    const std::string& name = event.event;
    if (name == "plan")
        apply_plan(event.data);
    else if (name.starts_with("run."))
        apply_run(event);
    else if (name.starts_with("gate.") || name.starts_with("decision."))
        apply_question(event);
    else if (name.starts_with("rollback.") || name.starts_with("undo."))
        apply_rollback(event);
    else if (name.starts_with("step.") || name == "checkpoint.judged" || name == "attempt.failed")
        apply_step(event);
    else if (name.starts_with("notify."))
        apply_message(event);
    else if (name == "log")
        logs.push_back(event);
    else if (apply_measure(event))
        return;
    else if (name == "approval.given")
        apply_approval(event);
    else if (name.ends_with(".waived"))
        waived.push_back(event);
}

void Model::apply_message(const journal::Event& event) {
    const Map& data = event.data;
    const std::string key = data.text("key");
    if (event.event == "notify.queued") {
        const Value* channels = data.find("channels");
        const List* list = channels ? channels->get<List>() : nullptr;
        for (const Value& channel : list ? *list : List{})
            queued.push_back(
                {event.micros, *channel.get<std::string>(), data.text("text"), "", key});
        return;
    }
    const std::string channel = data.text("channel");
    std::erase_if(queued, [&](const Notification& one) {
        return one.channel == channel && one.key == key && !key.empty();
    });
    notifications.push_back({event.micros, channel, data.text("text"),
                             event.event == "notify.failed" ? error_of(data).message : "", key});
}

void Model::apply_run(const journal::Event& event) {
    const Map& data = event.data;
    run = event.run;
    if (event.event == "run.started") {
        playbook = data.text("playbook");
        summary = data.text("summary");
        file = data.text("file");
        env = data.text("env");
        initiator = data.text("initiator");
        host = data.text("host");
        version = data.text("version");
        journal = data.text("journal");
        if (const Map* given = map_at(data, "params"))
            params = *given;
        started = event.micros;
    } else if (event.event == "run.paused") {
        paused = data.text("why", "paused");
    } else if (event.event == "run.continued") {
        paused.clear();
    } else if (event.event == "run.resumed") {
        paused.clear();
        resumed.push_back(event);
        outcome.clear();
        why.clear();
        resume.clear();
        exit = -1;
        ended = 0;
    } else if (event.event == "run.held") {
        paused.clear();
        outcome = data.text("outcome", "held");
        exit = static_cast<int>(data.integer("exit", 3));
        elapsed_s = data.number("elapsed_s", static_cast<double>(event.micros - started) / 1e6);
        window_s = data.number("window_s", -1);
        why = data.text("why");
        resume = data.text("resume");
        ended = event.micros;
    } else if (event.event == "run.finished") {
        outcome = data.text("outcome");
        exit = static_cast<int>(data.integer("exit", -1));
        elapsed_s = data.number("elapsed_s", static_cast<double>(event.micros - started) / 1e6);
        window_s = data.number("window_s", -1);
        rollback_s = data.number("rollback_s", -1);
        why = data.text("why", why);
        ended = event.micros;
    }
}

void Model::apply_plan(const Map& data) {
    if (const Map* window = map_at(data, "window")) {
        window_from = window->text("from");
        window_to = window->text("to");
        window_target_s = window->number("target_s");
        window_max_s = window->number("max_s");
    }
    rollback_within_s = data.number("rollback_within_s");
    items.clear();
    const List* list = list_at(data, "items");
    if (!list)
        return;
    for (const Value& value : *list) {
        const Map* one = value.get<Map>();
        if (!one)
            continue;
        Item added;
        added.name = one->text("name");
        added.kind = one->text("kind", "step");
        added.owner = one->text("owner");
        added.owner_title = one->text("owner_title");
        added.takes_s = one->number("takes_s");
        added.way_back = one->text("way_back");
        added.on = one->text("on");
        added.beside = one->text("beside");
        items.push_back(std::move(added));
    }
}

void Model::apply_step(const journal::Event& event) {
    const Map& data = event.data;
    Item& one = item(event);
    if (event.event == "step.started") {
        one.status = Status::running;
        if (one.attempts == 0)
            one.started = event.micros;
        one.attempts = std::max(one.attempts + 1, data.integer("attempt"));
        one.owner = data.text("owner", one.owner);
        one.error = {};
        return;
    }
    if (event.event == "attempt.failed") {
        one.attempts = std::max(one.attempts, data.integer("attempt"));
        one.retries.push_back(event.micros);
        failed_attempts.push_back(event);
        return;
    }
    if (event.event == "step.captured" || event.event == "step.retried")
        return;
    if (event.event == "step.in_doubt") {
        one.status = Status::in_doubt;
        one.why = data.text("why");
        return;
    }
    one.ended = event.micros;
    if (one.started == 0)
        one.started = event.micros;
    one.elapsed_s = data.number("elapsed_s", static_cast<double>(one.ended - one.started) / 1e6);
    one.detail = data.text("detail", one.detail);
    if (const Value* result = data.find("result"))
        one.result = *result;
    if (event.event == "step.skipped") {
        one.status = Status::skipped;
        one.why = data.text("reason");
    } else if (event.event == "step.failed") {
        one.status = Status::failed;
        one.error = error_of(data);
        one.attempts = std::max(one.attempts, data.integer("attempts"));
    } else if (event.event == "checkpoint.judged") {
        const bool passed = data.boolean("passed");
        one.status = passed ? Status::done : Status::failed;
        one.verdict = passed ? "" : data.text("verdict");
        one.why = data.text("why");
        one.error = error_of(data);
        read_where(data, one.error);
    } else if (one.kind != "checkpoint" || one.status == Status::running) {
        one.status =
            Status::done; // a checkpoint's own step.finished says nothing about its judgement
    }
}

void Model::apply_question(const journal::Event& event) {
    const Map& data = event.data;
    const bool gate = event.event.starts_with("gate.");
    if (event.event == "gate.opened" || event.event == "decision.asked") {
        Question one;
        one.step = event.step;
        one.kind = gate ? "gate" : "decision";
        one.ask = data.text(gate ? "ask" : "why");
        one.role = data.text("role");
        one.title = data.text("title");
        one.deadline = data.text("deadline");
        one.otherwise = data.text("otherwise");
        one.asked = event.micros;
        one.confirm = data.text("kind") == "confirm";
        one.item = one.confirm ? data.text("item", one.ask) : "";
        const bool whole_item = gate && !one.confirm && !event.step.empty();
        questions.push_back(std::move(one));
        if (whole_item) {
            Item& of = item(event);
            of.status = Status::running;
            of.started = event.micros;
        }
        return;
    }
    auto open = std::find_if(questions.rbegin(), questions.rend(), [&](const Question& one) {
        return one.step == event.step && (one.kind == "gate") == gate &&
               (one.item.empty() || !data.contains("item") || one.item == data.text("item"));
    });
    if (open == questions.rend()) {
        questions.push_back({});
        questions.back().step = event.step;
        questions.back().kind = gate ? "gate" : "decision";
        open = questions.rbegin();
    }
    if (event.event == "gate.escalated" || event.event == "gate.extended") {
        open->deadline = data.text("deadline");
        open->role = data.text("role", open->role);
        return;
    }
    open->answered = event.micros;
    open->evidence = data.text("evidence");
    open->from = data.text("from");
    open->why = data.text("why");
    if (const List* people = list_at(data, "people"))
        for (const Value& one : *people)
            if (const Map* map = one.get<Map>())
                open->people.push_back(map->text("by"));
    open->by = open->people.empty() ? data.text("by") : text::join(open->people, ", ");
    open->via = data.text("via");
    open->answer = data.text("answer");
    if (event.event == "gate.expired") {
        open->expired = true;
        open->otherwise = data.text("otherwise", open->otherwise);
    }
    if (gate && !open->confirm && !event.step.empty()) {
        Item& of = item(event);
        const bool approved = open->answer == "approve" || open->answer == "approved";
        of.status = approved ? Status::done : Status::failed;
        of.ended = event.micros;
        of.elapsed_s = open->asked ? static_cast<double>(event.micros - open->asked) / 1e6 : 0;
    }
}

void Model::apply_approval(const journal::Event& event) {
    for (auto one = questions.rbegin(); one != questions.rend(); ++one)
        if (one->step == event.step && one->item == event.data.text("item")) {
            one->progress = event.data.text("progress");
            return;
        }
}

void Model::apply_rollback(const journal::Event& event) {
    const Map& data = event.data;
    if (event.event == "rollback.started") {
        paused.clear();
        rollback.started = event.micros;
        rollback.why = data.text("why");
        rollback.way = data.text("way");
        rollback.within_s = data.number("within_s");
        rollback.steps.clear();
        rollback.kept.clear();
        if (const List* steps = list_at(data, "steps"))
            for (const Value& step : *steps)
                if (const auto* name = step.get<std::string>())
                    rollback.steps.push_back(*name);
        if (const List* kept = list_at(data, "kept"))
            for (const Value& value : *kept)
                if (const Map* one = value.get<Map>())
                    rollback.kept.push_back({one->text("step"), one->text("why")});
        return;
    }
    if (event.event == "rollback.finished") {
        rollback.ended = event.micros;
        rollback.elapsed_s = data.number("elapsed_s");
        rollback.within_s = data.number("within_s", rollback.within_s);
        rollback.met = data.boolean("met", true);
        return;
    }
    Item& one = item(event);
    if (event.event == "undo.started") {
        one.undo = Undo::running;
        if (one.undo_started == 0)
            one.undo_started = event.micros;
    }
    if (event.event == "undo.finished" || event.event == "undo.failed")
        one.undo_ended = event.micros;
    if (event.event == "undo.finished") {
        one.undo = Undo::done;
        one.undo_s = data.number("elapsed_s");
        one.undo_why = data.text("detail");
    }
    if (event.event == "undo.kept") {
        one.undo = Undo::kept;
        one.undo_why = data.text("why");
        const bool known = std::any_of(rollback.kept.begin(), rollback.kept.end(),
                                       [&](const Kept& kept) { return kept.step == event.step; });
        if (!known)
            rollback.kept.push_back({event.step, one.undo_why});
    }
    if (event.event == "undo.failed") {
        one.undo = Undo::failed;
        one.error = error_of(data);
        one.undo_why = one.error.message;
    }
}

std::int64_t Model::window_opened() const {
    const Item* from = find(window_from);
    return from && from->status != Status::skipped ? from->started : 0;
}

std::int64_t Model::window_closed() const {
    const Item* to = find(window_to);
    if (!window_opened())
        return 0;
    if (to && to->status == Status::done)
        return to->ended;
    const Item* from = find(window_from); // what closed traffic was undone
    return from->undo == Undo::done ? from->undo_ended : 0;
}

double Model::downtime_s() const {
    const Item* from = find(window_from);
    if (!window_opened() || from->ended == 0)
        return window_s;
    const std::int64_t end = window_closed() ? window_closed() : last;
    return static_cast<double>(end - from->ended) / 1e6;
}

std::size_t Model::count(Status status) const {
    return static_cast<std::size_t>(std::count_if(
        items.begin(), items.end(), [&](const Item& one) { return one.status == status; }));
}

std::size_t Model::retried() const {
    return static_cast<std::size_t>(std::count_if(
        items.begin(), items.end(), [](const Item& one) { return one.attempts > 1; }));
}

std::size_t Model::checkpoints(bool passed_only) const {
    return static_cast<std::size_t>(std::count_if(items.begin(), items.end(), [&](const Item& one) {
        // One that is met only on the way back counts once it was met.
        const bool met =
            one.kind == "checkpoint" && (one.on != "rollback" || one.status != Status::waiting);
        return met && (!passed_only || one.status == Status::done);
    }));
}

} // namespace runbook::view
