"""What verify must find: two hundred single changes in a copied database, each told by table, key and column, and nothing else; and twenty
random databases, copied and not touched, in which it finds nothing."""
import random
import sqlite3

import pytest

# column: what is done to its cell, as SQL of MySQL and MariaDB. Each is done to a row of its own.
CHANGES = [
    ("flag", "1 - flag"), ("n", "n + 1"), ("n", "-n"), ("n", "null"), ("amount", "amount + 0.000001"), ("amount", "-amount"), ("amount", "null"),
    ("f", "f * (1 + 3e-16)"), ("f", "-f"), ("f", "null"),
    ("body", "upper(body)"), ("body", "concat(body, ' ')"), ("body", "concat(' ', body)"), ("body", "concat(body, char(0))"), ("body", "''"),
    ("body", "null"), ("body", "replace(body, 'é', 'e')"), ("body", "replace(body, 'é', concat('e', convert(x'CC81' using utf8mb4)))"),
    ("body", "replace(body, char(9), ' ')"), ("body", "replace(body, char(10), concat(char(13), char(10)))"), ("body", "replace(body, '1.10', '1.1')"),
    ("body", "reverse(body)"), ("body", "replace(body, 'I', 'l')"), ("body", "replace(body, '0', 'O')"),
    ("name", "concat(name, ' ')"), ("name", "upper(name)"), ("name", "''"), ("name", "'NULL'"),
    ("data", "concat(data, x'00')"), ("data", "x''"), ("data", "null"), ("data", "concat(x'01', substr(data, 2))"),
    ("day", "day + interval 1 day"), ("day", "null"), ("at", "at + interval 1 microsecond"), ("at", "at + interval 1 hour"), ("at", "null"),
    ("wall", "wall - interval 1 microsecond"), ("wall", "wall + interval 1 second"), ("t", "addtime(t, '00:00:00.000001')"), ("t", "null"),
    ("u", "concat(substr(u, 1, 35), if(right(u, 1) = '0', '1', '0'))"), ("u", "null"),
    ("raw", "replace(raw, '1.10', '1.1')"), ("raw", "replace(raw, ':', ': ')"), ("raw", "null"),
    ("doc", "json_set(doc, '$.k', 2)"), ("doc", "json_remove(doc, '$.z')"), ("doc", "json_set(doc, '$.s', 'Ä')"), ("doc", "'{}'"), ("doc", "null"),
    ("mood", "'Sad'"), ("mood", "null"),
]


def fill(source, rows):
    connection = source.connect()
    with connection.cursor() as cursor:
        cursor.execute("create type mood as enum ('sad', 'Sad', 'ok')")
        cursor.execute("create table keyed (id int primary key, flag boolean, n bigint, amount numeric(20,6), f double precision, body text, "
                       "name varchar(40), data bytea, day date, at timestamptz, wall timestamp, t time, u uuid, raw json, doc jsonb, mood mood)")
        cursor.execute(r"""insert into keyed select i, i %% 2 = 0, i * 1000003, i + 0.5, i + 0.1, E'row\té\n1.10 I0 ' || i, 'name ' || i,
            decode(lpad(to_hex(i + 1000), 8, '0') || '00ff', 'hex'), date '2024-01-01' + i, timestamptz '2024-03-31 00:30:00.5+00' + i * interval '1 hour',
            timestamp '1999-12-31 23:59:59.123456' + i * interval '1 day', time '01:02:03.000004' + i * interval '1 minute',
            md5(i::text)::uuid, ('{"a":1.10,"b":"' || i || '"}')::json, jsonb_build_object('k', 1, 'z', null, 's', 'ä', 'i', i), 'sad'::mood
            from generate_series(1, %s) i""", (rows,))
        cursor.execute("create table keyless (a int, b text)")
        cursor.execute("insert into keyless select i %% 50, 'b' || i %% 50 from generate_series(1, %s) i", (rows,))
        cursor.execute("create table texts (k text primary key, v int)")
        cursor.execute("insert into texts select 'key ' || chr(65 + i %% 26) || chr(97 + i %% 26) || i, i from generate_series(1, %s) i", (rows,))
    connection.close()


