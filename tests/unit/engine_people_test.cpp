// People decide: roster, quorum, escalation, deadlines, checklists, waivers and decisions. Other
// people are requests in the journal under other names, as `runbook approve` posts them.
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"

#include "runtime/base/error.h"
#include "runtime/base/time.h"
#include "runtime/engine/authority.h"
#include "runtime/engine/identity.h"

#include <chrono>
#include <thread>

using namespace runbook;
using engine::Asked;
using engine::Given;
using engine::Roster;
using runbook::test::Play;
using runbook::test::World;
using Names = std::vector<std::string>;

namespace {

const std::string header = "local p = playbook \"test\" { summary = \"a test\", ask = { escalate = "
                           "\"boss\", within = \"1h\" } }\n";
const std::string effect =
    "step \"a\" { run = function() world.write \"a\" end, undo = keep \"x\" }\n";

/// A run that others answer.
struct People : Play {
    explicit People(const std::string& roster = "") {
        if (!roster.empty())
            write("[roster]\n" + roster, "runbook.toml");
        options.detach = true;
    }
    void post(const std::string& by, const std::string& verb, const std::string& subject,
              Map data = {}) const {
        auto journal = journal::Journal::open(options.journal);
        if (!data.contains("plan"))
            for (const journal::Event& event : journal->events("r1"))
                if (event.event.starts_with("plan"))
                    data.set("plan", event.data.text("plan_sha256"));
        journal::Request request;
        request.run = "r1";
        request.verb = verb;
        request.subject = subject;
        request.by = by;
        request.data = data;
        journal->post(request);
    }
    std::size_t count(const std::string& event) const {
        std::size_t found = 0;
        for (const journal::Event& one : sink.events)
            found += one.event == event;
        return found;
    }
    std::string refused() const {
        for (auto it = sink.events.rbegin(); it != sink.events.rend(); ++it)
            if (it->event == "answer.refused")
                return it->data.text("why");
        return "";
    }
};

const std::string me = engine::current_user();

} // namespace

TEST_CASE("people: an answer by somebody who is not in the role does not count",
          "[engine][people]") {
    People play("dba = [\"anna\", \"bob\"]\n");
    const std::string text = "gate \"go\" { role = \"dba\", ask = \"Go?\" }\n" + effect;
    REQUIRE(play.exec(text) == 3);
    play.post("mallory", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "gate \"go\" is for dba (anna, bob): mallory may not answer it");
    play.post("bob", "approve", "go", Map{{"from", "db2 pts/1"}, {"why", "looked"}});
    CHECK(play.resume() == 0);
    const Map& answer = *play.sink.data("gate.answered", "go");
    CHECK(answer.text("by") == "bob");
    CHECK(answer.text("from") == "db2 pts/1");
    CHECK(answer.boolean("checked"));
    CHECK(answer.text("plan").size() == 64);
    CHECK(!answer.text("given_at").empty());
}

TEST_CASE("people: a role that the roster does not know is not checked, and the answer says so",
          "[engine][people]") {
    People play;
    REQUIRE(play.exec("gate \"go\" { role = \"dba\", ask = \"Go?\" }") == 3);
    play.post("anybody", "approve", "go");
    CHECK(play.resume() == 0);
    CHECK(!play.sink.data("gate.answered", "go")->boolean("checked", true));
}

TEST_CASE("people: the roster is pinned with the run", "[engine][people]") {
    People play("dba = [\"anna\"]\n");
    REQUIRE(play.exec("gate \"go\" { role = \"dba\", ask = \"Go?\" }") == 3);
    play.write("[roster]\ndba = [\"mallory\"]\n", "runbook.toml");
    play.post("mallory", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "gate \"go\" is for dba (anna): mallory may not answer it");
}

