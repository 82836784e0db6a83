---@meta
-- The words of a *_test.lua file, for lua-language-server (docs/testing.md). Written by `runbook types`.

---How a run ended.
---@class runbook.test.run
---@field id string
---@field outcome "succeeded"|"rolled_back"|"failed"|"held"|"person_needed"|"crashed"|"refused"
---@field exit integer? exit code; nil after a crash
---@field why string? the reason
---@field steps string[] names in the order in which they began; a sub-step is "step/sub-step"
---@field skipped string[]
---@field failed string[]
---@field undone string[] in the order of the way back
---@field kept string[]
---@field verdicts table<string, string> by checkpoint or monitor: passed, or the verdict
---@field attempts table<string, integer> how often each step began
---@field results table<string, any>
---@field errors table<string, {kind: string, message: string}>
---@field asked string[] gates, confirmations and decisions, as they were put
---@field messages {text: string, to: string[], step: string?}[]
---@field calls runbook.test.call[] what was called of the bindings
---@field elapsed number seconds of virtual time
---@field events {event: string, step: string, at: number, data: table}[]
local run_class = {}

---@class runbook.test.call
---@field name string "db.execute"
---@field args any[]
---@field text string the call as it would be written
---@field step string? what it was called for

---@class runbook.test.facts
---@field outcome string?
---@field exit integer?
---@field why string? a part of it
---@field steps string[]?
---@field skipped string[]?
---@field failed string[]?
---@field undone string[]?
---@field kept string[]?
---@field asked string[]?
---@field verdicts table<string, string>?
---@field attempts table<string, integer>?
---@field results table<string, any>?
---@field errors table<string, string>? parts of their messages
---@field messages string[]? parts of the texts
---@field calls string[]? names or whole texts
---@field called table<string, integer>? how often
---@field elapsed string|number?

---Fails with everything that differs.
---@param facts runbook.test.facts
---@return runbook.test.run
function run_class:expect(facts) end

---The calls of one function.
---@param name string
---@return runbook.test.call[]
function run_class:called(name) end

---A test.
---@param what string what it proves
---@param fn fun()
function test(what, fn) end

---Runs a playbook from its beginning: the one beside the test file, or another.
---@param parameters table<string, any>?
---@param options {env: string?, start: string?, by: string?, detach: boolean?}?
---@return runbook.test.run
---@overload fun(file: string, parameters: table<string, any>?, options: table?): runbook.test.run
function run(parameters, options) end

---Goes on with the run, as `runbook resume`.
---@param options {by: string?, detach: boolean?, extend: string?}?
---@return runbook.test.run
function resume(options) end

---Orders a step again, as `runbook retry`.
---@param step string
---@param options {by: string?}?
---@return runbook.test.run
function retry(step, options) end

---Rolls the run back, as `runbook rollback`.
---@param options {by: string?, way: string?}?
---@return runbook.test.run
function rollback(options) end

---One occurrence of a follow-up, a run of its own.
---@param name string
---@param options {by: string?, number: integer?, detach: boolean?}?
---@return runbook.test.run
function followup(name, options) end

---Answers every call of a function from here on; a value instead of a function is what it returns.
---@param name string "db.value", or an area with a table of fakes
---@param answer any
---@overload fun(fakes: table<string, any>)
function fake(name, answer) end

---A table with the methods that the binding's own has.
---@param name string "db.counts"
---@param fields table
---@return table
function typed(name, fields) end

---A step's next attempt fails.
---@param step string a step, "step/sub-step" or a checkpoint
---@param problem string|{kind: string?, message: string?, hint: string?, in_doubt: boolean?, retry_after: number?, sqlstate: string?}
---@param options {times: integer?, at: "run"|"after"|"undo"|nil}?
function fail(step, problem, options) end

---The process ends there, and `run` returns.
---@param step string?
---@param point string? after (left out), before, finished, undo, a function or an event
function crash(step, point) end

---@alias runbook.test.answer {by: string?, as: string?, after: string?, evidence: string?, why: string?}

---Somebody approves a gate.
---@param gate string
---@param options runbook.test.answer?
function approve(gate, options) end

---Somebody says no.
---@param gate string
---@param options runbook.test.answer?
function reject(gate, options) end

---Somebody confirms an item of a checklist.
---@param text string
---@param options runbook.test.answer?
function confirm(text, options) end

---Somebody waives an item of a checklist.
---@param text string
---@param options runbook.test.answer?
function waive(text, options) end

---Somebody decides.
---@param item string where the question is put
---@param choice "rollback"|"hold"|"go_on"
---@param options runbook.test.answer?
function answer(item, choice, options) end

---Who may answer, instead of the roster of runbook.toml.
---@param roles table<string, string|string[]>
function roster(roles) end

---Variables for parameters and secrets.
---@param variables table<string, string>
function environment(variables) end

---Calls fn at that time of the run.
---@param duration string|number
---@param fn fun()
function after(duration, fn) end

---Calls fn whenever that event was written.
---@param event string "step.started"
---@param step string
---@param fn fun(event: {event: string, step: string, data: table})
---@overload fun(event: string, fn: fun(event: table))
function on(event, step, fn) end

---What another terminal orders, while a run goes on.
---@param verb "pause"|"resume"|"cancel"|"rollback"
---@param options {by: string?, why: string?, way: string?}?
function order(verb, options) end

---Lets virtual time pass.
---@param duration string|number
function sleep(duration) end

---@class runbook.test.expect
---@overload fun(value: boolean, what: string?): boolean
---@field equal fun(got: any, wanted: any, what: string?): any
---@field contains fun(text: string, part: string, what: string?): string
---@field raises fun(part: string, fn: fun()): table
expect = {}

---Says a line on standard error.
function print(...) end
