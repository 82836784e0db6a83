// The report: what it answers, that every text stays text, and that nothing is fetched.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/view/report/facts.h"
#include "runtime/view/report/html_parts.h"
#include "tests/unit/view_support.h"

#include <cstdlib>
#include <fstream>
#include <set>

using namespace view_test;

namespace {

/// Walks over all tags: each one that is opened is closed again, in order. Returns the first
/// problem.
std::string unbalanced(const std::string& html) {
    static const std::set<std::string> empty = {"meta", "!doctype"};
    std::vector<std::string> open;
    for (std::size_t at = 0; (at = html.find('<', at)) != std::string::npos;) {
        const std::size_t end = html.find('>', at);
        if (end == std::string::npos)
            return "tag without end: " + html.substr(at, 40);
        const bool closing = html[at + 1] == '/';
        const std::size_t begin = at + (closing ? 2 : 1);
        const std::string name = html.substr(begin, html.find_first_of(" >\n", begin) - begin);
        at = name == "style" && !closing ? html.find("</style>", end) : end;
        if (empty.contains(name))
            continue;
        if (!closing) {
            open.push_back(name);
            continue;
        }
        if (open.empty() || open.back() != name)
            return "</" + name + "> closes <" + (open.empty() ? "" : open.back()) + ">";
        open.pop_back();
    }
    return open.empty() ? "" : "never closed: " + open.back();
}

std::size_t count(const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size())
        ++found;
    return found;
}

/// A run in which every text that a playbook, a server or a person can choose is hostile.
Story hostile(const std::string& text) {
    Story story;
    story.at(0, "run.started", "",
             Map{{"playbook", text},
                 {"summary", text},
                 {"file", text},
                 {"params", Map{{text, text}}},
                 {"env", text},
                 {"initiator", text},
                 {"host", text},
                 {"version", text},
                 {"journal", text}});
    story.at(0, "plan", "",
             Map{{"items",
                  List{item(text, "step", text, 60, text), item(text + "2", "checkpoint", text, 60),
                       item(text + "3", "phase", "", 0), item(text + "4", "gate", text, 0)}},
                 {"window", Map{{"from", text}, {"to", text}, {"target_s", 60}, {"max_s", 120}}}});
    story.at(1, "step.started", text, Map{{"kind", "step"}, {"owner", text}});
    story.at(2, "attempt.failed", text,
             Map{{"attempt", 1}, {"of", 2}, {"error", Map{{"kind", text}, {"message", text}}}});
    story.at(
        3, "step.finished", text,
        Map{{"elapsed_s", 2.0}, {"result", Map{{text, text}, {"rows", List{Map{{text, text}}}}}}});
    story.at(4, "checkpoint.judged", text + "2",
             Map{{"passed", false},
                 {"verdict", text},
                 {"why", text},
                 {"detail", text},
                 {"where", Map{{"file", text}, {"line", 3}, {"source", text}}},
                 {"error", Map{{"kind", text}, {"message", text}, {"hint", text}}}});
    story.at(5, "gate.opened", text + "4",
             Map{{"ask", text}, {"role", text}, {"title", text}, {"deadline", text}});
    story.at(6, "gate.answered", text + "4", Map{{"answer", text}, {"by", text}, {"via", text}});
    story.at(6, "check.waived", text, Map{{"by", text}, {"why", text}});
    story.at(7, "notify.failed", "",
             Map{{"channel", text}, {"text", text}, {"error", Map{{"message", text}}}});
    story.at(7, "log", "", Map{{"level", text}, {"text", text}});
    story.at(8, "rollback.started", "",
             Map{{"why", text},
                 {"way", text},
                 {"steps", List{text}},
                 {"kept", List{Map{{"step", text}, {"why", text}}}}});
    story.at(9, "undo.failed", text, Map{{"error", Map{{"kind", text}, {"message", text}}}});
    story.at(9, "run.finished", "", Map{{"outcome", text}, {"exit", 4}, {"why", text}});
    return story;
}

} // namespace

TEST_CASE("report html: every text stays text", "[view][report]") {
    const std::string text = "<script>alert(1)</script>\"' onx=\"y\" &amp; </td></style><!--";
    const std::string html = report::html(hostile(text).events);
    CHECK(unbalanced(html) == "");
    CHECK(count(html, "<script") == 0);
    CHECK(count(html, "</style>") == 1);
    CHECK(count(html, "<!--") == 0);
    CHECK(count(html, "onx=\"") == 0);
    CHECK(count(html, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39; onx=&quot;y&quot; "
                      "&amp;amp; &lt;/td&gt;") > 20);
    CHECK(report::escaped("a\x01\x1b b\n") == "a   b\n");
}

