// X.509 certificates: those in files, and those that a live server presents.
// Owns: nothing between calls. Reading files is quick; talking to a server blocks the calling
// worker thread until the deadline or a cancel. Never sends anything after the handshake. Never
// touches Lua.
#pragma once

#include "runtime/base/cancel.h"
#include "runtime/base/value.h"
#include "runtime/net/address.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace runbook::net {

/// What people ask about a certificate.
struct Certificate {
    std::string subject, issuer;                ///< RFC 2253: "CN=db.example.com,O=Example"
    std::vector<std::string> names;             ///< DNS names and IP addresses of subjectAltName
    std::int64_t not_before = 0, not_after = 0; ///< seconds since the epoch
    std::string serial, fingerprint;            ///< hexadecimal; SHA-256 of the DER form
    std::string key;                            ///< "EC 256 bit", "RSA 2048 bit"
    bool authority = false;                     ///< may sign other certificates
};

/// The certificates of a PEM file, in its order. Throws Error{`tls.invalid`} that names the file
/// where it cannot be read or holds none.
std::vector<Certificate> read_certificates(const std::string& path);

enum class StartTls { none, postgres, mysql };
/// Throws Error{`usage`} for another word than none, postgres, mysql.
StartTls parse_starttls(const std::string& word);

/// Which certificates are looked at, and what must hold.
struct TlsQuestion {
    std::string ca;   ///< PEM file of authorities; empty: the system's (for a server only)
    std::string cert; ///< PEM file: the certificate, then those between it and the authority
    std::string key;  ///< PEM file: its private key
    std::string key_password;
    std::string host;           ///< name or IP address that the certificate must be for
    std::int64_t valid_for = 0; ///< seconds that everything must stay valid
    std::string server;         ///< host:port to ask for its certificate
    StartTls starttls = StartTls::none;
    std::chrono::milliseconds timeout{10'000};
};

/// What is wrong, one text each; empty: nothing. Files: readable, PEM, valid now and for
/// `valid_for`, key and certificate belong together, the chain leads to `ca`, the name fits. A
/// server: the same of what it presents, for the host of its address unless `host` says another.
/// Throws `net.*` where the server cannot be reached, `usage` for an address that is none.
std::vector<std::string> tls_problems(const TlsQuestion& question, Cancel& cancel);

/// What a server presented.
struct Presented {
    std::string version, cipher;    ///< "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    std::string address;            ///< the IP address that answered
    std::vector<Certificate> chain; ///< its own certificate first
    std::string problem;            ///< why it is not trusted; empty: it is
};

/// The certificate of a live server, trusted or not. Throws `net.*`, `tls.invalid` where no
/// handshake came about, `usage`.
Presented presented(const TlsQuestion& question, Cancel& cancel);

} // namespace runbook::net
