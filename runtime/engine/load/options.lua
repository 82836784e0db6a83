-- The option tables of the playbook language, as data: one source for checking, stubs, reference and help.
-- type: string, function, boolean, number, duration, list, table, any, verdict, strings (one or a list).
local function option(type, doc) return { type = type, doc = doc } end

local retry = {
  attempts = option("number", "how often, the first counted"), on = option("strings", "error kinds that are retried; all but argument errors if left out"),
  initial = option("duration", "first delay (1s)"), backoff = option("number", "factor between delays (2)"),
  max_delay = option("duration", "longest delay (1m)"), within = option("duration", "bound on all attempts together"),
  undo_first = option("boolean", "the undo runs between attempts"),
}
local shared = {
  owner = option("string", "role that is responsible"), takes = option("duration", "estimate, for the plan; never a wait"),
  says = option("string", "posted when it is done; {result.x} is filled in"), hints = option("table", "what to do, by error kind"),
  only_if = option("any", "skipped unless true; a value or a function"), retry = option("table", "when and how often again"),
}
local function with(base, more)
  local result = {}
  for k, v in pairs(base) do result[k] = v end
  for k, v in pairs(more) do result[k] = v end
  return result
end

return {
  retry = retry,
  playbook = {
    summary = option("string", "one line: what it is for"), params = option("table", "parameters; each is a command-line option"),
    roles = option("table", "role = title"), needs = option("table", "what may be touched: shell, http, files"),
    window = option("table", "from, to, target, max: the time traffic is closed"), rollback = option("table", "within: time budget; ways: names"),
    ask = option("table", "within, otherwise: how long a question waits and what then happens"),
    lock = option("strings", "names that no other run of the journal may hold meanwhile; a parameter's name stands for its value"),
    start = option("string", "T, the date that others count from: Thursday 07:00 Europe/Berlin, or ISO 8601; --start replaces it"),
    updates = option("table", "who is told how it goes, and how often"), goals = option("list", "targets that the report compares with what was reached"),
  },
  updates = { to = option("strings", "channels of every post; says goes there too"), also = option("table", "further channels of a single post: started, rolled_back, done"),
    every = option("duration", "beat of the posts while the run goes on"), in_rollback = option("duration", "beat during a rollback; that of every if left out"),
    status_page = option("any", "true: started, done and rolled_back go to the channel status_page too; or the name of another one"),
    templates = option("string", "folder with started.md, update.md, rollback.md, rolled_back.md, held.md, done.md") },
  updates_also = { started = option("strings", "channels"), rolled_back = option("strings", "channels"), done = option("strings", "channels") },
  goal = { below = option("any", "met under this number or duration"), above = option("any", "met over it"), is = option("any", "met where equal"),
    of = option("function", "gets the run, returns what was reached; nil or an error is unknown") },
  notice = { at = option("string", "when: T-7d, or a date"), after = option("duration", "how long after T"), to = option("strings", "channels"),
    text = option("string", "what is said; {start}, {playbook}, {summary} are filled in"), template = option("string", "file with the text"),
    owner = option("string", "role that is responsible") },
  followup = { after = option("duration", "how long after the run's end"), at = option("string", "when: Friday 09:00 Europe/Berlin, the first one after the run"),
    every = option("duration", "again and again, the first after this or after `after`"), times = option("number", "how often, with every"),
    owner = option("string", "role that is responsible"), role = option("string", "who lets it run; short for gate = { role = … }"),
    gate = option("table", "who lets it run: the options of gate"), ask = option("string", "the question of the gate"),
    run = option("function", "the work; the handles of the playbook have the results of the run"), manual = option("string", "a person does it and says so"),
    undo = option("any", "a function or keep \"why\"; with a gate, what it does is kept if left out"), template = option("string", "file whose text is posted at the end, {result.x} filled in"),
    to = option("strings", "channels of the template"), takes = option("duration", "estimate"), timeout = option("duration", "bounds one attempt"),
    retry = option("table", "when and how often again"), idempotent = option("boolean", "safe to run again when in doubt"),
    observe = option("function", "asked when in doubt: done, absent, partial or unknown") },
  on_rollback = { owner = option("string", "role that sees to it"), tasks = option("list", "what people do after a rollback: { \"what\", by = \"1h\" }") },
  on_rollback_task = { by = option("duration", "how long after the rollback it is to be done"), owner = option("string", "role, instead of the list's") },
  history_rehearsed = { env = option("string", "environment of the runs"), within = option("duration", "how long ago they may have begun"),
    rollback = option("boolean", "a whole rollback must have been run too"), source = option("string", "any: a run of another version of the playbook counts too") },
  history_rolled_back = { env = option("string", "environment of the runs"), within = option("duration", "how long ago they may have begun"),
    below = option("duration", "how long the way back may have taken"), source = option("string", "any: a run of another version of the playbook counts too") },
  history_last = { env = option("string", "environment of the runs"), within = option("duration", "how long ago it may have begun") },
  window = { from = option("string", "step that opens the window"), to = option("string", "step that closes it"),
    target = option("duration", "wanted length"), max = option("duration", "longest allowed"),
    overdue = option("table", "ask \"role\": who decides, while the work goes on, once it is open for longer than its target") },
  rollback = { within = option("duration", "time budget of the way back"), ways = option("strings", "names of the ways") },
  ask = { within = option("duration", "how long an answer may take"), otherwise = option("string", "rollback or hold, when nobody answers") },
  needs = { shell = option("strings", "commands, as patterns of words"), http = option("strings", "hosts; names of url parameters too"),
    files = option("strings", "folders (ending in /) and files; names of path parameters too") },
  parameter = { default = option("any", "value when none is given"), required = option("boolean", "must be given"), doc = option("string", "shown by --help"),
    access = option("string", "database: read, write or admin"), empty = option("boolean", "database: refused before the run where it has tables"),
    from = option("string", "secret: env:NAME or file:PATH"), of = option("string", "list: type of its items") },
  step = with(shared, {
    run = option("function", "the work; what it returns is step.result"), capture = option("function", "what must be known before; later ctx.saved"),
    verify = option("function", "post-condition; false or an error fails the attempt"),
    observe = option("function", "asked when in doubt: done, absent, partial or unknown"),
    undo = option("any", "a function, keep \"why\", or one function per way"), timeout = option("duration", "bounds one attempt"),
    failure = option("string", "continue: go on when it failed"), loses = option("function", "rows a rollback from here would lose"),
    idempotent = option("boolean", "safe to run again when in doubt"), manual = option("string", "a person does it and says so"),
    stays = option("string", "why a toggle is left on"), beside = option("string", "runs beside the steps up to this one, joined there"),
    undo_retry = option("table", "retry of the undo"),
    stall = option("duration", "no progress for that long ends the attempt (kind stall); ctx.progress, native work and output lines are progress"),
    not_before = option("string", "waits until then: T+1h, or a date; the only wait there is"),
    overdue = option("any", "a duration after which it says so, or { after =, verdict = ask \"role\" }: asks while the work goes on"),
    resumable = option("boolean", "partly done: run goes on, instead of being undone first; ctx.partial is true"),
  }),
  substep = {
    run = option("function", "the work; what it returns is what ctx.step returns"), undo = option("any", "a function, or keep \"why\""),
    observe = option("function", "asked when in doubt: done, absent, partial or unknown"),
    verify = option("function", "post-condition; false or an error fails the attempt"), retry = option("table", "when and how often again"),
    timeout = option("duration", "bounds one attempt"), idempotent = option("boolean", "safe to run again when in doubt"),
    resumable = option("boolean", "partly done: run goes on, instead of being undone first; ctx.partial is true"),
  },
  overdue = { after = option("duration", "how long after its start"), verdict = option("table", "ask \"role\": who decides: roll back, hold or go on") },
  checkpoint = with(shared, {
    run = option("function", "looks; changes nothing"), pass = option("function", "must return true"), fail = option("table", "decision table for what did not pass"),
    on = option("string", "rollback: met only on the way back"), timeout = option("duration", "bounds one look"),
  }),
  gate = {
    role = option("string", "who decides"), ask = option("any", "the question; text or a function that returns it"), within = option("duration", "how long it waits"),
    otherwise = option("string", "rollback or hold, when nobody answers"), owner = option("string", "role that is responsible"), takes = option("duration", "estimate"),
  },
  checklist = { owner = option("string", "role that is responsible"), takes = option("duration", "estimate"), fail = option("table", "decision table; default: not passed stops the run") },
  monitor = {
    from = option("string", "step or phase that it begins with"), to = option("string", "step that it ends with"),
    lasts = option("duration", "how long after `from` it goes on; the run stays until then"), every = option("duration", "how often it looks"),
    no_data = option("any", "verdict after three samples without data, or { verdict, after = n }; the severest of its rules if left out"),
    timeout = option("duration", "bounds one sample; `every`, at least 5s, if left out"),
    stale = option("duration", "a sample that says it is older than this is no data; three times `every` if left out"),
    owner = option("string", "role that is responsible"),
  },
  monitor_rule = {
    above = option("any", "more than this is a breach: a number, \"5 %\", \"200ms\", relative(…) or points(…)"), below = option("any", "less than this is a breach"),
    outside = option("table", "{ lowest, highest }: what is not between them is a breach"), is = option("any", "this value is a breach"),
    sustained = option("duration", "only after it lasted so long"), times = option("number", "only after so many samples in a row"),
    over = option("duration", "the sum of the samples of that time is judged, for samples that count"),
    requests = option("number", "judged only where the sample says that it stands on so many requests"),
    verdict = option("any", "what follows: rollback, hold, ask, redo, pause, cancel_statement or tell"), name = option("string", "name of the sample in the result"),
  },
  toggle = { on = option("function", "switches on"), off = option("function", "switches off"), state = option("function", "on, off or nil for unknown") },
}
