// The words of a command line, sorted by the command's description.
// Owns: nothing; plain data. Main thread. CLI11 stays in arguments.cpp, which takes longer to
// compile than the rest of this folder.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace runbook::cli {

struct Command;

struct Arguments {
    std::vector<std::string> positional;
    /// Name without dashes → values in order; a flag has one value "true".
    std::map<std::string, std::vector<std::string>> options;
    /// What the command itself does not know: the playbook's own parameters, in order.
    std::vector<std::string> rest;

    bool has(const std::string& name) const { return options.count(name) != 0; }
    /// The last value given, or `otherwise`.
    std::string text(const std::string& name, const std::string& otherwise = {}) const;
    std::vector<std::string> all(const std::string& name) const;
    /// A whole number from 1 up. Throws Error{`usage`} where it is none.
    int number(const std::string& name, int otherwise) const;
};

/// Sorts `words` (after the command's name). Throws Error{`usage`}: unknown option (the nearest is
/// named), missing value, missing or superfluous argument. With --help nothing is required.
Arguments parse(const Command& command, std::span<const std::string> words);

/// A playbook's parameter as the command line needs it.
struct Parameter {
    std::string name;
    bool boolean = false;
};

/// The playbook's parameters from `rest`: `--name value`, `--name=value`, and for booleans
/// `--name` and `--no-name`. Throws Error{`usage`} for what is none of `known` (the nearest of
/// these and of the command's own options is named); `known` null: nothing is refused, a name
/// without a value is true.
std::vector<std::pair<std::string, std::string>>
playbook_parameters(const Command& command, std::span<const std::string> rest,
                    const std::vector<Parameter>* known);

} // namespace runbook::cli
