"""Runs Lua inside a step and gives back what it returned: for tests of the libraries that playbooks use."""


def evaluate(runbook, playbook, code, needs="", params="", arguments=(), env=None, timeout=60, name="evaluate.lua"):
    """What `code`, the body of a step's run function, returned, as JSON gives it; a step that fails gives its error.

    `try(fn, ...)` in the code gives `{ kind, message, hint }` of the error that fn raised. Relative paths count from the playbook's folder.
    """
    path = playbook(f"""\
local p = playbook "evaluate" {{ summary = "x", needs = {{ {needs} }}, params = {{ {params} }} }}
local function try(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then return "no error" end
  return {{ kind = err.kind, message = err.message, hint = err.hint }}
end
step "evaluate" {{ undo = keep "nothing", run = function(ctx)
{code}
end }}
""", name)
    result = runbook("exec", path.name, *arguments, "--output", "json", cwd=path.parent, env=env, timeout=timeout)
    assert result.out.startswith("{"), result.out + result.err
    for event in result.events():
        if event["event"] == "step.finished":
            return event.get("result")
        if event["event"] == "step.failed":
            return event["error"]
    raise AssertionError(result.out + result.err)
