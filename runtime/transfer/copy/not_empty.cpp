// Whether a target may be filled (see not_empty.h).
#include "runtime/transfer/copy/not_empty.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::copy {

std::string check_empty(const db::Url& url, const std::vector<std::string>& there,
                        const std::vector<std::string>& ours, const State& state,
                        const std::string& source) {
    bool foreign = std::any_of(there.begin(), there.end(), [&](const std::string& name) {
        return std::find(ours.begin(), ours.end(), name) == ours.end();
    });
    if (state.state == "partial" && state.source == source && !foreign)
        return state.run;
    if (there.empty())
        return {};
    std::size_t shown = std::min<std::size_t>(there.size(), 10);
    std::string names = text::join(std::span(there).first(shown), ", ");
    if (shown < there.size())
        names += fmt::format(" and {} more", there.size() - shown);
    throw Error("db.not_empty", fmt::format("{} is not empty: it holds {}", url.masked(), names),
                !foreign && state.state != "absent"
                    ? "copy.discard drops what the copy " + state.run + " made there"
                    : "the copy fills an empty database only");
}

} // namespace runbook::copy
