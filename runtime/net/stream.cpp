// A byte stream to a server (contract in stream.h).
#include "runtime/net/stream.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/net/x509.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

namespace runbook::net {

struct Stream::State {
    explicit State(Socket connected) : socket(std::move(connected)) {}
    Socket socket;
    x509::ContextPtr context;
    x509::SslPtr ssl; ///< null: clear text

    /// Waits for what OpenSSL needs after `result`; false where the other side has closed.
    bool wait(int result, Patience& patience) {
        const int code = SSL_get_error(ssl.get(), result);
        if (code == SSL_ERROR_WANT_READ)
            patience.wait(socket.fd(), POLLIN);
        else if (code == SSL_ERROR_WANT_WRITE)
            patience.wait(socket.fd(), POLLOUT);
        else if (code == SSL_ERROR_ZERO_RETURN)
            return false;
        else {
            const bool silent = code == SSL_ERROR_SYSCALL && ERR_peek_error() == 0;
            const int error = errno;
            if (silent && error == 0)
                return false;
            throw Error("net.connection", fmt::format("{}: {}", patience.doing(),
                                                      silent ? text::lower(std::strerror(error))
                                                             : x509::last_error()));
        }
        return true;
    }

    void secure(const Address& address, const TlsTrust& trust, Patience& patience) {
        context.reset(SSL_CTX_new(TLS_client_method()));
        SSL_CTX_set_cert_store(context.get(), x509::store(trust.ca).release());
        SSL_CTX_set_verify(context.get(), trust.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                           nullptr);
        ssl.reset(SSL_new(context.get()));
        if (is_ip(address.host)) {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), address.host.c_str());
        } else {
            SSL_set1_host(ssl.get(), address.host.c_str());
            SSL_set_tlsext_host_name(ssl.get(), address.host.c_str());
        }
        if (!trust.cert.empty())
            x509::show_certificate(ssl.get(), trust.cert, trust.key, {});
        SSL_set_fd(ssl.get(), socket.fd());
        for (;;) {
            errno = 0;
            ERR_clear_error();
            const int result = SSL_connect(ssl.get());
            if (result == 1)
                return;
            const int code = SSL_get_error(ssl.get(), result);
            const long verdict = SSL_get_verify_result(ssl.get());
            if (code == SSL_ERROR_SSL && verdict != X509_V_OK)
                throw Error("tls.invalid",
                            fmt::format("{}: its certificate is not trusted: {}", patience.doing(),
                                        X509_verify_cert_error_string(verdict)));
            if (code == SSL_ERROR_SSL)
                throw Error("tls.invalid", fmt::format("{}: no TLS handshake: {}", patience.doing(),
                                                       x509::last_error()));
            if (!wait(result, patience))
                throw Error("tls.invalid", patience.doing() +
                                               ": no TLS handshake: the server closed the "
                                               "connection");
        }
    }
};

Stream::Stream(std::unique_ptr<State> state) : state_(std::move(state)) {}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

Stream Stream::open(const Address& address, const std::optional<TlsTrust>& trust,
                    Patience& patience) {
    auto state = std::make_unique<State>(connect(address, patience));
    if (trust)
        state->secure(address, *trust, patience);
    return Stream(std::move(state));
}

void Stream::write(std::string_view data, Patience& patience) {
    if (!state_->ssl)
        return state_->socket.write(data, patience);
    while (!data.empty()) {
        errno = 0;
        ERR_clear_error();
        const int sent = SSL_write(state_->ssl.get(), data.data(),
                                   static_cast<int>(std::min<std::size_t>(data.size(), 1 << 20)));
        if (sent > 0)
            data.remove_prefix(static_cast<std::size_t>(sent));
        else if (!state_->wait(sent, patience))
            throw Error("net.connection", patience.doing() + ": the server closed the connection");
    }
}

std::string Stream::read(Patience& patience) {
    char block[16384];
    for (;;) {
        if (state_->ssl) {
            errno = 0;
            ERR_clear_error();
            const int got = SSL_read(state_->ssl.get(), block, sizeof block);
            if (got > 0)
                return {block, static_cast<std::size_t>(got)};
            if (!state_->wait(got, patience))
                return {};
            continue;
        }
        const ssize_t got = ::recv(state_->socket.fd(), block, sizeof block, 0);
        if (got >= 0)
            return {block, static_cast<std::size_t>(got)};
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            patience.wait(state_->socket.fd(), POLLIN);
        else if (errno != EINTR)
            throw Error("net.connection",
                        fmt::format("{}: {}", patience.doing(), text::lower(std::strerror(errno))));
    }
}

} // namespace runbook::net
