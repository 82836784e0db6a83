#include "runtime/base/failpoint.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <unistd.h>

namespace runbook::failpoint {
namespace {

constexpr const char* variable = "RUNBOOK_FAILPOINT";

struct Plan {
    std::string point; ///< `all`, `count`, or the name of one
    std::string file;  ///< of `count`
    std::uint64_t at = 0;
    bool raises = false;
};

Plan plan_of(const std::string& text) {
    const std::vector<std::string> parts = text::split(text, ':');
    Plan plan{parts[0], {}, 0, parts.size() == 3 && parts[2] == "raise"};
    if (plan.point == "count" && parts.size() == 2 && !parts[1].empty()) {
        plan.file = parts[1];
        return plan;
    }
    const std::string number = parts.size() > 1 ? parts[1] : "";
    const auto [end, problem] =
        std::from_chars(number.data(), number.data() + number.size(), plan.at);
    const bool whole = problem == std::errc() && end == number.data() + number.size();
    if (plan.point.empty() || !whole || plan.at == 0 ||
        !(parts.size() == 2 || (parts.size() == 3 && plan.raises)))
        throw Error("usage", fmt::format("{}={}: not a failpoint", variable, text),
                    "write POINT:N, POINT:N:raise or count:FILE, with N from 1; POINT may be all");
    return plan;
}

} // namespace

const bool armed = [] {
    const char* text = std::getenv(variable);
    return text && *text;
}();

void hit(const char* point) {
    static std::mutex mutex;
    static std::uint64_t crossed = 0;
    const std::lock_guard lock(mutex); // a kill between two threads must not miss its number
    static const Plan plan = plan_of(std::getenv(variable));
    if (!plan.file.empty()) {
        const int file = ::open(plan.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        const std::string line = std::string(point) + "\n";
        if (file < 0 ||
            ::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
            throw Error("usage", fmt::format("{}: {} cannot be written: {}", variable, plan.file,
                                             std::strerror(errno)));
        ::close(file);
        return;
    }
    if (plan.point != "all" && plan.point != point)
        return;
    if (++crossed != plan.at)
        return;
    if (plan.raises)
        throw Error("failpoint", fmt::format("failpoint {} was crossed {} time{}", plan.point,
                                             plan.at, plan.at == 1 ? "" : "s"));
    ::kill(::getpid(), SIGKILL);
    for (;;)
        ::pause();
}

} // namespace runbook::failpoint
