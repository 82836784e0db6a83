#include "runtime/serve/overview.h"

#include "runtime/base/time.h"
#include "runtime/view/state.h"
#include "runtime/view/words.h"

#include <algorithm>

namespace runbook::serve {
namespace {

void fill(Seen& seen, const view::Model& model) {
    seen.current.clear();
    seen.done = seen.planned = 0;
    for (const view::Item& item : model.items) {
        if (item.status == view::Status::running || item.undo == view::Undo::running)
            seen.current.push_back(item.name);
        if (!item.planned)
            continue;
        ++seen.planned;
        seen.done += item.status == view::Status::done || item.status == view::Status::skipped;
    }
    seen.why = model.why;
    seen.paused = model.paused;
    seen.waits_for = seen.role = seen.deadline = "";
    for (const view::Question& question : model.questions)
        if (question.answered == 0 && !question.expired) {
            seen.waits_for = question.confirm ? question.item : question.step;
            seen.role = question.title.empty() ? question.role : question.title;
            seen.deadline = question.deadline;
        }
}

} // namespace

void Overview::read(journal::Journal& journal, Known& known) {
    if (!known.model) {
        known.model = std::make_unique<view::Model>();
        known.seq = known.seen.checkpoint_failures = 0;
    }
    for (const journal::Event& event : journal.events(known.seen.record.run, known.seq)) {
        known.model->apply(event);
        known.seq = event.seq;
        known.seen.checkpoint_failures +=
            event.event == "checkpoint.judged" && !event.data.boolean("passed");
    }
    fill(known.seen, *known.model);
}

std::vector<Seen> Overview::look(journal::Journal& journal, std::size_t limit) {
    const std::lock_guard lock(mutex_);
    const std::int64_t now = time::now_micros();
    std::vector<Seen> all;
    for (journal::RunRecord& record : journal.listed(limit)) {
        if (view::is_schedule(record))
            continue;
        Known& known = known_[record.run];
        Seen& seen = known.seen;
        const bool same = known.updated == record.updated;
        seen.record = std::move(record);
        if (!same)
            read(journal, known);
        known.updated = seen.record.updated; // read before the events: they may be newer
        seen.state = view::state_name(seen.record);
        const bool over = seen.record.state == journal::RunState::finished;
        if (over) {
            known.model.reset();
            seen.current.clear();
            seen.waits_for = seen.role = seen.deadline = "";
        }
        const std::int64_t end = seen.state == "running" ? now : seen.record.updated;
        seen.seconds = std::max(0.0, static_cast<double>(end - seen.record.started) / 1e6);
        all.push_back(seen);
    }
    return all;
}

} // namespace runbook::serve