TEST_CASE("people: all of the roles, each approval recorded, and what is missing is said",
          "[engine][people]") {
    People play("lead = [\"anna\"]\ndba = [\"bob\"]\ncto = [\"carl\"]\n");
    REQUIRE(play.exec("gate \"go\" { all_of = { \"lead\", \"dba\", \"cto\" }, ask = \"Go?\" }\n" +
                      effect) == 3);
    play.post("anna", "approve", "go");
    play.post("bob", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.count("approval.given") == 2);
    CHECK(play.sink.data("approval.given", "go")->text("progress") ==
          "2 of 3: waiting for cto (carl)");
    play.post("bob", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "bob has approved gate \"go\" already: 2 of 3: waiting for cto (carl)");
    play.post("carl", "approve", "go");
    CHECK(play.resume() == 0);
    CHECK(play.sink.data("gate.answered", "go")->find("people")->get<List>()->size() == 3);
    CHECK(World::the().effects == Names{"a"});
}

TEST_CASE("people: a quorum wants different people", "[engine][people]") {
    People play("dba = [\"anna\", \"bob\", \"carl\"]\n");
    REQUIRE(play.exec("gate \"go\" { role = \"dba\", people = 2, ask = \"Go?\" }\n" + effect) == 3);
    play.post("anna", "approve", "go");
    play.post("anna", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused() ==
          "anna has approved gate \"go\" already: 1 of 2: waiting for 1 more of dba (bob, carl)");
    play.post("carl", "approve", "go");
    CHECK(play.resume() == 0);
}

TEST_CASE("people: a no by anyone entitled ends it, also after a yes", "[engine][people]") {
    People play("dba = [\"anna\", \"bob\"]\n");
    REQUIRE(play.exec("gate \"go\" { role = \"dba\", people = 2, ask = \"Go?\" }\n" + effect) == 3);
    play.post("anna", "approve", "go");
    play.post("mallory", "reject", "go");
    CHECK(play.resume() == 3);
    play.post("bob", "reject", "go", Map{{"why", "lag"}});
    CHECK(play.resume() == 1);
    CHECK(World::the().effects.empty());
    CHECK(play.sink.data("run.finished")->text("why") == "gate \"go\" was declined by bob: lag");
}

TEST_CASE("people: who started the run may not approve it", "[engine][people]") {
    People play;
    const std::string text = "gate \"go\" { role = \"dba\", not_initiator = true, ask = \"Go?\" }";
    REQUIRE(play.exec(text) == 3);
    play.post(me, "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "gate \"go\" may not be approved by " + me + ", who started the run");
    play.options.approve = {"go"};
    CHECK_THROWS_WITH(play.resume(), "--approve: gate \"go\" may not be approved by " + me +
                                         ", who started the run");
    play.options.approve = {};
    play.post("eve", "approve", "go");
    CHECK(play.resume() == 0);
}

