// Slot and change stream over libpq (see stream.h). The walsender's own limit on a client that is
// silent is taken off, because one statement on the target may take longer than it; a client that
// is gone is noticed by its closed connection, or by TCP.
#include "runtime/transfer/follow/stream.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/transfer/copy/postgres_source.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <poll.h>

#include <optional>
#include <thread>

namespace runbook::follow {
namespace {

using namespace std::chrono_literals;

constexpr auto leaving = 10s; ///< for the session of a client that was killed to leave the slot

struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultDeleter>;

struct CancelDeleter {
    void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};

void send_cancel(PGcancel* handle) {
    char why[256];
    PQcancel(handle, why, sizeof why);
}

std::string field(const PGresult* result, int code) {
    const char* text = result ? PQresultErrorField(result, code) : nullptr;
    return text ? text : "";
}

std::unique_ptr<db::Connection> open(const db::Url& url, Cancel& cancel) {
    db::Url replicating = url;
    replicating.options["replication"] = "database";
    db::ConnectOptions options;
    options.access = db::Access::write;
    options.application_name = "runbook follow";
    try {
        auto connection = db::connect(replicating, options, cancel);
        for (const std::string& setting :
             text::split(std::string(copy::postgres_settings()) +
                             ";SET lock_timeout = 0;SET wal_sender_timeout = 0;SET "
                             "tcp_keepalives_idle = 30;"
                             "SET tcp_keepalives_interval = 10;SET tcp_keepalives_count = 3",
                         ';'))
            connection->script(setting, cancel);
        return connection;
    } catch (const Error& error) {
        if (error.sqlstate() != "42501" &&
            error.message().find("replication role") == std::string::npos)
            throw;
        throw Error("db.permission", fmt::format("{}: the role may not replicate", url.masked()),
                    fmt::format("ALTER ROLE {} REPLICATION, or follow with a role that has it",
                                url.user.empty() ? "…" : schema::standard_name(url.user)),
                    error.sqlstate());
    }
}

} // namespace

struct Stream::Raw {
    explicit Raw(PGconn* connection) : connection(connection), handle(PQgetCancel(connection)) {}
    ~Raw() { PQfreemem(buffer); }
    Raw(const Raw&) = delete;
    Raw& operator=(const Raw&) = delete;

    /// Waits for the result of what was sent, cancellable.
    Result wait(const std::function<void()>& waiting, Cancel& cancel) {
        Cancel::Hook hook(cancel, [this] { send_cancel(handle.get()); });
        double told = time::monotonic();
        while (PQisBusy(connection)) {
            pollfd waited{PQsocket(connection), POLLIN, 0};
            if (poll(&waited, 1, 100) > 0 && !PQconsumeInput(connection))
                break;
            if (waiting && time::monotonic() - told >= 1) {
                told = time::monotonic();
                waiting();
            }
        }
        return Result(PQgetResult(connection));
    }
    void drain() {
        while (PGresult* result = PQgetResult(connection))
            PQclear(result);
    }

    PGconn* connection;
    std::unique_ptr<PGcancel, CancelDeleter> handle;
    char* buffer = nullptr;
};

Stream::Stream(const db::Url& url, Cancel& cancel)
    : connection_(open(url, cancel)),
      raw_(std::make_unique<Raw>(static_cast<PGconn*>(connection_->native()))) {}

Stream::~Stream() {
    if (!streaming_)
        return;
    // An end that is said leaves the slot at once.
    PQputCopyEnd(raw_->connection, nullptr);
    PQflush(raw_->connection);
}

Slot Stream::create_slot(const std::string& name, const std::function<void()>& waiting,
                         Cancel& cancel) {
    // The old spelling of the option, which every version takes.
    PQsendQuery(raw_->connection, fmt::format("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput "
                                              "EXPORT_SNAPSHOT",
                                              schema::standard_name(name))
                                      .c_str());
    Result result = raw_->wait(waiting, cancel);
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
        std::string state = field(result.get(), PG_DIAG_SQLSTATE);
        std::string message = text::trim(field(result.get(), PG_DIAG_MESSAGE_PRIMARY));
        raw_->drain();
        cancel.check("making the replication slot");
        if (state == "53400")
            throw Error("follow.refused",
                        fmt::format("{}: {} (53400)", connection_->url().masked(), message),
                        "raise max_replication_slots (the server must be restarted), or drop a "
                        "slot that nobody needs: SELECT * FROM pg_replication_slots",
                        state);
        if (message.empty())
            fail("making the replication slot");
        throw Error(state == "42501" ? "db.permission" : "db.error",
                    fmt::format("{}: {} ({})", connection_->url().masked(), message, state), {},
                    state);
    }
    Slot slot{PQgetvalue(result.get(), 0, 0), parse_lsn(PQgetvalue(result.get(), 0, 1)),
              PQgetvalue(result.get(), 0, 2)};
    raw_->drain();
    return slot;
}

