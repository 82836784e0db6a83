// `tls`: the Lua face of runtime/net/certificate. Loop thread; files and servers on a worker.
#include "bindings/tls.h"

#include "bindings/core/declare.h"
#include "bindings/core/text_argument.h"
#include "runtime/base/text.h"
#include "runtime/net/certificate.h"

namespace runbook::bindings {
namespace {

struct TlsServerOptions {
    std::string ca, cert, key, host, starttls;
    std::optional<bind::Text> key_password;
    bind::Duration timeout{10};
};
struct TlsCheckOptions : TlsServerOptions {
    std::string server;
    bind::Duration valid_for{0};
};

/// The options that both functions share, as fields of T.
template <class T>
std::vector<bind::Field<T>> shared_fields() {
    const auto as = [](auto TlsServerOptions::*member) {
        return static_cast<std::remove_reference_t<decltype(std::declval<T>().*member)> T::*>(
            member);
    };
    using bind::field;
    return {field("ca", as(&TlsServerOptions::ca),
                  "file with the authorities; for a server this system's where it is left out"),
            field("cert", as(&TlsServerOptions::cert),
                  "file with a certificate; shown to a server that asks for one"),
            field("key", as(&TlsServerOptions::key), "file with its private key"),
            field("key_password", as(&TlsServerOptions::key_password),
                  "password of that key, best a secret"),
            field("host", as(&TlsServerOptions::host),
                  "name or IP address that the certificate must be for; for a server that of its "
                  "address where it is left out"),
            field("starttls", as(&TlsServerOptions::starttls),
                  "postgres or mysql, whose servers begin without TLS"),
            field("timeout", as(&TlsServerOptions::timeout), "for a server; 10s")};
}

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Describe<bindings::TlsServerOptions> {
    static const std::vector<Field<bindings::TlsServerOptions>>& fields() {
        static const auto all = bindings::shared_fields<bindings::TlsServerOptions>();
        return all;
    }
};
template <>
struct Describe<bindings::TlsCheckOptions> {
    static const std::vector<Field<bindings::TlsCheckOptions>>& fields() {
        static const auto all = [] {
            auto list = bindings::shared_fields<bindings::TlsCheckOptions>();
            list.push_back(field("server", &bindings::TlsCheckOptions::server,
                                 "host:port whose certificate is looked at"));
            list.push_back(field("valid_for", &bindings::TlsCheckOptions::valid_for,
                                 "how long everything must stay valid: 30d"));
            return list;
        }();
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

net::TlsQuestion question_of(bind::Call& call, const TlsServerOptions& options,
                             const std::string& server) {
    net::TlsQuestion question;
    question.ca = options.ca;
    question.cert = options.cert;
    question.key = options.key;
    question.key_password = options.key_password ? options.key_password->data : "";
    question.host = options.host;
    question.server = server;
    question.starttls = net::parse_starttls(options.starttls);
    question.timeout =
        std::chrono::milliseconds(static_cast<std::int64_t>(options.timeout.seconds * 1000));
    for (const std::string* path : {&question.ca, &question.cert, &question.key})
        if (!path->empty())
            call.permissions().check_file(*path);
    if (!server.empty())
        call.permissions().check_net(net::parse_address(server).text());
    return question;
}

Value to_value(const net::Certificate& certificate) {
    List names;
    for (const std::string& name : certificate.names)
        names.emplace_back(name);
    return Map{{"subject", certificate.subject},
               {"issuer", certificate.issuer},
               {"names", names},
               {"not_before", Timestamp{certificate.not_before * 1'000'000, 0}},
               {"not_after", Timestamp{certificate.not_after * 1'000'000, 0}},
               {"serial", certificate.serial},
               {"sha256", certificate.fingerprint},
               {"key", certificate.key},
               {"authority", certificate.authority}};
}

List to_list(const std::vector<net::Certificate>& certificates) {
    List list;
    for (const net::Certificate& certificate : certificates)
        list.push_back(to_value(certificate));
    return list;
}

constexpr const char* certificate_doc =
    "{subject, issuer, names, not_before, not_after, serial, sha256, key, authority}";

} // namespace

void register_tls(vm::State& state, vm::Registry& registry) {
    bind::Area tls(state, registry, "tls",
                   "Certificates in files (needs.files) and of live servers (needs.net).");
    tls.def("check",
            "Raises, with everything that is wrong, unless the certificates are good: "
            "readable, in their time now and for valid_for, signed by the authorities, key "
            "and certificate belong together, the name fits.")
        .param("options", "which files, or which server, and what must hold")
        .returns("boolean", "true, so that it can be what a probe returns")
        .raises({"tls.invalid", "net.dns", "net.connection", "net.timeout", "permission", "usage",
                 "cancelled", "timeout"})
        .reads()
        .example("local ok, err = pcall(tls.check, { ca = 'absent.pem' })\n"
                 "assert(err.message == 'absent.pem: no such file or directory')")
        .native([](bind::Call& call, TlsCheckOptions options) -> bind::Job<bool> {
            if (options.ca.empty() && options.cert.empty() && options.key.empty() &&
                options.server.empty())
                throw Error("argument", "tls.check: argument 1 'options': nothing to look at: give "
                                        "at least one of ca, cert, key, server");
            net::TlsQuestion question = question_of(call, options, options.server);
            question.valid_for = static_cast<std::int64_t>(options.valid_for.seconds);
            return {[question](Cancel& cancel) {
                const std::vector<std::string> problems = net::tls_problems(question, cancel);
                if (!problems.empty())
                    throw Error("tls.invalid", text::join(problems, "; "));
                return true;
            }};
        });
    tls.def("read", "The certificates of a file, in its order.")
        .param("path", "file in PEM form")
        .returns("table[]", certificate_doc)
        .raises({"tls.invalid", "permission"})
        .reads()
        .example("local ok, err = pcall(tls.read, 'absent.pem')\n"
                 "assert(not ok and err.kind == 'tls.invalid')")
        .native([](bind::Call& call, std::string path) -> bind::Job<Value> {
            call.permissions().check_file(path);
            return {[path](Cancel&) -> Value { return to_list(net::read_certificates(path)); }};
        });
    tls.def("server", "What a live server presents, trusted or not.")
        .param("address", "host:port")
        .param("options", "who is trusted, and how the server is asked")
        .returns("table", "{version, cipher, address, trusted, problem, chain}; chain: "
                          "certificates as in tls.read, the server's own first")
        .raises({"tls.invalid", "net.dns", "net.connection", "net.timeout", "permission", "usage",
                 "cancelled", "timeout"})
        .reads()
        .example("local ok, err = pcall(tls.server, '127.0.0.1:1')\n"
                 "assert(not ok and err.kind == 'net.connection')")
        .native([](bind::Call& call, std::string address,
                   TlsServerOptions options) -> bind::Job<Value> {
            const net::TlsQuestion question = question_of(call, options, address);
            return {[question](Cancel& cancel) -> Value {
                const net::Presented seen = net::presented(question, cancel);
                Map facts{{"version", seen.version},
                          {"cipher", seen.cipher},
                          {"address", seen.address},
                          {"trusted", seen.problem.empty()},
                          {"chain", to_list(seen.chain)}};
                if (!seen.problem.empty())
                    facts.set("problem", seen.problem);
                return facts;
            }};
        });
}

} // namespace runbook::bindings
