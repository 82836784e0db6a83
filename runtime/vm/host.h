// What native code may ask about the run it works for: allowance (rule 2 of docs/playbook.md),
// permissions (`needs`), the progress sink. Loop thread. One Host a State; the engine sets it up,
// the binding layer asks it before each call.
#pragma once

#include "runtime/base/progress.h"
#include "runtime/base/value.h"

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runbook::vm {

/// What a binding does to the world.
enum class Effect {
    none,  ///< pure: allowed while the file loads
    reads, ///< looks at the world: refused while the file loads
    writes ///< changes it: refused while loading, in a dry run, and in a step without a way back
};

/// What the current task may do now, and the words that explain a refusal.
struct Allowance {
    Effect up_to = Effect::none;
    /// Follows the function's name: "has an effect, and a playbook only declares while it loads".
    std::string why, hint;
};

/// What was asked for, by kind (shell, http, files, ssh), each once and in order. Any thread.
class Uses {
  public:
    void add(const std::string& kind, const std::string& what);
    std::vector<std::string> of(const std::string& kind) const;

  private:
    mutable std::mutex mutex_;
    std::vector<std::pair<std::string, std::string>> all_;
};

/// What the playbook declared in `needs`; an empty list allows nothing unless `everything`.
struct Permissions {
    bool everything = false;
    std::vector<std::string>
        shell; ///< patterns of words: "sudo -n systemctl * app", "kubectl" (then any arguments)
    std::vector<std::string> http;  ///< host names, "*.example.com", "host:port"
    std::vector<std::string> files; ///< folders (ending in /) and files
    std::vector<std::string> net;   ///< as http, for look-ups, TCP and TLS
    std::vector<std::string> redis; ///< as http, for Redis servers
    std::vector<std::string> ssh;   ///< hosts, "*.example.com", "user@host"
    bool confine = false;           ///< child processes are confined to `files` by the kernel
    std::string declared_at;        ///< "playbooks/x.lua:8"
    /// Where set, whatever is asked for is noted there too, allowed or not.
    std::shared_ptr<Uses> uses;
    std::string step; ///< `step "clean"`, for the refusal

    /// Each throws Error{`permission`} that names the thing refused, what is allowed and where that
    /// stands.
    void check_shell(const std::vector<std::string>& argv) const;
    void check_http(std::string_view url) const;
    void check_file(std::string_view path) const;
    /// `address` is a host or host:port; what `http` allows is allowed too.
    void check_net(std::string_view address) const;
    void check_redis(std::string_view url) const;
    void check_ssh(std::string_view target) const;
};

class Host {
  public:
    virtual ~Host() = default;
    virtual const Permissions& permissions() const = 0;
    /// Where the current step's progress and output lines go; never null.
    virtual ProgressPtr progress() = 0;
    /// A line for people: level is debug, info, warn or error.
    virtual void log(std::string_view level, std::string_view text) = 0;
    /// An event for journal and view (`notify.sent`…); queued, written before the run goes on.
    virtual void emit(std::string_view event, Map data) = 0;
    /// A file that a playbook names: absolute, or from the working directory.
    virtual bool dry_run() const = 0;
};

} // namespace runbook::vm
