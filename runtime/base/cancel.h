// Cancellation of one piece of native work.
// Owns: the request flag and the hooks that make it real (PQcancel, KILL QUERY, killing a process
// tree). `request` runs the hooks on the caller's thread: the scheduler calls it on its reserved
// cancel thread, because PQcancel and KILL QUERY block. Never touches Lua.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace runbook {

class Cancel {
  public:
    /// Why it was requested; decides the kind of the error that the work raises.
    enum class Reason { none, cancelled, timeout };

    bool requested() const noexcept { return reason_.load() != Reason::none; }
    Reason reason() const noexcept { return reason_.load(); }
    /// First request wins; runs the hook that is registered now, or the next one at its
    /// registration.
    void request(Reason reason);
    /// Throws Error{`cancelled`} or Error{`timeout`} if requested; for loops in native work.
    void check(const char* what) const;

    /// While alive, `fn` is what `request` runs (at most once). The destructor waits for a running
    /// fn, so it may refer to objects of the enclosing scope. Hooks nest: all live ones run, newest
    /// first.
    class Hook {
      public:
        Hook(Cancel& cancel, std::function<void()> fn);
        ~Hook();
        Hook(const Hook&) = delete;
        Hook& operator=(const Hook&) = delete;

      private:
        Cancel& cancel_;
        std::function<void()> fn_;
        Hook* older_;
        bool ran_ = false;
        friend class Cancel;
    };

  private:
    std::atomic<Reason> reason_{Reason::none};
    std::mutex mutex_;
    Hook* newest_ = nullptr;
};

using CancelPtr = std::shared_ptr<Cancel>;

} // namespace runbook
