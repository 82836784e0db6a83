"""Proof that no secret leaves the program: random secrets in all encodings, in random pieces, through each sink.

The release suite sends 5,000 secrets in some of their encodings; RUNBOOK_PROOF=long sends all encodings, several times over.
"""
import base64
import json
import os
import random
import shlex
import subprocess
import threading
import urllib.parse

import pexpect
import pytest
from conftest import Result, marked
from hooks import channels, hook  # noqa: F401 fixture
from vault_standin import vault  # noqa: F401 fixture

LONG = os.environ.get("RUNBOOK_PROOF") == "long"
COUNT = 5000
GRAM = 10  # characters in a row that belong to a secret's encoding: one such run left is a leak


def make(rng):
    """A secret: mostly what generators of passwords use, some with what people and keys have."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
    signs = "!#$%&()*+,-./:;<=>?@[]^_{|}~ \"'\\`\té😀"
    size = rng.randint(16, 40)
    body = "".join(rng.choice(signs) if rng.random() < 0.25 else rng.choice(letters) for _ in range(size))
    if rng.random() < 0.05:
        body += "\n" + "".join(rng.choice(letters) for _ in range(20))
    return rng.choice(letters) + body + rng.choice(letters)


def bash(text):
    return "$'" + "".join(c if c.isalnum() and c.isascii() else "".join(f"\\{b:03o}" for b in c.encode()) for c in text) + "'"


def url_lower(text):
    return "".join(c if c.isalnum() and c.isascii() else "".join(f"%{b:02x}" for b in c.encode()) for c in text)


def wrapped(text):
    return base64.encodebytes(("key: " + text + " " * 60).encode()).decode().replace("\n", "\r\n")


ENCODINGS = {
    "plain": lambda s: s,
    "url": lambda s: urllib.parse.quote(s, safe=""),
    "url lower": url_lower,
    "form": urllib.parse.quote_plus,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 at 1": lambda s: base64.b64encode(b"u" + s.encode() + b"\n").decode(),
    "base64 at 2": lambda s: base64.b64encode(b"u:" + s.encode() + b"\nx").decode(),
    "base64 url": lambda s: base64.urlsafe_b64encode(b"user:" + s.encode()).decode().rstrip("="),
    "hex": lambda s: s.encode().hex(),
    "hex upper": lambda s: s.encode().hex().upper(),
    "json": json.dumps,
    "json utf-8": lambda s: json.dumps(s, ensure_ascii=False),
    "json in json": lambda s: json.dumps(json.dumps({"pw": s})),
    "shell": shlex.quote,
    "bash": bash,
    "sql": lambda s: "'" + s.replace("'", "''") + "'",
}


class Proof:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.secrets = [make(self.rng) for _ in range(COUNT)]
        self.lines, self.grams = [], set()
        for number, secret in enumerate(self.secrets):
            for name in ENCODINGS if LONG else self.rng.sample(list(ENCODINGS), 3):
                encoded = ENCODINGS[name](secret)
                self.lines.append(f"{number} <{encoded}>")
                self.note(name, encoded)
        self.rng.shuffle(self.lines)

    def note(self, name, encoded):
        """Runs of characters out of the middle of an encoding: its ends may belong to what stands beside the secret."""
        inner = encoded[6:-6] if name.startswith("base64") else encoded[20:-4] if name == "json in json" else encoded[2:-2]
        for line in inner.split("\n"):
            for at in {0, (len(line) - GRAM) // 2, len(line) - GRAM}:
                gram = line[at:at + GRAM]
                if at >= 0 and len(gram) == GRAM and len(set(gram)) > 4:
                    self.grams.add(gram.encode())

    def leaks(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        grams, size = self.grams, len(data) - GRAM + 1
        if {data[i:i + GRAM] for i in range(size)}.isdisjoint(grams):
            return []
        return [data[max(0, i - 40):i + 60] for i in range(size) if data[i:i + GRAM] in grams]


PRINT = """
import os, random, sys
rng, text, at = random.Random(int(sys.argv[1])), open("encoded", "rb").read(), 0
while at < len(text):
    size = rng.choice((1, 7, 60, 4000, 70000))
    while at < len(text) and size:
        done = os.write(1, text[at:at + size])
        at, size = at + done, size - done
