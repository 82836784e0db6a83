// How the output of a command travels: whole lines by the block, redacted once, and no faster than
// its receiver takes it.
// Any thread may call it; it owns nothing.
#pragma once

#include "runtime/base/progress.h"

#include <string>
#include <string_view>

namespace runbook {

/// A ProgressSink that takes output by the block. Whoever has a plain ProgressSink calls line().
class OutputSink : public ProgressSink {
  public:
    /// Whole lines, each with its '\n', that have been through the redactor.
    virtual void lines(std::string_view stream, std::string text) = 0;
    /// Whether the receiver is behind. The sender then reads no further for a moment and asks
    /// again, so that the pipe fills and the command waits.
    virtual bool full() const = 0;
};

/// Calls fn(line) for each line of a block, without its end ("\n" or "\r\n"). The last one may have
/// none.
template <class Fn>
void each_line(std::string_view text, Fn&& fn) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (!line.empty() && line.back() == '\r')
            line.remove_suffix(1);
        fn(line);
        if (end == std::string_view::npos)
            return;
        text.remove_prefix(end + 1);
    }
}

/// Who gets a command's output, which outlives this: by the block where it takes blocks.
class OutputReceiver {
  public:
    explicit OutputReceiver(ProgressSink* sink)
        : sink_(sink), blocks_(dynamic_cast<OutputSink*>(sink)) {}
    explicit operator bool() const { return sink_ != nullptr; }
    bool full() const { return blocks_ && blocks_->full(); }
    void lines(std::string_view stream, std::string text) const {
        if (text.empty())
            return;
        if (blocks_)
            blocks_->lines(stream, std::move(text));
        else if (sink_)
            each_line(text, [&](std::string_view line) { sink_->line(stream, line); });
    }

  private:
    ProgressSink* sink_;
    OutputSink* blocks_; ///< the same one
};

} // namespace runbook
