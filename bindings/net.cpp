// `net`: the Lua face of runtime/net/socket. Loop thread; look-ups and connections on a worker.
#include "bindings/net.h"

#include "bindings/core/declare.h"
#include "runtime/net/socket.h"

namespace runbook::bindings {
namespace {

struct ResolveOptions {
    bind::Duration timeout{5};
};
struct TcpOptions {
    bind::Duration timeout{5}, within{0}, every{1};
};

std::chrono::milliseconds millis(const bind::Duration& duration) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(duration.seconds * 1000));
}

/// Connects and closes. Tries again until `within` is over.
Value reach(const net::Address& address, const TcpOptions& options, Cancel& cancel) {
    const auto begin = net::Clock::now();
    for (int attempt = 1;; ++attempt) {
        const auto started = net::Clock::now();
        try {
            net::Patience patience(millis(options.timeout), cancel,
                                   "connecting to " + address.text());
            const net::Socket socket = net::connect(address, patience);
            const std::chrono::duration<double> elapsed = net::Clock::now() - started;
            return Map{{"address", socket.peer()},
                       {"port", address.port},
                       {"elapsed", elapsed.count()},
                       {"attempts", attempt}};
        } catch (const Error& error) {
            if (!error.kind().starts_with("net.") ||
                net::Clock::now() - begin + millis(options.every) > millis(options.within))
                throw;
        }
        net::pause(millis(options.every), cancel, "waiting for " + address.text());
    }
}

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Describe<bindings::ResolveOptions> {
    static const std::vector<Field<bindings::ResolveOptions>>& fields() {
        static const std::vector<Field<bindings::ResolveOptions>> all = {
            field("timeout", &bindings::ResolveOptions::timeout, "5s")};
        return all;
    }
};
template <>
struct Describe<bindings::TcpOptions> {
    static const std::vector<Field<bindings::TcpOptions>>& fields() {
        static const std::vector<Field<bindings::TcpOptions>> all = {
            field("timeout", &bindings::TcpOptions::timeout, "of one attempt; 5s"),
            field("within", &bindings::TcpOptions::within,
                  "how long to try again; without it, once"),
            field("every", &bindings::TcpOptions::every, "pause between two attempts; 1s")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {

void register_net(vm::State& state, vm::Registry& registry) {
    bind::Area net(state, registry, "net",
                   "Names and TCP ports, of the hosts that the playbook declares in needs.net. The "
                   "hosts of its databases, its url parameters and needs.http are allowed too.");
    net.def("resolve", "The IP addresses of a host name.")
        .param("host", "a name, or an IP address")
        .param("options", "how long it may take")
        .returns("string[]", "in the order in which this system would try them")
        .raises({"net.dns", "net.timeout", "permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("assert(#net.resolve 'localhost' > 0)")
        .native([](bind::Call& call, std::string host,
                   ResolveOptions options) -> bind::Job<std::vector<std::string>> {
            const net::Address address = net::parse_address(host, false);
            if (address.port)
                throw Error("usage", "net.resolve: '" + host + "' has a port; give the host alone");
            call.permissions().check_net(address.text());
            return {[address, options](Cancel& cancel) {
                net::Patience patience(millis(options.timeout), cancel,
                                       "looking up " + address.host);
                return net::resolve(address.host, patience);
            }};
        });
    net.def("tcp", "Connects to a port and closes again; raises where nobody answers.")
        .param("address", "host:port; [::1]:5432 for an IPv6 address")
        .param("options", "how long it may take")
        .returns("table", "{address, port, elapsed, attempts}: the IP address that answered")
        .raises({"net.dns", "net.connection", "net.timeout", "permission", "usage", "cancelled",
                 "timeout"})
        .reads()
        .example("local ok, err = pcall(net.tcp, '127.0.0.1:1')\n"
                 "assert(not ok and err.kind == 'net.connection')")
        .native([](bind::Call& call, std::string text, TcpOptions options) -> bind::Job<Value> {
            const net::Address address = net::parse_address(text);
            call.permissions().check_net(address.text());
            return {[address, options](Cancel& cancel) { return reach(address, options, cancel); }};
        });
    net.def("reachable", "Whether somebody answers at a port; no answer is a result here, not an "
                         "error.")
        .param("address", "host:port; [::1]:5432 for an IPv6 address")
        .param("options", "how long it may take")
        .returns("boolean", "true if a connection came about")
        .raises({"permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("assert(net.reachable '127.0.0.1:1' == false)")
        .native([](bind::Call& call, std::string text, TcpOptions options) -> bind::Job<bool> {
            const net::Address address = net::parse_address(text);
            call.permissions().check_net(address.text());
            return {[address, options](Cancel& cancel) {
                try {
                    reach(address, options, cancel);
                    return true;
                } catch (const Error& error) {
                    if (!error.kind().starts_with("net."))
                        throw;
                    return false;
                }
            }};
        });
}

} // namespace runbook::bindings
