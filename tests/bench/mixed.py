"""The table that is copied and verified: about 195 bytes a row of COPY text, ten columns of the types that need care."""

CREATE = """CREATE TABLE mixed (
  id bigint PRIMARY KEY, account int NOT NULL, flag boolean, price numeric(12,2) NOT NULL, score double precision,
  at timestamptz NOT NULL, name varchar(60) NOT NULL, body text, doc jsonb, data bytea)"""

FILL = """INSERT INTO mixed SELECT i, (i::bigint * 7919) %% 100003, i %% 3 = 0, (i %% 1000000) / 100.0, sqrt(i),
  timestamptz '2020-01-01 00:00:00+00' + i * interval '37.123457 seconds', 'customer ' || md5(i::text),
  CASE WHEN i %% 10 = 0 THEN NULL ELSE repeat('text ' || (i %% 100), 3) || E'\\ttab \\\\ \\u00e9' END,
  jsonb_build_object('n', i, 'ok', i %% 2 = 0), substr(decode(md5((i * 3)::text), 'hex'), 1, 12)
FROM generate_series(%d, %d) i"""

# What a person writes who does the same by hand: the same values, re-encoded by PostgreSQL's SELECT and LOAD DATA's SET.
SELECT = ("SELECT id, account, flag::int, price, score, at AT TIME ZONE 'UTC', name, body, doc, data "
          "FROM mixed WHERE id BETWEEN %d AND %d")
LOAD = ("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO'); LOAD DATA LOCAL INFILE '%s' %s INTO TABLE mixed "
        "CHARACTER SET binary (id, account, flag, price, score, at, name, body, @doc, @data) "
        "SET doc = CONVERT(@doc USING utf8mb4), data = UNHEX(SUBSTR(@data, 3))")


def fill(server, rows):
    """Makes and fills the table, in pieces, and leaves its statistics fresh."""
    server.sql(CREATE)
    for first in range(1, rows + 1, 250_000):
        server.sql(FILL % (first, min(rows, first + 249_999)))
    server.sql("VACUUM ANALYZE mixed")


def halves(rows, streams):
    """The id ranges of the streams."""
    size = (rows + streams - 1) // streams
    return [(1 + i * size, min(rows, (i + 1) * size)) for i in range(streams)]
