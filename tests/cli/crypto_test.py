"""Digests and encodings against Python's; what comes from a secret stays one."""
import base64
import hashlib
import hmac
import os

from evaluate import evaluate


def test_digests_against_pythons(runbook, playbook, tmp_path):
    data = bytes(range(256)) * 5000  # 1.28 MB: more than a block
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    (tmp_path / "none.bin").write_bytes(b"")
    seen = evaluate(runbook, playbook, f"""
      local file, text = "{path}", fs.read "{path}"
      return {{ crypto.sha256(text), crypto.sha512(text), crypto.file(file), crypto.file(file, "sha512"), crypto.file(file, "sha1"),
        crypto.file(file, "md5"), crypto.hmac("key", text), crypto.hmac("key", text, "sha512"), crypto.sha256 "", crypto.file "{tmp_path}/none.bin",
        crypto.sha256(crypto.unbase64(crypto.base64(text))), crypto.sha256(crypto.unhex(crypto.hex(text))) }}
    """, needs=f'files = {{ "{tmp_path}/" }}')
    assert seen == [hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest(), hashlib.sha256(data).hexdigest(),
                    hashlib.sha512(data).hexdigest(), hashlib.sha1(data).hexdigest(), hashlib.md5(data).hexdigest(),
                    hmac.digest(b"key", data, "sha256").hex(), hmac.digest(b"key", data, "sha512").hex(),
                    hashlib.sha256(b"").hexdigest(), hashlib.sha256(b"").hexdigest(), hashlib.sha256(data).hexdigest(),
                    hashlib.sha256(data).hexdigest()]


def test_what_comes_from_a_secret_is_one(runbook, playbook):
    word = "correct horse battery"
    path = playbook("""
        local p = playbook "x" { summary = "x", params = { word = { "secret", from = "env:WORD", doc = "x" } } }
        step "use" { run = function()
          log.info(p.word, crypto.base64(p.word), crypto.hex(p.word), crypto.unbase64(crypto.base64(p.word)))
          return { tostring(crypto.base64(p.word)), crypto.hmac(p.word, "x"), crypto.equal(p.word, crypto.unhex(crypto.hex(p.word))), crypto.equal(p.word, "x") }
        end }
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent, env={"WORD": word})
    seen = [e for e in result.events() if e["event"] == "step.finished"][0]["result"]
    assert seen == ["***", hmac.digest(word.encode(), b"x", "sha256").hex(), True, False]
    for form in (word, base64.b64encode(word.encode()).decode(), word.encode().hex()):
        assert form not in result.out + result.err
        assert form.encode() not in runbook.journal.read_bytes()


def test_random(runbook, playbook):
    seen = evaluate(runbook, playbook, "return { crypto.random(1024), crypto.random(), crypto.random(1), crypto.uuid(), crypto.uuid() }")
    assert [len(x) for x in seen] == [2048, 32, 2, 36, 36] and seen[3] != seen[4]


def test_refusals(runbook, playbook):
    errors = evaluate(runbook, playbook, """
      return { try(crypto.sha256, {}), try(crypto.unhex, "abc"), try(crypto.unhex, "zz"), try(crypto.unbase64, "a!"), try(crypto.random, 0),
        try(crypto.random, 1025), try(crypto.hmac, "k", "t", "sha3"), try(crypto.file, "absent.bin"), try(crypto.file, "/etc/hosts"), try(crypto.base64) }
    """, needs='files = { "./" }')
    assert [e["message"] for e in errors] == [
        "crypto.sha256: argument 1 'text': string or secret expected, got table", "hex text has an odd number of digits",
        "not a hex digit at position 1", "not base64 at position 2", "crypto.random: argument 1 'bytes': 1 to 1024 expected, got 0",
        "crypto.random: argument 1 'bytes': 1 to 1024 expected, got 1025", "digest 'sha3' is not known",
        "cannot read absent.bin: No such file or directory",
        'step "evaluate" may not touch `/etc/hosts`: needs.files allows ./ (evaluate.lua:1)',
        "crypto.base64: argument 1 'text': string or secret expected, got nil"]
    assert os.path.exists("/etc/hosts")
