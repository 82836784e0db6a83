#include "runtime/engine/beginning.h"

#include "runtime/base/digest.h"
#include "runtime/base/time.h"
#include "runtime/engine/lists.h"
#include "runtime/engine/pin.h"
#include "runtime/engine/program.h"
#include "runtime/view/view.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>

namespace runbook::engine {

namespace {

using NewEvent = std::pair<std::string, Map>;

std::vector<NewEvent> first_events(const Session& session, const Map& plan) {
    Map parameters;
    for (const Value& item : list_at(plan, "parameters"))
        parameters.set(item.get<Map>()->text("name"), item.get<Map>()->text("value"));
    return {{"run.started", Map{{"playbook", plan.text("name")},
                                {"summary", plan.text("summary")},
                                {"file", session.options.file},
                                {"params", parameters},
                                {"env", session.options.environment},
                                {"initiator", session.initiator},
                                {"host", host_name()},
                                {"version", RUNBOOK_VERSION},
                                {"journal", session.journal_location},
                                {"sha256", digest::sha256_hex(session.source)}}},
            {"plan", shown_plan(session, plan)}};
}

NewEvent widened(const std::vector<Grant>& grants) {
    return {"needs.widened", Map{{"by", current_user()}, {"allow", to_list(grants)}}};
}

} // namespace

void append(Session& session, const std::string& event, const Map& data) {
    session.sink.on_event(session.journal->append(session.run, session.fence, event, "", data));
}

void append_widened(Session& session, const std::vector<Grant>& grants) {
    if (grants.empty())
        return;
    const auto [event, data] = widened(grants);
    append(session, event, data);
}

/// Four random digits a minute: where hundreds of runs begin in one, two may meet.
std::string free_run_id(journal::Journal& journal) {
    std::string id = new_run_id();
    while (journal.find(id))
        id = new_run_id();
    return id;
}

void start(Session& session, const Map& plan) {
    session.run =
        session.options.run_id.empty() ? free_run_id(*session.journal) : session.options.run_id;
    journal::RunRecord record;
    record.run = session.run;
    record.playbook = plan.text("name");
    record.file = std::filesystem::absolute(session.options.file).string();
    record.started = record.updated = time::now_micros();
    record.pinned = pin(session, plan);
    if (!session.options.ahead) // it would keep every other run away for days
        record.locks = locks_of(plan);
    record.initiator = current_user();
    auto first = first_events(session, plan);
    if (const Occurrence& one = session.options.schedule; !one.schedule.empty())
        first.insert(first.begin() + 1,
                     {"schedule.started", Map{{"schedule", one.schedule},
                                              {"due", time::iso_millis(one.due)},
                                              {"late_s", (record.started - one.due) / 1'000'000},
                                              {"why", fmt::format("its schedule: {}", one.text)}}});
    if (const auto& allowed = session.options.allow; !allowed.empty())
        first.push_back(widened(allowed));
    std::vector<journal::Event> written;
    session.journal->together([&] {
        written.clear();
        session.journal->create(record);
        session.take_lease();
        for (const auto& [event, data] : first)
            written.push_back(session.journal->append(session.run, session.fence, event, "", data));
    });
    session.keep_lease();
    for (const journal::Event& event : written)
        session.sink.on_event(event);
}

void complete_history(Session& session, std::vector<journal::Event>& history) {
    auto newer = session.journal->events(session.run, history.empty() ? 0 : history.back().seq);
    std::move(newer.begin(), newer.end(), std::back_inserter(history));
    const auto has = [&history](std::string_view name) {
        return std::any_of(history.begin(), history.end(),
                           [name](const auto& event) { return event.event == name; });
    };
    if (has("run.started") && has("plan"))
        return;
    for (const auto& [name, data] : first_events(session, *describe(session).get<Map>()))
        if (!has(name))
            history.push_back(session.journal->append(session.run, session.fence, name, "", data));
}

} // namespace runbook::engine
