#include "runtime/serve/databases.h"

#include "runtime/backup/backup.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/db/connection.h"
#include "runtime/db/password.h"

#include <cmath>
#include <fmt/format.h>
#include <future>

namespace runbook::serve {
namespace {

constexpr double kept_s = 5;
constexpr std::chrono::milliseconds longest{5'000};

double milliseconds_since(double begun) {
    return std::round((time::monotonic() - begun) * 1e5) / 100;
}

/// Without the address at its beginning, which names a user: `database` says which one it is.
std::string without_address(const std::string& message, const std::string& masked) {
    return message.starts_with(masked + ": ") ? message.substr(masked.size() + 2) : message;
}

} // namespace

Databases::Databases(std::vector<config::Connection> connections, std::string folder)
    : connections_(std::move(connections)), folder_(std::move(folder)) {}

Map Databases::ask(const config::Connection& connection, Cancel& cancel) const {
    Map found{{"name", connection.name}};
    std::string masked;
    try {
        db::Url url = db::parse_named(connection.url, connection.name);
        masked = url.masked();
        found.set("database", backup::source_name(url)).set("reachable", false);
        if (!url.password && !connection.password.empty())
            url.password = config::open_secret(connection.password, folder_);
        const double begun = time::monotonic();
        const auto session = db::connect(url, {db::Access::read, longest, "runbook serve"}, cancel);
        const double connected = milliseconds_since(begun);
        const double asked = time::monotonic();
        db::StatementOptions options;
        options.timeout = longest;
        session->execute("SELECT 1", {}, options, cancel);
        const db::ServerInfo& server = session->server();
        found.set("reachable", true)
            .set("connect_ms", connected)
            .set("latency_ms", milliseconds_since(asked))
            .set("engine", db::flavour_name(server.flavour))
            .set("version", server.version)
            .set("encrypted", !server.tls_cipher.empty());
    } catch (const Error& error) {
        found.set("reachable", false)
            .set("error", Map{{"kind", error.kind()},
                              {"message", redact(without_address(error.message(), masked))}});
    }
    return found;
}

Map Databases::look() {
    const std::lock_guard looking(looking_);
    if (found_at_ > 0 && time::monotonic() - found_at_ < kept_s)
        return found_;
    std::vector<std::future<Map>> answers; // which are waited for, whatever happens here
    for (const config::Connection& connection : connections_) {
        const std::lock_guard lock(mutex_);
        Cancel& cancel = asking_.emplace_back();
        if (stopped_)
            cancel.request(Cancel::Reason::cancelled);
        answers.push_back(std::async(
            std::launch::async, [this, &connection, &cancel] { return ask(connection, cancel); }));
    }
    std::size_t reachable = 0;
    List list;
    for (std::future<Map>& answer : answers) {
        list.push_back(answer.get());
        reachable += list.back().get<Map>()->boolean("reachable");
    }
    {
        const std::lock_guard lock(mutex_);
        asking_.clear();
    }
    found_ = Map{{"status", list.empty()               ? "unknown"
                            : reachable == list.size() ? "ok"
                                                       : "failing"},
                 {"checked", time::iso_millis(time::now_micros())},
                 {"connections", list}};
    if (list.empty())
        found_.set("why", "runbook.toml names no connections ([connections])");
    found_at_ = time::monotonic();
    return found_;
}

void Databases::stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (Cancel& cancel : asking_)
        cancel.request(Cancel::Reason::cancelled);
}

} // namespace runbook::serve
