// The one exception type of the native layers.
// Owns: the shape of an error (kind, message, hint). Any thread. Never touches Lua: the binding
// layer turns an Error into the one Lua error table, and redacts it there.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace runbook {

/// An error a playbook can act on.
/// `kind` is a stable dotted word (`db.connection`, `shell.exit`, `http.status`, `timeout`,
/// `usage`…); retries list kinds, so a kind never changes its meaning. `message` is one sentence
/// for people, without a trailing full stop and without secrets in it where the writer can avoid
/// it; `hint` says what to do.
class Error : public std::exception {
  public:
    Error(std::string kind, std::string message, std::string hint = {}, std::string sqlstate = {});

    const char* what() const noexcept override { return message_.c_str(); }
    const std::string& kind() const noexcept { return kind_; }
    const std::string& message() const noexcept { return message_; }
    const std::string& hint() const noexcept { return hint_; }
    /// Five characters of SQLSTATE, or empty.
    const std::string& sqlstate() const noexcept { return sqlstate_; }
    /// True where the effect may or may not have happened (a lost connection during a commit, a
    /// cancel the server did not confirm): the step is then in doubt, never retried before
    /// `observe`.
    bool in_doubt() const noexcept { return in_doubt_; }
    Error& set_in_doubt(bool value = true) {
        in_doubt_ = value;
        return *this;
    }

    /// Seconds after which whoever refused wants to be asked again (Retry-After, RFC 9110 10.2.3);
    /// negative where nothing was said. A step's `retry` does not come earlier.
    double retry_after() const noexcept { return retry_after_; }
    Error& set_retry_after(double seconds) {
        retry_after_ = seconds;
        return *this;
    }

  private:
    std::string kind_, message_, hint_, sqlstate_;
    bool in_doubt_ = false;
    double retry_after_ = -1;
};

} // namespace runbook
