// One TLS handshake with a server, to see its certificates. For runtime/net's own files.
#pragma once

#include "runtime/net/x509.h"

namespace runbook::net {

struct Handshake {
    std::vector<x509::CertPtr> chain; ///< as presented, the server's own first; never empty
    std::string version, cipher, address;
};

/// Connects, asks for TLS where the protocol begins without it, and shakes hands. Trusts nobody and
/// refuses nobody: the caller judges. Throws `net.*`, `tls.invalid`.
Handshake shake_hands(const TlsQuestion& question, Cancel& cancel);

} // namespace runbook::net
