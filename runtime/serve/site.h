// What `runbook serve` answers to which path: health, how databases, runs and backups stand,
// metrics, the page of runs and their reports. Only GET and HEAD, only with the token; it never
// writes. Any thread. Whatever leaves it has been through redact().
#pragma once

#include "runtime/serve/databases.h"
#include "runtime/serve/overview.h"
#include "runtime/serve/server.h"
#include "runtime/serve/token.h"

#include <functional>
#include <memory>
#include <string>

namespace runbook::serve {

struct Sources {
    /// A journal opened for reading, anew for each request: one that was lost is found again.
    std::function<std::unique_ptr<journal::Journal>()> journal;
    config::Config config;
    std::string folder; ///< of runbook.toml; empty or ending in '/'
};

class Site {
  public:
    /// Throws Error{`load`} with the line of runbook.toml: a connection whose URL is none, backups
    /// of a connection that is not there.
    Site(Sources sources, Token token);

    /// Never throws what a request could cause: an error is an answer too.
    Answer answer(const Request& request);
    /// Ends what requests wait for.
    void stop() { databases_.stop(); }

  private:
    struct Route;
    static const Route* route_of(const std::string& path);
    Answer health(const Request&);
    Answer database_health(const Request&);
    Answer migration_status(const Request& request);
    Answer backup_status(const Request&);
    Answer metrics(const Request&);
    Answer page(const Request&);
    Answer report(const Request& request);

    Sources sources_;
    Token token_;
    Databases databases_;
    Overview overview_;
};

} // namespace runbook::serve
