// `runbook plan` and `check`: what only loads.
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/cli/playbook.h"

#include <fmt/format.h>

namespace runbook::cli {

int run_plan(const Context& context, const Arguments& arguments) {
    engine::Options options;
    options.file = arguments.positional.front();
    options.environment = arguments.text("env");
    options.start = arguments.text("start");
    options.parameters =
        parameters_of(context, *find_command("plan"), options.file, arguments.rest);
    engine::Engine engine(context.register_bindings, silent());
    std::string text = engine.plan_text(options, arguments.text("format", "text"));
    if (!text.ends_with('\n'))
        text += '\n';
    fmt::print("{}", text);
    return 0;
}

namespace {

const List& list_in(const Map& map, const char* key) {
    static const List none;
    const Value* value = map.find(key);
    const List* list = value ? value->get<List>() : nullptr;
    return list ? *list : none;
}

/// `check --needs`: the table as it could stand in the header, then what is missing there, and what
/// the text does not say.
void print_needs(const std::string& file, const Map& found) {
    const Map& needs = *found.find("needs")->get<Map>();
    fmt::print("-- {}\nneeds = {{\n", file);
    for (const auto& [kind, entries] : needs) {
        std::vector<std::string> words;
        for (const Value& entry : *entries.get<List>())
            words.push_back(json::dump(entry));
        fmt::print("  {} = {{ {} }},\n", kind, text::join(words, ", "));
    }
    fmt::print("}}\n");
    for (const Value& value : list_in(found, "missing")) {
        const Map& one = *value.get<Map>();
        fmt::print("{}:{}: warning: {}: needs.{} does not allow {}\n", one.text("file"),
                   one.integer("line"), one.text("call"), one.text("kind"), one.text("what"));
    }
    for (const Value& value : list_in(found, "unknown")) {
        const Map& one = *value.get<Map>();
        fmt::print("{}:{}: {}: what it touches is known only when it runs; a dry run shows it\n",
                   one.text("file"), one.integer("line"), one.text("call"));
    }
}

} // namespace

int run_check(const Context& context, const Arguments& arguments) {
    if (arguments.has("needs")) {
        for (const std::string& file : arguments.positional) {
            engine::Engine engine(context.register_bindings, silent());
            const Map found = engine.needs(file);
            if (arguments.text("output") == "json")
                fmt::print("{}\n", json::dump(found));
            else
                print_needs(file, found);
        }
        return 0;
    }
    std::size_t errors = 0, warnings = 0;
    const bool json = arguments.text("output") == "json";
    for (const std::string& file : arguments.positional) {
        engine::Engine engine(context.register_bindings, silent());
        for (const engine::Finding& finding : engine.check(file)) {
            ++(finding.error ? errors : warnings);
            const std::string place =
                finding.line > 0 ? fmt::format("{}:{}: ", finding.file, finding.line) : "";
            if (json)
                fmt::print("{}\n", json::dump(Map{{"file", finding.file},
                                                  {"line", finding.line},
                                                  {"level", finding.error ? "error" : "warning"},
                                                  {"message", finding.message}}));
            else
                fmt::print("{}{}{}\n", place, finding.error ? "" : "warning: ", finding.message);
        }
    }
    if (!json) {
        const std::size_t files = arguments.positional.size();
        fmt::print(
            "{} file{} checked: {}{}\n", files, files == 1 ? "" : "s",
            errors == 0 ? "no mistakes"
                        : fmt::format("{} mistake{}", errors, errors == 1 ? "" : "s"),
            warnings == 0 ? "" : fmt::format(", {} warning{}", warnings, warnings == 1 ? "" : "s"));
    }
    return errors == 0 ? 0 : engine::not_started;
}

} // namespace runbook::cli
