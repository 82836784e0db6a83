// Who and where this process is (contract in identity.h).
#include "runtime/engine/identity.h"

#include <array>
#include <pwd.h>
#include <unistd.h>

namespace runbook::engine {

namespace {
std::string pretended; // loop thread of a test
} // namespace

void pretend_user(std::string name) {
    pretended = std::move(name);
}

std::string current_user() {
    if (!pretended.empty())
        return pretended;
    if (const passwd* entry = ::getpwuid(::getuid()))
        return entry->pw_name;
    return std::to_string(::getuid());
}

std::string current_place() {
    for (const int descriptor : {STDIN_FILENO, STDERR_FILENO, STDOUT_FILENO}) {
        std::array<char, 64> name{};
        if (::isatty(descriptor) != 0 && ::ttyname_r(descriptor, name.data(), name.size()) == 0) {
            const std::string path = name.data();
            return host_name() + " " + (path.starts_with("/dev/") ? path.substr(5) : path);
        }
    }
    return host_name();
}

std::string host_name() {
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    return name.data();
}

} // namespace runbook::engine
