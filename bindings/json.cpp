// `json`: the Lua face of runtime/base/json. Loop thread, pure.
#include "bindings/json.h"

#include "bindings/core/declare.h"
#include "runtime/base/json.h"
#include "runtime/base/json_sorted.h"

namespace runbook::bindings {
namespace {

struct EncodeOptions {
    bool pretty = false, sorted = false;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Describe<bindings::EncodeOptions> {
    static const std::vector<Field<bindings::EncodeOptions>>& fields() {
        static const std::vector<Field<bindings::EncodeOptions>> all = {
            field("pretty", &bindings::EncodeOptions::pretty, "one member a line, indented by two"),
            field("sorted", &bindings::EncodeOptions::sorted,
                  "members in the order of their names, so that equal values give equal texts")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

void register_json(vm::State& state, vm::Registry& registry) {
    bind::Area json(state, registry, "json",
                    "JSON text. JSON's null is the value `null`, never nil.");
    json.def("encode", "A value as JSON text. Secrets become \"***\"; a decimal becomes a string.")
        .param("value", "table, text, number, boolean, null; a table with the keys 1 to n is an "
                        "array, an empty one "
                        "an object unless json.array made it")
        .param("options", "how it is written")
        .returns("string", "JSON in UTF-8")
        .raises({"argument"})
        .example("assert(json.encode { 1, null, { a = true } } == '[1,null,{\"a\":true}]')\n"
                 "assert(json.encode {} == '{}' and json.encode(json.array {}) == '[]')")
        .native([](bind::Call&, Value value, EncodeOptions options) {
            return runbook::json::dump(options.sorted ? runbook::json::sorted(value) : value,
                                       options.pretty ? 2 : 0);
        });
    json.def("decode", "The value of a JSON text; integers beyond 2^53 become exact decimals.")
        .param("text", "JSON in UTF-8")
        .returns("value", "tables, text, numbers, booleans, null")
        .raises({"json"})
        .example("assert(json.decode('{\"a\":[1,null]}').a[2] == null)")
        .native([](bind::Call&, std::string text) -> bind::Pushed {
            Value value = runbook::json::parse(text);
            return [value](lua_State* L) {
                vm::push_value(L, value, false);
                return 1;
            };
        });
    json.def("array", "The same list, marked to be an array in JSON also while it is empty.")
        .param("list", "table with the keys 1 to n")
        .returns("table", "a copy of the list")
        .raises({"argument"})
        .example("assert(json.encode { list = json.array {} } == '{\"list\":[]}')")
        .native([](bind::Call&, Value list) -> bind::Pushed {
            if (auto* map = list.get<Map>(); map && map->empty())
                list = List{};
            if (!list.get<List>())
                throw Error("argument", "json.array: argument 1 'list': list expected, got " +
                                            std::string(list.type_name()));
            return [list](lua_State* L) {
                vm::push_value(L, list);
                vm::mark_array(L);
                return 1;
            };
        });
}

} // namespace runbook::bindings
