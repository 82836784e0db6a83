// A journal's rows in a SQLite file (contract in store.h). Every change is one BEGIN IMMEDIATE …
// COMMIT: one writer at a time, so nothing more is to be held. Owns: the open file and its prepared
// statements.
#include "runtime/base/time.h"
#include "runtime/journal/schema.h"
#include "runtime/journal/store.h"

#include <map>

namespace runbook::journal {
namespace {

class SqliteRow final : public Row {
  public:
    explicit SqliteRow(const Statement& statement) : statement_(statement) {}
    std::string text(int column) const override { return statement_.text(column); }
    std::int64_t integer(int column) const override { return statement_.integer(column); }

  private:
    const Statement& statement_;
};

class SqliteStore final : public Store {
  public:
    SqliteStore(const std::string& path, bool read_only)
        : database_(read_only ? open_for_reading(path) : open_for_writing(path)),
          read_only_(read_only) {
        database_->add_clock("journal_clock", time::now_micros);
    }
    ~SqliteStore() override { statements_.clear(); }

    const std::string& name() const override { return database_->path(); }
    bool read_only() const override { return read_only_; }
    bool one_machine() const override { return true; }
    std::unique_ptr<Store> again() const override {
        return open_sqlite(database_->path(), read_only_);
    }

    void change(const std::function<void()>& work) override {
        Transaction transaction(*database_);
        work();
        transaction.commit();
    }
    void read(const std::function<void()>& work, bool one_view) override {
        if (!one_view)
            return work();
        const Transaction transaction(*database_, true);
        work();
    }

    void each(std::string_view sql, Params params,
              const std::function<void(const Row&)>& row) override {
        const Use use(statement(sql), params);
        const SqliteRow current(use.statement);
        while (use.statement.step())
            row(current);
    }
    std::int64_t run(std::string_view sql, Params params) override {
        const Use use(statement(sql), params);
        use.statement.run();
        return database_->changes();
    }

    std::string_view clock() const override { return "journal_clock()"; }
    std::string_view hold_rows() const override { return ""; }

  private:
    /// One use of a prepared statement: reset afterwards, because an open one keeps its view of
    /// the file.
    struct Use {
        Use(Statement& prepared, Params params) : statement(prepared) {
            for (const Bound& value : params)
                std::visit([this](const auto& plain) { statement.bind(plain); }, value);
        }
        ~Use() { statement.reset(); }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        Statement& statement;
    };

    Statement& statement(std::string_view sql) {
        auto found = statements_.find(sql);
        if (found == statements_.end())
            found =
                statements_.emplace(std::string(sql), std::make_unique<Statement>(*database_, sql))
                    .first;
        return *found->second;
    }

    std::unique_ptr<Database> database_;
    std::map<std::string, std::unique_ptr<Statement>, std::less<>> statements_;
    bool read_only_;
};

} // namespace

std::unique_ptr<Store> open_sqlite(const std::string& path, bool read_only) {
    return std::make_unique<SqliteStore>(path, read_only);
}

} // namespace runbook::journal
