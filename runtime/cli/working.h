// Native work on the main thread of a command: how far it is, and Ctrl-C.
// Owns: the progress line on standard error, and the thread that waits for signals.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/progress.h"
#include "runtime/base/value.h"

#include <memory>
#include <string>

namespace runbook::cli {

/// SIGINT and SIGTERM cancel the work; the second one ends the process. Make it before any other
/// thread starts.
class Interrupts {
  public:
    Interrupts();
    ~Interrupts();
    Cancel& cancel();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// By --output: "tty" redraws one line, "plain" writes one every few seconds, both on standard
/// error; "json" writes an object a second on standard output.
ProgressPtr show_progress(const std::string& output);
/// Takes the drawn line away.
void end_progress(const ProgressPtr& progress);

/// One object on standard output: `event`, then the entries of `map`.
void print_event(const char* event, const Map& map);

/// --output of a command that shows no events: tty on a terminal, else plain.
std::string output_or_default(const std::string& given);

} // namespace runbook::cli
