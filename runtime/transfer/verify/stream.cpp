// See stream.h. read() runs on the reader thread, everything else on the consumer's.
#include "runtime/transfer/verify/stream.h"

namespace runbook::verify {

namespace {
constexpr std::size_t batches = 4;
}

Stream::Stream(RowSource& source, const TablePlan& plan, Cancel& cancel)
    : source_(source), plan_(plan), cancel_(cancel) {
    for (std::size_t i = 0; i < batches; ++i)
        free_.push_back(std::make_unique<Batch>());
    thread_ = std::thread([this] { read(); });
}

Stream::~Stream() {
    bool running = false;
    {
        std::lock_guard lock(mutex_);
        abandoned_ = true;
        running = !finished_;
    }
    changed_.notify_all();
    if (running)
        source_.stop();
    thread_.join();
    source_.close(cancel_);
}

void Stream::read() {
    std::exception_ptr error;
    try {
        source_.open(plan_, {}, cancel_);
        bool more = true;
        while (more) {
            std::unique_ptr<Batch> batch;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [&] { return abandoned_ || !free_.empty(); });
                if (abandoned_)
                    break;
                batch = std::move(free_.front());
                free_.pop_front();
            }
            batch->clear();
            more = source_.fill(*batch, cancel_);
            std::lock_guard lock(mutex_);
            ready_.push_back(std::move(batch));
            if (!more)
                finished_ = true;
            changed_.notify_all();
        }
    } catch (const std::exception&) {
        error = std::current_exception();
    }
    std::lock_guard lock(mutex_);
    error_ = error;
    finished_ = true;
    changed_.notify_all();
}

bool Stream::next_batch() {
    std::unique_lock lock(mutex_);
    while (true) {
        if (batch_) {
            free_.push_back(std::move(batch_));
            changed_.notify_all();
        }
        changed_.wait(lock, [&] { return !ready_.empty() || finished_; });
        if (error_) // what was read before an error proves nothing
            std::rethrow_exception(error_);
        if (ready_.empty())
            return false;
        batch_ = std::move(ready_.front());
        ready_.pop_front();
        row_ = 0;
        rows_ = batch_->rows.size();
        if (rows_ > 0)
            return true;
    }
}

} // namespace runbook::verify
