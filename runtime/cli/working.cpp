#include "runtime/cli/working.h"

#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/rate.h"

#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <thread>
#include <unistd.h>

namespace runbook::cli {

namespace {

class CommandProgress final : public ProgressSink {
  public:
    explicit CommandProgress(const std::string& output)
        : json_(output == "json"), live_(output == "tty" && ::isatty(STDERR_FILENO) != 0) {}

    void report(const ProgressReport& report) override {
        std::lock_guard lock(mutex_);
        const std::int64_t now = time::now_micros();
        meter_.add(now, report);
        const std::int64_t beat = live_ ? 100'000 : json_ ? 1'000'000 : 5'000'000;
        if (now - shown_ < beat)
            return;
        shown_ = now;
        if (json_)
            print_json(now);
        else
            draw();
    }
    void line(std::string_view, std::string_view text) override {
        std::lock_guard lock(mutex_);
        clear();
        fmt::print(stderr, "  {}\n", redact(text));
    }
    void clear() {
        if (drawn_)
            fmt::print(stderr, "\r\x1b[K");
        drawn_ = false;
    }
    std::mutex& mutex() { return mutex_; }

  private:
    std::string words() const {
        const ProgressReport& report = meter_.latest();
        std::string out = report.item;
        if (const double done = meter_.fraction(); done >= 0)
            out += fmt::format("  {:.0f} %", done * 100);
        if (report.rows > 0)
            out += "  " + text::grouped(report.rows) + " rows";
        if (report.bytes > 0)
            out += "  " + text::bytes(report.bytes);
        if (meter_.rows_per_s() > 0)
            out += fmt::format("  {} rows/s",
                               text::grouped(static_cast<std::int64_t>(meter_.rows_per_s())));
        if (meter_.eta_s() >= 0)
            out += "  ETA " + text::clock(meter_.eta_s());
        return redact(out);
    }
    void draw() {
        if (live_)
            fmt::print(stderr, "\r\x1b[K  {}", text::ellipsize(words(), 76));
        else
            fmt::print(stderr, "  {}\n", words());
        std::fflush(stderr);
        drawn_ = live_;
    }
    void print_json(std::int64_t now) {
        const ProgressReport& report = meter_.latest();
        Map event{{"ts", time::iso_millis(now)},
                  {"event", "progress"},
                  {"item", report.item},
                  {"rows", report.rows},
                  {"total_rows", report.total_rows},
                  {"bytes", report.bytes},
                  {"total_bytes", report.total_bytes},
                  {"rate_rows_s", meter_.rows_per_s()}};
        if (meter_.eta_s() >= 0)
            event.set("eta_s", meter_.eta_s());
        fmt::print("{}\n", json::dump(redact(Value(event))));
        std::fflush(stdout);
    }

    bool json_, live_, drawn_ = false;
    std::int64_t shown_ = 0;
    std::mutex mutex_;
    view::RateMeter meter_;
};

} // namespace

struct Interrupts::Impl {
    Cancel cancel;
    std::atomic<bool> over{false};
    std::thread thread;
};

Interrupts::Interrupts() : impl_(std::make_unique<Impl>()) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr); // threads started from here on inherit it
    impl_->thread = std::thread([impl = impl_.get(), set] {
        while (!impl->over) {
            const timespec wait{0, 100'000'000};
            if (sigtimedwait(&set, nullptr, &wait) <= 0)
                continue;
            if (impl->cancel.requested())
                ::_exit(1);
            impl->cancel.request(Cancel::Reason::cancelled);
        }
    });
}

Interrupts::~Interrupts() {
    impl_->over = true;
    impl_->thread.join();
}

Cancel& Interrupts::cancel() {
    return impl_->cancel;
}

ProgressPtr show_progress(const std::string& output) {
    return std::make_shared<CommandProgress>(output);
}

void end_progress(const ProgressPtr& progress) {
    auto& shown = static_cast<CommandProgress&>(*progress);
    std::lock_guard lock(shown.mutex());
    shown.clear();
}

void print_event(const char* event, const Map& map) {
    Map line{{"event", event}};
    for (const auto& [key, value] : map)
        line.set(key, value);
    fmt::print("{}\n", json::dump(redact(Value(line))));
}

std::string output_or_default(const std::string& given) {
    if (!given.empty())
        return given;
    return ::isatty(STDOUT_FILENO) != 0 ? "tty" : "plain";
}

} // namespace runbook::cli
