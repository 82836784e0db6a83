// Where secrets are kept: environment, files, programs, HashiCorp Vault, AWS Secrets Manager.
// Owns: the process-wide login to Vault and the leases that runs hold there, renewed by a thread of
// its own and revoked when the last run has ended. Everything else blocks the calling thread; any
// thread may call. Never writes a secret anywhere.
//
// A reference names one secret:
//   env:NAME                 environment variable
//   file:PATH                text of a file that nobody else may read, without its last line ends
//   command:PROGRAM WORDS    standard output of a program, without its last line ends; no shell
//   vault:PATH#FIELD         Vault's HTTP API below /v1/: secret/data/app (KV 2),
//   database/creds/app aws:NAME#FIELD           `aws secretsmanager get-secret-value`; FIELD of a
//   JSON object
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/redact.h"

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runbook::secret {

struct Reference {
    std::string scheme; ///< env, file, command, vault, aws
    std::string path;   ///< what follows it
    std::string field;  ///< vault and aws: after `#`; empty where there is none

    std::string text() const;
    /// Without its field.
    std::string whole() const;
};

/// Whether `text` begins like a reference.
bool is_reference(std::string_view text);
/// Throws Error{`usage`} that says what is expected.
Reference parse(std::string_view text);

/// How Vault is reached and who asks: the table [vault] of runbook.toml. What is empty comes from
/// the variables of Vault's own client: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT,
/// VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_SKIP_VERIFY, VAULT_TOKEN, else the file
/// ~/.vault-token. With `role_id` AppRole logs in, and its token is revoked at the end.
struct Vault {
    std::string address, name_space, ca, cert, key;
    std::string token, secret_id;    ///< references (env:, file:, command:)
    std::string role_id;             ///< itself, or a reference
    std::string approle = "approle"; ///< where that login is mounted
};

void configure(const Vault& settings);

/// What is opened relative to which folder, and for how long it may take.
struct Opening {
    std::string folder; ///< of file: references; empty or ending in '/'
    Cancel* cancel = nullptr;
};

/// Opens one secret. Its origin is the reference. Throws Error: `usage` (no such variable or file,
/// others may read the file), `secret.not_found`, `secret.denied`, `secret.unavailable` (sealed,
/// too many requests, no answer; worth another try), `secret.invalid` (an answer that is none,
/// several fields and none named), `shell.not_found`, `cancelled`, `timeout`.
SecretPtr open(const Reference& reference, const Opening& opening = {});
/// All fields of a vault: or aws: reference, by name.
std::vector<std::pair<std::string, SecretPtr>> open_all(const Reference& reference,
                                                        const Opening& opening = {});
/// Standard output of a program as a secret.
SecretPtr from_command(const std::vector<std::string>& argv, Cancel& cancel);

/// Text with {name} replaced by parts; `{{` and `}}` stand for braces. A secret. Throws
/// Error{`argument`} for a name that has no part, a part that has no name in the text, or one that
/// is no text, number or secret.
SecretPtr fill(const std::string& text, const Map& parts);

/// While one is alive, leases are renewed; the last to go revokes them (at most ten seconds).
class Use {
  public:
    /// `warn` is called from the renewing thread: a lease that could not be renewed, or that ends
    /// before the run may. It must outlive this.
    explicit Use(std::function<void(const std::string&)> warn);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
};

} // namespace runbook::secret
