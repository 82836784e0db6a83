// `yaml`: the Lua face of runtime/formats/yaml. Loop thread, pure.
#include "bindings/yaml.h"

#include "bindings/core/declare.h"
#include "runtime/formats/yaml.h"

namespace runbook::bindings {
namespace {

bind::Pushed pushed(Value value) {
    return [value = std::move(value)](lua_State* L) {
        vm::push_value(L, value, false);
        return 1;
    };
}

} // namespace

void register_yaml(vm::State& state, vm::Registry& registry) {
    bind::Area yaml(state, registry, "yaml",
                    "YAML text (1.2, core schema): only true and false are booleans, only null and "
                    "~ are null; yes, no, on, off and 12:30 are text.");
    yaml.def("decode", "The value of a YAML text of one document; integers are exact.")
        .param("text", "YAML in UTF-8")
        .returns("value", "tables, text, numbers, booleans, null")
        .raises({"yaml"})
        .example("assert(yaml.decode('country: no').country == 'no')")
        .native([](bind::Call&, std::string text) { return pushed(runbook::yaml::parse(text)); });
    yaml.def("documents", "The values of all documents of a YAML text.")
        .param("text", "YAML in UTF-8, documents separated by ---")
        .returns("table", "list of values")
        .raises({"yaml"})
        .example("assert(#yaml.documents('a: 1\\n---\\nb: 2') == 2)")
        .native(
            [](bind::Call&, std::string text) { return pushed(runbook::yaml::parse_all(text)); });
    yaml.def("encode",
             "A value as YAML text in block style. Text that some reader would take for a "
             "number, a boolean or a date is quoted.")
        .param("value", "table, text, number, boolean, null; secrets have no form in YAML")
        .returns("string", "YAML in UTF-8")
        .raises({"argument"})
        .example("assert(yaml.encode { country = 'no' } == 'country: \"no\"\\n')")
        .native([](bind::Call&, Value value) { return runbook::yaml::dump(value); });
}

} // namespace runbook::bindings
