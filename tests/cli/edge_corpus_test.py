"""Every edge of every type out of PostgreSQL: each value arrives exactly, or the preflight refuses it by table, or the report says that
it stands in another form. Judged here, from the servers' own answers, and not by our verify."""
import json
import re
import struct
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

LONG = "x" * 70_000

# type, value as a literal. A value that MySQL cannot hold stands in REFUSED below.
VALUES = [
    *[("boolean", value) for value in ("true", "false")],
    *[("smallint", value) for value in ("-32768", "-1", "0", "32767")],
    *[("integer", value) for value in ("-2147483648", "0", "2147483647")],
    *[("bigint", value) for value in ("-9223372036854775808", "0", "9007199254740993", "9223372036854775807")],
    *[("numeric", value) for value in ("0", "-0.0", "1.10", "0.000000001", "-99999999999999999999.5", "12345678901234567890.0123456789", "1e30",
                                       "'NaN'", "'Infinity'", "'-Infinity'", "1e80", "1e-40")],
    *[("numeric(20,6)", value) for value in ("12345678901234.567890", "-0.000001", "0")],
    *[("numeric(65,30)", value) for value in ("0.123456789012345678901234567890", "12345678901234567890123456789012345.1")],
    *[("numeric(100,2)", value) for value in ("1.5", "1e70")],
    *[("real", value) for value in ("0.1", "3.4028235e38", "1.17549435e-38", "1e-45", "-0", "16777217", "'NaN'", "'Infinity'")],
    *[("double precision", value) for value in ("0.1", "0.30000000000000004", "1.7976931348623157e308", "2.2250738585072014e-308", "5e-324", "-0",
                                                "9007199254740993", "'NaN'", "'-Infinity'")],
    *[("money", value) for value in ("'-1234.56'", "'0'", "'92233720368547758.07'")],
    *[("text", value) for value in ("''", "' '", "'a '", "E'tab\\tnl\\ncr\\rbs\\\\'", "E'\\\\N'", "'\\N'", "'NULL'", "E'\\x0b\\x0c\\x08\\x1a\\x7f'",
                                    "'Zoë Ångström'", "'😀👩‍👩‍👧'", "E'\\u0301e'", "E'é'", "E'\\ufeffbom'", "'\"quoted\"'", "E'it''s'", "'%_'",
                                    "E'\\x01\\x02\\x03'", "'0'", "repeat('é', 70000)", "E'a\\\\'", "E'\\n'", "E'\\t'")],
    *[("varchar(20)", value) for value in ("''", "'12345678901234567890'", "'éééééééééééééééééééé'", "'a  '")],
    *[("char(5)", value) for value in ("'ab'", "''", "'abcde'", "E'\\t'")],
    *[("bytea", value) for value in (r"'\x'", r"'\x00'", r"'\x0009095c0a0d00ff1a'", r"'\x5c4e'", r"'\x27'", "decode(repeat('00ff0a09', 20000), 'hex')",
                                     r"'\xc328'")],
    *[("date", value) for value in ("'0001-01-01'", "'1582-10-10'", "'2024-02-29'", "'9999-12-31'", "'0044-03-15 BC'", "'10000-01-01'", "'infinity'",
                                    "'-infinity'")],
    *[("timestamp", value) for value in ("'0001-01-01'", "'2024-02-29 23:59:59.999999'", "'9999-12-31 23:59:59.999999'", "'1999-12-31 23:59:59.5'",
                                         "'0044-03-15 BC'", "'infinity'", "'10000-01-01'")],
    *[("timestamp(3)", value) for value in ("'1999-12-31 23:59:59.123'", "'0001-01-01'")],
    *[("timestamptz", value) for value in ("'1970-01-01 00:00:00+00'", "'2038-01-19 03:14:08.000001+00'", "'2024-03-31 02:30:00+02'",
                                           "'9999-12-31 23:59:59.999999+00'", "'infinity'", "'0044-03-15 BC'")],
    *[("time", value) for value in ("'00:00'", "'24:00:00'", "'23:59:59.999999'")],
    *[("timetz", value) for value in ("'00:00+00'", "'23:59:59.999999-15:59'")],
    *[("interval", value) for value in ("'0'", "'1 year 2 days 03:04:05.6'", "'-1 mon +2 days -03:00'", "'178000000 years'", "'-0.000001s'")],
    *[("uuid", value) for value in ("'00000000-0000-0000-0000-000000000000'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'")],
    *[("json", value) for value in ("'null'", "'{\"b\" : 1, \"a\":[1.10,  2]}'", "'{\"a\":1,\"a\":2}'", "'123456789012345678901234567890'", "'\"\\u00e9\"'")],
    *[("jsonb", value) for value in ("'null'", "'{\"b\": 1.5, \"a\": [\"é\\\"\", null, true]}'", "'-0.25'", "'\"\\t😀\"'", "'[]'", "'18446744073709551615'",
                                     "'123456789012345678901234567890'", "'0.12345678901234567891'", "'1e400'")],
    *[("text[]", value) for value in ("'{}'", "'{x,\"y z\",NULL,\"\\\"\"}'", "'{{a,b},{c,d}}'")],
    *[("int[]", value) for value in ("'{1,2,-3}'", "'{NULL}'")],
    *[("mood", value) for value in ("'sad'", "'Sad'", "'it''s \\ fine'", "'é'")],
    *[("percent", value) for value in ("0", "100")],
    *[("inet", value) for value in ("'10.0.0.1'", "'10.0.0.1/24'", "'::1'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128'")],
    *[("cidr", value) for value in ("'10.1.0.0/16'", "'::/0'")],
    *[("macaddr", value) for value in ("'08:00:2b:01:02:03'",)],
    *[("bit(5)", value) for value in ("B'10101'", "B'00000'")],
    *[("bit(70)", value) for value in ("repeat('10', 35)::bit(70)",)],
    *[("bit varying(12)", value) for value in ("B'110'", "B''", "B'000000000001'")],
    *[("int4range", value) for value in ("'[1,5)'", "'empty'", "'(,)'")],
    *[("xml", value) for value in ("'<a>ü</a>'", "''")],
    *[("pair", value) for value in ("row(1, 'x,y')::pair",)],
    *[("citext", value) for value in ("'ABC'", "'abc '")],
    *[("oid", value) for value in ("0", "4294967295")],
    *[("tsvector", value) for value in ("'a:1 b:2'",)],
]
REFUSED = {("numeric", "'NaN'"), ("numeric", "'Infinity'"), ("numeric", "'-Infinity'"), ("numeric", "1e80"), ("numeric", "1e-40"),
           ("numeric(100,2)", "1e70"), ("real", "'NaN'"), ("real", "'Infinity'"), ("double precision", "'NaN'"), ("double precision", "'-Infinity'"),
           ("date", "'0044-03-15 BC'"), ("date", "'10000-01-01'"), ("date", "'infinity'"), ("date", "'-infinity'"), ("timestamp", "'0044-03-15 BC'"),
           ("timestamp", "'infinity'"), ("timestamp", "'10000-01-01'"), ("timestamptz", "'infinity'"), ("timestamptz", "'0044-03-15 BC'")}
