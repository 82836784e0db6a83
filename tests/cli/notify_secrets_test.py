"""5,000 secrets in every encoding, sent through every kind of channel: none leaves in a message, nor stays in the journal, the report or an error."""
import json
import quopri

from notify_standins import Mail, PagerDuty, Slack, Statuspage, mail, pagerduty, settings, statuspage  # noqa: F401 fixtures
from hooks import hook  # noqa: F401 fixture
import pytest
from secret_leaks_test import Proof

PLAYBOOK = """
    local p = playbook "leaks" { summary = "x", updates = { to = { "hook", "chat", "mail", "log" } }, needs = { files = { "./" } } }
    step "fetch" { undo = keep "x", run = function()
      local n = 0
      for line in fs.read("words"):gmatch "[^\\n]+" do
        n = n + 1
        secret.file("secrets/" .. line)
      end
      return n
    end }
    local function whole(text, size) return text:sub(1, size):match "^(.*)\\n" or "none" end -- part of a secret is not known as one
    step "send" { undo = keep "x", run = function()
      local sent, at, text = 0, 1, fs.read "encoded"
      while at <= #text do
        local stop = text:find("\\n", at + 30000, true) or #text
        local part = text:sub(at, stop - 1)
        at = stop + 1
        for _, one in ipairs(notify.send(part, { to = { "hook", "chat", "mail", "log", "pager", "page", "notes" }, level = "critical",
            title = whole(part, 300), data = { text = part, [whole(part, 200)] = { whole(part, 4000) } } })) do
          if not one.delivered then error(one.error) end
          sent = sent + 1
        end
      end
      return sent
    end }
    step "say" { undo = keep "x", says = "{result.text}", run = function() return { text = whole(fs.read "encoded", 60000) } end }
"""


@pytest.fixture
def slack():
    made = Slack(limit=False)
    yield made
    made.stop()


def test_no_secret_leaves_in_a_message(runbook, playbook, hook, pagerduty, slack, statuspage, mail):
    proof = Proof(31)
    path = playbook(PLAYBOOK)
    folder = path.parent
    (folder / "secrets").mkdir()
    for number, secret in enumerate(proof.secrets):
        (folder / "secrets" / str(number)).write_text(secret, encoding="utf-8")
        (folder / "secrets" / str(number)).chmod(0o600)
    (folder / "words").write_text("".join(f"{number}\n" for number in range(len(proof.secrets))), encoding="utf-8")
    (folder / "encoded").write_text("\n".join(proof.lines), encoding="utf-8")
    text, env = settings(pagerduty=pagerduty, slack=slack, statuspage=statuspage, mail=mail)
    text = text.replace("[channels.status_page]", "[channels.page]").replace('channel = "#migration"', 'channel = "#migration"\nrate = "1000/s"')
    text = text.replace('type = "pagerduty"', 'type = "pagerduty"\nrate = "1000/s"').replace('timeout = "1s"', 'timeout = "30s"').replace('timeout = "3s"', 'timeout = "30s"')
    text += f'[channels.hook]\ntype = "webhook"\nurl = "{hook.url}/x"\n[channels.notes]\ntype = "webhook"\nformat = "grafana"\nurl = "{hook.url}/api/annotations"\n'
    text += '[channels.log]\ntype = "file"\npath = "told.log"\n'
    (folder / "runbook.toml").write_text(text, encoding="utf-8")
    result = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=folder, env=env, timeout=400)
    assert result.exit == 0, (result.out[-2000:], result.err[-2000:])
    sent = next(e["result"] for e in result.events() if e["event"] == "step.finished" and e["step"] == "send")
    assert sent > 7 * 20, sent
    everything = [text for _, _, _, _, text in slack.requests + pagerduty.requests + statuspage.requests]
    everything += [json.dumps(body, ensure_ascii=False).encode() for _, _, body in hook.posts]
    for raw, parsed in zip(mail.plain, mail.mails):
        everything += [raw, quopri.decodestring(raw), str(parsed["subject"]).encode()]
        everything += [parsed.get_body((kind,)).get_content().encode() for kind in ("plain", "html")]
    everything += [(folder / "told.log").read_bytes(), result.out.encode(), result.err.encode(), runbook.journal.read_bytes(),
                   runbook("report", "r1", cwd=folder).out.encode()]
    assert sum(map(len, everything)) > 5_000_000
    own = [PagerDuty.KEY, Slack.TOKEN, Statuspage.TOKEN, Mail.PASSWORD]
    results = []

    def look(part):
        results.append(proof.leaks(part))
    for part in everything:
        look(part)
    assert [leak for leaks in results for leak in leaks][:5] == []
    for part in [result.out.encode(), result.err.encode(), runbook.journal.read_bytes()]:
        assert not any(word.encode() in part for word in own)
    # the proof would see one: what was sent holds the lines, without their secrets
    assert any(b"***" in part for part in everything) and proof.leaks("\n".join(proof.lines)) != []
