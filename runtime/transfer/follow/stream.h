// A replication session of PostgreSQL: the slot with its snapshot, then the change stream.
// Owns: one walsender session. One thread, which blocks; a cancel reaches what runs in the server.
#pragma once

#include "runtime/db/connection.h"
#include "runtime/transfer/follow/pgoutput.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace runbook::follow {

struct Slot {
    std::string name;
    Lsn consistent = 0;   ///< every commit from here on is in the stream
    std::string snapshot; ///< shows every commit before it; dies with the session's next statement
};

class Stream {
  public:
    /// Errors: those of connecting, `db.permission` where the role may not replicate.
    Stream(const db::Url& url, Cancel& cancel);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    /// Waits until every transaction that is open now has ended; `waiting` is called about once a
    /// second meanwhile. Errors: `follow.refused` where the server has no slot left.
    Slot create_slot(const std::string& name, const std::function<void()>& waiting, Cancel& cancel);

    /// Starts the stream; waits up to ten seconds for a session that is just leaving the slot.
    /// Errors: `follow.refused` where another session uses it, `follow.lost` where the server has
    /// thrown away what is needed.
    void start(const std::string& slot, const std::string& publication, Lsn from, Cancel& cancel);

    enum class Got : std::uint8_t { nothing, data, keepalive };
    /// The next message, or nothing within `wait`. `data()` lives until the next call.
    Got next(std::chrono::milliseconds wait, Cancel& cancel);
    std::string_view data() const { return data_; }
    /// Where the server stands in its log, and its clock, as of the last message.
    Lsn server_lsn() const { return server_lsn_; }
    std::int64_t server_micros() const { return server_micros_; }
    /// The server has asked for a word.
    bool asked() const { return asked_; }

    /// Everything before `applied` is safe here: the server may throw it away. `answer` asks it
    /// where it stands.
    void confirm(Lsn applied, bool answer);

  private:
    struct Raw;
    [[noreturn]] void fail(const std::string& what);
    std::unique_ptr<db::Connection> connection_;
    std::unique_ptr<Raw> raw_;
    std::string_view data_;
    Lsn server_lsn_ = 0;
    std::int64_t server_micros_ = 0;
    bool asked_ = false, streaming_ = false;
};

} // namespace runbook::follow
