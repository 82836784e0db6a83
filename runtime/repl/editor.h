// A line editor on a terminal: libedit with history and completion.
// Owns: the terminal while a line is read, and the history file (0600). Main thread. libedit's
// header stays in editor.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace runbook::repl {

class Editor {
  public:
    /// What could stand at the end of `line`: whole words that begin with its last, unfinished one
    /// (`word` characters long).
    struct Candidates {
        std::size_t word = 0;
        std::vector<std::string> words;
    };
    using Complete = std::function<Candidates(const std::string& line)>;

    explicit Editor(Complete complete);
    ~Editor();

    enum class Ended { line, interrupted, end };
    /// Reads one line, without its line end. Ctrl-C gives `interrupted`, Ctrl-D on an empty line
    /// `end`.
    Ended read(const std::string& prompt, std::string& line);
    /// Keeps an entry, unless a secret is in it.
    void remember(const std::string& entry);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// $XDG_STATE_HOME/runbook/history, or ~/.local/state/runbook/history.
std::string history_path();

} // namespace runbook::repl
