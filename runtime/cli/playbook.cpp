#include "runtime/cli/playbook.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/output.h"
#include "runtime/cli/passwords.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::cli {

namespace {

std::string placeholder(const engine::ParameterInfo& info) {
    if (info.type == "database")
        return "URL";
    if (info.type == "path")
        return "PATH";
    return info.type == "boolean" ? "" : text::lower(info.type) == "url" ? "URL" : "VALUE";
}

std::string example_value(const engine::ParameterInfo& info) {
    if (info.type == "database")
        return "sqlite:" + info.name + ".db";
    return placeholder(info);
}

} // namespace

std::string option_name(const std::string& parameter) {
    std::string name = parameter;
    std::replace(name.begin(), name.end(), '_', '-');
    return "--" + name;
}

std::string playbook_help(const Context& context, const std::string& file) {
    engine::Engine engine(context.register_bindings, silent());
    std::string summary;
    const std::vector<engine::ParameterInfo> parameters = engine.parameters(file, &summary);
    std::string example = fmt::format("runbook exec {}", text::shell_quote(file));
    for (const engine::ParameterInfo& info : parameters)
        if (info.required)
            example += fmt::format(" {} {}", option_name(info.name), example_value(info));
    std::string out = fmt::format("runbook exec {}: {}\n\nexamples\n  {}\n  {} --dry-run\n", file,
                                  summary.empty() ? "a playbook" : summary, example, example);
    out += parameters.empty() ? "\nThe playbook has no parameters.\n" : "\nparameters\n";
    for (const engine::ParameterInfo& info : parameters) {
        std::string left = option_name(info.name);
        if (const std::string value = placeholder(info); !value.empty())
            left += " " + value;
        std::string doc = info.doc.empty() ? "" : info.doc + " ";
        doc += "(" + info.type;
        if (info.required)
            doc += ", required";
        if (info.default_text)
            doc += ", default " + *info.default_text;
        doc += ")";
        out += "  " + left;
        out += left.size() < 20 ? std::string(22 - left.size(), ' ') : "\n" + std::string(24, ' ');
        out += wrapped(doc, 24) + "\n";
    }
    return out +
           "\nA database URL may come without its password: RUNBOOK_<NAME>_PASSWORD gives it.\n"
           "runbook exec --help shows the options that every playbook has, and the exit codes.\n";
}

std::vector<std::pair<std::string, std::string>>
parameters_of(const Context& context, const Command& command, const std::string& file,
              const std::vector<std::string>& rest) {
    if (rest.empty())
        return {};
    std::vector<Parameter> known;
    bool loads = true;
    try {
        engine::Engine engine(context.register_bindings, silent());
        for (const engine::ParameterInfo& info : engine.parameters(file))
            known.push_back({option_name(info.name).substr(2), info.type == "boolean"});
    } catch (const Error&) {
        loads = false;
    }
    auto parameters = playbook_parameters(command, rest, loads ? &known : nullptr);
    warn_of_passwords(parameters, "--");
    return parameters;
}

} // namespace runbook::cli
