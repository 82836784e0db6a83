// A state with a host for tests: everything allowed, log lines and events kept.
#pragma once

#include "runtime/vm/error_table.h"
#include "runtime/vm/registry.h"
#include "runtime/vm/state.h"
#include "runtime/vm/values.h"

#include <memory>
#include <string>
#include <vector>

namespace runbook::test {

class SilentProgress final : public ProgressSink {
  public:
    void report(const ProgressReport&) override {}
    void line(std::string_view, std::string_view text) override { lines.emplace_back(text); }
    std::vector<std::string> lines;
};

class TestHost final : public vm::Host {
  public:
    TestHost() { permissions_.everything = true; }
    const vm::Permissions& permissions() const override { return permissions_; }
    ProgressPtr progress() override { return progress_; }
    void log(std::string_view level, std::string_view text) override {
        logged.push_back(std::string(level) + ": " + std::string(text));
    }
    void emit(std::string_view event, Map data) override {
        events.emplace_back(event, std::move(data));
    }
    bool dry_run() const override { return false; }

    vm::Permissions permissions_;
    std::shared_ptr<SilentProgress> progress_ = std::make_shared<SilentProgress>();
    std::vector<std::string> logged;
    std::vector<std::pair<std::string, Map>> events;
};

/// A state in which chunks of playbook code run as tasks.
struct Machine {
    Machine() : state(std::make_unique<TestHost>()) {}
    TestHost& host() { return static_cast<TestHost&>(state.host()); }

    /// Runs `code` as a playbook chunk named "test.lua" with everything allowed; returns its first
    /// result. Throws Error with "file:line: " before the message where one is known.
    Value run(const std::string& code, vm::Effect up_to = vm::Effect::writes) {
        lua_State* L = state.L();
        state.push_sandbox();
        vm::load_playbook_text(L, code, "test.lua", -1);
        lua_remove(L, -2);
        vm::TaskPtr task = state.scheduler().spawn(L, 0, "test");
        task->allowance = {up_to, "is not allowed in this test", ""};
        state.scheduler().run(task);
        if (task->failed) {
            const Map map = vm::error_map(task->L, -1);
            const Value* at = map.find("where");
            std::string message = map.text("message");
            if (at)
                message = at->get<Map>()->text("file") + ":" +
                          std::to_string(at->get<Map>()->integer("line")) + ": " + message;
            throw Error(map.text("kind"), message, map.text("hint"));
        }
        return task->results > 0 ? vm::to_value(task->L, lua_gettop(task->L) - task->results + 1)
                                 : Value{};
    }
    /// The error text of `code`, or "no error".
    std::string error(const std::string& code, vm::Effect up_to = vm::Effect::writes) {
        try {
            run(code, up_to);
        } catch (const Error& error) {
            return error.message();
        }
        return "no error";
    }

    vm::State state;
    vm::Registry registry;
};

} // namespace runbook::test
