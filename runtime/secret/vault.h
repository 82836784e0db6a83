// HashiCorp Vault over its HTTP API (developer.hashicorp.com/vault/api-docs): login, read, leases.
// Private to runtime/secret. One object a process; any thread.
#pragma once

#include "runtime/base/value.h"
#include "runtime/secret/leases.h"
#include "runtime/secret/sources.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace runbook::secret {

/// Names and texts of what lies at one place; a text becomes a Secret when it is asked for, so that
/// a port or a host beside a password is not masked everywhere.
using Fields = std::vector<std::pair<std::string, std::string>>;

class Client {
  public:
    using Clock = std::chrono::steady_clock;

    void configure(const Vault& settings);
    /// The fields at a path. What comes with a lease is read once and kept until the lease ends.
    Fields read(const std::string& path, Cancel& cancel);
    std::vector<Taken> taken();
    std::vector<std::pair<std::string, std::string>> revoke(const std::vector<std::string>& ids,
                                                            Cancel& cancel);
    void begin_use(std::function<void(const std::string&)> warn);
    void end_use();

  private:
    struct Lease {
        std::string id, path; ///< empty id: the token of a login
        Clock::time_point renew_at, ends;
        std::chrono::seconds length{0};
        bool renewable = false, warned = false;
        Fields fields;
    };
    struct Answer {
        int status = 0;
        Map body;
    };

    Answer ask(const std::string& method, const std::string& path, const Value& body,
               SecretPtr token, Cancel& cancel, bool once = false) const;
    [[noreturn]] void refuse(const std::string& path, const Answer& answer) const;
    SecretPtr token(Cancel& cancel);
    SecretPtr log_in(Cancel& cancel);
    std::string address() const;
    void keep(Lease lease);
    void start_renewing();
    void renew_all();
    bool renew(Lease& lease);
    /// Why a lease (or the login, where `id` is empty) was not revoked; nothing where it was.
    std::string revoke_one(const std::string& id, SecretPtr login, Clock::time_point give_up,
                           Cancel& cancel);
    void revoke_all(std::map<std::string, Lease> leases, SecretPtr login);
    static void set_length(Lease& lease, std::int64_t seconds);

    mutable std::mutex mutex_; ///< all below
    std::mutex reading_;       ///< one reader of leased paths at a time: one lease a path
    Vault settings_;
    SecretPtr login_;                     ///< token of an AppRole login
    std::map<std::string, Lease> leases_; ///< by path; "" is the login's token
    std::vector<Taken> taken_;            ///< not asked for yet
    int users_ = 0;
    bool stop_ = false;
    std::condition_variable wake_;
    std::thread thread_;
    std::function<void(const std::string&)> warn_;
};

/// Never destroyed: a thread may still read when the process ends.
Client& client();

} // namespace runbook::secret
