// Questions about certificates (contract in certificate.h): what files hold and what servers show.
#include "runtime/net/certificate.h"

#include "runtime/base/error.h"
#include "runtime/net/handshake.h"
#include "runtime/net/x509.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace runbook::net {
namespace {

std::vector<X509*> plain(const std::vector<x509::CertPtr>& owned) {
    std::vector<X509*> chain;
    for (const x509::CertPtr& certificate : owned)
        chain.push_back(certificate.get());
    return chain;
}

/// Collects what a piece of the examination raised as one more problem.
template <class Fn>
void attempt(std::vector<std::string>& problems, Fn fn) {
    try {
        fn();
    } catch (const Error& error) {
        if (error.kind() != "tls.invalid")
            throw;
        problems.push_back(error.message());
    }
}

void check_files(const TlsQuestion& question, std::vector<std::string>& problems) {
    x509::StorePtr authorities;
    std::vector<x509::CertPtr> certificates;
    if (!question.ca.empty())
        attempt(problems, [&] {
            for (const x509::CertPtr& certificate : x509::load(question.ca)) {
                if (X509_check_ca(certificate.get()) == 0)
                    problems.push_back(fmt::format("{}: {} is not the certificate of an authority",
                                                   question.ca,
                                                   x509::describe(certificate.get()).subject));
                // Those that the chain uses are judged with it, and one of many may be old.
                if (question.cert.empty() && question.server.empty())
                    x509::check_dates(certificate.get(), question.ca, question.valid_for, problems);
            }
            authorities = x509::store(question.ca);
        });
    if (!question.cert.empty())
        attempt(problems, [&] {
            certificates = x509::load(question.cert);
            const X509* own = certificates.front().get();
            x509::check_dates(own, question.cert, question.valid_for, problems);
            if (question.server.empty())
                x509::check_host(own, question.cert, question.host, problems);
            if (authorities)
                x509::check_chain(plain(certificates), question.cert, authorities.get(),
                                  question.ca, question.valid_for, problems);
        });
    if (!question.key.empty())
        attempt(problems, [&] {
            const x509::KeyPtr key = x509::load_key(question.key, question.key_password);
            if (!certificates.empty() &&
                X509_check_private_key(certificates.front().get(), key.get()) != 1)
                problems.push_back(
                    fmt::format("{} is not the key of {}", question.key, question.cert));
            ERR_clear_error();
        });
}

std::string host_of(const TlsQuestion& question) {
    return question.host.empty() ? parse_address(question.server).host : question.host;
}

/// What is wrong with a server's certificates.
std::vector<std::string> judge(const TlsQuestion& question, const Handshake& handshake) {
    std::vector<std::string> problems;
    const std::string what = "the certificate of " + question.server;
    const std::vector<X509*> chain = plain(handshake.chain);
    const std::string ca = question.ca.empty() ? "this system" : question.ca;
    x509::check_dates(chain.front(), what, question.valid_for, problems);
    x509::check_host(chain.front(), what, host_of(question), problems);
    x509::check_chain(chain, what, x509::store(question.ca).get(), ca, question.valid_for,
                      problems);
    return problems;
}

} // namespace

std::vector<Certificate> read_certificates(const std::string& path) {
    std::vector<Certificate> found;
    for (const x509::CertPtr& certificate : x509::load(path))
        found.push_back(x509::describe(certificate.get()));
    return found;
}

StartTls parse_starttls(const std::string& word) {
    if (word.empty() || word == "none")
        return StartTls::none;
    if (word == "postgres")
        return StartTls::postgres;
    if (word == "mysql")
        return StartTls::mysql;
    throw Error("usage", fmt::format("starttls '{}' is not known", word),
                "postgres, mysql, or leave it out for a server that speaks TLS from the beginning");
}

std::vector<std::string> tls_problems(const TlsQuestion& question, Cancel& cancel) {
    std::vector<std::string> problems;
    check_files(question, problems);
    if (!question.server.empty() && problems.empty())
        attempt(problems, [&] {
            for (std::string& problem : judge(question, shake_hands(question, cancel)))
                problems.push_back(std::move(problem));
        });
    return problems;
}

Presented presented(const TlsQuestion& question, Cancel& cancel) {
    Handshake handshake = shake_hands(question, cancel);
    Presented result;
    result.version = handshake.version;
    result.cipher = handshake.cipher;
    result.address = handshake.address;
    for (const x509::CertPtr& certificate : handshake.chain)
        result.chain.push_back(x509::describe(certificate.get()));
    for (const std::string& problem : judge(question, handshake))
        result.problem += (result.problem.empty() ? "" : "; ") + problem;
    return result;
}

} // namespace runbook::net
