// One JSON object a line, for machines (contract in view.h).
#include "runtime/base/json.h"
#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/view/rate.h"
#include "runtime/view/view.h"

#include <cstring>
#include <map>

namespace runbook::view {
namespace {

/// The first byte from `at` on that is not for certain to be written as it is; eight at once.
std::size_t next_special(std::string_view text, std::size_t at) {
    constexpr std::uint64_t ones = 0x0101010101010101, high = ones << 7;
    const auto zero = [](std::uint64_t x) { return (x - ones) & ~x; }; // high bit of a zero byte
    for (std::uint64_t x = 0; at + sizeof x <= text.size(); at += sizeof x) {
        std::memcpy(&x, text.data() + at, sizeof x);
        const std::uint64_t found = x | (x - ones * 0x20) | zero(x ^ ones * '"') |
                                    zero(x ^ ones * '\\') | zero(x ^ ones * 0x7F);
        if (found & high)
            break;
    }
    for (; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte < 0x20 || byte >= 0x7F || byte == '"' || byte == '\\')
            break;
    }
    return at;
}

/// As json::dump() of the text, without its cost where it is plain ASCII, as most output is.
void append_quoted(std::string& out, std::string_view text) {
    const std::size_t begin = out.size();
    std::size_t copied = 0;
    out += '"';
    for (std::size_t i = next_special(text, 0); i < text.size(); i = next_special(text, i + 1)) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte != '"' && byte != '\\' && byte != '\t') {
            out.resize(begin);
            out += json::dump(Value(text));
            return;
        }
        out.append(text.substr(copied, i - copied)) += '\\';
        out += byte == '\t' ? 't' : text[i];
        copied = i + 1;
    }
    out.append(text.substr(copied)) += '"';
}

class JsonView : public EventSink {
  public:
    JsonView(Output& output, Settings settings) : output_(output), settings_(std::move(settings)) {}

    void on_event(const journal::Event& event) override {
        run_ = event.run;
        write(event);
    }
    void on_history(const journal::Event& event) override { run_ = event.run; }

    void on_progress(const std::string& step, const ProgressReport& report) override {
        const std::int64_t now = settings_.now();
        Work& work = works_[step];
        work.rate.add(now, report);
        constexpr std::int64_t apart = 1'000'000;
        const bool complete =
            report.total_rows > 0 && report.rows >= report.total_rows && !work.completed;
        if (now - work.written < apart && !complete)
            return;
        work.written = now;
        work.completed = complete;
        Map data{{"item", report.item},
                 {"rows", report.rows},
                 {"total_rows", report.total_rows},
                 {"bytes", report.bytes},
                 {"total_bytes", report.total_bytes},
                 {"rate_rows_s", work.rate.rows_per_s()}};
        if (work.rate.eta_s() >= 0)
            data.set("eta_s", work.rate.eta_s());
        write({run_, 0, now, "progress", step, std::move(data), {}});
    }

    void on_output(const std::string& step, std::string_view stream,
                   std::string_view text) override {
        // The same object a line but for its text: the rest is written once a block.
        const Value event = redact(journal::to_json(
            {run_, 0, settings_.now(), "output", step, Map{{"stream", stream}, {"text", ""}}, {}}));
        std::string before = json::dump(event);
        before.resize(before.size() - std::string_view("\"\"}").size());
        std::string all;
        all.reserve(text.size() * 2 + before.size());
        each_line(text, [&](std::string_view line) {
            all += before;
            append_quoted(all, line);
            all += "}\n";
        });
        output_.write(all);
    }

  private:
    struct Work {
        RateMeter rate;
        std::int64_t written = 0;
        bool completed = false;
    };

    void write(const journal::Event& event) {
        output_.write(json::dump(redact(journal::to_json(event))) + "\n");
    }

    Output& output_;
    Settings settings_;
    std::string run_;
    std::map<std::string, Work> works_;
};

} // namespace

std::unique_ptr<EventSink> json_view(Output& output, Settings settings) {
    if (!settings.now)
        settings.now = time::now_micros;
    return std::make_unique<JsonView>(output, std::move(settings));
}

} // namespace runbook::view
