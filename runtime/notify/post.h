// What the senders over HTTP share: one request of JSON, and what its failure means. Blocks; worker
// threads. Texts of errors name the host, never the rest of an address.
#pragma once

#include "runtime/notify/notify.h"

namespace runbook::notify {

/// "https://hooks.slack.com" of an address.
std::string host_of(const std::string& url);

/// "Bearer TOKEN" as a header's value; null for no token.
Value authorization(const char* scheme, const Value& token);

/// The text of a secret or a text; empty for null.
std::string open_value(const Value& value);

struct Asked {
    http::Response response;
    Value body; ///< of a JSON answer; null for any other
    std::string host;

    /// A member of the answer as text, numbers too; empty where there is none.
    std::string text(std::string_view key) const;
};

/// Sends `json` (null: nothing) and returns the answer, whatever its status. Throws
/// `http.connection`, `http.timeout`, `http.tls`, `usage`, `cancelled`, `timeout`.
Asked ask(const Channel& channel, const std::string& method, const std::string& url,
          std::optional<Value> json, std::vector<std::pair<std::string, Value>> headers,
          Cancel& cancel);

/// Whether asking again may help: too early, too often, or the server's own trouble.
bool passing(int status);

/// "https://hooks.slack.com answered 404 (no_service)" as `notify.unavailable` (with its
/// retry_after) or `notify.refused`. `advice` is what to do about a refusal.
Error answer_error(const Asked& asked, const std::string& advice);

/// At most so many bytes, cut between characters, with "…" where something was cut off.
std::string cut(const std::string& text, std::size_t bytes);

/// "title: text", or the text.
std::string one_text(const Message& message);

/// Every member of the message, as the generic webhook has it.
Map generic(const Message& message);

/// The text as Slack's markup writes it.
std::string slack_text(const Message& message);

std::unique_ptr<Sender> make_slack(const Channel& channel);
std::unique_ptr<Sender> make_pagerduty(const Channel& channel);
std::unique_ptr<Sender> make_statuspage(const Channel& channel);
std::unique_ptr<Sender> make_smtp(const Channel& channel);
std::unique_ptr<Sender> make_file(const Channel& channel);

} // namespace runbook::notify
