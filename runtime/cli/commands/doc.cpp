// `runbook doc`, `types` and `docs`: what the declarations give.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/declarations.h"
#include "runtime/cli/man.h"
#include "runtime/engine/libraries.h"
#include "runtime/vm/embedded.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::cli {

namespace {

constexpr std::string_view words_file = "words";

/// The words of test files stand in no registry: they are no functions of playbooks.
std::string test_stubs() {
    for (const EmbeddedFile& file : embedded_files())
        if (file.path == "runtime/engine/test/stubs.lua")
            return std::string(file.text);
    return {};
}

std::string index_of(const vm::Registry& registry, const vm::Registry& libraries) {
    std::string out = "# API reference\n\nGenerated from the declarations by `./dev docs`.\n\n";
    const auto list = [&out](const vm::Registry& from) {
        for (const vm::AreaDoc& area : from.areas()) {
            const std::string name = area.name.empty() ? std::string(words_file) : area.name;
            out += fmt::format("- [{0}]({0}.md): {1}\n", name, area.doc);
        }
    };
    list(registry);
    out += "\nModules of the standard library:\n\n";
    list(libraries);
    return out;
}

/// A file a module: `require` gives the editor its types.
void write_stubs(const Declarations& declarations, const std::string& folder) {
    write_file(folder + "runbook.lua", declarations.registry().stubs());
    write_file(folder + "runbook_test.lua", test_stubs());
    for (const vm::AreaDoc& module : declarations.libraries().areas())
        write_file(folder + "libraries/" + module.name + ".lua", engine::module_stubs(module));
}

} // namespace

int run_doc(const Context& context, const Arguments& arguments) {
    const Declarations declarations(context);
    const vm::Registry& registry = declarations.registry();
    if (arguments.positional.empty()) {
        for (const vm::AreaDoc& area : registry.areas())
            fmt::print("{:<12} {}\n", area.name.empty() ? "(words)" : area.name,
                       wrapped(area.doc, 13));
        fmt::print("\nModules of the standard library:\n");
        for (const vm::AreaDoc& area : declarations.libraries().areas())
            fmt::print("{:<12} {}\n", area.name, wrapped(area.doc, 13));
        return 0;
    }
    const std::string& name = arguments.positional.front();
    std::vector<std::string> names = registry.names();
    const bool word = std::find(names.begin(), names.end(), name) != names.end();
    const vm::Registry& found = word ? registry : declarations.libraries();
    for (std::string& other : declarations.libraries().names())
        names.push_back(std::move(other));
    if (std::find(names.begin(), names.end(), name) == names.end())
        throw Error("usage",
                    fmt::format("nothing is named '{}'{}", name, text::did_you_mean(name, names)),
                    "runbook doc lists the areas");
    fmt::print("{}", found.help(name));
    return 0;
}

int run_types(const Context& context, const Arguments& arguments) {
    const Declarations declarations(context);
    const std::string folder = arguments.positional.front();
    write_stubs(declarations, folder + "/");
    fmt::print("{0}/runbook.lua\n{0}/runbook_test.lua\n", folder);
    for (const vm::AreaDoc& module : declarations.libraries().areas())
        fmt::print("{}/libraries/{}.lua\n", folder, module.name);
    return 0;
}

int run_docs(const Context& context, const Arguments& arguments) {
    const Declarations declarations(context);
    const vm::Registry& registry = declarations.registry();
    const std::string folder = arguments.positional.front() + "/docs/api/";
    for (const vm::AreaDoc& area : registry.areas())
        write_file(folder + (area.name.empty() ? std::string(words_file) : area.name) + ".md",
                   registry.reference(area));
    for (const vm::AreaDoc& module : declarations.libraries().areas())
        write_file(folder + module.name + ".md", registry.reference(module));
    write_file(folder + "README.md", index_of(registry, declarations.libraries()));
    write_stubs(declarations, folder);
    write_file(arguments.positional.front() + "/docs/runbook.1", man_page());
    return 0;
}

} // namespace runbook::cli
