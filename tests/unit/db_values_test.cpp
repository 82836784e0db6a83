// One table of values, sent as parameters from Lua and read back from every engine: what comes
// back, or which error. Each value goes in by db.execute and by a prepared statement, and is read
// by a plain query, by one with parameters and by a prepared one: all of them must agree.
#include "bindings/register_all.h"
#include "tests/unit/db_lab.h"
#include "tests/unit/vm_fixture.h"

#include <fmt/format.h>

#include <cstdlib>

using namespace runbook;
using db::lab::url;

namespace {

struct Column {
    const char* type;     ///< empty: as for the engine before
    const char* result;   ///< what comes back, or the error; "=": what was sent
    const char* prepared; ///< the same of a prepared statement; null: no difference
};

struct Line {
    const char* name;
    const char* value; ///< a Lua expression
    Column postgres, mysql, mariadb, sqlite;
};

constexpr Column as_before{"", "", nullptr};
const Line lines[] = {
#include "tests/unit/db_values.inc"
};

/// Lua: the value as text, with what it is; errors as their kind and message.
constexpr const char* shown = R"lua(
local function shown(v)
  if type(v) == "number" then
    if v == 0 and 1 / v < 0 then return "number -0" end
    if v ~= v then return "number nan" end
    return "number " .. string.format("%.17g", v)
  elseif type(v) == "string" then return "string " .. string.format("%q", v):gsub("\\\n", "\\n")
  elseif type(v) == "nil" or type(v) == "boolean" then return tostring(v)
  elseif type(v) == "table" then return "table " .. json.encode(v)
  elseif type(v) == "userdata" then
    local text = tostring(v)
    return (text:find("T", 1, true) and "time " or "decimal ") .. text
  end
  return type(v)
end
local function try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return (shown(result)) end
  return "error " .. result.kind .. ": " .. result.message:gsub("^[a-z]+:[^ ]* ", "")
end
)lua";

std::string code_for(const std::string& connect, const Column& column, const std::string& value) {
    return fmt::format(R"lua(
{}
local c = db.connect({}, {{ access = "admin" }})
db.execute(c, "drop table if exists rb_value")
db.execute(c, "create temporary table rb_value (n int, v {})")
local sent
sent = {}
local function sends(n, add)
  local ok, problem = pcall(add)
  if not ok then return "error " .. problem.kind .. ": " .. problem.message:gsub("^[a-z]+:[^ ]* ", "") end
  local plain = try(db.value, c, "select v from rb_value where n = " .. n)
  local bound = try(db.value, c, "select v from rb_value where n = ?", n)
  local prepared = try(function() return db.prepare(c, "select v from rb_value where n = ?"):value(n) end)
  local row = try(function() for row in db.rows(c, "select v from rb_value where n = " .. n) do return row.v end end)
  if plain == bound and plain == prepared and plain == row then return plain end
  return plain .. " | bound: " .. bound .. " | prepared: " .. prepared .. " | rows: " .. row
end
local one = sends(1, function() db.execute(c, "insert into rb_value values (1, ?)", sent) end)
local two = sends(2, function() db.prepare(c, "insert into rb_value values (2, ?)"):execute(sent) end)
db.close(c)
return {{ one, two, (shown(sent)) }}
)lua",
                       shown, connect, column.type, value);
}

} // namespace

TEST_CASE("one table of values over all engines", "[db][values]") {
    const std::pair<const char*, const char*> engines[] = {
        {"PostgreSQL", "RUNBOOK_LAB_PG_SCRATCH"},
        {"MySQL", "RUNBOOK_LAB_MYSQL_SCRATCH"},
        {"MariaDB", "RUNBOOK_LAB_MARIADB_SCRATCH"},
        {"SQLite", nullptr}};
    for (const auto& [engine, variable] : engines)
        if (variable && !url(variable))
            return;
    setenv("RUNBOOK_TEST_VALUE", "opened", 1);
    test::Machine machine;
    bindings::register_all(machine.state, machine.registry);
    for (const Line& line : lines) {
        Column column = as_before;
        const Column columns[] = {line.postgres, line.mysql, line.mariadb, line.sqlite};
        for (std::size_t i = 0; i < 4; ++i) {
            if (*columns[i].type)
                column = columns[i];
            const auto& [engine, variable] = engines[i];
            INFO(engine << ", " << line.name << " = " << line.value << " as " << column.type);
            const std::string connect =
                variable ? "'" + std::string(std::getenv(variable)) + "'" : "'sqlite::memory:'";
            const Value got = machine.run(code_for(connect, column, line.value));
            const List& results = *got.get<List>();
            REQUIRE(results.size() == 3);
            auto expected = [&](const char* result) {
                return std::string(result) == "=" ? *results[2].get<std::string>() : result;
            };
            CHECK(*results[0].get<std::string>() == expected(column.result));
            CHECK(*results[1].get<std::string>() ==
                  expected(column.prepared ? column.prepared : column.result));
        }
    }
}
