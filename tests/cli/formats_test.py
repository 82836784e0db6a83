"""TOML, YAML, CSV and templates: what they say exactly, and what is refused with its place."""
import csv
import io
import json
import math

import yaml
from evaluate import evaluate


def test_yaml_core_schema(runbook, playbook):
    """What YAML 1.2's core schema says (chapter 10.3), not what readers of 1.1 make of it."""
    text = """
yes_: yes
no_: no
on_: on
off_: OFF
true_: True
false_: FALSE
null_: ~
empty:
time_: 12:30:45
octal: 0o17
old_octal: 017
hex: 0xFF
plus: +5
big: 123456789012345678901234567890
long: 9007199254740993
float: 1.5e3
dot: .5
inf: -.inf
date: 2026-01-01
under: 1_000
quoted: "5"
version: 1.10
list: [a, 1, {b: c}]
block: |
  one
  two
base: &base {x: 1}
copy: *base
tagged: !!str 5
"""
    seen = evaluate(runbook, playbook, f"""
      local v = yaml.decode({json.dumps(text)})
      v.big, v.long, v.inf = tostring(v.big), tostring(v.long), tostring(v.inf)
      v.null_, v.empty = v.null_ == null, v.empty == null
      return v
    """)
    assert seen == {"yes_": "yes", "no_": "no", "on_": "on", "off_": "OFF", "true_": True, "false_": False, "null_": True, "empty": True, "time_": "12:30:45",
                    "octal": 15, "old_octal": 17, "hex": 255, "plus": 5, "big": "123456789012345678901234567890", "long": "9007199254740993", "float": 1500,
                    "dot": 0.5, "inf": "-inf", "date": "2026-01-01", "under": "1_000", "quoted": "5", "version": 1.1, "list": ["a", 1, {"b": "c"}],
                    "block": "one\ntwo\n", "base": {"x": 1}, "copy": {"x": 1}, "tagged": "5"}


def test_yaml_written_is_read_the_same_by_others(runbook, playbook):
    """PyYAML reads YAML 1.1: what we write means the same there."""
    value = {"a": "no", "b": "012", "c": "12:30", "d": "2026-01-01", "e": "null", "f": "1e3", "g": "text", "h": [1, 2.5, True, None, [], {}], "i": "a\nb\n", "j": "- x: #y",
             "k": "", "l": " lead", "m": "ünï", "n": {"yes": "off", "1": "x"}, "o": "0x1F", "p": "1_000", "q": "~", "r": "=", "s": 12345678901, "t": "tab\there", "u": "+1"}
    out = evaluate(runbook, playbook, f"local v = json.decode({json.dumps(json.dumps(value))})\nreturn {{ text = yaml.encode(v), same = yaml.decode(yaml.encode(v)), one = yaml.encode 'x' }}")
    assert out["same"] == value and out["one"] == "x\n"
    assert yaml.safe_load(out["text"]) == value


def test_yaml_refusals(runbook, playbook):
    errors = evaluate(runbook, playbook, r"""
      local bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
      for i = 1, 8 do bomb = bomb .. ("a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n"):format(i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1) end
      return { try(yaml.decode, "a: 1\nb: 2\na: 3"), try(yaml.decode, "a: [1"), try(yaml.decode, "a: 1\n---\nb: 2"), try(yaml.decode, "? [x]\n: y"), try(yaml.decode, "a: !!python/object x"),
        try(yaml.decode, "a: *b"), try(yaml.decode, bomb), try(yaml.decode, ("["):rep(300)), try(yaml.encode, { a = function() end }), try(yaml.decode, "a: !!int x"), #yaml.documents "a: 1\n---\nb: 2\n---\n" }
    """)
    assert [e["message"] if isinstance(e, dict) else e for e in errors] == [
        "line 3, column 1: the key 'a' comes twice", errors[1]["message"], "the text has 2 documents", "line 1, column 3: a key is text or a number here, never a list, a map or an alias",
        "line 1, column 4: the tag tag:yaml.org,2002:python/object is not one of YAML's core schema" if "core schema" in errors[4]["message"] else errors[4]["message"],
        "line 1, column 4: *b names no anchor before it", errors[6]["message"], errors[7]["message"], errors[8]["message"], "line 1, column 4: 'x' is no !!int", 3]
    assert errors[1]["message"].startswith("line ") and "more than 100,000 values" in errors[6]["message"] and "nested deeper than 200 levels" in errors[7]["message"]
    assert errors[4]["kind"] == "yaml"


