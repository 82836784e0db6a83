#include "runtime/cli/passwords.h"

#include "runtime/base/error.h"
#include "runtime/db/password.h"

#include <fmt/format.h>

#include <cstdio>

namespace runbook::cli {

void warn_of_passwords(const std::vector<std::pair<std::string, std::string>>& urls,
                       const std::string& prefix) {
    for (const auto& [name, text] : urls) {
        if (text.find("://") == std::string::npos || text.find('@') == std::string::npos)
            continue;
        try {
            if (!db::Url::parse(text, "url:" + name).password)
                continue;
        } catch (const Error&) {
            continue; // another kind of address, or somebody else's complaint
        }
        fmt::print(
            stderr,
            "warning: the password in {}{} is visible to other users of this machine; give it "
            "as {}\n",
            prefix, name, db::password_variable(name));
        return;
    }
}

db::Url database_argument(const std::string& text, const std::string& name, const char* shown) {
    try {
        return db::parse_named(text, name);
    } catch (const Error& error) {
        throw Error(error.kind(), fmt::format("{}: {}", shown, error.message()), error.hint());
    }
}

} // namespace runbook::cli