void Stream::start(const std::string& slot, const std::string& publication, Lsn from,
                   Cancel& cancel) {
    const std::string command = fmt::format(
        "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {})",
        schema::standard_name(slot), lsn_text(from),
        schema::standard_string(schema::standard_name(publication)));
    auto until = std::chrono::steady_clock::now() + leaving;
    while (true) {
        PQsendQuery(raw_->connection, command.c_str());
        Result result = raw_->wait({}, cancel);
        if (PQresultStatus(result.get()) == PGRES_COPY_BOTH) {
            streaming_ = true;
            return;
        }
        std::string state = field(result.get(), PG_DIAG_SQLSTATE);
        std::string message = text::trim(field(result.get(), PG_DIAG_MESSAGE_PRIMARY));
        raw_->drain();
        cancel.check("starting the change stream");
        if (message.empty())
            fail("starting the change stream");
        if (state == "55006" && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(200ms);
            continue;
        }
        std::string kind = state == "55006"                       ? "follow.refused"
                           : state == "42704" || state == "55000" ? "follow.lost"
                                                                  : "db.error";
        throw Error(kind, fmt::format("{}: {} ({})", connection_->url().masked(), message, state),
                    kind == "follow.lost"
                        ? "what was written since cannot be had any more: copy anew"
                        : "another session follows with this slot: end it first",
                    state);
    }
}

void Stream::fail(const std::string& what) {
    std::string why = text::trim(PQerrorMessage(raw_->connection));
    throw Error("db.connection",
                fmt::format("{}: the connection was lost while {}: {}", connection_->url().masked(),
                            what, why.substr(0, why.find('\n'))),
                "nothing is lost: following goes on where the target stands");
}

Stream::Got Stream::next(std::chrono::milliseconds wait, Cancel& cancel) {
    PQfreemem(raw_->buffer);
    raw_->buffer = nullptr;
    data_ = {};
    asked_ = false;
    auto until = std::chrono::steady_clock::now() + wait;
    while (true) {
        int size = PQgetCopyData(raw_->connection, &raw_->buffer, 1);
        if (size > 0) {
            std::string_view message(raw_->buffer, static_cast<std::size_t>(size));
            if (message[0] == 'w' && size >= 25) {
                // The end of the log in this message is only that of what is sent.
                server_micros_ = static_cast<std::int64_t>(pgoutput::read_u64(message.substr(17))) +
                                 pgoutput::epoch_micros;
                data_ = message.substr(25);
                return Got::data;
            }
            if (message[0] == 'k' && size >= 18) {
                server_lsn_ = pgoutput::read_u64(message.substr(1));
                server_micros_ = static_cast<std::int64_t>(pgoutput::read_u64(message.substr(9))) +
                                 pgoutput::epoch_micros;
                asked_ = message[17] != 0;
                return Got::keepalive;
            }
            throw Error("internal", "a message of the change stream has an unknown frame");
        }
        if (size == -1) {
            streaming_ = false;
            Result result(PQgetResult(raw_->connection));
            std::string state = field(result.get(), PG_DIAG_SQLSTATE);
            std::string message = text::trim(field(result.get(), PG_DIAG_MESSAGE_PRIMARY));
            raw_->drain();
            if (message.empty() || state.starts_with("57P"))
                fail("changes were read");
            throw Error(state == "55000" || state == "58P01" ? "follow.lost" : "db.error",
                        fmt::format("{}: {} ({})", connection_->url().masked(), message, state),
                        "the server ended the change stream", state);
        }
        if (size < -1)
            fail("changes were read");
        cancel.check("following");
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return Got::nothing;
        pollfd waited{PQsocket(raw_->connection), POLLIN, 0};
        int ready = poll(&waited, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 100)));
        if (ready > 0 && !PQconsumeInput(raw_->connection))
            fail("changes were read");
    }
}

void Stream::confirm(Lsn applied, bool answer) {
    std::string message = "r";
    for (int i = 0; i < 3; ++i) // written, flushed, applied
        pgoutput::append_u64(applied, message);
    pgoutput::append_u64(static_cast<std::uint64_t>(time::now_micros() - pgoutput::epoch_micros),
                         message);
    message += static_cast<char>(answer ? 1 : 0);
    if (PQputCopyData(raw_->connection, message.data(), static_cast<int>(message.size())) <= 0 ||
        PQflush(raw_->connection) < 0)
        fail("changes were confirmed");
}

} // namespace runbook::follow