TEST_CASE("people: a gate that nobody may approve is refused before the run", "[engine][people]") {
    const std::string top = "local p = playbook \"test\" { summary = \"x\", roles = { dba = "
                            "\"DBA\" } }\n";
    const auto refusal = [&](const std::string& roster, const std::string& text) {
        People play(roster);
        return play.refusal(top + text);
    };
    CHECK(
        refusal("dba = [\"anna\"]\n", "gate \"go\" { role = \"dba\", people = 2, ask = \"?\" }") ==
        "x.lua:2: gate \"go\": nobody can approve it: it asks for 2 different people of dba, and "
        "the roster has 1 (anna)");
    CHECK(refusal("dba = [\"anna\", \"anna\"]\n",
                  "gate \"go\" { role = \"dba\", people = 2, ask = \"?\" }")
              .find("the roster has 1 (anna)") != std::string::npos);
    CHECK(refusal("dba = [\"" + me + "\"]\n",
                  "gate \"go\" { role = \"dba\", not_initiator = true, ask = \"?\" }") ==
          "x.lua:2: gate \"go\": nobody can approve it: not_initiator bars " + me +
              ", who starts the run, and the roster has nobody else for role 'dba'");
    CHECK(refusal("dba = []\n", "gate \"go\" { role = \"dba\", ask = \"?\" }") ==
          "x.lua:2: gate \"go\": nobody can approve it: the roster lists nobody for role 'dba'");
    CHECK(refusal("", "gate \"go\" { role = \"dbx\", ask = \"?\" }") ==
          "x.lua:2: gate \"go\": option 'role': no role 'dbx' (did you mean 'dba'?)");
    CHECK(refusal("", "gate \"go\" { all_of = { \"dba\", \"cto\" }, ask = \"?\" }") ==
          "x.lua:2: gate \"go\": option 'all_of': no role 'cto'");
    CHECK(refusal("", "gate \"go\" { all_of = {}, ask = \"?\" }") ==
          "x.lua:2: gate \"go\": option 'all_of': names no role, so nobody could answer");
    CHECK(refusal("", "gate \"go\" { role = \"dba\", all_of = { \"dba\" }, ask = \"?\" }") ==
          "x.lua:2: gate \"go\": has both role and all_of: name the roles in one of them");
    CHECK(refusal("", "gate \"go\" { people = 0, ask = \"?\" }") ==
          "x.lua:2: gate \"go\": option 'people': a whole number from 1 up expected, got 0");
    CHECK(refusal("", "gate \"go\" { ask = \"?\", otherwise = \"rolback\" }") ==
          "x.lua:2: gate \"go\": option 'otherwise': rollback, hold or a verdict expected, got "
          "'rolback'");
    CHECK(refusal("", "gate \"go\" { ask = \"?\", at = \"T-30 minuts\" }") ==
          "x.lua:2: gate \"go\": option 'at': a time relative to the start such as T-30m or T-7d "
          "expected, got 'T-30 minuts'");
    CHECK(refusal("", "gate \"go\" { ask = \"?\", escalate = \"dba\" }") ==
          "x.lua:2: gate \"go\": option 'escalate' needs 'within': after which time");
    People play;
    play.options.approve = {"og"};
    CHECK(play.refusal(top + "gate \"go\" { ask = \"?\" }") ==
          "--approve: there is no gate 'og' (did you mean 'go'?)");
}

TEST_CASE("people: a question goes on to the next role, then otherwise", "[engine][people]") {
    People play("dba = [\"anna\"]\nboss = [\"eve\"]\n");
    play.options.detach = false;
    const std::string text = "gate \"go\" { role = \"dba\", ask = \"Go?\", within = \"300ms\", "
                             "escalate = \"boss\", otherwise = \"rollback\" }\n";
    const auto before = std::chrono::steady_clock::now();
    CHECK(play.exec(text) == 1);
    CHECK(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(600));
    CHECK(play.sink.data("gate.escalated", "go")->text("role") == "boss");
    CHECK(play.count("gate.expired") == 1);
    const Asked asked = Asked::from(
        Map{{"roles", List{"dba"}}, {"within_s", 60}, {"escalate", List{List{"boss"}}}});
    const Roster roster(Map{{"dba", List{"anna"}}, {"boss", List{"eve"}}});
    CHECK(engine::right_of(asked, roster, {}, Given{"eve", "", "", true, 59}, {}, "it").kind ==
          "role");
    const engine::Right late =
        engine::right_of(asked, roster, {}, Given{"eve", "", "", true, 61}, {}, "it");
    CHECK(late.refusal.empty());
    CHECK(late.answer.stands_in);
    CHECK(engine::right_of(asked, roster, {}, Given{"anna", "", "", true, 61}, {}, "it")
              .refusal.empty());
}