"""

PLAYBOOK = """
    playbook "leaks" { summary = "x", needs = { shell = { "/usr/bin/python3", "true", "sh" }, files = { "./" } } }

    local function each(fn)
      local text, at = fs.read "encoded", 1
      while at <= #text do
        local stop = text:find("\\n", at + 60000, true) or #text
        fn(text:sub(at, stop - 1))
        at = stop + 1
      end
    end
    step "fetch" { undo = keep "x", run = function()
      return secret.vault "secret/data/all"
    end }
    step "live" { undo = keep "x", run = function(ctx) return sh.run { "/usr/bin/python3", "print.py", "7" } end }
    step "stderr" { undo = keep "x", run = function() return sh.run { "sh", "-c", "/usr/bin/python3 print.py 8 >&2" }.err end }
    step "logs" { undo = keep "x", run = function()
      each(function(text) log.info(text) end)
      local parts = {}
      each(function(text) parts[#parts + 1] = { text = text, nested = { [text:match "^[^\\n]*"] = text } } end)
      return parts
    end }
    step "errors" { undo = keep "x", run = function()
      local kept = {}
      each(function(text)
        local ok, err = pcall(sh.run, { "sh", "-c", "tr '\\\\n' ' ' >&2; exit 3", stdin = text })
        kept[#kept + 1] = err
      end)
      return kept
    end }
    step "failed" { undo = keep "x", failure = "continue", run = function() each(function(text) error(text) end) end }
    step "argv" { undo = keep "x", run = function()
      local passed = {}
      for line in fs.read("words"):gmatch "[^\\n]+" do
        if pcall(sh.run, { "true", line }) then passed[#passed + 1] = #line end
      end
      return { passed = #passed }
    end }
    step "messages" { undo = keep "x", run = function() each(function(text) notify.send(text, { to = "general" }) end) end }
"""


def prepared(runbook, vault):
    """The proof, with its secrets in Vault and its files in the home folder."""
    seed = random.SystemRandom().randrange(2**32) if LONG else 20261121
    proof = Proof(seed)
    print("seed", seed)
    text = "\n".join(proof.lines) + "\n"
    home = runbook.home
    (home / "encoded").write_text(text, encoding="utf-8")
    (home / "words").write_text("\n".join(line for line in proof.lines if "\n" not in line), encoding="utf-8")
    (home / "print.py").write_text(PRINT, encoding="utf-8")
    assert len(proof.leaks(text[:200000])) > 500  # who looks for leaks finds them where nothing is hidden
    vault.kv["secret/data/all"] = {f"s{number}": secret for number, secret in enumerate(proof.secrets)}
    return proof, seed


def on_terminal(child, lines=()):
    """All that a terminal showed, and the exit code; `lines` are typed at prompts."""
    shown = []
    for line in lines:
        child.expect("> ")
        shown.append(child.before)
        child.sendline(line)
    child.expect(pexpect.EOF)
    child.close()
    return "".join(shown) + child.before, child.exitstatus


@pytest.mark.parametrize("output", ["json", "plain", "tty"])
def test_no_secret_leaves_by_any_sink(runbook, playbook, vault, hook, output):
    proof, seed = prepared(runbook, vault)
    home = runbook.home
    path = playbook(PLAYBOOK)
    channels(path, hook)
    seen, running = set(), threading.Event()

    def watch():
        while not running.wait(0.05):
            seen.update(line for _, line in marked(runbook.mark))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        command = ["exec", path, "--run-id", "r1", "--output", output, "--report", "report.html"]
        if output == "tty":
            shown, code = on_terminal(runbook.terminal(*command, env=vault.env(), timeout=600))
            result = Result(code, shown, "")
        else:
            result = runbook(*command, env=vault.env(), timeout=600)
    finally:
        running.set()
        watcher.join()
    assert result.exit in (0, 1), result.err[-2000:]
    places = {"standard output": result.out, "standard error": result.err, "process list": "\n".join(seen),
              "report": (home / "report.html").read_bytes(), "messages": "\n".join(hook.texts())}
    if output == "json":  # the journal does not depend on what is shown
        for file in runbook.journal.parent.iterdir():
            places[file.name] = file.read_bytes()
        for format in ("md", "json"):
            places[f"report {format}"] = runbook("report", "r1", "--format", format).out
        places["show"] = runbook("show", "r1").out
    for place, content in places.items():
        found = proof.leaks(content)
        assert not found, f"{place}: {len(found)} leaks, seed {seed}: {found[:5]}"
    assert len(result.out) > (20000 if output == "tty" else 100000) and "***" in result.out and any("print.py" in line for line in seen)
    if output == "json":
        steps = {e["step"]: e for e in result.events() if e["event"] == "step.finished"}
        passed = steps["argv"].get("result", steps["argv"].get("data", {}).get("result"))
        assert passed == {"passed": 0}


PROMPT = r"""
all = secret.vault "secret/data/all"
function each(fn)
  local text, at = fs.read "encoded", 1
  while at <= #text do
    local stop = text:find("\n", at + 60000, true) or #text
    fn(text:sub(at, stop - 1))
    at = stop + 1
  end
end
function pieces()
  local parts = {}
  each(function(text) parts[#parts + 1] = { text = text, nested = { [text:match "^[^\n]*"] = text } } end)
  return parts
end
"""


def test_no_secret_leaves_by_the_prompt(runbook, vault):
    proof, seed = prepared(runbook, vault)
    home = runbook.home
    (home / "prompt.lua").write_text(PROMPT)
    shown, code = on_terminal(runbook.terminal("repl", "prompt.lua", "--connect", "shop=sqlite:shop.db", "--read-write", env=vault.env(), timeout=300), [
        "each(log.info)",
        "pieces()",
        'fs.read "encoded"',
        'sh.run({ "/usr/bin/python3", "print.py", "7" })',
        'sh.run({ "/usr/bin/python3", "print.py", "8" }).out',
        'db.query(shop, "select ? as a", fs.read "encoded")',
        'each(function(text) sh.run({ "sh", "-c", "cat >&2; exit 3" }, { stdin = text }) end)',
        'error(fs.read "encoded")',
        'error { kind = "own", message = fs.read "encoded", hint = fs.read "words" }',
        "all",
        ":quit",
    ])
    assert code == 0, shown[-2000:]
    # what is typed is echoed by the terminal itself; a script has no echo
    typed = [line.split("<", 1)[1][:-1] for line in proof.lines if "\n" not in line][:2000]
    typed = [text for text in typed if "]]" not in text and "\\" not in text]
    lines = "".join(f"log.info [[{text}]]\n" for text in typed)
    scripted = runbook("repl", "prompt.lua", input=lines + ':export typed.lua\nerror [[' + typed[0] + "]]\n", env=vault.env(), timeout=300)
    places = {"terminal": shown, "standard output": scripted.out, "standard error": scripted.err}
    for file in [*home.rglob("*history*"), *home.glob("typed.lua")]:
        if file.is_file():
            places[file.name] = file.read_bytes()
    for place, content in places.items():
        found = proof.leaks(content)
        assert not found, f"{place}: {len(found)} leaks, seed {seed}: {found[:5]}"
    assert len(shown) > 1000000 and shown.count("***") > 1000, len(shown)
    assert scripted.out.count("***") > 1000, scripted