def test_toml(runbook, playbook):
    text = 'a = 9007199254740993\nb = 1.5\nc = 2026-07-01T22:00:00+02:00\nd = 2026-07-01\ne = 22:00:00\nf = [1, "x", { y = true }]\n[server.tls]\nca = "ü"\n'
    seen = evaluate(runbook, playbook, f"""
      local v = toml.decode({json.dumps(text, ensure_ascii=False)})
      return {{ a = tostring(v.a), b = v.b, c = time.iso(v.c), d = v.d, e = v.e, f = v.f, ca = v.server.tls.ca, same = json.encode(toml.decode(toml.encode(v)), {{ sorted = true }}) == json.encode(v, {{ sorted = true }}),
        text = toml.encode {{ name = "it's", list = json.array {{}}, server = {{ port = 5432 }} }} }}
    """)
    assert seen == {"a": "9007199254740993", "b": 1.5, "c": "2026-07-01T22:00:00+02:00", "d": "2026-07-01", "e": "22:00:00", "f": [1, "x", {"y": True}], "ca": "ü",
                    "same": True, "text": 'list = []\nname = "it\'s"\n\n[server]\nport = 5432\n'}
    errors = evaluate(runbook, playbook, r"""return { try(toml.decode, "a = 1\na = 2"), try(toml.encode, { a = { b = { null } } }), try(toml.encode, "x"), try(toml.decode, "a = ") }""")
    assert errors[0]["kind"] == "toml" and errors[0]["message"].startswith("line 2, column ")
    assert [e["message"] for e in errors[1:3]] == ["a.b[1]: TOML has no null: leave the key out", "the value: table expected, got string"]


def test_csv_against_pythons(runbook, playbook, tmp_path):
    rows = [{"id": str(i), "text": t} for i, t in enumerate(["plain", "a,b", 'say "x"', "two\nlines", "crlf\r\nhere", "", " blank ", "ü"])]
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "text"])
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "in.csv").write_text(out.getvalue(), newline="")
    seen = evaluate(runbook, playbook, f"""
      local text, all = fs.read "{tmp_path}/in.csv", {{}}
      for record in csv.rows "{tmp_path}/in.csv" do all[#all + 1] = record end
      return {{ decoded = csv.decode(text), all = all, same = csv.encode(all, {{ columns = {{ "id", "text" }} }}) == text,
        plain = csv.decode("1;2\\n3;4", {{ header = false, separator = ";" }}), mark = csv.decode("\\239\\187\\191a\\n1")[1].a, encoded = csv.encode({{ {{ 1, null, true }} }}, {{ header = false }}) }}
    """, needs=f'files = {{ "{tmp_path}/" }}')
    assert seen == {"decoded": rows, "all": rows, "same": True, "plain": [["1", "2"], ["3", "4"]], "mark": "1", "encoded": "1,,true\r\n"}


def test_csv_of_many_rows_and_refusals(runbook, playbook, tmp_path):
    with open(tmp_path / "many.csv", "w") as file:
        file.write("n\n" + "".join(f"{i}\n" for i in range(30000)))
    (tmp_path / "bad.csv").write_text('a,b\n1,2\n3,"4"x\n')
    seen = evaluate(runbook, playbook, f"""
      local count, sum = 0, 0
      for record in csv.rows "{tmp_path}/many.csv" do count, sum = count + 1, sum + record.n end
      return {{ count, sum, try(function() for _ in csv.rows "{tmp_path}/bad.csv" do end end), try(csv.decode, "a,b\\n1"), try(csv.decode, "a,a\\n"), try(csv.decode, 'a\\n"x'), try(csv.decode, 'a\\nx"y'),
        try(csv.decode, ""), try(csv.encode, {{ {{ a = 1 }}, {{ b = 2 }} }}), try(csv.encode, {{ {{ a = {{}} }} }}), try(csv.decode, "a", {{ separator = ",," }}), try(csv.rows, "/etc/absent.csv") }}
    """, needs=f'files = {{ "{tmp_path}/" }}')
    assert seen[:2] == [30000, sum(range(30000))]
    assert [e["message"] for e in seen[2:]] == [
        f"{tmp_path}/bad.csv: line 3: text stands behind a closing quote", "line 2: 1 field, 2 expected", "line 1: the header has 'a' twice", "line 2: the quote is never closed",
        "line 2: a quote stands inside of a field without quotes", "line 1: the header is missing", "record 2 has the field 'b', which is not one of the columns: a",
        "record 1, field 'a': CSV has no map", "option 'separator': one character expected that is neither a quote nor a line end, got ',,'", seen[-1]["message"]]
    assert seen[-1]["kind"] == "permission"


