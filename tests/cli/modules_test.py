"""Modules: `require` of files beside the playbook and of the standard library."""
HEADER = 'local p = playbook "modules" { summary = "uses a module" }\n'


def play(tmp_path, text, **modules):
    for name, body in modules.items():
        (tmp_path / f"{name}.lua").write_text(body)
    file = tmp_path / "main.lua"
    file.write_text(text)
    return file


def test_a_module_uses_the_language_and_other_modules(runbook, tmp_path):
    file = play(tmp_path, HEADER + 'local lib = require "lib"\nlib.both()',
                lib='local deep = require "deep"\nlocal M = {}\n'
                    'function M.both() for _, name in ipairs(deep.names) do step(name) { run = function() return tostring(name) end } end end\nreturn M',
                deep='return { names = { "one", "two" } }')
    result = runbook("exec", str(file), "--output", "json")
    assert result.exit == 0, result.err
    finished = {event["step"]: event["result"] for event in result.events() if event["event"] == "step.finished"}
    assert finished == {"one": "one", "two": "two"}


def test_the_standard_library_is_there(runbook, tmp_path):
    file = play(tmp_path, 'local maintenance = require "maintenance"\n' + HEADER +
                'local page = maintenance.page { file = "page", url = "http://localhost:1/" }\nstep "on" { page.on, stays = "a test" }')
    result = runbook("plan", str(file))
    assert result.exit == 0, result.err
    assert "switched back" in result.out


def test_modules_that_need_each_other_are_refused(runbook, tmp_path):
    file = play(tmp_path, HEADER + 'local a = require "a"', a='local b = require "b"\nreturn {}', b='\nlocal a = require "a"\nreturn {}')
    result = runbook("exec", str(file))
    assert result.exit == 2
    assert result.err == (f"error: {tmp_path}/b.lua:2: require: module 'a' requires itself\n"
                          "hint: move what both need into a module of its own\n")


def test_an_error_in_a_module_names_its_line(runbook, tmp_path):
    file = play(tmp_path, HEADER + 'local lib = require "lib"', lib='local M = {}\nM.x = nil .. "text"\nreturn M')
    result = runbook("exec", str(file))
    assert result.exit == 2
    assert result.err == f"error: {tmp_path}/lib.lua:2: attempt to concatenate a nil value\n"


def test_a_module_that_returns_nothing_is_refused(runbook, tmp_path):
    file = play(tmp_path, HEADER + 'local lib = require "lib"', lib="local M = {}\n")
    result = runbook("exec", str(file))
    assert result.exit == 2
    assert result.err == f"error: {file}:2: module 'lib' returned nothing: end it with `return M`\n"
