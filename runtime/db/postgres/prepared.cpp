// Statements that a PostgreSQL session has prepared, each under a name of its own. Their rows come
// in single-row mode: DECLARE CURSOR takes no prepared statement. Runs on the connection's thread.
#include "runtime/db/placeholders.h"
#include "runtime/db/postgres/session.h"

#include <algorithm>

namespace runbook::db::postgres {
namespace {

/// What the server says where the statement is no longer what it was, with the way out.
template <class Fn>
auto explained(Fn run) {
    try {
        return run();
    } catch (const Error& error) {
        const bool gone = error.sqlstate() == "26000";
        const bool changed =
            error.sqlstate() == "0A000" && error.message().find("cached plan") != std::string::npos;
        if (!gone && !changed)
            throw;
        throw Error("db.error", error.message(),
                    changed ? "a table has changed since the statement was prepared: db.prepare "
                              "makes a new one"
                            : "something closed the statement in the server (DEALLOCATE, DISCARD, "
                              "or a pooler): db.prepare makes a new one",
                    error.sqlstate());
    }
}

class PreparedStatement final : public Prepared {
  public:
    PreparedStatement(Session& session, Rewritten statement, Cancel& cancel)
        : session_(session), sql_(statement.sql),
          count_(static_cast<std::size_t>(std::max(statement.questions, statement.dollars))),
          plain_(is_plain_query(sql_)), described_(session.parse(sql_, cancel)) {}
    ~PreparedStatement() override { session_.deallocate(described_.name); }

    Executed execute(std::span<const Value> params, const StatementOptions& options,
                     Cancel& cancel) override {
        const Bound bound = begin(params);
        return explained([&] {
            return session_.run_for_effect(described_.name, bound, options, cancel, Send::prepared);
        });
    }

    std::unique_ptr<Cursor> query(std::span<const Value> params, const StatementOptions& options,
                                  Cancel& cancel) override {
        Bound bound = begin(params);
        session_.effect = false;
        session_.set_statement_timeout(options.timeout, cancel);
        session_.effect = !plain_ && !session_.in_transaction() && !session_.read_only();
        return explained([&] {
            return open_prepared_cursor(session_, described_, std::move(bound), options, plain_,
                                        cancel);
        });
    }

  private:
    Bound begin(std::span<const Value> params) {
        session_.idle();
        if (session_.read_only())
            keep_read_only(session_.url(), sql_);
        check_parameter_count(count_, params.size());
        return bind_as(params, described_.parameters);
    }

    Session& session_;
    std::string sql_;
    std::size_t count_;
    bool plain_;
    Session::Described described_;
};

} // namespace

std::unique_ptr<Prepared> Session::make_prepared(std::string_view sql, Cancel& cancel) {
    idle();
    effect = false;
    set_statement_timeout({}, cancel);
    return std::make_unique<PreparedStatement>(*this, rewrite_placeholders(sql), cancel);
}

} // namespace runbook::db::postgres
