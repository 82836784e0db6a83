// Certificates and keys in memory and in files (contract in x509.h), over OpenSSL 3.
#include "runtime/net/x509.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/base/zone.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace runbook::net::x509 {
namespace {

constexpr std::int64_t largest_file = 4 << 20;

[[noreturn]] void refuse(const std::string& what, const std::string& why) {
    throw Error("tls.invalid", what + ": " + why);
}

std::string content(const std::string& path) {
    try {
        return files::read(path, largest_file);
    } catch (const Error& error) { // it names the path
        throw Error("tls.invalid", error.message());
    }
}

BioPtr reader(const std::string& text) {
    return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::int64_t seconds_of(const ASN1_TIME* when) {
    std::tm parts{};
    if (!when || ASN1_TIME_to_tm(when, &parts) != 1)
        return 0;
    return time::seconds_of(time::civil_of(parts));
}

std::string name_text(const X509_NAME* name) {
    BioPtr out(BIO_new(BIO_s_mem()));
    X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

std::vector<std::string> names_of(const X509* certificate) {
    std::vector<std::string> found;
    auto* names = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            found.emplace_back(
                reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
        } else if (name->type == GEN_IPADD) {
            char text[INET6_ADDRSTRLEN] = "";
            const int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
            if (::inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text))
                found.emplace_back(text);
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

std::string fingerprint(const X509* certificate) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
    unsigned size = 0;
    X509_digest(certificate, EVP_sha256(), sum.data(), &size);
    return digest::hex({reinterpret_cast<const char*>(sum.data()), size});
}

std::string serial_of(const X509* certificate) {
    BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
    char* digits = number ? BN_bn2hex(number) : nullptr;
    std::string text = digits ? text::lower(digits) : "";
    OPENSSL_free(digits);
    BN_free(number);
    return text;
}

/// Days for people: "in 12d", "3h ago".
std::string days(std::int64_t seconds) {
    const std::int64_t length = seconds < 0 ? -seconds : seconds;
    const std::string shown = length >= 86400 ? fmt::format("{}d", length / 86400)
                                              : text::duration(static_cast<double>(length));
    return seconds < 0 ? shown + " ago" : "in " + shown;
}

std::string allowed_names(const X509* certificate) {
    const std::vector<std::string> names = names_of(certificate);
    return names.empty() ? "no name at all" : text::join(names, ", ");
}

/// PEM_read_bio_PrivateKey asks at the terminal without a callback.
int give_password(char* buffer, int size, int, void* data) {
    const auto* password = static_cast<const std::string*>(data);
    if (password->empty() || static_cast<int>(password->size()) > size)
        return -1;
    std::memcpy(buffer, password->data(), password->size());
    return static_cast<int>(password->size());
}

} // namespace

std::string last_error() {
    const unsigned long code = ERR_peek_last_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    std::string text = reason ? reason : code ? fmt::format("error {:x}", code) : "";
    ERR_clear_error();
    return text;
}

std::vector<CertPtr> load(const std::string& path) {
    const std::string text = content(path);
    std::vector<CertPtr> found;
    BioPtr bio = reader(text);
    while (X509* certificate = PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr))
        found.emplace_back(certificate);
    const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    const std::string problem = last_error();
    if (!found.empty() && !ended)
        refuse(path, fmt::format("certificate {} is damaged ({})", found.size() + 1, problem));
    if (!found.empty())
        return found;
    if (!ended)
        refuse(path, fmt::format("the certificate is damaged ({})", problem));
    if (text.find("PRIVATE KEY-----") != std::string::npos)
        refuse(path, "holds a private key and no certificate");
    refuse(path, text.empty() ? "is empty" : "holds no certificate in PEM form");
}

KeyPtr load_key(const std::string& path, const std::string& password) {
    const std::string text = content(path);
    BioPtr bio = reader(text);
    std::string given = password;
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_password, &given));
    const std::string problem = last_error();
    if (key)
        return key;
    if (text.find("PRIVATE KEY-----") == std::string::npos)
        refuse(path, text.empty() ? "is empty" : "holds no private key in PEM form");
    if (text.find("ENCRYPTED") != std::string::npos)
        refuse(path, password.empty() ? "the key has a password: give it as key_password"
                                      : "the key does not open with this password");
    refuse(path, fmt::format("the key is damaged ({})", problem));
}

