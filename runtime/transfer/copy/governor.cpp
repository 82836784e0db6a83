// The limits of a running copy (see governor.h).
#include "runtime/transfer/copy/governor.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/db/ask.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::copy {
namespace {

constexpr auto beat = std::chrono::milliseconds(1000);

bool is_mysql(const db::Connection& connection) {
    return connection.server().flavour == db::Flavour::mysql ||
           connection.server().flavour == db::Flavour::mariadb;
}

} // namespace

std::optional<double> lag_s(db::Connection& replica, Cancel& cancel) {
    if (is_mysql(replica)) {
        const Map row = db::ask_one(replica, "SHOW REPLICA STATUS", {}, cancel);
        if (row.empty())
            throw Error("argument", replica.url().masked() + " is no replica",
                        "option 'replicas' lists those of the target, by which it is slowed down");
        for (const char* name : {"Seconds_Behind_Source", "Seconds_Behind_Master"})
            if (const Value* value = row.find(name)) {
                if (const auto* seconds = value->get<std::int64_t>())
                    return static_cast<double>(*seconds);
                if (const auto* text = value->get<std::string>(); text && !text->empty())
                    return std::stod(*text);
            }
        return std::nullopt;
    }
    if (replica.server().flavour == db::Flavour::postgresql) {
        const Map row = db::ask_one(
            replica,
            "SELECT pg_is_in_recovery() AS standby, CASE WHEN pg_last_wal_receive_lsn() = "
            "pg_last_wal_replay_lsn() THEN 0 ELSE extract(epoch FROM now() - "
            "pg_last_xact_replay_timestamp())::float8 END AS lag, (SELECT count(*) FROM "
            "pg_stat_wal_receiver) AS receivers",
            {}, cancel);
        if (!row.boolean("standby"))
            throw Error("argument", replica.url().masked() + " is no replica",
                        "option 'replicas' lists those of the target, by which it is slowed down");
        const Value* lag = row.find("lag");
        if (row.integer("receivers") == 0 || !lag || lag->is_null())
            return std::nullopt;
        return row.number("lag");
    }
    throw Error("argument", replica.url().masked() + " is no replica");
}

Governor::Governor(Prepared& prepared, const Options& options, Shared& shared)
    : prepared_(prepared), options_(options), shared_(shared) {
    shared_.say(fmt::format(
        "limits: snapshot {}, lag of replicas {}{}, load {}, rate {}",
        options_.snapshot_age_s > 0 ? text::duration(options_.snapshot_age_s) : "none",
        text::duration(options_.lag_limit_s),
        options_.replicas.empty() ? "" : fmt::format(" ({})", options_.replicas.size()),
        options_.load_limit > 0 ? fmt::format("{} sessions", options_.load_limit) : "none",
        options_.rate_bytes_s > 0
            ? text::bytes(static_cast<std::int64_t>(options_.rate_bytes_s)) + "/s"
            : "none"));
    shared_.hold(reason());
    thread_ = std::thread([this] { watch(); });
}

Governor::~Governor() {
    {
        std::lock_guard lock(mutex_);
        over_ = true;
    }
    woken_.notify_all();
    thread_.join();
    shared_.hold("");
}

void Governor::watch() noexcept {
    std::unique_lock lock(mutex_);
    while (!over_ && !shared_.stop) {
        lock.unlock();
        try {
            check_age();
            prepared_.source->check_snapshot(unstoppable_);
            shared_.hold(reason());
        } catch (...) {
            shared_.end(std::current_exception());
        }
        lock.lock();
        woken_.wait_for(lock, beat, [this] { return over_; });
    }
}

void Governor::check_age() const {
    const double age = time::monotonic() - prepared_.snapshot_at;
    if (options_.snapshot_age_s <= 0 || age <= options_.snapshot_age_s)
        return;
    throw Error(
        "copy.snapshot_age",
        fmt::format("{}: the snapshot is older than {}: it holds back the source's clean-up",
                    prepared_.source->holder().url().masked(),
                    text::duration(options_.snapshot_age_s)),
        "raise snapshot_age (--snapshot-age), or copy behind a write fence and go on with "
        "resume");
}

std::string Governor::reason() {
    for (const db::Url& url : options_.replicas)
        if (std::string why = lag_of(url); !why.empty())
            return why;
    if (std::string why = lag_of_own_replicas(); !why.empty())
        return why;
    if (options_.load_limit > 0)
        for (const db::Url& url :
             {prepared_.source->holder().url(), prepared_.target->control().url()})
            if (std::string why = load_of(url); !why.empty())
                return why;
    return {};
}

std::string Governor::lag_of(const db::Url& url) {
    try {
        const std::optional<double> lag = lag_s(session(url), unstoppable_);
        if (!lag)
            return url.masked() + ": replication does not run";
        return *lag <= options_.lag_limit_s
                   ? std::string()
                   : fmt::format("{} is {} behind", url.masked(), text::duration(*lag));
    } catch (const Error& error) {
        sessions_.erase(url.masked());
        return "the lag of a replica is unknown: " + error.message();
    }
}

// A PostgreSQL target tells how far its replicas are, where its user may see it.
std::string Governor::lag_of_own_replicas() {
    const db::Url& url = prepared_.target->control().url();
    if (url.engine != db::Engine::postgresql)
        return {};
    const Map row = db::ask_one(session(url),
                                "SELECT extract(epoch FROM max(replay_lag))::float8 AS lag FROM "
                                "pg_stat_replication",
                                {}, unstoppable_);
    const double lag = row.number("lag");
    return lag <= options_.lag_limit_s
               ? std::string()
               : fmt::format("a replica of {} is {} behind", url.masked(), text::duration(lag));
}

std::string Governor::load_of(const db::Url& url) {
    if (url.engine == db::Engine::sqlite)
        return {};
    db::Connection& connection = session(url);
    std::int64_t active = 0;
    if (is_mysql(connection)) {
        const Map row =
            db::ask_one(connection, "SHOW GLOBAL STATUS LIKE 'Threads_running'", {}, unstoppable_);
        // Without the copy's own.
        active = std::strtoll(row.text("Value").c_str(), nullptr, 10) - 1 - options_.streams;
    } else {
        active = db::ask_one(connection,
                             "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' "
                             "AND backend_type = 'client backend' AND application_name NOT LIKE "
                             "'runbook%'",
                             {}, unstoppable_)
                     .integer("n");
    }
    return active <= options_.load_limit
               ? std::string()
               : fmt::format("{} has {} active sessions", url.masked(), active);
}

db::Connection& Governor::session(const db::Url& url) {
    auto& open = sessions_[url.masked()];
    if (!open || !open->alive()) {
        db::ConnectOptions connect;
        connect.application_name = "runbook copy";
        open = db::connect(url, connect, unstoppable_);
    }
    return *open;
}

} // namespace runbook::copy