# MySQL's JSON keeps 64-bit integers and doubles; MariaDB's keeps the text.
REFUSED_BY_MYSQL = {("jsonb", "'123456789012345678901234567890'"), ("jsonb", "'0.12345678901234567891'"), ("jsonb", "'1e400'")}


def numbers(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def moment(text):
    return datetime.fromisoformat(text.split("+")[0])


def same(kind, pg, other, mariadb):
    """pg: the value as PostgreSQL's text; other: MySQL's octets."""
    text = other.decode("utf-8") if kind not in ("bytea", "bit(5)") else None
    if kind == "boolean":
        return {"true": "1", "false": "0"}[pg] == text
    if kind in ("numeric", "numeric(20,6)", "numeric(65,30)", "numeric(100,2)", "money", "oid"):
        return Decimal(re.sub(r"[$,]", "", pg)) == Decimal(text)
    if kind in ("real", "double precision"):
        form = "<f" if kind == "real" else "<d"
        exact = struct.pack(form, float(pg)) == struct.pack(form, float(text))
        return exact or (mariadb and float(pg) == 0 == float(text))  # MariaDB loses the sign of -0
    if kind == "char(5)":
        return pg.rstrip(" ") == text.rstrip(" ")
    if kind == "bytea":
        return bytes.fromhex(pg[2:]) == other
    if kind == "bit(5)":
        return int(pg, 2) == int.from_bytes(other, "big")
    if kind.startswith("timestamp"):
        return moment(pg) == moment(text)
    if kind == "time":
        return timedelta_of(pg) == timedelta_of(text)
    if kind in ("jsonb", "text[]", "int[]", "pair"):
        return numbers(pg) == numbers(text)
    if kind == "xml" or kind == "citext" or kind in ("text", "varchar(20)", "json", "mood", "uuid", "inet", "cidr", "macaddr", "date", "bit(70)",
                                                     "bit varying(12)", "int4range", "interval", "timetz", "smallint", "integer", "bigint", "percent"):
        return pg == text
    raise AssertionError(f"no comparison for {kind}")


def timedelta_of(text):
    hours, minutes, seconds = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes), microseconds=round(Decimal(seconds) * 1_000_000))


