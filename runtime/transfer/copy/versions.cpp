// Which versions a copy knows (see versions.h).
#include "runtime/transfer/copy/versions.h"

#include "runtime/base/error.h"

#include <fmt/format.h>

#include <utility>

namespace runbook::copy {

void check_version(const db::ServerInfo& server, const db::Url& url) {
    std::pair<int, int> least{0, 0};
    switch (server.flavour) {
    case db::Flavour::postgresql:
        least = {12, 0};
        break;
    case db::Flavour::mysql:
        least = {8, 0};
        break;
    case db::Flavour::mariadb:
        least = {10, 5};
        break;
    case db::Flavour::sqlite:
        return;
    }
    if (std::pair{server.major, server.minor} >= least)
        return;
    const std::string oldest = server.flavour == db::Flavour::postgresql
                                   ? std::to_string(least.first)
                                   : fmt::format("{}.{}", least.first, least.second);
    throw Error("copy.refused",
                fmt::format("{}: {} {} is too old: a copy needs {} or newer", url.masked(),
                            db::flavour_name(server.flavour), server.version, oldest),
                "upgrade the server, or copy by its own dump");
}

} // namespace runbook::copy
