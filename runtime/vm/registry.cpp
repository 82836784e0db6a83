#include "runtime/vm/registry.h"

#include "runtime/base/text.h"
#include "runtime/vm/scheduler.h"

#include <fmt/format.h>

namespace runbook::vm {

namespace {

int run_sync(lua_State* L) {
    auto* bound = static_cast<Bound*>(lua_touserdata(L, lua_upvalueindex(1)));
    const int results = bound->run(L);
    return results >= 0 ? results : lua_error(L);
}

int run_waiting(lua_State* L) {
    auto* bound = static_cast<Bound*>(lua_touserdata(L, lua_upvalueindex(1)));
    return bound->run(L) >= 0 ? lua_yield(L, 1) : lua_error(L);
}

std::string effect_sentence(const FunctionDoc& function) {
    switch (function.effect) {
    case Effect::none:
        return "";
    case Effect::reads:
        return "Looks at the world: not allowed while the file loads.";
    case Effect::writes:
        return "Changes the world: only in a step with a way back (`undo`, `keep` or `loses`).";
    }
    return "";
}

std::string stub_type(const std::string& type) {
    if (type == "duration")
        return "string|number";
    if (type == "value" || type.empty())
        return "any";
    if (type == "list")
        return "any[]";
    return type;
}

void stub_function(std::string& out, const AreaDoc& area, const FunctionDoc& function) {
    const std::string prefix = area.name.empty() ? "" : area.name + ".";
    for (const ParameterDoc& parameter : function.parameters) {
        if (parameter.fields.empty())
            continue;
        out += fmt::format("---@class {}{}.{}\n", prefix, function.name, parameter.name);
        for (const FieldDoc& field : parameter.fields)
            out += fmt::format("---@field {}{} {} {}\n", field.name, field.optional ? "?" : "",
                               stub_type(field.type), field.doc);
        out += '\n';
    }
    out += fmt::format("---{}\n", function.doc);
    std::string arguments;
    for (const ParameterDoc& parameter : function.parameters) {
        const bool rest = parameter.name == "...";
        const std::string type =
            parameter.fields.empty()
                ? stub_type(parameter.type)
                : fmt::format("{}{}.{}", prefix, function.name, parameter.name);
        out += fmt::format("---@param {}{} {} {}\n", parameter.name,
                           parameter.optional && !rest ? "?" : "", type, parameter.doc);
        arguments += (arguments.empty() ? "" : ", ") + parameter.name;
    }
    if (!function.returns.empty())
        out += fmt::format("---@return {} {}\n", stub_type(function.returns), function.returns_doc);
    out += fmt::format("function {}{}({}) end\n\n", prefix, function.name, arguments);
}

} // namespace

void push_bound(lua_State* L, Bound* bound) {
    lua_pushlightuserdata(L, bound);
    if (bound->waits)
        push_waiting_function(L, run_waiting, 1);
    else
        lua_pushcclosure(L, run_sync, 1);
}

AreaDoc& Registry::area(std::string name, std::string doc) {
    for (AreaDoc& area : areas_)
        if (area.name == name)
            return area;
    areas_.push_back({std::move(name), std::move(doc), {}, {}});
    return areas_.back();
}

Bound* Registry::keep(std::unique_ptr<Bound> bound) {
    bound_.push_back(std::move(bound));
    return bound_.back().get();
}

const FunctionDoc* Registry::find(std::string_view full_name) const {
    for (const AreaDoc& area : areas_)
        for (const FunctionDoc& function : area.functions)
            if ((area.name.empty() ? function.name : area.name + "." + function.name) == full_name)
                return &function;
    return nullptr;
}

std::vector<std::string> Registry::names() const {
    std::vector<std::string> names;
    for (const AreaDoc& area : areas_) {
        if (!area.name.empty())
            names.push_back(area.name);
        for (const FunctionDoc& function : area.functions)
            names.push_back(area.name.empty() ? function.name : area.name + "." + function.name);
    }
    return names;
}

std::string signature(const AreaDoc& area, const FunctionDoc& function) {
    std::string text = (area.name.empty() ? "" : area.name + ".") + function.name + "(";
    bool first = true;
    for (const ParameterDoc& parameter : function.parameters) {
        text += first ? "" : ", ";
        text += parameter.optional && parameter.name != "..." ? "[" + parameter.name + "]"
                                                              : parameter.name;
        first = false;
    }
    return text + ")";
}

std::string Registry::help(std::string_view name) const {
    for (const AreaDoc& area : areas_) {
        if (area.name == name && !area.name.empty()) {
            std::string text = fmt::format("{}: {}\n", area.name, area.doc);
            for (const FunctionDoc& function : area.functions)
                text += fmt::format("  {:<44} {}\n", signature(area, function), function.doc);
            return text;
        }
        for (const FunctionDoc& function : area.functions) {
            const std::string full =
                area.name.empty() ? function.name : area.name + "." + function.name;
            if (full != name)
                continue;
            std::string text = fmt::format("{}\n{}\n", signature(area, function), function.doc);
            for (const ParameterDoc& parameter : function.parameters) {
                text += fmt::format("  {} ({}{}): {}\n", parameter.name, parameter.type,
                                    parameter.optional ? ", optional" : "", parameter.doc);
                for (const FieldDoc& field : parameter.fields)
                    text += fmt::format("    {} ({}): {}\n", field.name, field.type, field.doc);
            }
            if (!function.returns.empty())
                text += fmt::format("returns {}: {}\n", function.returns, function.returns_doc);
            if (!function.raises.empty())
                text += "raises " + text::join(function.raises, ", ") + "\n";
            if (!function.example.empty())
                text += "example\n  " + function.example + "\n";
            return text;
        }
    }
    return fmt::format("no help for '{}'{}\n", name, text::did_you_mean(name, names()));
}

std::string Registry::stubs() const {
    std::string out = "---@meta runbook\n-- Generated from the declarations in bindings/ and "
                      "runtime/engine/.\n\n";
    for (const AreaDoc& area : areas_) {
        if (!area.name.empty())
            out += fmt::format("---{}\n---@class {}lib\n{} = {{}}\n\n", area.doc, area.name,
                               area.name);
        for (const TypeDoc& type : area.types) {
            out += fmt::format("---{}\n---@class {}\n", type.doc, type.name);
            for (const FieldDoc& field : type.fields)
                out += fmt::format("---@field {} {} {}\n", field.name, stub_type(field.type),
                                   field.doc);
            for (const FunctionDoc& method : type.methods)
                out += fmt::format("---@field {} function {}\n", method.name, method.doc);
            out += '\n';
        }
        for (const FunctionDoc& function : area.functions)
            stub_function(out, area, function);
    }
    return out;
}

std::string Registry::reference(const AreaDoc& area) const {
    std::string out = fmt::format(
        "# {}\n\n{}\n", area.name.empty() ? "The words of a playbook" : area.name, area.doc);
    for (const TypeDoc& type : area.types) {
        out += fmt::format("\n## type {}\n\n{}\n\n", type.name, type.doc);
        for (const FieldDoc& field : type.fields)
            out += fmt::format("- `.{}` ({}): {}\n", field.name, field.type, field.doc);
        for (const FunctionDoc& method : type.methods)
            out += fmt::format("- `:{}()`: {}\n", method.name, method.doc);
    }
    for (const FunctionDoc& function : area.functions) {
        out += fmt::format("\n## {}\n\n{}\n", signature(area, function), function.doc);
        if (const std::string effect = effect_sentence(function); !effect.empty())
            out += "\n" + effect + "\n";
        if (!function.parameters.empty())
            out += '\n';
        for (const ParameterDoc& parameter : function.parameters) {
            out += fmt::format("- `{}` ({}{}): {}\n", parameter.name, parameter.type,
                               parameter.optional ? ", optional" : "", parameter.doc);
            for (const FieldDoc& field : parameter.fields)
                out += fmt::format("  - `{}` ({}{}): {}\n", field.name, field.type,
                                   field.optional ? "" : ", required", field.doc);
        }
        if (!function.returns.empty())
            out += fmt::format("\nReturns {}: {}\n", function.returns, function.returns_doc);
        if (!function.raises.empty())
            out += fmt::format("\nRaises `{}`.\n", text::join(function.raises, "`, `"));
        if (!function.example.empty())
            out += fmt::format("\n```lua\n{}\n```\n", function.example);
    }
    return out;
}

} // namespace runbook::vm
