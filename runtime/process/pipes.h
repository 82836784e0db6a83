// File descriptors and output streams of one command. Used on the calling thread of process::run
// only.
#pragma once

#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>

namespace runbook::process {

/// Owner of a descriptor; -1 is none.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept;
    ~Fd() { close(); }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void close();

  private:
    int fd_ = -1;
};

/// write() to a pipe without a SIGPIPE for the process where nobody reads it any more: -1 with
/// EPIPE.
ssize_t write_pipe(int fd, std::string_view data);

/// Keeps the end of what a stream said as it is, and hands its lines on redacted: before they are
/// taken apart, since a secret may have several, and the command may write it in pieces.
class OutputStream {
  public:
    OutputStream(const char* name, std::size_t keep, ProgressSink* sink)
        : name_(name), keep_(keep), receiver_(sink) {}
    void append(std::string_view data);
    /// Whether who gets the lines is behind: read no more for now.
    bool full() const { return receiver_.full(); }
    /// Hands on a last line without a newline.
    void finish();
    std::string take();
    std::int64_t total() const { return total_; }

  private:
    void hand_on(std::string redacted);

    const char* name_;
    std::size_t keep_;
    OutputReceiver receiver_;
    StreamRedactor redactor_;
    std::string earlier_, kept_; ///< the end of the stream: at least `keep` bytes of it
    std::string line_;           ///< redacted, its end has not come yet
    std::int64_t total_ = 0;
};

} // namespace runbook::process
