// One JSON object a line, for machines (contract in view.h).
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/time.h"
#include "runtime/view/rate.h"
#include "runtime/view/view.h"

#include <map>

namespace runbook::view {
namespace {

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
        write({run_,
               0,
               settings_.now(),
               "output",
               step,
               Map{{"stream", stream}, {"text", text}},
               {}});
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
