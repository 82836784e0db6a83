"""Ways out of a sandbox that worked elsewhere (Redis, OpenResty, LuaJIT, and those of our own design notes): tried here, and refused.

Each attempt is Lua that returns true only where it got out; the one named "control" does. The program must neither let another through
nor die of one.
"""
import pytest

from evaluate import evaluate

# What no playbook may see (Redis CVE-2022-0543 was a forgotten `package`).
GONE = ["package", "os", "io", "debug", "ffi", "jit", "dofile", "loadfile", "module", "getfenv", "setfenv", "newproxy", "collectgarbage",
        "gcinfo", "arg", "ngx", "redis_call"]

MACHINE = {
    "require ffi": 'return require "ffi" ~= nil',
    "require jit": 'return require "jit" ~= nil',
    "require of a loaded library": 'return require "os" ~= nil or require "io" ~= nil or require "debug" ~= nil or require "package" ~= nil',
    "ffi through a cdata literal": 'local f = load "return 1LL" return f ~= nil',
    "ffi through an imaginary literal": 'local f = load "return 0i" return f ~= nil',
    "ffi after a literal in loaded text": 'pcall(load, "return 0x10ULL") return require "ffi" ~= nil',
    "require by path": 'return require "../../../etc/passwd" ~= nil or require "/etc/passwd" ~= nil',
    "string.dump": "return string.dump(function() end) ~= nil",
    "string.dump of a method": "return (''):dump() ~= nil",
    "bytecode": r'return load "\27LJ\2\0" ~= nil',
    "bytecode in pieces": r'local n, p = 0, { "\27", "LJ\2", "\0" } return load(function() n = n + 1 return p[n] end) ~= nil',
    "bytecode by mode": r'return load("\27LJ\2\0", "x", "b") ~= nil',
    "environment of a loaded chunk": 'return load("return os or io or debug", "x", "t", {})() ~= nil',
    "environment through loadstring": 'return loadstring "return package"() ~= nil',
}

METATABLES = {
    "of strings": 'return type(getmetatable "") == "table"',
    "of strings, by method": 'local m = getmetatable "" m.__index = function() return 1 end return (""):x() == 1',
    # Redis CVE-2025-46818: metatables of the basic types are shared by everybody
    "of nil": "return getmetatable(nil) ~= nil",
    "of booleans": "return getmetatable(true) ~= nil",
    "of numbers": "return getmetatable(1) ~= nil",
    "of functions": "return getmetatable(print or pcall) ~= nil",
    "of coroutines": "return getmetatable(coroutine.create(function() end)) ~= nil",
    "of userdata": "return getmetatable(null) ~= nil",
    "of the globals": 'return type(getmetatable(_G)) == "table"',
    "replaced": "return setmetatable(_G, {}) ~= nil",
    "of userdata, replaced": "return setmetatable(null, {}) ~= nil",
    "of strings, replaced": 'return setmetatable("", {}) ~= nil',
    "an error object's __tostring is not called by the host": """
        local called = false
        local co = coroutine.wrap(function() error(setmetatable({}, { __tostring = function() called = true return "x" end })) end)
        pcall(co) return called""",
}

CORRUPTION = {
    "bit.tohex with a negative width (Redis CVE-2024-31449)": "bit.tohex(65535, -2147483648) bit.tohex(1, 2147483647) return false",
    "unpack over the end of the numbers (Redis CVE-2025-46817)": """
        pcall(unpack, {}, -2147483648, 2147483647) pcall(unpack, {}, 0, 2147483647) pcall(unpack, {}, 1, 1e8) pcall(unpack, {}, 1, -1e300) return false""",
    "a long bracket without end (Redis CVE-2025-46819)": 'return load("return [" .. ("="):rep(2^20) .. "[") ~= nil',
    "deep nesting in the parser": 'return load("return " .. ("("):rep(1e5) .. (")"):rep(1e5)) ~= nil',
    "deep nesting in JSON": 'return json.decode(("["):rep(1e6)) ~= nil',
    "deep recursion of a pattern": 'pcall(string.find, ("a"):rep(1e5), ("(a?)"):rep(40) .. ("a"):rep(40)) return false',
    "recursion in captures": 'pcall(string.gsub, "x", ".", ("%0"):rep(1e6)) return false',
    "recursion without end": "local function f() return 1 + f() end return pcall(f)",
    "a sort that lies": "local t = {} for i = 1, 500 do t[i] = i end pcall(table.sort, t, function() return true end) return false",
    "format with a long width": 'return pcall(string.format, "%99999999d", 1)',
    "concat of what is no text": "return pcall(table.concat, { {}, function() end })",
    "yield across the host": "return pcall(string.gsub, 'x', 'x', function() coroutine.yield() end)",
    "a coroutine that resumes itself": "local co co = coroutine.wrap(function() return co() end) return pcall(co)",
    "next with a key that is not there": "return pcall(next, {}, 'x')",
    "a table as its own metatable": "local t = {} t.__index = t setmetatable(t, t) return pcall(function() return t.x end)",
}

