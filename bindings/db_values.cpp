// Cells and rows as Lua values. Loop thread.
#include "bindings/db_internal.h"

#include "runtime/base/text.h"
#include "runtime/vm/decimal.h"
#include "runtime/vm/error_table.h"

#include <unordered_set>

namespace runbook::bindings {
namespace {

constexpr std::int64_t exact_limit = std::int64_t{1} << 53;

void push_parsed(lua_State* L, const db::Batch& batch, std::size_t row, std::size_t column,
                 std::string_view text) {
    try {
        vm::push_value(L, batch.value(row, column));
    } catch (const Error&) {
        // JSON that the server accepts and we do not read stays text.
        lua_pushlstring(L, text.data(), text.size());
    }
}

/// A name that a row does not have: nil where it is a column that is NULL, an error elsewhere.
/// Upvalue: the names.
int missing_field(lua_State* L) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1)) {
        lua_pushnil(L);
        return 1;
    }
    {
        std::vector<std::string> names;
        lua_pushnil(L);
        while (lua_next(L, lua_upvalueindex(1))) {
            names.emplace_back(lua_tostring(L, -2));
            lua_pop(L, 1);
        }
        std::string key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
        if (lua_type(L, 2) == LUA_TNUMBER)
            key = std::to_string(static_cast<long long>(lua_tonumber(L, 2)));
        vm::push_error(L, Error("lua", "the row has no column '" + key + "'" +
                                           text::did_you_mean(key, names)));
    }
    return lua_error(L);
}

/// Leaves the metatable of the result's rows on the stack.
void push_row_metatable(lua_State* L, const std::vector<db::Column>& columns) {
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, static_cast<int>(columns.size()));
    for (const db::Column& column : columns) {
        lua_pushlstring(L, column.name.data(), column.name.size());
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_pushcclosure(L, missing_field, 1);
    lua_setfield(L, -2, "__index");
}

/// One row as a table; the names stand on the stack from `names`, the metatable above them.
void push_row(lua_State* L, const db::Batch& batch, std::size_t row, int names, int metatable) {
    const std::size_t count = batch.columns().size();
    lua_createtable(L, 0, static_cast<int>(count));
    for (std::size_t column = 0; column < count; ++column) {
        lua_rawgeti(L, names, static_cast<int>(column + 1));
        push_cell(L, batch, row, column);
        lua_rawset(L, -3);
    }
    lua_pushvalue(L, metatable);
    lua_setmetatable(L, -2);
}

/// The column names as an array of Lua strings, made once for all rows.
void push_names(lua_State* L, const std::vector<db::Column>& columns) {
    lua_createtable(L, static_cast<int>(columns.size()), 0);
    for (std::size_t i = 0; i < columns.size(); ++i) {
        lua_pushlstring(L, columns[i].name.data(), columns[i].name.size());
        lua_rawseti(L, -2, static_cast<int>(i + 1));
    }
}

} // namespace

void check_names(const std::vector<db::Column>& columns) {
    std::unordered_set<std::string> seen;
    for (const db::Column& column : columns)
        if (!seen.insert(column.name).second)
            throw Error("usage", "two columns of the result are named '" + column.name + "'",
                        "give one of them another name with AS");
}

void push_cell(lua_State* L, const db::Batch& batch, std::size_t row, std::size_t column) {
    const db::Cell cell = batch.cell(row, column);
    switch (cell.kind) {
    case db::Kind::null:
        lua_pushnil(L);
        return;
    case db::Kind::boolean:
        lua_pushboolean(L, cell.integer != 0);
        return;
    case db::Kind::integer:
        if (cell.integer >= -exact_limit && cell.integer <= exact_limit)
            lua_pushnumber(L, static_cast<lua_Number>(cell.integer));
        else
            vm::push_decimal(L, Decimal{std::to_string(cell.integer)});
        return;
    case db::Kind::number:
        lua_pushnumber(L, cell.number);
        return;
    case db::Kind::decimal:
        vm::push_decimal(L, cell.text);
        return;
    case db::Kind::text:
    case db::Kind::bytes:
        lua_pushlstring(L, cell.text.data(), cell.text.size());
        return;
    case db::Kind::timestamp:
        vm::push_timestamp(L, Timestamp{cell.integer, cell.has_offset
                                                          ? std::optional(cell.offset)
                                                          : std::optional<std::int32_t>()});
        return;
    case db::Kind::json:
    case db::Kind::array:
        push_parsed(L, batch, row, column, cell.text);
        return;
    }
    lua_pushnil(L);
}

int push_rows(lua_State* L, const ResultSet& result) {
    luaL_checkstack(L, 12, "db.query");
    lua_createtable(L, static_cast<int>(result.rows), 0);
    const int rows = lua_gettop(L);
    push_names(L, *result.columns);
    push_row_metatable(L, *result.columns);
    int count = 0;
    for (const db::BatchPtr& batch : result.batches) {
        for (std::size_t row = 0; row < batch->rows(); ++row) {
            push_row(L, *batch, row, rows + 1, rows + 2);
            lua_rawseti(L, rows, ++count);
        }
    }
    lua_settop(L, rows);
    return 1;
}

int push_first_row(lua_State* L, const ResultSet& result) {
    if (result.rows == 0) {
        lua_pushnil(L);
        return 1;
    }
    luaL_checkstack(L, 12, "db.one");
    push_names(L, *result.columns);
    push_row_metatable(L, *result.columns);
    push_row(L, *result.batches.front(), 0, lua_gettop(L) - 1, lua_gettop(L));
    return 1;
}

int push_first_cell(lua_State* L, const ResultSet& result) {
    if (result.rows == 0 || result.columns->empty())
        lua_pushnil(L);
    else
        push_cell(L, *result.batches.front(), 0, 0);
    return 1;
}

} // namespace runbook::bindings
