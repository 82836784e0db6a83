// OpenSSL's objects with an owner, and the questions that files and servers share. For
// runtime/net's own files.
#pragma once

#include "runtime/net/certificate.h"

#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string>
#include <vector>

namespace runbook::net::x509 {

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};
using CertPtr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Deleter<SSL_free>>;

/// The newest entry of OpenSSL's error queue in words; empties the queue.
std::string last_error();
/// Throws Error{`tls.invalid`} with the path.
std::vector<CertPtr> load(const std::string& path);
/// Throws Error{`tls.invalid`}; never asks at the terminal for a password.
KeyPtr load_key(const std::string& path, const std::string& password);
/// The authorities of a file, or the system's where `path` is empty.
StorePtr store(const std::string& path);

Certificate describe(const X509* certificate);
/// The client's own certificate, for servers that ask for one. Throws Error{`tls.invalid`}.
void show_certificate(SSL* ssl, const std::string& cert, const std::string& key,
                      const std::string& key_password);
/// "2027-03-01 12:00 UTC"
std::string date(std::int64_t seconds);

/// Adds to `problems` what is wrong with the dates of `certificate`, which the text calls `what`.
void check_dates(const X509* certificate, const std::string& what, std::int64_t valid_for,
                 std::vector<std::string>& problems);
/// The same for the name that it must be for; nothing where `host` is empty.
void check_host(const X509* certificate, const std::string& what, const std::string& host,
                std::vector<std::string>& problems);
/// Verifies that `chain` (the certificate first) leads to `authorities`, called `ca` in the text,
/// and that each link stays valid.
void check_chain(const std::vector<X509*>& chain, const std::string& what, X509_STORE* authorities,
                 const std::string& ca, std::int64_t valid_for, std::vector<std::string>& problems);

} // namespace runbook::net::x509
