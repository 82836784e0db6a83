// Statements that a MySQL or MariaDB session has prepared. Runs on the connection's own thread.
#include "runtime/db/mysql/session.h"

#include "runtime/base/failpoint.h"

namespace runbook::db::mysql {
namespace {

class PreparedStatement final : public Prepared {
  public:
    PreparedStatement(Session& session, std::string sql, Statement statement)
        : session_(session), sql_(std::move(sql)), statement_(std::move(statement)),
          count_(mysql_stmt_param_count(statement_.get())), reading_(reads_only(sql_)) {}

    Executed execute(std::span<const Value> params, const StatementOptions& options,
                     Cancel& cancel) override {
        Executed executed;
        bool stopped = false, timed_out = false;
        session_.start(sql_, reading_, cancel);
        Bound bound = begin(params);
        {
            Watch watch(session_, options.timeout, cancel);
            session_.send(statement_.get(), bound, watch, cancel);
            failpoint::cross("effect.inside");
            executed = session_.take_effect(statement_.get(), watch, cancel);
            stopped = watch.fired();
            timed_out = watch.timed_out();
        }
        drop_results(statement_.get());
        session_.finish(executed, sql_, reading_, stopped, timed_out, cancel);
        return executed;
    }

    std::unique_ptr<Cursor> query(std::span<const Value> params, const StatementOptions& options,
                                  Cancel& cancel) override {
        session_.start(sql_, reading_, cancel);
        Bound bound = begin(params);
        Watch watch(session_, options.timeout, cancel);
        session_.send(statement_.get(), bound, watch, cancel);
        return open_binary_cursor(session_, statement_, options, reading_);
    }

  private:
    Bound begin(std::span<const Value> params) {
        check_parameter_count(count_, params.size());
        drop_results(statement_.get()); // also where the last one ended with an error
        return Bound(params);
    }

    Session& session_;
    std::string sql_;
    SharedStatement statement_;
    std::size_t count_;
    bool reading_;
};

} // namespace

std::unique_ptr<Prepared> Session::make_prepared(std::string_view sql, Cancel& cancel) {
    idle();
    cancel.check("a statement");
    effect = false;
    Watch watch(*this, {}, cancel);
    return std::make_unique<PreparedStatement>(*this, std::string(sql), parse(sql, watch, cancel));
}

} // namespace runbook::db::mysql