TEST_CASE("people: the deadline is absolute, and a resume keeps it unless it is extended",
          "[engine][people]") {
    People play("dba = [\"anna\"]\n");
    const std::string text = "gate \"go\" { role = \"dba\", ask = \"Go?\", within = \"300ms\", "
                             "otherwise = \"hold\" }\n" +
                             effect;
    REQUIRE(play.exec(text) == 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    play.post("anna", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused().find("too late: it could be answered until ") != std::string::npos);
    CHECK(play.count("gate.expired") == 1);
    play.options.extend_s = 60;
    CHECK(play.resume() == 3);
    CHECK(play.count("gate.extended") == 1);
    play.post("anna", "approve", "go");
    play.options.extend_s = 0;
    CHECK(play.resume() == 0);
}

TEST_CASE("people: an answer in time counts when the run is resumed later", "[engine][people]") {
    People play;
    REQUIRE(play.exec(
                "gate \"go\" { ask = \"Go?\", within = \"300ms\", otherwise = \"hold\" }\n") == 3);
    play.post("anna", "approve", "go");
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    CHECK(play.resume() == 0);
}

TEST_CASE("people: a changed plan voids what was approved", "[engine][people]") {
    People play("dba = [\"anna\", \"bob\"]\n");
    const std::string gate = "gate \"go\" { role = \"dba\", ask = \"Go?\" }\n";
    const std::string text = gate +
                             "step \"s\" { run = function() return 1 end }\ngate \"live\" { "
                             "role = \"dba\", ask = \"Live?\" }\n" +
                             effect;
    REQUIRE(play.exec(text) == 3);
    play.post("anna", "approve", "go");
    REQUIRE(play.resume() == 3);
    CHECK(play.sink.data("gate.opened", "live"));
    play.post("anna", "approve", "live"); // to the plan as it was
    play.write("local p = playbook \"test\" { summary = \"a test\" }\n" + text + "-- changed\n");
    CHECK_THROWS_WITH(play.resume(), Catch::Contains("the playbook has changed since run r1"));
    play.options.accept_changed = true;
    CHECK(play.resume() == 3); // the first gate is asked again
    CHECK(play.sink.data("approvals.voided")->find("items")->get<List>()->size() == 1);
    CHECK(play.sink.data("gate.opened", "go"));
    play.post("bob", "approve", "go");
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "gate \"live\": the answer was given to another plan: the source, a "
                            "parameter or the roster has changed since");
    play.post("bob", "approve", "live");
    CHECK(play.resume() == 0);
}

TEST_CASE("people: --detach is refused where silence would have an effect", "[engine][people]") {
    const std::string undone = "step \"s\" { run = function() world.write \"s\" end, undo = "
                               "function() world.write \"u\" end }\n";
    const std::string gate =
        "gate \"go\" { ask = \"Go?\", within = \"30m\", otherwise = \"rollback\" }\n";
    People after;
    CHECK_THROWS_WITH(after.exec(undone + gate),
                      "--detach: gate \"go\" leads to 'rollback' when nobody answers within 30m, "
                      "and nobody would hold the run to do it");
    CHECK(World::the().effects.empty());
    People before; // nothing was done yet, so a rollback has no effect
    CHECK(before.exec(gate + undone) == 3);
    People approved;
    approved.options.approve = {"go"};
    CHECK(approved.exec(undone + gate) == 0);
}

TEST_CASE("people: a checklist is confirmed ahead, and asked again when it is too old",
          "[engine][people]") {
    People play("lead = [\"anna\"]\nqa = [\"bob\", \"carl\"]\n");
    const std::string text =
        "checklist \"week\" { due = \"T-7d\", confirm(\"qa\", \"reviewed\", { people = 2, evidence "
        "= \"url\" }) }\n"
        "checklist \"day\" { due = \"T-1d\", valid = \"500ms\", confirm(\"lead\", \"approved\"), "
        "probe(\"up\", function() return not world.read \"db\" end) }\n" +
        effect;
    World::the().broken = {};
    REQUIRE(play.exec(text) == 3);
    play.post("anna", "confirm", "day: approved"); // ahead: the run is at "week"
    play.post("bob", "confirm", "week: reviewed");
    CHECK(play.resume() == 3);
    CHECK(play.refused() ==
          "\"reviewed\" of checklist \"week\" needs evidence: give its url with --evidence");
    play.post("bob", "confirm", "week: reviewed", Map{{"evidence", "PR 7"}});
    CHECK(play.resume() == 3);
    CHECK(play.refused() ==
          "\"reviewed\" of checklist \"week\" needs a url as evidence, got 'PR 7'");
    play.post("bob", "confirm", "week: reviewed", Map{{"evidence", "https://x/7"}});
    std::this_thread::sleep_for(std::chrono::milliseconds(550));
    play.post("carl", "confirm", "week: reviewed", Map{{"evidence", "https://x/7"}});
    CHECK(play.resume() == 3);
    const Map& week = *play.sink.data("gate.answered", "week");
    CHECK(week.text("evidence") == "https://x/7");
    CHECK(week.find("people")->get<List>()->size() == 2);
    CHECK(play.refused() ==
          "\"approved\" of checklist \"day\": the confirmation is older than 500ms");
    play.post("anna", "confirm", "day: approved");
    CHECK(play.resume() == 0);
}

