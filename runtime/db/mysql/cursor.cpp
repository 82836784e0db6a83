// Results of a MySQL session, read unbuffered and gathered into batches; values of any size arrive
// whole. Runs on the connection's own thread.
#include "runtime/db/mysql/session.h"

#include <algorithm>
#include <charconv>

namespace runbook::db::mysql {
namespace {

/// What both protocols share: batches, the end, and closing early.
class StreamCursor : public Cursor {
  public:
    StreamCursor(Session& session, const StatementOptions& options, bool plain)
        : session_(session), options_(options), plain_(plain) {
        session_.cursor = this;
    }

    const std::vector<Column>& columns() const override { return *columns_; }

    BatchPtr next(Cancel& cancel) override {
        if (ended_)
            return nullptr;
        auto batch = std::make_shared<CopiedBatch>(columns_);
        bool fired = false, timed_out = false;
        try {
            cancel.check("reading rows");
            Watch watch(session_, options_.timeout, cancel);
            while (batch->rows() < std::max<std::size_t>(1, options_.batch_rows) &&
                   batch->bytes() < batch_bytes) {
                if (!read_row(*batch, cancel, watch)) {
                    end();
                    break;
                }
            }
            fired = watch.fired();
            timed_out = watch.timed_out();
        } catch (...) {
            end();
            throw;
        }
        if (fired && ended_)
            session_.after_kill(cancel, timed_out, plain_);
        return batch->rows() > 0 ? batch : nullptr;
    }

  protected:
    /// Appends one row; false at the end. Throws what the server said.
    virtual bool read_row(CopiedBatch& batch, Cancel& cancel, Watch& watch) = 0;
    virtual void release() = 0;

    void end() {
        ended_ = true;
        if (session_.cursor == this)
            session_.cursor = nullptr;
        release();
    }
    /// For destructors: the rest of a plain read is cut off in the server, the rest of anything
    /// else is read.
    void close() {
        if (ended_)
            return;
        if (plain_ && session_.alive())
            session_.kill_query();
        end();
        if (plain_ && session_.alive())
            session_.absorb_late_kill();
    }

    Session& session_;
    StatementOptions options_;
    bool plain_, ended_ = false;
    std::shared_ptr<const std::vector<Column>> columns_;
};

class TextCursor : public StreamCursor {
  public:
    TextCursor(Session& session, const StatementOptions& options, bool plain, Cancel& cancel)
        : StreamCursor(session, options, plain) {
        result_.reset(mysql_use_result(session.handle()));
        std::vector<Column> columns;
        if (result_) {
            columns = describe(result_.get(), false);
            fields_ = mysql_fetch_fields(result_.get());
        }
        columns_ = std::make_shared<const std::vector<Column>>(std::move(columns));
        if (!result_) {
            bool failed = mysql_errno(session.handle()) != 0;
            end();
            if (failed)
                session.fail(nullptr, cancel, false);
        }
    }
    ~TextCursor() override { close(); }

  private:
    bool read_row(CopiedBatch& batch, Cancel& cancel, Watch& watch) override {
        MYSQL_ROW row = mysql_fetch_row(result_.get());
        if (!row) {
            if (mysql_errno(session_.handle()) != 0)
                session_.fail(nullptr, cancel, watch.timed_out());
            return false;
        }
        const unsigned long* lengths = mysql_fetch_lengths(result_.get());
        for (std::size_t i = 0; i < columns_->size(); ++i)
            batch.add(row[i] ? decode({row[i], lengths[i]}, (*columns_)[i], fields_[i]) : Cell{});
        return true;
    }
    void release() override {
        result_.reset();
        // A CALL is followed by its status and maybe by further results.
        while (session_.alive() && mysql_more_results(session_.handle()) &&
               mysql_next_result(session_.handle()) == 0)
            Result unwanted(mysql_use_result(session_.handle()));
    }

    Result result_;
    const MYSQL_FIELD* fields_ = nullptr;
};

class BinaryCursor : public StreamCursor {
  public:
    BinaryCursor(Session& session, SharedStatement statement, const StatementOptions& options,
                 bool plain)
        : StreamCursor(session, options, plain), statement_(std::move(statement)) {
        metadata_.reset(mysql_stmt_result_metadata(statement_.get()));
        std::vector<Column> columns;
        if (metadata_) {
            columns = describe(metadata_.get(), false);
            fields_ = mysql_fetch_fields(metadata_.get());
        }
        columns_ = std::make_shared<const std::vector<Column>>(std::move(columns));
        if (!metadata_) {
            end();
            return;
        }
        cells_.resize(columns_->size());
        binds_.resize(columns_->size());
        for (std::size_t i = 0; i < columns_->size(); ++i)
            bind(i);
        mysql_stmt_bind_result(statement_.get(), binds_.data());
    }
    ~BinaryCursor() override { close(); }

  private:
    /// Where one column's value lands; which member is used goes by the field's type.
    struct Slot {
        std::int64_t integer = 0;
        double number = 0;
        float small = 0;
        MYSQL_TIME time{};
        std::string text;
        unsigned long length = 0;
        Flag null = 0, cut = 0;
    };

