// schema.compare. Loop thread; comparing runs on the pool, with sessions of its own.
#include "bindings/core/declare.h"
#include "bindings/db.h"
#include "bindings/value_types.h"
#include "bindings/verify.h"
#include "runtime/transfer/verify/schema_compare.h"

namespace runbook::bindings {
namespace {

using HandlePtr = std::shared_ptr<db::Handle>;

struct SchemaCompareOptions {
    std::vector<std::string> tables, exclude;
    Map rename;
    std::string schema;
};

/// Keyed by table and index, so that a playbook asks for one by name.
Map index_map(const std::vector<verify::TargetIndex>& indexes) {
    Map out{{"$type", "schema.indexes"}};
    for (const verify::TargetIndex& index : indexes) {
        List columns;
        for (const std::string& column : index.columns)
            columns.emplace_back(column);
        out.set(index.table + "." + index.name,
                Map{{"unique", index.unique}, {"columns", std::move(columns)}});
    }
    return out;
}

Map collation_map(const std::vector<std::string>& names) {
    Map out{{"$type", "schema.collations"}};
    for (const std::string& name : names)
        out.set(name, true);
    return out;
}

/// The statements for what is missing; throws Error{`usage`} where something else than plain
/// indexes is.
std::vector<std::pair<std::string, std::string>> missing_indexes(const Map& result) {
    const Value* value = result.find("missing");
    const List* missing = value ? value->get<List>() : nullptr;
    if (!missing)
        throw Error("argument", "schema.complete: argument 1 'result': a result of schema.compare "
                                "expected");
    std::vector<std::pair<std::string, std::string>> statements;
    for (const Value& item : *missing) {
        const Map* map = item.get<Map>();
        const std::string create = map ? map->text("create") : "";
        if (create.empty())
            throw Error(
                "usage",
                "schema.complete: " +
                    (map ? map->text("kind") + " " + map->text("name") : std::string("something")) +
                    " is missing, and only plain indexes can be created here",
                "judge `only_missing_indexes` before it");
        statements.emplace_back(map->text("name"), create);
    }
    return statements;
}

bind::Job<Map> complete_job(bind::Call& call, const HandlePtr& target,
                            std::vector<std::pair<std::string, std::string>> statements) {
    target->take(call.task());
    bind::Job<Map> job;
    job.work = [target, may_write = call.writes_allowed(),
                statements = std::move(statements)](Cancel& cancel) {
        db::Connection& connection = target->session(may_write, cancel);
        List created;
        for (const auto& [name, sql] : statements) {
            connection.execute(sql, {}, {}, cancel);
            created.emplace_back(name);
        }
        return Map{{"created", std::move(created)}};
    };
    job.on = target->worker();
    return job;
}

constexpr const char* indexes_methods = R"(
local methods = {}
-- True if the table has an index of that name; options: unique = true, columns = {…}.
function methods.has(indexes, tab, name, options)
  local index = rawget(indexes, tab .. "." .. name)
  if not index then return false end
  options = options or {}
  if options.unique and not index.unique then return false end
  for i, column in ipairs(options.columns or {}) do
    if index.columns[i] ~= column then return false end
  end
  return true
end
return { __index = methods }
)";

constexpr const char* collations_methods = R"(
local methods = {}
-- True if there is no other collation than these, and at least one.
function methods.only(collations, ...)
  local allowed, any = {}, false
  for i = 1, select("#", ...) do allowed[(select(i, ...))] = true end
  for name in pairs(collations) do
    any = true
    if not allowed[name] then return false end
  end
  return any
end
return { __index = methods }
)";

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
using runbook::bindings::SchemaCompareOptions;
template <>
struct Describe<SchemaCompareOptions> {
    static const std::vector<Field<SchemaCompareOptions>>& fields() {
        using O = SchemaCompareOptions;
        static const std::vector<Field<O>> all = {
            field("tables", &O::tables, "only these tables"),
            field("exclude", &O::exclude, "tables left out on purpose"),
            field("rename", &O::rename, "{ [source table] = \"target table\" }"),
            field("schema", &O::schema, "PostgreSQL schema on either side (default public)")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

void register_schema(vm::State& state, vm::Registry& registry) {
    install_value_type(state, "schema.indexes", indexes_methods);
    install_value_type(state, "schema.collations", collations_methods);
    bind::Area area(state, registry, "schema",
                    "The structure of databases: tables, columns, keys, indexes.");
    area.def("compare", "Says what of the source's structure the target lacks.")
        .param("source", "a connection; the side that is believed")
        .param("target", "a connection; the side that is judged")
        .param("options", "what to compare")
        .returns("table", "{missing, different, omitted, others, only_missing_indexes, indexes, "
                          "collations, duplicates, tables, passed}: "
                          "the first four list {kind, table, name, detail}; duplicates counts "
                          "groups of rows that break a unique key "
                          "which the target lacks; indexes:has(table, name, {unique=, columns=}) "
                          "and collations:only(name, …) ask about "
                          "the target")
        .raises({"db.connection", "db.auth", "db.permission", "db.error", "argument", "cancelled",
                 "timeout"})
        .reads()
        .example(R"lua(local source = db.connect('sqlite:schema_a.db', { access = 'write' })
local target = db.connect('sqlite:schema_b.db', { access = 'write' })
for _, side in ipairs { source, target } do
  db.script(side, "drop table if exists t; create table t (id integer primary key, v text)")
end
db.execute(source, "create unique index t_v on t (v)")
local s = schema.compare(source, target)
assert(#s.missing == 1 and s.missing[1].name == 't_v' and s.only_missing_indexes))lua")
        .native([](bind::Call&, HandlePtr source, HandlePtr target, SchemaCompareOptions from) {
            verify::SchemaOptions options;
            options.tables = from.tables;
            options.exclude = from.exclude;
            options.schema = from.schema;
            for (const auto& [name, other] : from.rename)
                options.rename[name] = from.rename.text(name);
            bind::Job<Map> job;
            job.work = [from = source->url(), to = target->url(), target = target->name(),
                        options](Cancel& cancel) {
                const verify::SchemaResult result =
                    verify::compare_schemas(from, to, options, cancel);
                Map out = verify::to_map(result);
                out.set("indexes", index_map(result.indexes));
                out.set("collations", collation_map(result.collations));
                out.set("target", target);
                return out;
            };
            return job;
        });
    area.def("complete",
             "Creates the indexes that schema.compare found missing in its target: what "
             "a checkpoint's repair does.")
        .param("result", "from schema.compare; its target is the parameter that was compared")
        .param("target", "a connection with access write, where the target was no parameter")
        .returns("table", "{created}: names of the indexes")
        .raises({"usage", "db.connection", "db.permission", "db.read_only", "db.constraint",
                 "db.error", "argument"})
        .writes()
        .example(R"lua(local source = db.connect('sqlite:schema_c.db', { access = 'write' })
local target = db.connect('sqlite:schema_d.db', { access = 'write' })
for _, side in ipairs { source, target } do
  db.script(side, "drop table if exists t; create table t (id integer primary key, v text)")
end
db.execute(source, "create unique index t_v on t (v)")
assert(schema.complete(schema.compare(source, target), target).created[1] == 't_v')
assert(#schema.compare(source, target).missing == 0))lua")
        .native([L = state.L()](bind::Call& call, Map result, std::optional<HandlePtr> given) {
            const HandlePtr target = given ? *given : database_named(L, result.text("target"));
            if (!target)
                throw Error("argument",
                            "schema.complete: argument 2 'target': the comparison's target is no "
                            "parameter of this playbook",
                            "name the connection: schema.complete(result, target)");
            return complete_job(call, target, missing_indexes(result));
        });
}

} // namespace runbook::bindings
