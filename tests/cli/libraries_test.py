"""The modules of the standard library: each function is declared, checks its arguments as declared, and has an example that loads."""
import re
from pathlib import Path

import pytest
from evaluate import evaluate

STDLIB = Path(__file__).resolve().parents[2] / "stdlib"
INNER = {"arguments", "declare"}  # what modules are made of; a folder holds the parts of the module that is called like it
MODULES = sorted(file.stem for file in STDLIB.glob("*.lua") if file.stem not in INNER)


def declared(runbook, playbook, module):
    return evaluate(runbook, playbook, f"return getmetatable(require '{module}').declared")


@pytest.mark.parametrize("module", MODULES)
def test_every_exported_function_is_declared(runbook, playbook, module):
    exported = evaluate(runbook, playbook, f"""
      local names = json.array {{}}
      for name, value in pairs(require "{module}") do
        if type(value) == "function" then names[#names + 1] = name end
      end
      return names""")
    functions = declared(runbook, playbook, module)["functions"]
    assert sorted(exported) == sorted(one["name"] for one in functions)
    for one in functions:
        what = f"{module}.{one['name']}"
        assert one["doc"].endswith((".", "end", "…")), what
        assert one["example"] and (one["raises"] or one["effect"] == "none"), what
        for parameter in one["parameters"] or []:
            assert parameter["doc"] and parameter["type"], (what, parameter)
            for field in parameter.get("fields") or []:
                assert field["doc"] and field["type"], (what, field)


WRONG = {"string": "5", "string[]": "5", "integer": "1.5", "number": "{}", "boolean": "5", "duration": "'soon'", "table": "5", "function": "5", "list": "5", "connection": "5",
         "string|secret": "5", "timestamp": "{}"}


@pytest.mark.parametrize("module", MODULES)
def test_every_argument_is_checked(runbook, playbook, module):
    """A wrong and a missing value for each parameter, with right ones before it; and one argument too many."""
    right = {"string": "'x/y'", "string[]": "{ 'x' }", "integer": "1", "duration": "'1s'", "table": "{ x = 1 }", "function": "print_", "list": "{}", "string|secret": "'k'", "value": "1",
             "timestamp": "time.now()", "boolean": "true", "number": "1", "connection": "connection"}
    code, expected = [f"local module, print_, connection = require '{module}', function() end, p.prod\nlocal out = json.array {{}}"], []
    for function in declared(runbook, playbook, module)["functions"]:
        parameters = [p for p in function["parameters"] or [] if p["name"] != "..."]
        before = []
        for number, parameter in enumerate(parameters, 1):
            start = f"{module}.{function['name']}: argument {number} '{parameter['name']}': "
            values = [WRONG.get(parameter["type"], "5")] if parameter["type"] != "value" else []
            if not parameter["optional"]:
                values.append("nil")
            for value in values:
                code.append(f"out[#out + 1] = try(module.{function['name']}, {', '.join([*before, value])})")
                expected.append((start, value))
            for field in parameter.get("fields") or []:
                if field["type"] in WRONG:
                    code.append(f"out[#out + 1] = try(module.{function['name']}, {', '.join([*before, '{ ' + field['name'] + ' = ' + ('5' if field['type'] != 'number' else '{}') + ' }'])})"
                                if field["type"] not in ("integer", "duration") else
                                f"out[#out + 1] = try(module.{function['name']}, {', '.join([*before, '{ ' + field['name'] + ' = {} }'])})")
                    expected.append((start + f"option '{field['name']}': ", field["type"]))
            if "." in parameter["type"] and parameter["type"].split(".")[0] == module:
                before.append("object")
            else:
                before.append("nil" if parameter["optional"] else right[parameter["type"]])
        if not any(p["name"] == "..." for p in function["parameters"] or []):
            code.append(f"out[#out + 1] = try(module.{function['name']}, {', '.join(['nil'] * len(parameters) + ['1'])})")
            expected.append((f"{module}.{function['name']}: takes at most {len(parameters)} argument", "1 too many"))
    made = {"firestore": 'module.open { project = "x" }', "rails": 'module.app { dir = "/" }'}.get(module)
    code.insert(1, f"local object = {made or 'nil'}")
    errors = evaluate(runbook, playbook, "\n".join([*code, "return out"]), params='prod = { "database", access = "write", required = true, doc = "x" }', arguments=["--prod", "sqlite:x.db"])
    assert isinstance(errors, list), errors
    assert len(errors) == len(expected)
    for error, (start, value) in zip(errors, expected):
        assert error != "no error" and error["kind"] == "argument" and error["message"].startswith(start), (error, start, value)


# The parameters of a playbook that examples speak of.
PARAMETERS = 'prod = { "database", access = "write", required = true, doc = "x" }, token = { "secret", from = "env:KEY", doc = "x" }'


@pytest.mark.parametrize("module", MODULES)
def test_every_example_loads(runbook, playbook, module):
    text = f'local {module} = require "{module}"\nlocal p = playbook "examples" {{ summary = "x", params = {{ {PARAMETERS} }} }}\n'
    for number, function in enumerate(declared(runbook, playbook, module)["functions"]):
        text += f'step "{number} {function["name"]}" {{ undo = keep "x", run = function(ctx)\n{function["example"]}\nend }}\n'
    path = playbook(text, "examples.lua")
    result = runbook("check", path.name, cwd=path.parent)
    assert result.exit == 0, result.out + result.err


def test_a_module_is_in_the_reference_and_in_the_stubs(runbook, tmp_path):
    listed = runbook("doc").out
    assert all(re.search(rf"^{module}\b", listed, re.M) for module in MODULES)
    shown = runbook("doc", "kube.scaled")
    assert shown.exit == 0 and shown.out.startswith("kube.scaled(workload, [options])\nA toggle that takes a workload off")
    assert runbook("doc", "kube.scalled").err == "error: nothing is named 'kube.scalled' (did you mean 'kube.scaled'?)\nhint: runbook doc lists the areas\n"
    runbook("types", str(tmp_path / "types"))
    stubs = (tmp_path / "types" / "libraries" / "git.lua").read_text()
    assert stubs.startswith("---@meta git\n") and stubs.endswith("\nreturn git\n")
    assert "---@param name? string HEAD where it is left out\n" in stubs


def test_help_knows_modules(runbook):
    shown = runbook("repl", input='help "git.fetch"\n')
    assert "git.fetch(dir, [remote], [options])" in shown.out, shown.out + shown.err


def test_a_type_of_values_keeps_its_methods(runbook, playbook):
    (playbook("", "shop.lua").parent / "shop.lua").write_text("""
local rows = values.type("shop.rows", { total = function(self) return #self.list end })
return { find = function() return rows { list = { 1, 2, 3 } } end }
""")
    path = playbook("""
local shop = require "shop"
local p = playbook "x" { summary = "x" }
local found = step "find" { run = function() return shop.find() end }
step "use" { run = function() return { total = found.result:total() } end }
""", "main.lua")
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 0, result.out
    assert [e["result"] for e in result.events() if e["event"] == "step.finished"][1] == {"total": 3}
    errors = evaluate(runbook, playbook, 'return { try(values.type, "db.counts", {}), try(values.type, "rows", {}), try(values.type, "shop.x") }')
    assert [e["message"] for e in errors] == [
        "values.type: argument 1 'name': 'db.counts' belongs to the language", "values.type: argument 1 'name': 'rows': library.name expected",
        "values.type: argument 2 'methods': table expected, got nil"]
