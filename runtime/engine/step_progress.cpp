// See step_progress.h. Owns: what has been said and not shown yet. Output is never left out: who
// writes faster than it is shown waits (OutputSink::full), whatever the number of commands.
#include "runtime/engine/step_progress.h"

#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/engine/session.h"
#include "runtime/view/view.h"

#include <atomic>
#include <deque>
#include <mutex>

namespace runbook::engine {
namespace {

/// Bytes of output on the way to the view, of all commands of this process together, from which on
/// they wait.
constexpr std::int64_t most_waiting = 2 << 20;
std::atomic<std::int64_t> waiting{0};
constexpr std::size_t small = 4096; ///< bytes of a block that is joined to the one before

/// The output of one call: in the order in which it came, one turn of the loop for all that is
/// there by then.
class Outputs {
  public:
    ~Outputs() {
        for (const Block& block : blocks_)
            waiting -= size_of(block.text);
    }
    /// Any thread. True where the caller has to post a show().
    bool add(std::string_view stream, std::string text) {
        waiting += size_of(text);
        std::lock_guard lock(mutex_);
        if (!blocks_.empty() && blocks_.back().stream == stream && text.size() < small)
            blocks_.back().text += text;
        else
            blocks_.push_back({std::string(stream), std::move(text)});
        return !std::exchange(posted_, true);
    }
    /// Loop thread.
    void show(view::EventSink& sink, const std::string& step) {
        std::deque<Block> blocks;
        {
            std::lock_guard lock(mutex_);
            blocks.swap(blocks_);
            posted_ = false;
        }
        for (const Block& block : blocks) {
            sink.on_output(step, block.stream, block.text);
            waiting -= size_of(block.text);
        }
    }

  private:
    struct Block {
        std::string stream, text;
    };
    static std::int64_t size_of(const std::string& text) {
        return static_cast<std::int64_t>(text.size());
    }
    std::mutex mutex_;
    std::deque<Block> blocks_;
    bool posted_ = false;
};

/// Hands reports to the view on the loop thread, at most ten a second, and all output.
class StepProgress final : public OutputSink {
  public:
    StepProgress(Session& session, std::string step) : session_(session), step_(std::move(step)) {}

    void report(const ProgressReport& report) override {
        const double now = time::monotonic();
        std::unique_lock reported(mutex_); // streams of one copy report side by side
        const bool same = report.rows == rows_ && report.bytes == bytes_ && report.item == item_;
        if (!same)
            got_on(now);
        rows_ = report.rows, bytes_ = report.bytes, item_ = report.item;
        reported.unlock();
        const bool last = report.total_rows > 0 && report.rows >= report.total_rows;
        double before = last_.load();
        if (!last && now - before < 0.1)
            return;
        last_ = now;
        session_.scheduler().post([session = &session_, step = step_, report] {
            session->sink.on_progress(step, report);
        });
    }
    void line(std::string_view stream, std::string_view text) override {
        lines(stream, redact(text) + "\n");
    }
    void lines(std::string_view stream, std::string text) override {
        got_on(time::monotonic());
        if (outputs_->add(stream, std::move(text)))
            session_.scheduler().post([session = &session_, step = step_, outputs = outputs_] {
                outputs->show(session->sink, step);
            });
    }
    bool full() const override { return waiting.load() > most_waiting; }

  private:
    /// Any thread; at most ten a second reach the loop.
    void got_on(double now) {
        if (now - told_.load() < 0.1)
            return;
        told_ = now;
        session_.scheduler().post(
            [session = &session_, step = step_, now] { session->progressed[step] = now; });
    }

    Session& session_;
    std::string step_;
    std::shared_ptr<Outputs> outputs_ = std::make_shared<Outputs>();
    std::atomic<double> last_{0}, told_{0};
    std::mutex mutex_;
    std::int64_t rows_ = -1, bytes_ = -1; ///< of the last report
    std::string item_;
};

} // namespace

ProgressPtr step_progress(Session& session, std::string step) {
    return std::make_shared<StepProgress>(session, std::move(step));
}

} // namespace runbook::engine
