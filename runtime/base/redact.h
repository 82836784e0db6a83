// Secrets and the one place that removes them from text.
// Owns: the set of live secret values and their encodings. Any thread. Every sink (error table,
// journal, event, log, notification, report, terminal) passes its text through redact().
#pragma once

#include "runtime/base/value.h"

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

namespace runbook {

/// A value that prints as `***`. Creating one registers it with the redactor for the life of the
/// process.
class Secret {
  public:
    /// `origin` says where it came from (`env:RUNBOOK_TARGET_PASSWORD`,
    /// `vault:secret/data/app#pw`); the journal keeps only that.
    Secret(std::string value, std::string origin);
    /// Known by its origin only, as it comes back from the journal: fetched when it is opened.
    explicit Secret(std::string origin) : origin_(std::move(origin)), open_(false) {}
    const std::string& origin() const { return origin_; }
    /// Opens it. Only for a sink that needs the value itself: a driver's connect, a child's
    /// environment, an HTTP header. Throws Error{`secret.*`} where it has to be fetched again and
    /// cannot.
    const std::string& reveal() const;

  private:
    mutable std::string value_;
    std::string origin_;
    mutable std::atomic<bool> open_{true};
};

SecretPtr make_secret(std::string value, std::string origin);
/// The secret of that origin, not opened yet.
SecretPtr closed_secret(std::string origin);
/// Texts and secrets joined to one secret; its origin tells its parts, so that it can be made
/// again. Throws Error{`argument`} for a part of another type.
SecretPtr join_secret(const List& parts);
/// What fetches a secret by an origin that no secret of this process has: one a process, set by
/// whoever knows the sources. Any thread may call it.
void set_secret_source(std::function<std::string(const std::string& origin)> fetch);

/// `text` with every registered secret replaced by `***`, also in its URL-, base64-, hex-, JSON-,
/// HTML-, SQL- and shell-quoted form, each line of one that has several too. Values shorter than 4
/// bytes are not searched for; those shorter than 8 are replaced where they stand as a word of
/// their own.
std::string redact(std::string_view text);
inline std::string redact(const std::string& text) {
    return redact(std::string_view(text));
}
inline std::string redact(const char* text) {
    return redact(std::string_view(text));
}
/// The same over every string inside; secrets become the text `***`.
Value redact(const Value& value);
/// Registers a value with the redactor: from here on redact() finds it. Secret does it.
void hide(const std::string& value);
/// Whether redact() would change the text.
bool holds_secret(std::string_view text);
/// What to warn of where a secret of that many bytes cannot be hidden as a longer one is; follows
/// its name. Empty where it can.
std::string_view cover_warning(std::size_t bytes);

/// redact() for text that arrives in pieces: whole lines come out, and what may be the beginning of
/// a secret waits for the next piece. One thread.
class StreamRedactor {
  public:
    /// What is sure by now: up to the end of a line, or of a piece of 64 KB without one.
    std::string write(std::string_view piece);
    /// The rest.
    std::string finish();

  private:
    std::string take(std::size_t limit, bool more);
    std::string held_;
};

} // namespace runbook
