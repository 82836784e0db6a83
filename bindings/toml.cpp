// `toml`: the Lua face of runtime/formats/toml. Loop thread, pure.
#include "bindings/toml.h"

#include "bindings/core/declare.h"
#include "runtime/formats/toml.h"

namespace runbook::bindings {

void register_toml(vm::State& state, vm::Registry& registry) {
    bind::Area toml(state, registry, "toml", "TOML text (1.0).");
    toml.def("decode",
             "The table that a TOML text says; integers are exact, a date with a time is a "
             "timestamp, a date or a time alone is text.")
        .param("text", "TOML in UTF-8")
        .returns("table", "tables, lists, text, numbers, booleans, timestamps")
        .raises({"toml"})
        .example("assert(toml.decode('[server]\\nport = 5432').server.port == 5432)")
        .native([](bind::Call&, std::string text) -> Value { return toml_text::parse(text); });
    toml.def("encode",
             "A table as TOML text, keys in order. Comments of a text that was decoded are "
             "not kept: change single lines of people's files with config.")
        .param("value", "table; null and secrets have no form in TOML")
        .returns("string", "TOML in UTF-8")
        .raises({"argument"})
        .example("assert(toml.encode { port = 5432 } == 'port = 5432\\n')")
        .native([](bind::Call&, Value value) { return toml_text::dump(value); });
}

} // namespace runbook::bindings