StorePtr store(const std::string& path) {
    StorePtr authorities(X509_STORE_new());
    if (path.empty()) {
        X509_STORE_set_default_paths(authorities.get());
        ERR_clear_error();
        return authorities;
    }
    for (const CertPtr& certificate : load(path))
        X509_STORE_add_cert(authorities.get(), certificate.get());
    return authorities;
}

Certificate describe(const X509* certificate) {
    Certificate facts;
    facts.subject = name_text(X509_get_subject_name(certificate));
    facts.issuer = name_text(X509_get_issuer_name(certificate));
    facts.names = names_of(certificate);
    facts.not_before = seconds_of(X509_get0_notBefore(certificate));
    facts.not_after = seconds_of(X509_get0_notAfter(certificate));
    facts.serial = serial_of(certificate);
    facts.fingerprint = fingerprint(certificate);
    if (const EVP_PKEY* key = X509_get0_pubkey(certificate)) {
        const char* type = EVP_PKEY_get0_type_name(key);
        facts.key = fmt::format("{} {} bit", type ? type : "unknown", EVP_PKEY_get_bits(key));
    }
    facts.authority = X509_check_ca(const_cast<X509*>(certificate)) > 0;
    return facts;
}

void show_certificate(SSL* ssl, const std::string& cert, const std::string& key,
                      const std::string& key_password) {
    const std::vector<CertPtr> own = load(cert);
    const KeyPtr private_key = load_key(key, key_password);
    SSL_use_certificate(ssl, own.front().get());
    for (std::size_t i = 1; i < own.size(); ++i)
        SSL_add1_chain_cert(ssl, own[i].get());
    if (SSL_use_PrivateKey(ssl, private_key.get()) != 1) {
        ERR_clear_error();
        refuse(key, "is not the key of " + cert);
    }
}

std::string date(std::int64_t seconds) {
    const time::Civil at = time::civil_of(seconds);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", at.year, at.month, at.day, at.hour,
                       at.minute);
}

void check_dates(const X509* certificate, const std::string& what, std::int64_t valid_for,
                 std::vector<std::string>& problems) {
    const std::int64_t now = time::now_micros() / 1'000'000;
    const std::int64_t from = seconds_of(X509_get0_notBefore(certificate));
    const std::int64_t to = seconds_of(X509_get0_notAfter(certificate));
    if (from > now)
        problems.push_back(fmt::format("{} is valid only from {}", what, date(from)));
    if (to <= now)
        problems.push_back(fmt::format("{} expired on {}, {}", what, date(to), days(to - now)));
    else if (to - now < valid_for)
        problems.push_back(fmt::format("{} expires on {}, {} ({} wanted)", what, date(to),
                                       days(to - now),
                                       text::duration(static_cast<double>(valid_for))));
}

void check_host(const X509* certificate, const std::string& what, const std::string& host,
                std::vector<std::string>& problems) {
    if (host.empty())
        return;
    auto* plain = const_cast<X509*>(certificate);
    const bool fits = is_ip(host)
                          ? X509_check_ip_asc(plain, host.c_str(), 0) == 1
                          : X509_check_host(plain, host.data(), host.size(), 0, nullptr) == 1;
    if (!fits)
        problems.push_back(
            fmt::format("{} is not for {}: it is for {}", what, host, allowed_names(certificate)));
}

void check_chain(const std::vector<X509*>& chain, const std::string& what, X509_STORE* authorities,
                 const std::string& ca, std::int64_t valid_for,
                 std::vector<std::string>& problems) {
    std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
    STACK_OF(X509)* between = sk_X509_new_null();
    for (std::size_t i = 1; i < chain.size(); ++i)
        sk_X509_push(between, chain[i]);
    X509_STORE_CTX_init(context.get(), authorities, chain.front(), between);
    // Dates are judged one by one below: a chain that is right but old is said to be old.
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context.get()),
                                X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(context.get()) != 1) {
        const int code = X509_STORE_CTX_get_error(context.get());
        problems.push_back(fmt::format("{} does not lead to an authority of {}: {}", what, ca,
                                       X509_verify_cert_error_string(code)));
    } else {
        const STACK_OF(X509)* built = X509_STORE_CTX_get0_chain(context.get());
        for (int i = 1; i < sk_X509_num(built); ++i) {
            const X509* link = sk_X509_value(built, i);
            check_dates(link, fmt::format("{} of {}", name_text(X509_get_subject_name(link)), what),
                        valid_for, problems);
        }
    }
    sk_X509_free(between);
    ERR_clear_error();
}

} // namespace runbook::net::x509
