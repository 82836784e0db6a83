// Every public function is declared in full, and its example runs.
#include "bindings/register_all.h"
#include "tests/unit/catch.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/vm_fixture.h"

#include <filesystem>

using namespace runbook;

namespace {

/// A working directory of its own, gone at the end.
struct Folder {
    Folder() : before(std::filesystem::current_path()) {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "runbook-example-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
        std::filesystem::current_path(path);
    }
    ~Folder() {
        std::filesystem::current_path(before);
        std::filesystem::remove_all(path);
    }
    std::filesystem::path before, path;
};

} // namespace

TEST_CASE("every function is documented: parameters, errors, example", "[examples]") {
    test::Machine machine;
    bindings::register_all(machine.state, machine.registry);
    REQUIRE(machine.registry.areas().size() > 5);
    for (const vm::AreaDoc& area : machine.registry.areas())
        for (const vm::FunctionDoc& function : area.functions) {
            INFO(area.name << "." << function.name);
            CHECK_FALSE(function.doc.empty());
            CHECK_FALSE(function.example.empty());
            for (const vm::ParameterDoc& parameter : function.parameters) {
                CHECK_FALSE(parameter.doc.empty());
                CHECK_FALSE(parameter.type.empty());
            }
            if (function.waits) // what only computes or looks at memory may have none
                CHECK_FALSE(function.raises.empty());
        }
}

TEST_CASE("every example runs", "[examples]") {
    test::Machine all;
    bindings::register_all(all.state, all.registry);
    for (const vm::AreaDoc& area : all.registry.areas())
        for (const vm::FunctionDoc& function : area.functions) {
            Folder folder;
            test::Machine machine;
            bindings::register_all(machine.state, machine.registry);
            INFO(area.name << "." << function.name << ":\n" << function.example);
            CHECK(machine.error(function.example) == "no error");
            CHECK(machine.state.scheduler().pending() == 0);
        }
}

TEST_CASE("every example of a word loads", "[examples]") {
    test::EventList sink;
    engine::Engine engine(bindings::register_all, sink);
    for (const vm::AreaDoc& area : engine.registry().areas()) {
        if (!area.name.empty())
            continue;
        for (const vm::FunctionDoc& word : area.functions) {
            if (word.example.empty())
                continue;
            test::Play play;
            play.write(
                (word.name == "playbook" ? "" : "local p = playbook \"x\" { summary = \"x\" }\n") +
                word.example);
            INFO(word.name << ": " << word.example);
            for (const engine::Finding& finding : engine.check(play.options.file))
                if (finding.error) // a warning is fine: the example's channel is nowhere configured
                    CHECK(finding.message.empty());
        }
    }
}
