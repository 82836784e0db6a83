// `log`: lines for people, in the event log of the run. Loop thread; the host redacts and writes.
#include "bindings/log.h"

#include "bindings/core/declare.h"
#include "runtime/base/json.h"

namespace runbook::bindings {
namespace {

std::string joined(const bind::Rest& rest) {
    std::string line;
    for (const Value& value : rest.values) {
        if (!line.empty())
            line += ' ';
        auto* text = value.get<std::string>();
        line += text ? *text : json::dump(value);
    }
    return line;
}

} // namespace

void register_log(vm::State& state, vm::Registry& registry) {
    bind::Area log(state, registry, "log",
                   "Lines for people, in the terminal view and the journal.");
    struct Level {
        const char *name, *doc;
    };
    for (const Level& level : {Level{"debug", "A line that is shown only when asked for."},
                               Level{"info", "A line of information."}, Level{"warn", "A warning."},
                               Level{"error", "A line about an error; it fails nothing."}}) {
        log.def(level.name, level.doc)
            .param("...",
                   "texts and values, joined by blanks; tables appear as JSON, secrets as ***")
            .example(std::string("log.") + level.name + "('rows', 5)")
            .native([name = level.name](bind::Call& call, bind::Rest rest) {
                call.host().log(name, joined(rest));
            });
    }
}

} // namespace runbook::bindings
