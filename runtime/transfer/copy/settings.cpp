// Session variables of a MySQL target (see settings.h).
#include "runtime/transfer/copy/settings.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace runbook::copy {

void check_settings(const std::map<std::string, std::int64_t>& settings) {
    static const std::vector<std::string> known = {
        "net_read_timeout", "net_write_timeout", "lock_wait_timeout", "innodb_lock_wait_timeout",
        "wait_timeout",     "sort_buffer_size",  "read_buffer_size",  "net_retry_count"};
    for (const auto& [name, value] : settings) {
        if (std::find(known.begin(), known.end(), name) == known.end())
            throw Error("argument",
                        fmt::format("option 'settings': '{}' is none that a copy lets you set{}",
                                    name, text::did_you_mean(name, known)),
                        "these are: " + text::join(known, ", "));
        if (value < 1)
            throw Error("argument", fmt::format("option 'settings': {}: 1 or more expected, got {}",
                                                name, value));
    }
}

} // namespace runbook::copy
