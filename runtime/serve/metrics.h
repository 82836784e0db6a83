// Prometheus' text format, version 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats). Plain data; one thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runbook::serve {

class Metrics {
  public:
    static constexpr const char* content_type = "text/plain; version=0.0.4; charset=utf-8";
    using Labels = std::vector<std::pair<std::string, std::string>>;

    /// What the samples up to the next family belong to; `type` is "gauge" or "counter". One
    /// without samples is left out.
    void family(std::string name, std::string_view type, std::string_view help);
    void sample(double value, const Labels& labels = {});
    const std::string& text() const { return text_; }

  private:
    std::string name_, head_, text_;
};

} // namespace runbook::serve