TEST_CASE("report html: nothing is fetched, nothing runs", "[view][report]") {
    for (const Story& story : {succeeded(), rolled_back()}) {
        const std::string html = report::html(story.events);
        CHECK(unbalanced(html) == "");
        for (const char* banned :
             {"src=", "href=", "url(", "@import", "<link", "<script", "<img", "<iframe"})
            CHECK(count(html, banned) == 0);
        CHECK(html.starts_with(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"));
    }
}

TEST_CASE("report html: the first screen answers", "[view][report]") {
    const std::string html = report::html(rolled_back().events, {true, {}});
    const std::string first =
        html.substr(html.find("<main>"), html.find("<h2>Timeline") - html.find("<main>"));
    for (const char* wanted :
         {"<h1>mysql8-unification</h1>",
          "Rolled back: PostgreSQL and MySQL differ<small>Undone: copy, maintenance on.</small>",
          "exit code 1", "started by anna (ops1)",
          "<h3>Downtime</h3><div class=\"big good\">3:21</div>",
          "within the target of 30m, maximum 1h",
          "<h3>Checkpoints</h3><div class=\"big bad\">1 of 2</div>",
          "<h3>Rollback</h3><div class=\"big good\">0:06</div>", "within the limit of 10m",
          "<li>CP-3 data verified: rollback by the playbook, PostgreSQL and MySQL differ</li>",
          "<li>backup: the dump stays</li>", "Nothing was waived.", "Nothing is open."}) {
        INFO(wanted);
        CHECK(count(first, wanted) == 1);
    }
    CHECK(count(html, "<div class=\"source mono\">  41 │   pass = function(v) return v.mismatches "
                      "== 0 end,</div>") == 1);
    CHECK(count(html, "<h2>CP-3 data verified: tables</h2>") == 1);
    CHECK(count(html,
                "<td>feedbacks</td><td class=\"num\">98,230</td><td class=\"num\">412</td>") == 1);
    CHECK(count(html, "events 1 to 20, hash chain whole") == 1);
    CHECK(count(html, "<summary>All 20 events</summary>") == 1);
    CHECK(count(html, "<rect class=\"undo warn\"") == 2);
}

TEST_CASE("report html: a run that needs a person says what is open", "[view][report]") {
    Story story = to_copy();
    story.at(125, "step.failed", "copy",
             Map{{"attempts", 1},
                 {"elapsed_s", 4.0},
                 {"error", Map{{"kind", "db.error"}, {"message", "no"}}}});
    story.at(126, "rollback.started", "",
             Map{{"why", "copy failed"}, {"steps", List{"copy", "maintenance on"}}});
    story.at(127, "undo.failed", "copy",
             Map{{"error", Map{{"kind", "db.error"}, {"message", "locked"}}}});
    story.at(127, "run.finished", "",
             Map{{"outcome", "person_needed"}, {"exit", 4}, {"why", "undo of copy failed"}});
    const view::Model model = report::model_of(story.events);
    CHECK(report::facts_of(model).open ==
          std::vector<std::string>{"copy: could not be undone, locked",
                                   "still in effect: maintenance on",
                                   "next: runbook show 20261120-2200-7f3a"});
    CHECK(count(report::html(story.events), "A person is needed: undo of copy failed") == 1);
}

TEST_CASE("report html: goals, monitors, decisions, waivers", "[view][report]") {
    const std::string html = report::html(eventful().events);
    CHECK(unbalanced(html) == "");
    for (const char* wanted :
         {"<h3>Goals</h3><div class=\"big warn\">1 of 3</div><div class=\"note\">met, 1 "
          "unknown</div>",
          "<td class=\"name\">p95 query time</td><td>below 200ms</td><td>249ms</td>"
          "<td class=\"status bad\">✗ missed</td>",
          "<td>below 0.1 %</td><td>unknown</td><td class=\"status warn\">? unknown</td>",
          "<li>copy: go on by carla (another terminal) at 22:04:54 UTC, after 0:22</li>",
          "<li>restore rehearsed: waived by anna, rehearsed on Tuesday, ticket 4711</li>",
          "<svg class=\"spark\"", "<circle", "<line class=\"retry\"",
          "at 22:05:40 UTC: p95, p95 above 200 for 5s – ask",
          "<td class=\"num soft\">T+30:00</td><td class=\"num\">T+3:00</td>",
          "planned 32m, 22:00:04 to 22:05:57 UTC"}) {
        INFO(wanted);
        CHECK(count(html, wanted) == 1);
    }
    const std::string md = report::markdown(eventful().events);
    CHECK(count(md, "| p95 query time | below 200ms | 249ms | missed |") == 1);
    CHECK(count(md, "| first hour | p95 | 60 | 120 | 251 | 153 | 200 |") == 1);
    const Value value = json::parse(report::json(eventful().events));
    const Map& map = *value.get<Map>();
    CHECK(map.find("goals")->get<List>()->size() == 3);
    CHECK((*map.find("goals")->get<List>())[2].get<Map>()->find("met")->is_null());
    CHECK(map.find("monitors")->get<List>()->size() == 1);
}

TEST_CASE("report: a monitor's measures with units, two limits and looks without data",
          "[view][report]") {
    Story story = succeeded();
    story.events.pop_back();
    story.at(268, "monitor.started", "first hour",
             Map{{"rules", List{Map{{"metric", "p95"},
                                    {"unit", "seconds"},
                                    {"limit", 0.2},
                                    {"severity", "warning"}},
                                Map{{"metric", "p95"},
                                    {"unit", "seconds"},
                                    {"limit", 0.5},
                                    {"severity", "critical"}},
                                Map{{"metric", "lag"}, {"unit", "seconds"}}}}});
    story.at(268, "monitor.baselined", "first hour",
             Map{{"metric", "lag"}, {"value", 2}, {"limit", 3}});
    for (int i = 0; i < 8; ++i)
        story.at(269 + i, "monitor.sampled", "first hour",
                 i == 4 ? Map{{"x", Map{{"p95", "http.timeout: too late"}}}, {"v", Map{{"lag", 1}}}}
                        : Map{{"v", Map{{"p95", 0.1 + 0.05 * i}, {"lag", 1}}}});
    const std::string html = report::html(story.events);
    CHECK(unbalanced(html) == "");
    for (const char* wanted : {"<td class=\"num\">7, 1 without data</td><td>100ms to 450ms, last "
                               "450ms</td><td class=\"num\">200ms (warning), 500ms (critical)</td>",
                               "<td class=\"num\">3s</td>", "<line class=\"limit worst\""}) {
        INFO(wanted);
        CHECK(count(html, wanted) == 1);
    }
    CHECK(count(html, "<line class=\"limit\"") == 2);
    CHECK(count(html, "<polyline points=") == 3); // that of p95 is broken once
    CHECK(count(report::markdown(story.events),
                "| first hour | p95 | 7, 1 without data | 100ms | 450ms | 450ms | 200ms (warning), "
                "500ms (critical) |") == 1);
    const Value value = json::parse(report::json(story.events));
    const Map& series = *(*(*value.get<Map>()->find("monitors")->get<List>())[0]
                               .get<Map>()
                               ->find("series")
                               ->get<List>())[0]
                             .get<Map>();
    CHECK(series.text("unit") == "seconds");
    CHECK(series.find("limits")->get<List>()->size() == 2);
    CHECK(series.find("missing")->get<List>()->size() == 1);
}

TEST_CASE("report: downtime is observed, also through a resume and on the way back",
          "[view][report]") {
    Story story = succeeded();
    story.events.back().data.erase("window_s"); // what a resumed process cannot know
    CHECK(report::model_of(story.events).downtime_s() == 260.0);
    CHECK(report::model_of(rolled_back().events).downtime_s() == 201.0);
    CHECK(report::model_of(begun().events).downtime_s() == -1.0);
    CHECK(report::model_of(to_copy().events).downtime_s() == 113.0); // still closed
    CHECK(count(report::html(to_copy().events),
                "within the target of 30m, maximum 1h, still closed") == 1);
    CHECK(count(report::html(begun().events), "traffic was never closed") == 1);
}

TEST_CASE("report: a verification names each table and whether it is equal", "[view][report]") {
    const auto tables = report::tables_of(Map{{"tables", List{Map{{"table", "contents"},
                                                                  {"source_rows", 10},
                                                                  {"target_rows", 10},
                                                                  {"missing", 0},
                                                                  {"extra", 0},
                                                                  {"changed", 0},
                                                                  {"mismatches", 0},
                                                                  {"unsettled", 0}},
                                                              Map{{"table", "jobs"},
                                                                  {"source_rows", 1000},
                                                                  {"target_rows", 999},
                                                                  {"missing", 1},
                                                                  {"extra", 0},
                                                                  {"changed", 0},
                                                                  {"mismatches", 1},
                                                                  {"unsettled", 0}},
                                                              Map{{"table", "logs"},
                                                                  {"source_rows", 5},
                                                                  {"target_rows", 5},
                                                                  {"missing", 0},
                                                                  {"extra", 0},
                                                                  {"changed", 0},
                                                                  {"mismatches", 0},
                                                                  {"unsettled", 2}}}}});
    REQUIRE(tables.size() == 1);
    CHECK(tables[0].columns == std::vector<std::string>{"table", "source rows", "target rows",
                                                        "missing", "extra", "changed", "unsettled",
                                                        "status"});
    CHECK(tables[0].rows[0].back() == "✓ equal");
    CHECK(tables[0].rows[1] ==
          std::vector<std::string>{"jobs", "1,000", "999", "1", "0", "0", "0", "✗ differs"});
    CHECK(tables[0].rows[2].back() == "? unsettled");
    // a table of counts alone, which differ
    CHECK(report::tables_of(List{Map{{"table", "a"}, {"source_rows", 3}, {"target_rows", 2}}})[0]
              .rows[0] == std::vector<std::string>{"a", "3", "2", "✗ differs"});
}

TEST_CASE("report junit: a case a step, and the outcome", "[view][report]") {
    const std::string good = report::junit(succeeded().events);
    CHECK(count(good,
                "<testsuite name=\"mysql8-unification\" tests=\"9\" failures=\"0\" errors=\"0\" "
                "skipped=\"1\" time=\"269.000\" timestamp=\"2026-11-20T22:00:04\" "
                "hostname=\"ops1\">") == 1);
    CHECK(count(good,
                "<testcase classname=\"mysql8-unification.checkpoint\" name=\"CP-1 backup\" "
                "time=\"1.000\"><system-out>5 of 5 tables, 250,000 rows</system-out></testcase>") ==
          1);
    CHECK(count(good, "<skipped message=\"not needed\"/>") == 1);
    CHECK(
        count(good,
              "<testcase classname=\"mysql8-unification.run\" name=\"outcome\" time=\"0.000\"/>") ==
        1);
    const std::string bad = report::junit(rolled_back().events);
    CHECK(count(bad, "failures=\"2\"") == 2);
    CHECK(
        count(
            bad,
            "<failure message=\"did not pass: PostgreSQL and MySQL differ\" type=\"rollback\">") ==
        1);
    CHECK(count(bad,
                "<testcase classname=\"mysql8-unification.undo\" name=\"copy\" time=\"4.000\"/>") ==
          1);
    CHECK(count(bad, "<failure message=\"Rolled back: PostgreSQL and MySQL differ\" "
                     "type=\"rolled_back\">") == 1);
    const std::string half = report::junit(to_copy().events);
    CHECK(count(half, "type=\"in_doubt\"") == 1); // copy is running
    CHECK(count(half, "<error message=\"Unfinished\" type=\"unfinished\">") == 1);
    CHECK(count(report::junit(eventful().events),
                "<property name=\"goal: p95 query time\" value=\"missed, target below 200ms, "
                "actual 249ms\"/>") == 1);
    CHECK(count(report::junit(eventful().events), "failures=\"0\"") == 2);
}

TEST_CASE("report junit: what XML cannot hold is replaced", "[view][report]") {
    const std::string text = report::junit(hostile("a<b>&\"'\x01\xff\xed\xa0\x80 é\n]]>").events);
    CHECK(count(text, "\x01") == 0);
    CHECK(count(text, "\xff") == 0);
    CHECK(count(text, "\xed\xa0") == 0);
    CHECK(count(text, "a&lt;b&gt;&amp;&quot;&#39;\xEF\xBF\xBD") > 5);
    CHECK(count(text, "é&#10;]]&gt;") > 5);
}

TEST_CASE("report: no events, one event, half a run", "[view][report]") {
    CHECK(unbalanced(report::html({})) == "");
    CHECK(report::markdown({}).starts_with("# Run"));
    const Story half = to_copy();
    for (std::size_t n = 1; n <= half.events.size(); ++n) {
        const std::vector<Event> some(half.events.begin(),
                                      half.events.begin() + static_cast<long>(n));
        CHECK(unbalanced(report::html(some)) == "");
        CHECK(json::parse(report::json(some)).get<Map>()->text("outcome") == "unfinished");
    }
}

TEST_CASE("report: secrets are removed, wherever they stand", "[view][report][redact]") {
    make_secret("report-hush-hush", "env:REPORT");
    for (const char* format : {"html", "md", "json"}) {
        const std::string text = report::render(format, hostile("x report-hush-hush y").events);
        CHECK(count(text, "hush") == 0);
        CHECK(count(text, "x") > 10);
    }
}

TEST_CASE("report markdown: the whole text", "[view][report]") {
    CHECK(report::markdown(rolled_back().events, {true, {}}) == R"(# mysql8-unification

Move production from PostgreSQL to MySQL 8

**Rolled back: PostgreSQL and MySQL differ**

|  |  |
|---|---|
| Run | 20261120-2200-7f3a |
| Started | 2026-11-20T22:00:04.000Z by anna (ops1) |
| Took | 3:29 |
| Downtime | 3:21 of 30m |
| Steps | 3 of 4 steps · 1 of 2 checkpoints passed |
| Rollback | 0:06 of 10m |
| Exit code | 1 |
| Journal | events 1 to 20, hash chain whole |

**Decided**

- CP-3 data verified: rollback by the playbook, PostgreSQL and MySQL differ

**Kept**

- backup: the dump stays

## What went wrong

- **CP-3 data verified**: rollback, PostgreSQL and MySQL differ (playbooks/mysql8\_unification.lua:41)
  `pass = function(v) return v.mismatches == 0 end,`
  feedbacks: 412 of 98,230 rows missing (0.42 %), first keys 55012, 55013, 55014

## Steps

|  | Name | Kind | Owner | Planned | Took | Result | Way back |
|---|---|---|---|---|---|---|---|
| done | maintenance on | toggle | devops | 5m | 0:07 | 503 on http://localhost:3000 | undone in 0:02 |
| done | backup | step | dba | 10m | 1:52 | backup/reline.dump  84.2 MB  sha256 9c1f  verified yes | kept: the dump stays |
| passed | CP-1 backup | checkpoint |  |  | 0:01 | 5 of 5 tables, 250,000 rows |  |
| done | copy | step | dba | 15m | 0:38 | tables 5  rows 249,588 | undone in 0:04 |
| did not pass | CP-3 data verified | checkpoint |  | 1m | 0:44 | PostgreSQL and MySQL differ |  |
| not started | go live | gate | lead |  |  |  |  |
| not started | maintenance off | toggle | devops | 1m |  |  | undo |
| not needed | PostgreSQL serves | checkpoint | dba | 1m |  |  |  |

## CP-3 data verified: tables

| table | rows | missing |
|---|---|---|
| contents | 151,770 | 0 |
| feedbacks | 98,230 | 412 |
)");
}

TEST_CASE("report markdown: text stays text", "[view][report]") {
    const std::string text = report::markdown(hostile("a|b\n# c *d* `e` <f> [g](h)").events);
    CHECK(text.starts_with("# a\\|b \\# c \\*d\\* \\`e\\` \\<f\\> \\[g\\](h)\n"));
    CHECK(count(text, "\n# c") == 0);
    CHECK(count(text, "<f>") == count(text, "`` a\\|b # c *d* `e` <f> [g](h) ``"));
}

TEST_CASE("report json: everything, and the events", "[view][report]") {
    const Value value = json::parse(report::json(succeeded().events, {true, 3}));
    const Map& map = *value.get<Map>();
    CHECK(map.text("outcome") == "succeeded");
    CHECK(map.integer("exit") == 0);
    CHECK(map.number("elapsed_s") == 269.0);
    CHECK(map.find("window")->get<Map>()->number("spent_s") == 260.0);
    CHECK(map.integer("chain") == 3);
    CHECK(map.find("steps")->get<List>()->size() == 8);
    const Map& gate = *map.find("questions")->get<List>()->front().get<Map>();
    CHECK(gate.text("by") == "anna");
    CHECK(gate.text("answered") == "2026-11-20T22:04:30.000Z");
    CHECK(map.find("events")->get<List>()->size() == succeeded().events.size());
    CHECK(map.find("decided")->get<List>()->size() == 1);
}

TEST_CASE("report: the pinned sources give the line that failed", "[view][report]") {
    Story story = to_copy();
    story.at(125, "step.failed", "copy",
             Map{{"error", Map{{"kind", "lua"},
                               {"message", "no"},
                               {"where", Map{{"file", "lib.lua"}, {"line", 2}}}}}});
    const Map pinned{
        {"file", "x.lua"},
        {"source", "one\ntwo"},
        {"modules", List{Map{{"path", "lib.lua"}, {"text", "first\nsecond <b>\nthird"}}}}};
    const auto source = report::pinned_source(pinned);
    CHECK(source("x.lua", 2) == "two");
    CHECK(source("x.lua", 3).empty());
    CHECK(source("x.lua", 0).empty());
    CHECK(source("y.lua", 1).empty());
    CHECK(count(report::html(story.events, {false, {}, source}), "   2 │ second &lt;b&gt;</div>") ==
          1);
}

TEST_CASE("report: a held run", "[view][report]") {
    Story story = to_copy();
    story.at(130, "gate.opened", "CP-3 data verified",
             Map{{"ask", "load test?"}, {"role", "qa"}, {"kind", "confirm"}});
    story.at(131, "run.held", "",
             Map{{"why", "waiting for qa"},
                 {"resume", "runbook resume r"},
                 {"outcome", "held"},
                 {"exit", 3}});
    const view::Model model = report::model_of(story.events);
    CHECK(model.exit == 3);
    CHECK(report::facts_of(model).open ==
          std::vector<std::string>{"CP-3 data verified, load test?: no answer yet from qa",
                                   "still in effect: maintenance on",
                                   "not started: CP-3 data verified, go live, maintenance off",
                                   "next: runbook resume r"});
    CHECK(count(report::html(story.events), "Held: waiting for qa") == 1);
}

TEST_CASE("report: tables inside results", "[view][report]") {
    CHECK(report::tables_of(Map{{"rows", 1}}).empty());
    CHECK(report::tables_of(List{1, 2}).empty());
    const auto tables = report::tables_of(
        Map{{"per", Map{{"users", Map{{"rows", 5}, {"keys", List{1, 2, 3, 4, 5, 6, 7}}}},
                        {"jobs", Map{{"lost", 1}}}}}});
    REQUIRE(tables.size() == 1);
    CHECK(tables[0].title == "per");
    CHECK(tables[0].columns == std::vector<std::string>{"name", "rows", "keys", "lost"});
    CHECK(tables[0].rows[0] ==
          std::vector<std::string>{"users", "5", "1, 2, 3, 4, 5 and 2 more", ""});
    CHECK(tables[0].rows[1] == std::vector<std::string>{"jobs", "", "", "1"});
}

TEST_CASE("report: forms and file names", "[view][report]") {
    try {
        report::render("htm", {});
        FAIL("accepted");
    } catch (const Error& error) {
        CHECK(error.kind() == "usage");
        CHECK(error.message() == "--format: unknown form 'htm' (did you mean 'html'?)");
        CHECK(error.hint() == "use html, md, json or junit");
    }
    CHECK(report::file_name("mysql8-unification", "20261120-2200-7f3a", "html") ==
          "mysql8-unification-7f3a.html");
    CHECK(report::file_name("../x y", "r/1", "md") == "_._x_y-r_1.md");
    CHECK(report::file_name("", "r1", "json") == "run-r1.json");
}

// For looking at: RUNBOOK_LOOK=DIR unit_tests "report pages"
TEST_CASE("report pages to look at", "[.look]") {
    const char* folder = std::getenv("RUNBOOK_LOOK");
    if (!folder)
        return; // asked for by the file's name, as the whole suite does
    for (const auto& [name, story] :
         {std::pair{"eventful", eventful()}, std::pair{"rolled_back", rolled_back()}})
        for (const char* format : {"html", "md", "json", "junit"})
            std::ofstream(std::string(folder) + "/" + report::file_name(name, "x-look", format))
                << report::render(format, story.events, {true, {}});
}
