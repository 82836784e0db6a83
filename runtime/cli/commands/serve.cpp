// `runbook serve`: health, status, metrics and a page of runs over HTTP, for reading only.
#include "runtime/serve/site.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/cli/working.h"
#include "runtime/journal/journal.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <future>

namespace runbook::cli {

namespace {

constexpr const char* default_address = "127.0.0.1:7411";

/// Beside the journal's own place, whichever journal is served.
std::string default_token_file() {
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state && *state == '/')
        return std::string(state) + "/runbook/serve.token";
    const char* home = std::getenv("HOME");
    if (!home || *home != '/')
        throw Error("usage", "no place for the token: neither XDG_STATE_HOME nor HOME is set",
                    "name a file with --token-file");
    return std::string(home) + "/.local/state/runbook/serve.token";
}

/// Until SIGINT or SIGTERM; `stop` is then called, on another thread.
void wait_for_end(Cancel& cancel, const std::function<void()>& stop) {
    std::promise<void> end;
    const Cancel::Hook hook(cancel, [&] {
        stop();
        end.set_value();
    });
    end.get_future().wait();
}

} // namespace

int run_serve(const Context&, const Arguments& arguments) {
    Interrupts interrupts; // before any thread
    serve::Sources sources;
    sources.folder = arguments.text("config");
    if (!sources.folder.empty() && !sources.folder.ends_with('/'))
        sources.folder += '/';
    sources.config = config::load(sources.folder);
    if (!sources.folder.empty() && sources.config.file.empty())
        throw Error("usage",
                    fmt::format("--config {}: there is no runbook.toml", arguments.text("config")));
    sources.journal = [&] { return open_journal(arguments); };
    const std::string journal = sources.journal()->name(); // refused now rather than later

    const bool made = !arguments.has("token-file");
    const std::string token_file = made ? default_token_file() : arguments.text("token-file");
    serve::Token token(token_file, made);
    secret::configure(sources.config.vault);
    const secret::Use leases(
        [](const std::string& text) { fmt::print(stderr, "warning: {}\n", redact(text)); });
    serve::Site site(std::move(sources), std::move(token));
    serve::Listener listener(arguments.text("listen", default_address),
                             arguments.has("beyond-loopback"));
    const serve::Server server(listener,
                               [&](const serve::Request& request) { return site.answer(request); });
    fmt::print("serving journal {} on {}\ntoken: in {}\n", redact(journal), listener.url(),
               token_file);
    if (listener.beyond_loopback())
        fmt::print(stderr, "warning: other hosts reach it, and neither the token nor the answers "
                           "are encrypted: put a proxy with TLS before it\n");
    std::fflush(stdout);
    wait_for_end(interrupts.cancel(), [&] { site.stop(); });
    return 0;
}

} // namespace runbook::cli
