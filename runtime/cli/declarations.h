// The declarations of everything a playbook can call, for types, doc, docs and completion.
// Owns: a state that runs nothing. Main thread.
#pragma once

#include "runtime/cli/command.h"
#include "runtime/vm/registry.h"

#include <memory>
#include <string>

namespace runbook::cli {

class Declarations {
  public:
    explicit Declarations(const Context& context);
    ~Declarations();
    const vm::Registry& registry() const;
    /// The modules of the standard library, an area each; loaded at the first call.
    const vm::Registry& libraries() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Writes a file, with its folders. Throws Error{`fs`} with path and reason.
void write_file(const std::string& path, const std::string& text);

} // namespace runbook::cli
