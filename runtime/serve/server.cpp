#include "runtime/serve/server.h"

#include "runtime/base/error.h"

#include <microhttpd.h>

#include <unistd.h>

namespace runbook::serve {
namespace {

constexpr unsigned most_connections = 64, idle_seconds = 30;

/// What every answer has: nothing of it is kept, guessed at, framed or loaded from elsewhere.
constexpr std::pair<const char*, const char*> always[] = {
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
                                "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"}};

std::string text_or_empty(const char* text) {
    return text ? text : "";
}

MHD_Result send(MHD_Connection* connection, const Answer& answer) {
    MHD_Response* response = MHD_create_response_from_buffer(
        answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    for (const auto& [name, value] : always)
        MHD_add_response_header(response, name, value);
    MHD_add_response_header(response, "Content-Type", answer.type.c_str());
    for (const auto& [name, value] : answer.headers)
        MHD_add_response_header(response, name.c_str(), value.c_str());
    const MHD_Result sent =
        MHD_queue_response(connection, static_cast<unsigned>(answer.status), response);
    MHD_destroy_response(response);
    return sent;
}

} // namespace

struct Server::Impl {
    Handler handler;
    int socket = -1;
    MHD_Daemon* daemon = nullptr;

    /// Called by the library when the head of a request is there. A body is never wanted: the
    /// answer is given before it, and the connection is closed.
    static MHD_Result on_request(void* self, MHD_Connection* connection, const char* path,
                                 const char* method, const char*, const char*, std::size_t*,
                                 void**) {
        try {
            const auto header = [&](const char* name) {
                return text_or_empty(
                    MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name));
            };
            const Request request{
                method, path, header("Authorization"), [connection](const char* name) {
                    return text_or_empty(
                        MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name));
                }};
            return send(connection, static_cast<Impl*>(self)->handler(request));
        } catch (const std::exception&) { // nothing may pass through a C library
            return MHD_NO;
        }
    }
};

Server::Server(Listener& listener, Handler handler) : impl_(std::make_unique<Impl>()) {
    impl_->handler = std::move(handler);
    impl_->socket = listener.release();
    impl_->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, nullptr,
        nullptr, &Impl::on_request, impl_.get(), MHD_OPTION_LISTEN_SOCKET, impl_->socket,
        MHD_OPTION_CONNECTION_LIMIT, most_connections, MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds,
        MHD_OPTION_END);
    if (!impl_->daemon) {
        ::close(impl_->socket);
        throw Error("internal", "libmicrohttpd could not be started",
                    "are there threads and file descriptors left (ulimit -a)?");
    }
}

Server::~Server() {
    MHD_stop_daemon(impl_->daemon); // closes the socket
}

} // namespace runbook::serve
