// The registry's entries for the words of the playbook language, from options.lua. Loop thread.
#include "runtime/engine/session.h"

#include <map>

namespace runbook::engine {

namespace {

struct Word {
    const char* name;
    const char* doc;
    const char* options; ///< key in options.lua, or null
    std::vector<vm::ParameterDoc> parameters;
    const char* example;
};

std::vector<vm::FieldDoc> fields_of(const Map& options, const char* key) {
    std::vector<vm::FieldDoc> fields;
    const Value* table = options.find(key);
    const Map* map = table ? table->get<Map>() : nullptr;
    if (!map)
        return fields;
    for (const auto& [name, option] : *map)
        if (const Map* entry = option.get<Map>())
            fields.push_back({name, entry->text("type"), entry->text("doc"), true});
    return fields;
}

const std::vector<Word>& words() {
    static const vm::ParameterDoc name{
        "name", "string", "shown to people; unique in the file", false, {}};
    static const std::vector<Word> all = {
        {"playbook",
         "The header: what it is for, its parameters, and what it may touch. Returns the "
         "parameters.",
         "playbook",
         {name},
         "local p = playbook \"tidy\" { summary = \"Remove what is old\" }"},
        {"step",
         "One unit of work. Returns a handle whose .result later steps read.",
         "step",
         {name},
         "local made = step \"make\" { run = function() return 1 end }"},
        {"checkpoint",
         "Looks, and passes only where pass returns true; fail is a decision table.",
         "checkpoint",
         {name},
         "checkpoint \"right\" { run = function() return 1 end, pass = function(n) return n == 1 "
         "end }"},
        {"gate",
         "A person decides before the run goes on.",
         "gate",
         {name},
         "gate \"go\" { ask = \"Go on?\" }"},
        {"checklist",
         "Items that must all hold: probe(text, fn) by the machine, confirm(role, text) by people.",
         "checklist",
         {name},
         "checklist \"ready\" { probe(\"one is one\", function() return 1 == 1 end) }"},
        {"notice",
         "An announcement on a date, to channels of runbook.toml.",
         "notice",
         {name},
         "notice \"a day ahead\" { at = \"T-1d\", to = \"console\", text = \"{playbook} at "
         "{start}\" }"},
        {"followup",
         "What happens hours or days after a run that succeeded; `runbook due` starts it.",
         "followup",
         {name},
         "followup \"look again\" { after = \"7d\", run = function() return 1 end }"},
        {"on_rollback",
         "What people have to do after a rollback, each by a time: told at its end.",
         "on_rollback",
         {name},
         "on_rollback \"inquiry\" { tasks = { { \"tell the users\", by = \"1h\" } } }"},
        {"history",
         "Facts from earlier runs of the same playbook: history.rehearsed{env, within, rollback}, "
         "history.rolled_back{env, within, below}, both for a probe; history.last{env} in a "
         "function that runs later.",
         "history_rehearsed",
         {},
         "checklist \"ready\" { probe(\"rehearsed\", history.rehearsed { env = \"staging\", "
         "within = \"14d\" }) }"},
        {"toggle",
         "A temporary state: on and off are each other's undo, state is the observe.",
         "toggle",
         {},
         "local sign = toggle { on = function() end, off = function() end, state = function() "
         "return \"off\" end }"},
        {"phase", "A heading in the plan.", nullptr, {name}, "phase \"afterwards\""},
        {"probe",
         "An item of a checklist that the machine checks.",
         "probe",
         {{"text", "string", "what must hold", false, {}},
          {"fn", "function", "returns true where it does", false, {}}},
         "checklist \"ready\" { probe(\"it holds\", function() return true end) }"},
        {"confirm",
         "An item of a checklist that a person confirms.",
         "confirm",
         {{"role", "string", "who", false, {}}, {"text", "string", "what", false, {}}},
         "checklist \"ready\" { confirm(\"lead\", \"everyone is here\") }"},
        {"keep",
         "The way back of a step whose effect stays on purpose.",
         nullptr,
         {{"why", "string", "shown in the report", false, {}}},
         "step \"dump\" { run = function() return 1 end, undo = keep \"the dump stays\" }"},
        {"rollback",
         "Verdict: go back.",
         nullptr,
         {{"why", "string", "the reason", false, {}},
          {"more", "table", "way = name of the way", true, {}}},
         "checkpoint \"c\" { run = function() return 1 end, pass = function(n) return n == 1 end, "
         "fail = { otherwise = rollback \"wrong\" } }"},
        {"hold",
         "Verdict: stop here, resumable.",
         nullptr,
         {{"why", "string", "the reason", false, {}}},
         "checkpoint \"c\" { run = function() return 1 end, pass = function(n) return n == 1 end, "
         "fail = { otherwise = hold \"look at it\" } }"},
        {"ask",
         "Verdict: a person of the role decides: roll back, hold, or go on.",
         nullptr,
         {{"role", "string", "role, or a list of them", false, {}}},
         "checkpoint \"c\" { run = function() return 1 end, pass = function(n) return n == 1 end, "
         "fail = { otherwise = ask \"lead\" } }"},
        {"repair",
         "Verdict: run fn once and judge again.",
         nullptr,
         {{"why", "string", "what is repaired", false, {}},
          {"fn", "function", "gets what the checkpoint saw", false, {}}},
         "checkpoint \"c\" { run = function() return 1 end, pass = function(n) return n == 1 end, "
         "fail = { otherwise = repair(\"set it right\", function() end) } }"},
        {"redo",
         "Verdict: undo back to and including that step, and go forward again from it; once, then "
         "a rollback.",
         nullptr,
         {{"step", "string", "an earlier step", false, {}},
          {"more", "table", "times = how often, instead of once", true, {}}},
         "step \"x\" { run = function() return 1 end }\ncheckpoint \"c\" { run = function() return "
         "1 "
         "end, pass = function(n) return n == 1 end, fail = { otherwise = redo \"x\" } }"},
        {"pause",
         "Verdict: wait between two steps or sub-steps; of a monitor until its rule is fine again, "
         "else until `runbook resume`.",
         nullptr,
         {{"why", "string", "the reason", false, {}}},
         "checkpoint \"c\" { run = function() return 1 end, pass = function(n) return n == 1 end, "
         "fail = { otherwise = pause \"not yet\" } }"},
        {"cancel_statement",
         "Verdict of a monitor: cancel the statement in progress in the server; the step's retry "
         "decides what follows (error kind cancelled.statement).",
         nullptr,
         {{"why", "string", "the reason", false, {}}},
         "step \"x\" { run = function() return 1 end }\nmonitor \"locks\" { from = \"x\", to = "
         "\"x\", "
         "every = \"5s\", { function() return 0 end, above = \"30s\", verdict = cancel_statement "
         "\"others wait\" } }"},
        {"tell",
         "Verdict: go on, but say it.",
         nullptr,
         {{"channel", "string", "channel, or a list of them", false, {}}},
         "checkpoint \"c\" { run = function() return 1 end, pass = function(n) return n == 1 end, "
         "fail = { otherwise = tell \"operations\" } }"},
        {"monitor",
         "Watches beside later steps. Each rule is { sample, above =, below =, outside = or is =, "
         "verdict = }; the sample returns a value, or { value =, requests =, at =, why = }. Of a "
         "sample that counts in a unit (those of the module watch, or unit = in the rule), a level "
         "has to say it: \"200ms\", \"5 %\".",
         "monitor",
         {name},
         "step \"x\" { run = function() return 1 end }\nmonitor \"watch\" { from = \"x\", to = "
         "\"x\", "
         "every = \"15s\", { function() return 0 end, above = 0.05, sustained = \"2m\", verdict = "
         "rollback \"too many errors\" } }"},
        {"relative",
         "A level of a monitor against a baseline: relative(0.5, fn) is half as much again.",
         nullptr,
         {{"by", "number", "part of the baseline", false, {}},
          {"fn",
           "function",
           "returns the baseline; the first sample of the run if left out",
           true,
           {}}},
         "local level = relative(0.5, function() return 100 end)"},
        {"points",
         "A level of a monitor against a baseline: points(0.1, fn) is that much more.",
         nullptr,
         {{"by", "number", "distance from the baseline", false, {}},
          {"fn",
           "function",
           "returns the baseline; the first sample of the run if left out",
           true,
           {}}},
         "local level = points(0.1, function() return 0.02 end)"},
        {"action",
         "What a library returns for `step \"x\" { library.thing(), … }`: run, undo, observe, "
         "capture.",
         nullptr,
         {{"table", "table", "the functions", false, {}}},
         "step \"x\" { action { run = function() end, undo = function() end } }"},
        {"expect",
         "Raises where the value is not true; expect.none(list, what), expect.equal(actual, "
         "expected, what).",
         nullptr,
         {{"value", "any", "must be true", false, {}},
          {"what", "string", "for the message", true, {}}},
         "step \"x\" { run = function() return 1 end, verify = function(ctx) expect(ctx.result == "
         "1, \"it is one\") end }"},
        {"parallel",
         "Runs functions side by side and returns their results by name (or place). The first "
         "failure cancels the others and waits for them. Inside functions that run.",
         nullptr,
         {{"functions", "table", "name = function, or a list", false, {}}},
         "step \"x\" { run = function() return parallel { a = function() return 1 end, b = "
         "function() return 2 end } end }"},
        {"race",
         "Runs functions side by side; the first success wins, the others are cancelled and waited "
         "for. Returns its result and its name.",
         nullptr,
         {{"functions", "table", "name = function, or a list", false, {}}},
         "step \"x\" { run = function() return (race { a = function() return 1 end, b = function() "
         "return 2 end }) end }"},
        {"every",
         "Calls fn at an interval: until until_(result) is true (returned; kind timeout where it "
         "never was), or as often or as long as given.",
         nullptr,
         {{"interval", "duration", "from start to start", false, {}},
          {"fn", "function", "gets the number of the call", false, {}},
          {"options",
           "table",
           "when it ends; one of them is needed",
           false,
           {{"times", "number", "calls at most", true},
            {"until_", "function", "gets what fn returned; true ends it", true},
            {"within", "duration", "how long at most", true}}}},
         "step \"x\" { run = function() return every(\"1s\", function(i) return i end, { until_ = "
         "function(i) return i == 1 end }) end }"},
        {"sleep",
         "Waits. From one second on its end is kept in the journal: after a restart only the rest "
         "is slept.",
         nullptr,
         {{"duration", "duration", "how long", false, {}}},
         "step \"x\" { run = function() sleep \"10ms\" end }"},
        {"deadline",
         "Runs fn under a time limit and returns what it returns; kind timeout where it takes "
         "longer.",
         nullptr,
         {{"duration", "duration", "the limit", false, {}},
          {"fn", "function", "the work", false, {}}},
         "step \"x\" { run = function() return deadline(\"1m\", function() return 1 end) end }"},
        {"decimal",
         "An exact decimal from text.",
         nullptr,
         {{"text", "string", "digits, as \"12.50\"", false, {}}},
         "local price = decimal \"12.50\" + 1"},
        {"require",
         "A module beside the playbook, or of the standard library.",
         nullptr,
         {{"name", "string", "dots are folders", false, {}}},
         "local maintenance = require \"maintenance\""},
        {"print",
         "Writes a line into the log of the run.",
         nullptr,
         {{"...", "any", "shown side by side", true, {}}},
         "step \"x\" { run = function() print(\"here\") end }"},
    };
    return all;
}

} // namespace

void describe_words(Session& session, const Map& options) {
    vm::AreaDoc& area = session.registry.area(
        "",
        "What a playbook is written in. Options of each word are checked while the file loads.");
    if (!area.functions.empty())
        return;
    for (const Word& word : words()) {
        vm::FunctionDoc doc{word.name, word.doc,         word.parameters, "",          "",
                            {},        vm::Effect::none, false,           word.example};
        if (word.options)
            doc.parameters.push_back({"options", "table", "what it is and does",
                                      word.parameters.size() > 1, // beside what must be there
                                      fields_of(options, word.options)});
        area.functions.push_back(std::move(doc));
    }
}

} // namespace runbook::engine
