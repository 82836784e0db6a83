// Secrets and the one place that removes them from text.
// Owns: the set of live secret values and their encodings. Any thread. Every sink (error table,
// journal, event, log, notification, report, terminal) passes its text through redact().
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook {

/// A value that prints as `***`. Creating one registers it with the redactor for the life of the
/// process.
class Secret {
  public:
    /// `origin` says where it came from (`env:RUNBOOK_TARGET_PASSWORD`, `url:target`); the journal
    /// keeps only that.
    Secret(std::string value, std::string origin);
    const std::string& origin() const { return origin_; }
    /// Opens it. Only for a sink that needs the value itself: a driver's connect, a child's
    /// environment, an HTTP header.
    const std::string& reveal() const { return value_; }

  private:
    std::string value_, origin_;
};

SecretPtr make_secret(std::string value, std::string origin);

/// `text` with every registered secret, also in its URL-, base64-, hex-, JSON- and shell-quoted
/// form, replaced by `***`. Values shorter than 4 characters are not searched for.
std::string redact(std::string_view text);
inline std::string redact(const std::string& text) {
    return redact(std::string_view(text));
}
inline std::string redact(const char* text) {
    return redact(std::string_view(text));
}
/// The same over every string inside; secrets become the text `***`.
Value redact(const Value& value);

} // namespace runbook