TEST_CASE("people: probes run again once people have answered", "[engine][people]") {
    People play;
    const std::string text = "checklist \"c\" { due = \"T-1d\", confirm(\"qa\", \"ok\"), "
                             "probe(\"up\", function() return not world.read \"db\" end) }\n";
    REQUIRE(play.exec(text) == 3); // up, and nobody has confirmed
    World::the().broken = {"db"};
    play.post("bob", "confirm", "c: ok");
    CHECK(play.resume() == 3); // a due checklist holds, its confirmations are not lost
    CHECK(play.sink.data("run.held")->text("why") == "checklist \"c\": up");
    World::the().broken = {};
    CHECK(play.resume() == 0);
    CHECK(play.count("gate.opened") == 0);
}

TEST_CASE("people: the table judges what failed and what was critical", "[engine][people]") {
    const std::string text = R"(
        step "s" { run = function() world.write "s" end, undo = function() world.write "u" end }
        checklist "smoke" { confirm("qa", "login", { critical = true }), confirm("qa", "search"),
          fail = { { when = function(c) return c.critical_failed > 0 end, rollback "critical" }, otherwise = hold "look" } }
    )";
    People minor;
    REQUIRE(minor.exec(text) == 3);
    minor.post("bob", "confirm", "smoke: login");
    minor.post("bob", "reject", "smoke: search", Map{{"why", "slow"}});
    CHECK(minor.resume() == 3);
    CHECK(minor.sink.data("run.held")->text("why") ==
          "checklist \"smoke\": look: search (no, says bob: slow)");
    People critical;
    REQUIRE(critical.exec(text) == 3);
    critical.post("bob", "reject", "smoke: login");
    CHECK(critical.resume() == 1); // at once, the other item does not matter any more
    CHECK(World::the().effects == Names{"s", "u"});
}

TEST_CASE("people: an item is waived with a reason, a critical one not by its own people",
          "[engine][people]") {
    People play("qa = [\"bob\"]\nboss = [\"eve\"]\n");
    play.write(header +
               "checklist \"c\" { owner = \"qa\", due = \"T-1d\", confirm(\"qa\", \"login\", { "
               "critical = true }), confirm(\"qa\", \"search\"), probe(\"up\", function() "
               "return false end) }\n");
    REQUIRE(play.run() == 3);
    play.post("bob", "waive", "c: login", Map{{"why", "no time"}});
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "\"login\" of checklist \"c\" is critical: only boss (eve) may waive "
                            "it, not bob");
    play.post("bob", "waive", "c: search", Map{{"why", " "}});
    CHECK(play.resume() == 3);
    CHECK(play.refused() == "\"search\" of checklist \"c\": a reason is required to waive it");
    play.post("eve", "waive", "c: login", Map{{"why", "tested yesterday"}});
    play.post("bob", "waive", "c: search", Map{{"why", "not deployed"}});
    play.post("bob", "waive", "c: up", Map{{"why", "seen by hand"}});
    CHECK(play.resume() == 0);
    CHECK(play.count("item.waived") == 3);
    const Map& result = *play.sink.data("checkpoint.judged", "c")->find("result")->get<Map>();
    CHECK(result.integer("failed") == 0);
    const Map& login = *(*result.find("items")->get<List>())[0].get<Map>();
    CHECK(login.boolean("waived"));
    CHECK(login.text("why") == "tested yesterday");
}

TEST_CASE("people: nobody confirms in time", "[engine][people]") {
    People play;
    play.options.detach = false;
    CHECK(play.exec("checklist \"c\" { within = \"50ms\", confirm(\"qa\", \"ok\"), otherwise = "
                    "rollback \"nobody looked\" }\n" +
                    effect) == 1);
    CHECK(play.sink.data("run.finished")->text("why") ==
          "checklist \"c\": nobody looked: ok (nobody answered)");
}