# A function written in Lua calls what it took from its area when the host started, not what a playbook put there since.
AREAS = {
    "a helper that trusts its caller": "pcall(function() values.set() end) return values.set ~= nil",
    "a transaction that never begins": """
        local begin, commit, rollback = db.begin, db.commit, db.rollback
        db.begin, db.commit, db.rollback = function() end, function() end, function() end
        local c = db.connect("sqlite::memory:", { access = "write" })
        db.execute(c, "create table t (a int)")
        pcall(db.transaction, c, function() db.execute(c, "insert into t values (1)") error "undo it" end)
        db.begin, db.commit, db.rollback = begin, commit, rollback
        return db.value(c, "select count(*) from t") == 1""",
    "a connection lent by somebody else": """
        local pool, lend = db.pool(db.connect "sqlite::memory:"), db.lend
        db.lend = function() return nil end
        local got = db.use(pool, function(c) return c == nil end)
        db.lend = lend
        return got""",
}

NEEDS = {
    "a parent folder": 'fs.read "work/../../secret.txt" return true',
    "a symbolic link": 'fs.read "work/link" return true',
    "through a linked folder": 'fs.read "work/up/secret.txt" return true',
    "a name with a zero byte": r'fs.read "work/\0/../../secret.txt" return true',
    "a sibling with the same beginning": 'fs.read "work-other/x" return true',
    "a program by path": 'sh.run { "/bin/echo", "x" } return true',
    "a program beside": 'sh.run { "./echo", "x" } return true',
    "a script": 'sh.run { "echo x", shell = true } return true',
    "a pipe's second member": 'sh.pipe { { "echo" }, { "cat" } } return true',
    "a host as user": 'http.get("http://allowed.test@127.0.0.1:1/") return true',
    "a host as user and password": 'http.get("http://allowed.test:80@127.0.0.1:1/") return true',
    "a host behind a fragment": 'http.get("http://127.0.0.1:1#@allowed.test/") return true',
    "a host behind a query": 'http.get("http://127.0.0.1:1?@allowed.test/") return true',
    "a host behind a backslash": r'http.get("http://127.0.0.1:1\\@allowed.test/") return true',
    "a file": 'http.get("file:///etc/passwd") return true',
    "another protocol": 'http.get("gopher://allowed.test/") return true',
    "a header in a header": r'http.get("http://allowed.test/", { headers = { a = "b\r\nc: d" } }) return true',
    "ssh": 'ssh.run("allowed.test", { "true" }) return true',
    "an option as a host": 'ssh.run("-oProxyCommand=touch escaped", { "true" }) return true',
    "a database that is not a parameter": 'db.connect("sqlite:secret.db") return true',
}


def attempts(cases):
    lines = ["local out = {}", "local function try_(name, fn) local ok, got = pcall(fn) if ok and got == true then out[#out + 1] = name end end"]
    for name, code in {**cases, "control": "return true"}.items():
        lines.append(f"try_({name!r}, function() {code} end)")
    return "\n".join([*lines, 'return table.concat(out, ", ")'])


def test_no_name_of_the_machine_is_there(runbook, playbook):
    code = "local out = {} for name in pairs(_G) do out[name] = true end return out"
    names = evaluate(runbook, playbook, code)
    assert not set(names) & set(GONE)
    assert "sh" in names and "pcall" in names


@pytest.mark.parametrize("cases", [MACHINE, METATABLES, CORRUPTION, AREAS], ids=["machine", "metatables", "corruption", "areas"])
def test_every_attempt_is_refused_and_the_program_lives(runbook, playbook, cases):
    # sorted out one by one: a cdata literal in the file itself would be refused while it loads
    assert evaluate(runbook, playbook, attempts(cases)) == "control"


def test_what_is_not_declared_stays_out_of_reach(runbook, playbook, tmp_path):
    folder = tmp_path / "playbooks"
    (folder / "work").mkdir(parents=True)
    (folder / "work-other").mkdir()
    for file in (tmp_path / "secret.txt", folder / "secret.txt", folder / "work-other" / "x"):
        file.write_text("secret")
    (folder / "work" / "link").symlink_to(tmp_path / "secret.txt")
    (folder / "work" / "up").symlink_to(tmp_path)
    # names of its own: what the text alone shows is refused before the run begins
    got = evaluate(runbook, playbook, "local fs, sh, http, ssh = fs, sh, http, ssh\n" + attempts(NEEDS), needs='shell = { "echo" }, files = { "work/" }, http = { "allowed.test" }')
    assert got == "control"
    assert not (folder / "escaped").exists()


def test_the_literal_in_a_playbook_is_refused_while_it_loads(runbook, playbook):
    path = playbook('playbook "x" { summary = "x" }\nlocal n = 1LL\n')
    result = runbook("exec", path)
    assert result.exit == 2, result
    assert ":2: " in result.err


def test_a_poisoned_library_poisons_only_its_playbook(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x" }
        local real = { format = string.format }
        string.format, table.concat, table.insert, math.floor, tostring_ = function() error "poisoned" end, nil, nil, nil, nil
        step "one" { run = function() return real.format("%d", 1) end }
        checkpoint "two" { run = function() return 1 end, pass = function(v) return v == 1 end }
    """.replace(", tostring_", "").replace(", nil, nil, nil, nil", ", nil, nil, nil"))
    result = runbook("exec", path, "--output", "json")
    assert result.exit == 0, result
    assert runbook("show", "last").exit == 0