    void bind(std::size_t i) {
        MYSQL_BIND& bind = binds_[i];
        Slot& slot = cells_[i];
        bind = {};
        bind.is_null = &slot.null;
        bind.length = &slot.length;
        bind.error = &slot.cut;
        switch (static_cast<int>(fields_[i].type)) {
        case MYSQL_TYPE_TINY:
        case MYSQL_TYPE_SHORT:
        case MYSQL_TYPE_INT24:
        case MYSQL_TYPE_LONG:
        case MYSQL_TYPE_LONGLONG:
        case MYSQL_TYPE_YEAR:
            bind.buffer_type = MYSQL_TYPE_LONGLONG;
            bind.buffer = &slot.integer;
            bind.is_unsigned = (fields_[i].flags & UNSIGNED_FLAG) != 0;
            break;
        case MYSQL_TYPE_FLOAT:
            bind.buffer_type = MYSQL_TYPE_FLOAT;
            bind.buffer = &slot.small;
            break;
        case MYSQL_TYPE_DOUBLE:
            bind.buffer_type = MYSQL_TYPE_DOUBLE;
            bind.buffer = &slot.number;
            break;
        case MYSQL_TYPE_DATE:
        case MYSQL_TYPE_TIME:
        case MYSQL_TYPE_DATETIME:
        case MYSQL_TYPE_TIMESTAMP:
            bind.buffer_type = fields_[i].type;
            bind.buffer = &slot.time;
            break;
        default:
            if (slot.text.size() < 256 || slot.text.size() > kept_buffer)
                slot.text = std::string(256, '\0');
            bind.buffer_type =
                (*columns_)[i].kind == Kind::bytes || fields_[i].type == MYSQL_TYPE_BIT
                    ? MYSQL_TYPE_BLOB
                    : MYSQL_TYPE_STRING;
            bind.buffer = slot.text.data();
            bind.buffer_length = slot.text.size();
        }
    }

    bool read_row(CopiedBatch& batch, Cancel& cancel, Watch& watch) override {
        int code = mysql_stmt_fetch(statement_.get());
        if (code == MYSQL_NO_DATA)
            return false;
        if (code != 0 && code != MYSQL_DATA_TRUNCATED)
            session_.fail(statement_.get(), cancel, watch.timed_out());
        bool rebind = false;
        for (std::size_t i = 0; i < cells_.size(); ++i) {
            Slot& slot = cells_[i];
            bool text = binds_[i].buffer_length > 0;
            if (!slot.null && text && slot.length > slot.text.size()) {
                // Longer than the buffer: this one column is fetched again, whole.
                slot.text.resize(slot.length);
                binds_[i].buffer = slot.text.data();
                binds_[i].buffer_length = slot.text.size();
                if (mysql_stmt_fetch_column(statement_.get(), &binds_[i], static_cast<unsigned>(i),
                                            0) != 0)
                    session_.fail(statement_.get(), cancel, watch.timed_out());
                rebind = true;
            }
            batch.add(slot.null ? Cell{} : cell(i));
        }
        if (rebind) {
            for (std::size_t i = 0; i < cells_.size(); ++i)
                bind(i);
            mysql_stmt_bind_result(statement_.get(), binds_.data());
        }
        return true;
    }

    Cell cell(std::size_t i) {
        Slot& slot = cells_[i];
        const Column& column = (*columns_)[i];
        Cell out;
        out.kind = column.kind;
        switch (binds_[i].buffer_type) {
        case MYSQL_TYPE_LONGLONG:
            out.integer = slot.integer;
            if (binds_[i].is_unsigned && slot.integer < 0) {
                slot.text = std::to_string(static_cast<std::uint64_t>(slot.integer));
                out = {};
                out.kind = Kind::decimal;
                out.text = slot.text;
            }
            return out;
        case MYSQL_TYPE_FLOAT: {
            // The shortest text of the float, as the text protocol shows it: 0.1 and not
            // 0.10000000149.
            char text[32];
            auto end = std::to_chars(text, text + sizeof text, slot.small).ptr;
            std::from_chars(text, end, out.number);
            return out;
        }
        case MYSQL_TYPE_DOUBLE:
            out.number = slot.number;
            return out;
        case MYSQL_TYPE_STRING:
        case MYSQL_TYPE_BLOB:
            return decode({slot.text.data(), slot.length}, column, fields_[i]);
        default:
            return decode_time(slot.time, fields_[i], slot.text);
        }
    }

    void release() override {
        metadata_.reset();
        if (statement_ && session_.alive())
            drop_results(statement_.get()); // it may be sent again
        statement_.reset();
    }

    static constexpr std::size_t kept_buffer = 1 << 20;
    SharedStatement statement_;
    Result metadata_;
    const MYSQL_FIELD* fields_ = nullptr;
    std::vector<MYSQL_BIND> binds_;
    std::vector<Slot> cells_;
};

} // namespace

void drop_results(MYSQL_STMT* statement) {
    mysql_stmt_free_result(statement);
    while (mysql_stmt_next_result(statement) == 0)
        mysql_stmt_free_result(statement);
}

std::unique_ptr<Cursor> open_text_cursor(Session& session, const StatementOptions& options,
                                         bool plain, Cancel& cancel) {
    return std::make_unique<TextCursor>(session, options, plain, cancel);
}

std::unique_ptr<Cursor> open_binary_cursor(Session& session, SharedStatement statement,
                                           const StatementOptions& options, bool plain) {
    return std::make_unique<BinaryCursor>(session, std::move(statement), options, plain);
}

} // namespace runbook::db::mysql