@pytest.mark.parametrize("kind, changes", [("MYSQL", 100), ("MARIADB", 100)])
def test_every_single_change_is_found(runbook, playbook, scratch, kind, changes):
    source, target = scratch("PG"), scratch(kind)
    fill(source, 200)
    assert runbook("copy", source.url, target.url).exit == 0
    clean = runbook("verify", source.url, target.url)
    assert clean.exit == 0, clean.out
    expected, unseen = set(), []
    connection = target.connect()
    with connection.cursor() as cursor:
        for number in range(changes - 6):
            column, change = CHANGES[number % len(CHANGES)]
            done = cursor.execute(f"update keyed set {column} = {change} where id = {number + 1}")
            if done:
                expected.add((str(number + 1), "changed", column))
            else:
                unseen.append((column, change))
        cursor.execute("delete from keyed where id = 199")
        expected.add(("199", "missing", ""))
        cursor.execute("insert into keyed (id) values (100000)")
        expected.add(("100000", "extra", ""))
        cursor.execute("update texts set k = concat(k, ' ') where v = 7")
        cursor.execute("update texts set k = lower(k) where v = 8")
        cursor.execute("insert into keyless values (1, 'b1')")  # a row doubled
        cursor.execute("delete from keyless where a = 2 limit 1")
    connection.close()
    assert unseen == []  # each of them changes the cell
    assert len(expected) == changes - 4
    path = playbook("""
        local p = playbook "find" { params = { source = { "database", access = "read", required = true },
          target = { "database", access = "read", required = true } } }
        step "verify" { run = function()
          local v, found = verify.database(p.source, p.target, { samples = 1000 }), {}
          for _, s in ipairs(v.samples) do
            local columns = s.columns or {}
            found[#found + 1] = { table = s.table, key = s.key, kind = s.kind, column = #columns > 0 and columns[1].name or "", columns = #columns }
          end
          return { found = found, mismatches = v.mismatches, unsettled = v.unsettled, unchecked = v.unchecked }
        end, undo = keep "reads" }
    """)
    run = runbook("exec", path, "--source", source.url, "--target", target.url, "--output", "json")
    assert run.exit == 0, run.out + run.err
    result = next(event["result"] for event in run.events() if event["event"] == "step.finished")
    keyed = [one for one in result["found"] if one["table"] == "keyed"]
    assert {(one["key"], one["kind"], one["column"]) for one in keyed} == expected
    assert all(one["columns"] == 1 for one in keyed if one["kind"] == "changed")
    others = sorted((one["table"], one["kind"]) for one in result["found"] if one["table"] != "keyed")
    assert others == [("keyless", "extra"), ("keyless", "missing"), *[("texts", "extra")] * 2, *[("texts", "missing")] * 2]
    assert (result["mismatches"], result["unsettled"], result["unchecked"]) == (len(expected) + 6, 0, [])


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_found_where_nothing_differs(runbook, scratch, tmp_path, seed):
    random_ = random.Random(seed)
    kinds = ["PG", "MYSQL", "MARIADB", "SQLITE"]
    first, second = scratch("PG"), random_.choice(kinds)
    fill(first, random_.randint(1, 60))
    target = f"sqlite:{tmp_path}/copy.db" if second == "SQLITE" else scratch(second).url
    assert runbook("copy", first.url, target).exit == 0
    verified = runbook("verify", first.url, target)
    assert verified.exit == 0, verified.out


@pytest.mark.parametrize("kind", ["MYSQL", "MARIADB", "PG", "SQLITE"])
def test_what_a_repair_writes_makes_the_target_equal(runbook, scratch, tmp_path, kind):
    source = scratch("PG")
    fill(source, 200)
    if kind == "SQLITE":
        target_url, run_script = f"sqlite:{tmp_path}/copy.db", lambda text: sqlite_script(tmp_path / "copy.db", text)
    else:
        target = scratch(kind)
        target_url, run_script = target.url, lambda text: server_script(target, text)
    assert runbook("copy", source.url, target_url).exit == 0
    longer = "k || ' '" if kind in ("PG", "SQLITE") else "concat(k, ' ')"
    run_script("update keyed set n = -1, body = 'it''s', data = null, at = null, doc = '{}', u = null, f = 0 where id between 10 and 60;\n"
               f"delete from keyed where id > 190;\ninsert into keyed (id) values (1000);\nupdate texts set k = {longer} where v < 5;\n"
               "delete from keyless where a = 7;")
    file = tmp_path / "repair.sql"
    found = runbook("verify", source.url, target_url, "--repair", file)
    assert found.exit == 1
    assert found.out.endswith(f"repair: 70 statements in {file}; 4 differences without one\n"), found.out  # 51 + 10 + 1 + 8
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "-- keyless: 4 more without a statement: the table has no key\n" in text
    again = runbook("verify", source.url, target_url, "--repair", file)
    assert again.exit == 2 and f"{file}: the file is there already" in again.err
    run_script(text)
    after = runbook("verify", source.url, target_url, "--exclude", "keyless")
    assert after.exit == 0, after.out


def sqlite_script(path, text):
    connection = sqlite3.connect(path)
    connection.executescript(text)
    connection.close()


def server_script(target, text):
    connection = target.connect()
    with connection.cursor() as cursor:
        if target.kind == "PG":
            cursor.execute(text)
        else:  # one statement a line, whatever the values hold
            for line in text.splitlines():
                if not line.startswith("--"):
                    cursor.execute(line.removesuffix(";"))
    connection.close()
