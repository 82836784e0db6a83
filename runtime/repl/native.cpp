#include "runtime/repl/native.h"

#include "runtime/base/redact.h"
#include "runtime/engine/libraries.h"
#include "runtime/repl/table.h"
#include "runtime/vm/userdata.h"
#include "runtime/vm/values.h"

#include <fmt/format.h>

namespace runbook::repl {

namespace {

using Output = std::function<void(std::string_view)>;

/// Lines of child processes and notices of servers. Worker threads too: one write a line.
class PromptProgress final : public ProgressSink {
  public:
    explicit PromptProgress(Output output) : output_(std::move(output)) {}
    void report(const ProgressReport&) override {}
    void line(std::string_view, std::string_view text) override {
        output_("  " + redact(text) + "\n");
    }

  private:
    Output output_;
};

class PromptHost final : public vm::Host {
  public:
    explicit PromptHost(Output output)
        : output_(output), progress_(std::make_shared<PromptProgress>(output)) {
        permissions_.everything = true;
    }
    const vm::Permissions& permissions() const override { return permissions_; }
    ProgressPtr progress() override { return progress_; }
    void log(std::string_view level, std::string_view text) override {
        output_(fmt::format("{}: {}\n", level, redact(text)));
    }
    void emit(std::string_view, Map) override {}
    bool dry_run() const override { return false; }

  private:
    vm::Permissions permissions_;
    Output output_;
    ProgressPtr progress_;
};

struct Library {
    const vm::Registry* registry;
    Output output;
};

Library& library(lua_State* L) {
    return **static_cast<std::shared_ptr<Library>*>(lua_touserdata(L, lua_upvalueindex(1)));
}

int write(lua_State* L) {
    std::size_t size = 0;
    const char* text = luaL_checklstring(L, 1, &size);
    library(L).output(redact(std::string_view(text, size)));
    return 0;
}

int show(lua_State* L) {
    bool fine = false;
    {
        try {
            const Value value = vm::to_value(L, 1);
            std::string text = format_result(value, {});
            while (text.ends_with('\n'))
                text.pop_back();
            lua_pushlstring(L, text.data(), text.size());
            fine = true;
        } catch (const std::exception& error) {
            lua_pushstring(L, error.what());
        }
    }
    return fine ? 1 : lua_error(L);
}

int help(lua_State* L) {
    {
        const vm::Registry& registry = *library(L).registry;
        std::string text;
        if (lua_isnoneornil(L, 1)) {
            for (const vm::AreaDoc& area : registry.areas())
                text += fmt::format("  {:<10} {}\n", area.name, area.doc);
            text += "help \"NAME\" shows an area or a function; :help the commands of the prompt\n";
        } else {
            const std::string name = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "?";
            text = registry.help(name);
            if (text.starts_with("no help for ")) {
                try {
                    vm::Registry modules; // loaded only here
                    engine::declare_libraries(L, modules);
                    if (const std::string more = modules.help(name);
                        !more.starts_with("no help for "))
                        text = more;
                } catch (const std::exception& error) {
                    text = error.what();
                }
            }
        }
        lua_pushlstring(L, text.data(), text.size());
    }
    return 1;
}

} // namespace

std::unique_ptr<vm::Host> make_host(Output output) {
    return std::make_unique<PromptHost>(std::move(output));
}

void push_native_library(lua_State* L, const vm::Registry& registry, const Output& output) {
    lua_newtable(L);
    vm::push_shared<Library>(L, "runbook.prompt.library",
                             std::make_shared<Library>(Library{&registry, output}));
    using Entry = std::pair<const char*, lua_CFunction>;
    for (const auto& [name, function] :
         {Entry{"write", write}, Entry{"show", show}, Entry{"help", help}}) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, function, 1);
        lua_setfield(L, -3, name);
    }
    lua_pop(L, 1);
}

} // namespace runbook::repl