def test_templates(runbook, playbook):
    seen = evaluate(runbook, playbook, r"""
      local v = { name = "<Anna & \"B\">", n = 5, deep = { x = true }, text = "it's", list = { 1 } }
      return { template.render("{name} {{{n}}} {deep.x}", v), template.render("<p>{name}</p>", v, { escape = "html" }), template.render("rm -- {text}", v, { escape = "shell" }),
        template.render('{{"a": {list}, "b": {name}}}', v, { escape = "json" }), template.render("/q?x={name}", v, { escape = "url" }), try(template.render, "a\n{nam}", v), try(template.render, "{deep}", v),
        try(template.render, "a { b", v), try(template.render, "a } b", v), try(template.render, "{}", v), try(template.render, "x", v, { escape = "xml" }) }
    """)
    assert seen[:5] == ['<Anna & "B"> {5} true', "<p>&lt;Anna &amp; &quot;B&quot;&gt;</p>", "rm -- 'it'\\''s'", '{"a": [1], "b": "<Anna & \\"B\\">"}', "/q?x=%3CAnna%20%26%20%22B%22%3E"]
    assert [e["message"] for e in seen[5:]] == ["line 2: 'nam' has no value (did you mean 'name'?)", "line 1: 'deep' is no text but a table", "line 1: '{' is never closed; write '{{' for a brace",
                                                "line 1: '}' closes nothing; write '}}' for a brace", "line 1: '{}' is no name; write '{{' for a brace", "escape 'xml' is not known"]


def test_a_secret_in_a_template_stays_one(runbook, playbook):
    path = playbook("""
        local p = playbook "x" { summary = "x", params = { word = { "secret", from = "env:WORD", doc = "x" } }, needs = { files = { "./" } } }
        step "use" { undo = keep "x", run = function()
          local text = template.render("url=x://me:{word}@host", { word = p.word })
          fs.write("out.txt", text)
          log.info(text)
          return tostring(text)
        end }
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent, env={"WORD": "correct horse"})
    assert [e for e in result.events() if e["event"] == "step.finished"][0]["result"] == "***"
    assert (path.parent / "out.txt").read_text() == "url=x://me:correct horse@host" and (path.parent / "out.txt").stat().st_mode & 0o777 == 0o600
    assert "correct horse" not in result.out + result.err and b"correct horse" not in runbook.journal.read_bytes()


def test_time(runbook, playbook):
    seen = evaluate(runbook, playbook, """
      local t = time.parse "2026-07-01T20:30:05.5Z"
      return { time.iso(time.zone(t, "Europe/Berlin")), time.format(t, "%d.%m.%Y %H:%M %z"), time.format(t, "%a %e %b", "Asia/Tokyo"), time.parts(t, "Europe/Berlin").hour, time.parts(t).weekday,
        time.iso(time.after(t, "1d")), time.iso(time.before(t, 3600)), time.iso(time.parse("01.07.2026 22:30", { format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" })),
        time.iso(time.parse("2026-07-01 22:30 -0500", { format = "%Y-%m-%d %H:%M %z" })), time.parse("01.01.2026", { format = "%d.%m.%Y", zone = "Europe/Berlin" }) == time.parse "2025-12-31T23:00:00Z",
        tonumber(time.format(t, "%s")), try(time.parse, "31.02.2026", { format = "%d.%m.%Y" }), try(time.zone, t, "Europe/Berln"), try(time.format, 5, "%Y") }
    """)
    assert seen[:11] == ["2026-07-01T22:30:05.5+02:00", "01.07.2026 20:30 +0000", "Thu  2 Jul", 22, 3, "2026-07-02T20:30:05.5Z", "2026-07-01T19:30:05.5Z", "2026-07-01T22:30:00+02:00",
                         "2026-07-01T22:30:00-05:00", True, 1782937805]
    assert [e["message"] for e in (seen[11], seen[13])] == ["time.parse: argument 1 'text': '31.02.2026' is not a time of the form %d.%m.%Y",
                                                           "time.format: argument 1 'timestamp': timestamp expected, got integer"]
    assert "Europe/Berlin" in str(seen[12]) and not math.isnan(seen[10])
