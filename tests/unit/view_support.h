// What the view's tests share: a run as a list of events, on a clock of its own.
#pragma once

#include "runtime/base/text.h"
#include "runtime/view/view.h"
#include "runtime/view/words.h"
#include "tests/unit/catch.h"

#include <utility>
#include <vector>

namespace view_test {

using namespace runbook;
using journal::Event;

constexpr std::int64_t opened = 1'795'212'004'000'000; // 2026-11-20 22:00:04 UTC

/// Builds events with growing numbers at given seconds after the start.
class Story {
  public:
    Story& at(double seconds, const std::string& event, const std::string& step = "",
              Map data = {}) {
        events.push_back({"20261120-2200-7f3a", static_cast<std::int64_t>(events.size()) + 1,
                          opened + static_cast<std::int64_t>(seconds * 1e6), event, step,
                          std::move(data), ""});
        return *this;
    }
    std::vector<Event> events;
};

inline Map item(const std::string& name, const std::string& kind, const std::string& owner,
                double takes_s, const std::string& way_back = "undo", const std::string& on = "") {
    Map out{{"name", name},      {"kind", kind},       {"owner", owner},
            {"owner_title", ""}, {"takes_s", takes_s}, {"way_back", way_back}};
    if (!on.empty())
        out.set("on", on);
    return out;
}

inline Story begun() {
    Story story;
    story.at(0, "run.started", "",
             Map{{"playbook", "mysql8-unification"},
                 {"summary", "Move production from PostgreSQL to MySQL 8"},
                 {"file", "playbooks/mysql8_unification.lua"},
                 {"params", Map{{"source", "postgres://app:***@db1/reline"}, {"streams", 4}}},
                 {"env", ""},
                 {"initiator", "anna"},
                 {"host", "ops1"},
                 {"version", "0.1.0"},
                 {"journal", "/home/anna/.local/state/runbook/journal.db"}});
    story.at(0, "plan", "",
             Map{{"items",
                  List{item("maintenance on", "toggle", "devops", 300),
                       item("backup", "step", "dba", 600, "keep: the dump stays"),
                       item("CP-1 backup", "checkpoint", "", 0), item("copy", "step", "dba", 900),
                       item("CP-3 data verified", "checkpoint", "", 60),
                       item("go live", "gate", "lead", 0),
                       item("maintenance off", "toggle", "devops", 60),
                       item("PostgreSQL serves", "checkpoint", "dba", 60, "undo", "rollback")}},
                 {"window", Map{{"from", "maintenance on"},
                                {"to", "maintenance off"},
                                {"target_s", 1800},
                                {"max_s", 3600}}},
                 {"rollback_within_s", 600}});
    return story;
}

inline Story to_copy() {
    Story story = begun();
    story.at(1, "step.started", "maintenance on",
             Map{{"kind", "toggle"}, {"attempt", 1}, {"owner", "devops"}});
    story.at(
        8, "step.finished", "maintenance on",
        Map{{"kind", "toggle"}, {"elapsed_s", 7.0}, {"detail", "503 on http://localhost:3000"}});
    story.at(8, "step.started", "backup", Map{{"kind", "step"}, {"attempt", 1}});
    story.at(120, "step.finished", "backup",
             Map{{"kind", "step"},
                 {"elapsed_s", 112.0},
                 {"result", Map{{"file", "backup/reline.dump"},
                                {"bytes", 84'200'000},
                                {"sha256", "9c1f"},
                                {"verified", true}}}});
    story.at(120, "step.started", "CP-1 backup", Map{{"kind", "checkpoint"}, {"attempt", 1}});
    story.at(121, "checkpoint.judged", "CP-1 backup",
             Map{{"passed", true}, {"elapsed_s", 1.0}, {"detail", "5 of 5 tables, 250,000 rows"}});
    story.at(121, "step.started", "copy", Map{{"kind", "step"}, {"attempt", 1}});
    return story;
}

inline Map verify_result() {
    return Map{{"rows", 250'000},
               {"mismatches", 412},
               {"tables", List{Map{{"table", "contents"}, {"rows", 151'770}, {"missing", 0}},
                               Map{{"table", "feedbacks"}, {"rows", 98'230}, {"missing", 412}}}}};
}

inline Story succeeded() {
    Story story = to_copy();
    story.at(
        130, "attempt.failed", "copy",
        Map{{"attempt", 1},
            {"of", 3},
            {"error", Map{{"kind", "db.connection"}, {"message", "server closed the connection"}}},
            {"retry_in_s", 5}});
    story.at(135, "step.started", "copy", Map{{"kind", "step"}, {"attempt", 2}});
    story.at(180, "step.finished", "copy",
             Map{{"kind", "step"},
                 {"elapsed_s", 59.0},
                 {"result", Map{{"tables", 5}, {"rows", 250'000}}}});
    story.at(180, "step.started", "CP-3 data verified",
             Map{{"kind", "checkpoint"}, {"attempt", 1}});
    story.at(224, "checkpoint.judged", "CP-3 data verified",
             Map{{"passed", true}, {"elapsed_s", 44.0}, {"detail", "250,000 rows, 0 differences"}});
    story.at(224, "gate.opened", "go live",
             Map{{"ask", "Send traffic to MySQL?"},
                 {"role", "lead"},
                 {"title", "Migration Lead"},
                 {"deadline", "2026-11-20T22:20:00Z"},
                 {"otherwise", "rollback"}});
    story.at(266, "gate.answered", "go live",
             Map{{"answer", "approve"}, {"by", "anna"}, {"via", "console"}});
    story.at(266, "step.started", "maintenance off", Map{{"kind", "toggle"}, {"attempt", 1}});
    story.at(
        268, "step.finished", "maintenance off",
        Map{{"kind", "toggle"}, {"elapsed_s", 2.0}, {"detail", "200 on http://localhost:3000"}});
    story.at(268, "notify.sent", "",
             Map{{"channel", "migration"}, {"text", "MySQL serves."}, {"receipt", "1"}});
    story.at(269, "run.finished", "",
             Map{{"outcome", "succeeded"}, {"exit", 0}, {"elapsed_s", 269.0}, {"window_s", 260.0}});
    return story;
}

inline Story rolled_back() {
    Story story = to_copy();
    story.at(159, "step.finished", "copy",
             Map{{"kind", "step"},
                 {"elapsed_s", 38.0},
                 {"result", Map{{"tables", 5}, {"rows", 249'588}}}});
    story.at(159, "step.started", "CP-3 data verified",
             Map{{"kind", "checkpoint"}, {"attempt", 1}});
    story.at(203, "checkpoint.judged", "CP-3 data verified",
             Map{{"passed", false},
                 {"elapsed_s", 44.0},
                 {"detail",
                  "feedbacks: 412 of 98,230 rows missing (0.42 %), first keys 55012, 55013, 55014"},
                 {"verdict", "rollback"},
                 {"why", "PostgreSQL and MySQL differ"},
                 {"where", Map{{"file", "playbooks/mysql8_unification.lua"},
                               {"line", 41},
                               {"source", "  pass = function(v) return v.mismatches == 0 end,"}}},
                 {"result", verify_result()}});
    story.at(203, "rollback.started", "",
             Map{{"why", "PostgreSQL and MySQL differ"},
                 {"way", "undo"},
                 {"steps", List{"copy", "maintenance on"}},
                 {"kept", List{Map{{"step", "backup"}, {"why", "the dump stays"}}}}});
    story.at(203, "undo.started", "copy");
    story.at(207, "undo.finished", "copy", Map{{"elapsed_s", 4.0}});
    story.at(207, "undo.kept", "backup", Map{{"why", "the dump stays"}});
    story.at(207, "undo.started", "maintenance on");
    story.at(209, "undo.finished", "maintenance on", Map{{"elapsed_s", 2.0}});
    story.at(209, "rollback.finished", "",
             Map{{"elapsed_s", 6.0}, {"within_s", 600}, {"met", true}});
    story.at(209, "run.finished", "",
             Map{{"outcome", "rolled_back"},
                 {"exit", 1},
                 {"elapsed_s", 209.0},
                 {"window_s", 201.0},
                 {"rollback_s", 6.0},
                 {"why", "PostgreSQL and MySQL differ"}});
    return story;
}

/// A long night with everything a report can show: a decision, a waiver, goals, a monitor over its
/// limit.
inline Story eventful() {
    Story story = succeeded();
    story.events.pop_back();
    story.at(268, "decision.asked", "copy",
             Map{{"why", "longest wait for a lock 41 s"},
                 {"role", "dba"},
                 {"title", "Database Engineer"}});
    story.at(290, "decision.answered", "copy",
             Map{{"answer", "go_on"}, {"by", "carla"}, {"via", "another terminal"}});
    story.at(291, "item.waived", "restore rehearsed",
             Map{{"by", "anna"}, {"why", "rehearsed on Tuesday, ticket 4711"}});
    for (int i = 0; i < 60; ++i)
        story.at(292 + i, "monitor.sampled", "first hour",
                 Map{{"metric", "p95"},
                     {"value", 120 + (i * 37) % 50 + (i > 40 && i < 46 ? 90 : 0)},
                     {"limit", 200}});
    story.at(336, "monitor.breached", "first hour",
             Map{{"metric", "p95"}, {"why", "p95 above 200 for 5s"}, {"verdict", "ask"}});
    story.at(
        352, "goal.judged", "",
        Map{{"name", "downtime"}, {"target", "below 30m"}, {"actual", "4m20s"}, {"met", true}});
    story.at(352, "goal.judged", "",
             Map{{"name", "p95 query time"},
                 {"target", "below 200ms"},
                 {"actual", "249ms"},
                 {"met", false}});
    story.at(352, "goal.judged", "", Map{{"name", "error ratio"}, {"target", "below 0.1 %"}});
    story.at(353, "run.finished", "",
             Map{{"outcome", "succeeded"}, {"exit", 0}, {"elapsed_s", 353.0}, {"window_s", 260.0}});
    return story;
}

/// A view with a clock and a width that the test sets.
struct Screen {
    view::StringOutput out;
    std::int64_t now = opened;
    int columns = 80;
    view::Settings settings;
    Screen() {
        settings.home = "/home/anna";
        settings.columns = [this] { return columns; };
        settings.now = [this] { return now; };
        settings.source = [](const std::string& file, int line) {
            return file == "playbooks/x.lua" && line == 12 ? "  run = function() explode() end,"
                                                           : "";
        };
    }
    void play(view::EventSink& sink, const Story& story) {
        for (const Event& event : story.events) {
            now = event.micros;
            sink.on_event(event);
        }
    }
    std::string taken() { return std::exchange(out.text, {}); }
};

} // namespace view_test
