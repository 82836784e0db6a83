// Leases that Vault gave to this process, for whoever keeps a record of them, so that another
// process can end them after this one died. Any thread.
#pragma once

#include "runtime/base/cancel.h"

#include <string>
#include <vector>

namespace runbook::secret {

/// A lease by its name. That is no secret: it opens nothing, and only who has a token that may do
/// so can renew or revoke what it names.
struct Taken {
    std::string id, path;
};

/// What was taken since the last call.
std::vector<Taken> taken_leases();

/// Revokes leases of a process that is gone; one that has ended by itself is no problem. Blocks, at
/// most about ten seconds where Vault is slow. What could not be revoked, and why.
std::vector<std::pair<std::string, std::string>> revoke_leases(const std::vector<std::string>& ids,
                                                               Cancel& cancel);

} // namespace runbook::secret
