// AWS Secrets Manager through the `aws` command, which knows the machine's logins. Private to
// runtime/secret. Any thread.
#pragma once

#include "runtime/secret/vault.h"

namespace runbook::secret {

/// The members of a secret whose text is a JSON object.
Fields read_aws(const Reference& reference, Cancel& cancel);
/// The whole text (or bytes) of a secret.
std::string read_aws_whole(const Reference& reference, Cancel& cancel);

} // namespace runbook::secret
