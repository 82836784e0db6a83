// One TLS handshake (contract in handshake.h), on a non-blocking socket, so that the deadline and a
// cancel hold in each of its parts.
#include "runtime/net/handshake.h"

#include "runtime/base/error.h"
#include "runtime/net/socket.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <openssl/err.h>
#include <poll.h>

namespace runbook::net {
namespace {

/// PostgreSQL: SSLRequest, answered with one byte (protocol manual, "SSL Session Encryption").
void ask_postgres(const Socket& socket, const std::string& server, Patience& patience) {
    using namespace std::string_literals;
    socket.write("\0\0\0\x08\x04\xd2\x16\x2f"s, patience);
    const char answer = socket.read(1, patience).front();
    if (answer == 'N')
        throw Error("tls.invalid", server + ": this PostgreSQL has no TLS (ssl = off)");
    if (answer != 'S')
        throw Error("tls.invalid", server + ": does not answer as PostgreSQL does");
}

/// MySQL and MariaDB: the server's greeting says whether it can, then the client sends the first
/// part of its own answer and goes on in TLS (protocol manual, "SSL handshake").
void ask_mysql(const Socket& socket, const std::string& server, Patience& patience) {
    const std::string head = socket.read(4, patience);
    const auto byte = [](char c) { return static_cast<unsigned char>(c); };
    const std::size_t size = byte(head[0]) | static_cast<unsigned>(byte(head[1])) << 8 |
                             static_cast<unsigned>(byte(head[2])) << 16;
    if (size < 20 || size > 4096)
        throw Error("tls.invalid", server + ": does not answer as MySQL does");
    const std::string greeting = socket.read(size, patience);
    if (byte(greeting[0]) == 0xff) // an error packet: too many connections, host blocked
        throw Error("tls.invalid", fmt::format("{}: {}", server, greeting.substr(3)));
    const std::size_t version_end = greeting.find('\0', 1);
    // After the version: 4 bytes of thread, 8 of scramble, 1 filler, then the lower capabilities.
    const std::size_t at = version_end + 1 + 4 + 8 + 1;
    if (byte(greeting[0]) != 10 || version_end == std::string::npos || at + 2 > greeting.size())
        throw Error("tls.invalid", server + ": does not answer as MySQL does");
    constexpr unsigned client_ssl = 0x0800;
    if (!((byte(greeting[at]) | static_cast<unsigned>(byte(greeting[at + 1])) << 8) & client_ssl))
        throw Error("tls.invalid", server + ": this MySQL has no TLS");
    std::string request(4 + 32, '\0');
    request[0] = 32;
    request[3] = 1;    // second packet of the conversation
    request[4] = 0x00; // CLIENT_PROTOCOL_41 | CLIENT_SSL | CLIENT_SECURE_CONNECTION
    request[5] = static_cast<char>(0x8a);
    request[11] = 1;  // longest packet: 16 MiB
    request[12] = 45; // utf8mb4
    socket.write(request, patience);
}

std::string why(SSL* ssl, int result) {
    const int code = SSL_get_error(ssl, result);
    if (code == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)
        return errno ? std::strerror(errno) : "the server closed the connection";
    return x509::last_error();
}

void handshake(SSL* ssl, const Socket& socket, const std::string& server, Patience& patience) {
    for (;;) {
        errno = 0;
        ERR_clear_error();
        const int result = SSL_connect(ssl);
        if (result == 1)
            return;
        const int code = SSL_get_error(ssl, result);
        if (code == SSL_ERROR_WANT_READ)
            patience.wait(socket.fd(), POLLIN);
        else if (code == SSL_ERROR_WANT_WRITE)
            patience.wait(socket.fd(), POLLOUT);
        else
            throw Error("tls.invalid",
                        fmt::format("{}: no TLS handshake: {}", server, why(ssl, result)),
                        "does the server speak TLS from the beginning? starttls = \"postgres\" or "
                        "\"mysql\" asks for it first");
    }
}

} // namespace

Handshake shake_hands(const TlsQuestion& question, Cancel& cancel) {
    const Address address = parse_address(question.server);
    Patience patience(question.timeout, cancel, "connecting to " + address.text());
    const Socket socket = connect(address, patience);
    if (question.starttls == StartTls::postgres)
        ask_postgres(socket, question.server, patience);
    if (question.starttls == StartTls::mysql)
        ask_mysql(socket, question.server, patience);

    x509::ContextPtr context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
    x509::SslPtr ssl(SSL_new(context.get()));
    const std::string name = question.host.empty() ? address.host : question.host;
    if (!is_ip(name)) // RFC 6066: no addresses in server_name
        SSL_set_tlsext_host_name(ssl.get(), name.c_str());
    if (!question.cert.empty() && !question.key.empty())
        x509::show_certificate(ssl.get(), question.cert, question.key, question.key_password);
    SSL_set_fd(ssl.get(), socket.fd());
    handshake(ssl.get(), socket, question.server, patience);

    Handshake result;
    result.version = SSL_get_version(ssl.get());
    result.cipher = SSL_get_cipher_name(ssl.get());
    result.address = socket.peer();
    const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl.get());
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        X509* certificate = sk_X509_value(chain, i);
        X509_up_ref(certificate);
        result.chain.emplace_back(certificate);
    }
    if (result.chain.empty())
        throw Error("tls.invalid", question.server + ": presented no certificate");
    return result;
}

} // namespace runbook::net