TEST_CASE("people: a verdict asks a role, what a rollback loses is said, and the answer counts",
          "[engine][people]") {
    const std::string text = R"(
        step "s" { run = function() world.write "s" end, undo = function() world.write "u" end,
          loses = function() return 412 end }
        checkpoint "c" { run = function() return 1 end, pass = function(n) return n == 2 end, fail = { otherwise = ask "lead" } }
    )";
    for (const std::string word : {"rollback", "hold", "go_on"}) {
        People play("lead = [\"anna\"]\n");
        play.options.detach = false;
        std::thread other([&] {
            for (int i = 0; i < 400; ++i) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
                if (!std::filesystem::exists(play.options.journal))
                    continue;
                bool asked = false;
                for (const journal::Event& event :
                     journal::Journal::open(play.options.journal)->events("r1"))
                    asked = asked || event.event == "decision.asked";
                if (asked)
                    break;
            }
            play.post("mallory", "answer", "c", Map{{"answer", "go_on"}});
            play.post("anna", "answer", "c", Map{{"answer", word}});
        });
        const int exit = play.exec(text);
        other.join();
        CHECK(exit == (word == "rollback" ? 1 : word == "hold" ? 3 : 0));
        const Map& asked = *play.sink.data("decision.asked", "c");
        CHECK(asked.text("why") == "checkpoint \"c\" did not pass. A rollback from here would lose "
                                   "412 rows");
        CHECK(asked.find("loses")->get<Map>()->integer("rows") == 412);
        CHECK(play.count("decision.asked") == 1); // not a second time for the rows
        CHECK(play.sink.data("decision.answered", "c")->text("by") == "anna");
        CHECK(play.refused() ==
              "the decision at checkpoint \"c\" is for lead (anna): mallory may not answer it");
    }
}

TEST_CASE("people: silence rolls back where nothing is lost, and holds where rows would be",
          "[engine][people]") {
    for (const bool loses : {false, true}) {
        People play;
        play.options.detach = false;
        play.write("local p = playbook \"test\" { summary = \"x\", ask = { within = \"50ms\", "
                   "otherwise = \"rollback\" } }\n"
                   "step \"s\" { run = function() world.write \"s\" end, undo = function() "
                   "world.write \"u\" end" +
                   std::string(loses ? ", loses = function() return 3 end" : "") +
                   " }\ncheckpoint \"c\" { run = function() return 1 end, pass = function(n) "
                   "return n == 2 end, fail = { otherwise = ask \"lead\" } }\n");
        CHECK(play.run() == (loses ? 3 : 1));
        CHECK(World::the().effects == (loses ? Names{"s"} : Names{"s", "u"}));
    }
}

TEST_CASE("people: an approval against the deadline has exactly one outcome", "[engine][people]") {
    const char* wanted = std::getenv("RUNBOOK_RACES");
    const int races = wanted ? std::atoi(wanted) : 100;
    int approved = 0, expired = 0, wrong = 0;
    for (int i = 0; i < races; ++i) {
        People play;
        play.options.detach = false;
        // around the deadline, now before and now after it; one in ten never comes
        const auto when = std::chrono::steady_clock::now() +
                          std::chrono::microseconds(16'000 + i * 7919 % 24'000);
        std::thread other([&] {
            std::this_thread::sleep_until(when);
            for (int tries = 0; i % 10 != 9 && tries < 1000; ++tries) {
                try {
                    play.post(me, "approve", "go");
                    return;
                } catch (const Error&) { // the run does not exist yet
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                }
            }
        });
        const int exit = play.exec("gate \"go\" { ask = \"?\", within = \"20ms\", otherwise = "
                                   "\"rollback\", at = \"T\" }\n" +
                                   effect);
        other.join();
        const std::size_t yes = play.count("gate.answered"), no = play.count("gate.expired");
        approved += yes == 1;
        expired += no == 1;
        const bool ran = World::the().effects == Names{"a"};
        wrong += yes + no != 1 || (yes == 1) != ran || (exit == 0) != ran;
    }
    std::printf("approve against deadline: %d races, %d approved, %d expired, %d with another "
                "outcome\n",
                races, approved, expired, wrong);
    CHECK(wrong == 0);
    CHECK(approved > 0);
    CHECK(expired > 0);
    CHECK(approved + expired == races);
}