AS_JSON = ("text[]", "int[]", "pair")


def pg_text(kind):
    if kind in AS_JSON:
        return "to_json(v)::text"
    if kind == "inet":  # the cast would append /32
        return "textin(inet_out(v))"
    return "v::numeric::text" if kind == "money" else "v::text"


@pytest.mark.parametrize("target_kind", ["MYSQL", "MARIADB"])
def test_every_value_arrives_or_is_refused_or_reported(runbook, playbook, scratch, target_kind):
    assert len(VALUES) >= 150
    mariadb = target_kind == "MARIADB"
    source, target = scratch("PG"), scratch(target_kind)
    connection = source.connect()
    with connection.cursor() as cursor:
        cursor.execute("create extension citext; create type mood as enum ('sad', 'Sad', 'it''s \\ fine', 'é'); create domain percent as int "
                       "check (value between 0 and 100); create type pair as (a int, b text)")
        for number, (kind, value) in enumerate(VALUES):
            cursor.execute(f"create table t{number:03} (id int primary key, v {kind}); insert into t{number:03} values (1, {value}), (2, null)")
    path = playbook("""
        local p = playbook "edges" { params = { source = { "database", access = "read", required = true },
          target = { "database", access = "write", required = true }, exclude = { "list", default = {} } } }
        step "preflight" { run = function() return { findings = copy.preflight(p.source, p.target).findings } end, undo = keep "reads" }
    """)
    found = runbook("exec", path, "--source", source.url, "--target", target.url, "--output", "json")
    assert found.exit == 0, found.out + found.err
    findings = next(event["result"]["findings"] for event in found.events() if event["event"] == "step.finished")
    refused = {VALUES[int(finding["table"][1:])] for finding in findings if finding["blocking"]}
    assert refused == REFUSED | (set() if mariadb else REFUSED_BY_MYSQL)
    for finding in findings:
        assert finding["column"] == "v" and finding["count"] >= 1 and finding["problem"], finding

    tables = [number for number, value in enumerate(VALUES) if value not in refused]
    excluded = [word for number, value in enumerate(VALUES) if value in refused for word in ("--exclude", f"t{number:03}")]
    copied = runbook("copy", source.url, target.url, "--output", "json", *excluded)
    assert copied.exit == 0, copied.err
    report = next(json.loads(line)["report"] for line in copied.out.splitlines() if '"report"' in line)
    outcomes = {entry["object"]: entry["outcome"] for entry in report if entry["kind"] == "column"}

    theirs = target.connect()
    differing = []
    with connection.cursor() as ours, theirs.cursor() as other:
        ours.execute("set timezone = 'UTC'; set extra_float_digits = 3; set intervalstyle = 'iso_8601'")
        for number in tables:
            kind, value = VALUES[number]
            if kind == "tsvector":
                assert outcomes[f"t{number:03}.v"] == "omitted"
                continue
            ours.execute(f"select {pg_text(kind)} from t{number:03} order by id")
            octets = "v + 0.0e0" if kind == "real" else "v"
            other.execute(f"select cast({octets} as binary) from t{number:03} order by id")
            (pg,), (null,) = ours.fetchall()
            (there,), (nothing,) = other.fetchall()
            assert null is None and nothing is None
            if not same(kind, pg, there, mariadb):
                differing.append((kind, value, pg[:60], there[:60]))
    assert differing == []
