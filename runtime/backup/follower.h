// Reads a file while another process writes it, so that checking a dump costs no time after it. Any
// thread; has one of its own. What was read is on its way to the disk already.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

namespace runbook::backup {

class Follower {
  public:
    using Take = std::function<void(std::string_view)>;
    /// `take` runs on the follower's thread, with all that is written, in order and once. The file
    /// exists and only grows, but for a head that its writer may fill in at the end.
    Follower(std::string file, Take take);
    ~Follower();
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    /// The writer has ended: reads the rest. False where the file does not end where the reading
    /// did: somebody cut it, and it has to be read again. Throws what `take` threw, and `fs`.
    bool finish();
    /// After finish(): bytes.
    std::int64_t taken() const { return taken_; }

  private:
    void follow(std::stop_token leave);

    std::string file_;
    Take take_;
    std::int64_t taken_ = 0;
    std::atomic<bool> ended_{false};
    std::exception_ptr failure_;
    std::jthread thread_;
};

} // namespace runbook::backup
