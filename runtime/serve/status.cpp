#include "runtime/serve/status.h"

#include "runtime/base/time.h"
#include "runtime/serve/metrics.h"

#include <map>

namespace runbook::serve {
namespace {

Map entry(const Seen& seen) {
    const journal::RunRecord& run = seen.record;
    Map map{{"run", run.run},
            {"playbook", run.playbook},
            {"state", seen.state},
            {"started", time::iso_millis(run.started)},
            {"updated", time::iso_millis(run.updated)},
            {"elapsed_s", seen.seconds},
            {"current", List(seen.current.begin(), seen.current.end())},
            {"done", seen.done},
            {"planned", seen.planned},
            {"checkpoint_failures", seen.checkpoint_failures}};
    if (run.exit >= 0)
        map.set("exit", run.exit);
    for (const auto& [key, text] : {std::pair("why", &seen.why),
                                    {"paused", &seen.paused},
                                    {"waits_for", &seen.waits_for},
                                    {"role", &seen.role},
                                    {"deadline", &seen.deadline}})
        if (!text->empty())
            map.set(key, *text);
    return map;
}

double seconds(std::int64_t micros) {
    return static_cast<double>(micros) / 1e6;
}

/// What is said of all runs of one playbook; the newest run comes first.
struct Sum {
    std::map<std::string, std::size_t> states;
    double last_started = 0, last_success = 0, last_duration = -1;
    std::int64_t checkpoint_failures = 0;
};

std::map<std::string, Sum> sums_of(const std::vector<Seen>& runs) {
    std::map<std::string, Sum> all;
    for (const Seen& seen : runs) {
        Sum& sum = all[seen.record.playbook];
        ++sum.states[seen.state];
        sum.checkpoint_failures += seen.checkpoint_failures;
        sum.last_started = std::max(sum.last_started, seconds(seen.record.started));
        if (seen.state == "succeeded")
            sum.last_success = std::max(sum.last_success, seconds(seen.record.updated));
        if (sum.last_duration < 0 && seen.record.state == journal::RunState::finished)
            sum.last_duration = seen.seconds;
    }
    return all;
}

void add_runs(Metrics& metrics, const std::vector<Seen>& runs) {
    const std::map<std::string, Sum> sums = sums_of(runs);
    const auto each = [&](const char* name, const char* type, const char* help, auto value) {
        metrics.family(name, type, help);
        for (const auto& [playbook, sum] : sums)
            if (const double found = value(sum); found >= 0)
                metrics.sample(found, {{"playbook", playbook}});
    };
    metrics.family("runbook_runs", "gauge",
                   "Runs in the journal by how they stand: running, interrupted, held, or their "
                   "outcome.");
    for (const auto& [playbook, sum] : sums)
        for (const auto& [state, count] : sum.states)
            metrics.sample(static_cast<double>(count), {{"playbook", playbook}, {"state", state}});
    each("runbook_runs_running", "gauge", "Runs whose process is alive now.", [](const Sum& sum) {
        const auto found = sum.states.find("running");
        return found == sum.states.end() ? 0.0 : static_cast<double>(found->second);
    });
    each("runbook_last_start_timestamp_seconds", "gauge", "When the newest run was started.",
         [](const Sum& sum) { return sum.last_started; });
    each("runbook_last_success_timestamp_seconds", "gauge",
         "When a run last succeeded; absent where none has.",
         [](const Sum& sum) { return sum.last_success > 0 ? sum.last_success : -1; });
    each("runbook_last_duration_seconds", "gauge",
         "From start to end of the newest run that has ended.",
         [](const Sum& sum) { return sum.last_duration; });
    each("runbook_checkpoint_failures_total", "counter", "How often a checkpoint did not pass.",
         [](const Sum& sum) { return static_cast<double>(sum.checkpoint_failures); });
}

void add_backups(Metrics& metrics, const std::vector<BackupState>& backups) {
    const auto each = [&](const char* name, const char* help, auto value) {
        metrics.family(name, "gauge", help);
        for (const BackupState& one : backups)
            if (one.health.level != "unknown")
                if (const double found = value(one); found >= 0)
                    metrics.sample(found, {{"backup", one.name}});
    };
    each("runbook_backup_met", "1 where the backups are as runbook.toml asks, else 0.",
         [](const BackupState& one) { return one.health.met ? 1.0 : 0.0; });
    each("runbook_backup_missed", "Backups in a row that should have been there; absent: none is.",
         [](const BackupState& one) { return one.newest ? one.health.missed : -1.0; });
    each("runbook_backup_age_seconds", "Since the newest whole backup was begun; absent: none is.",
         [](const BackupState& one) { return one.newest ? std::max(0.0, one.health.age) : -1.0; });
    each("runbook_backup_size_bytes", "Of the newest whole backup.", [](const BackupState& one) {
        return one.newest ? static_cast<double>(one.newest->bytes) : -1.0;
    });
    metrics.family("runbook_backup_readable", "gauge", "1 where the backups could be looked at.");
    for (const BackupState& one : backups)
        metrics.sample(one.health.level != "unknown", {{"backup", one.name}});
}

} // namespace

Map status_of(const std::vector<Seen>& runs, const std::string& journal) {
    List list;
    std::map<std::string, std::size_t> states;
    for (const Seen& seen : runs) {
        ++states[seen.state];
        list.push_back(entry(seen));
    }
    return Map{{"checked", time::iso_millis(time::now_micros())},
               {"journal", journal},
               {"migration_in_progress", states["running"] > 0},
               {"running", states["running"]},
               {"held", states["held"]},
               {"interrupted", states["interrupted"]},
               {"person_needed", states["person_needed"]},
               {"runs", list}};
}

std::string metrics_of(const std::vector<Seen>* runs, const std::vector<BackupState>& backups) {
    Metrics metrics;
    metrics.family("runbook_build_info", "gauge", "Which runbook serves this; always 1.");
    metrics.sample(1, {{"version", RUNBOOK_VERSION}});
    metrics.family("runbook_journal_readable", "gauge",
                   "1 where the journal could be read; 0: nothing is known of the runs.");
    metrics.sample(runs ? 1 : 0);
    if (runs)
        add_runs(metrics, *runs);
    add_backups(metrics, backups);
    return metrics.text();
}

} // namespace runbook::serve
