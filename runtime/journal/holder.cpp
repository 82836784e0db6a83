// Who holds a lease (contract in holder.h).
#include "runtime/journal/holder.h"

#include "runtime/base/text.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace runbook::journal {
namespace {

std::string content(const std::string& path) {
    std::ifstream file(path);
    std::string text; // a process that ends while its file is read: no text, and no exception
    std::getline(file, text, '\0');
    return text;
}

/// Start time of a live process; nothing for one that is gone or a zombie.
std::optional<std::int64_t> start_of(std::int64_t pid) {
    const std::string stat = content("/proc/" + std::to_string(pid) + "/stat");
    // The second field is the command in parentheses, which may hold blanks and parentheses itself.
    const std::size_t close = stat.rfind(')');
    if (close == std::string::npos)
        return {};
    const auto fields = text::split(std::string_view(stat).substr(close + 2), ' ');
    constexpr std::size_t state = 0, start = 19;
    if (fields.size() <= start || fields[state] == "Z" || fields[state] == "X")
        return {};
    return std::stoll(fields[start]);
}

std::string host_name() {
    std::array<char, 256> name{};
    gethostname(name.data(), name.size() - 1);
    return name.data();
}

std::string boot_and_namespace() {
    std::array<char, 64> link{};
    const ssize_t size = readlink("/proc/self/ns/pid", link.data(), link.size());
    return text::trim(content("/proc/sys/kernel/random/boot_id")) + " " +
           std::string(link.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
}

} // namespace

Holder this_process() {
    const std::int64_t pid = getpid();
    return {pid, start_of(pid).value_or(0), host_name(), boot_and_namespace()};
}

Life life_of(const Holder& holder, bool one_machine) {
    if (holder.pid == 0)
        return Life::gone;
    if (holder.host != host_name())
        return Life::unknown;
    const std::string here = boot_and_namespace();
    if (holder.boot != here) {
        const bool same_boot =
            text::split(holder.boot, ' ').front() == text::split(here, ' ').front();
        return same_boot || !one_machine ? Life::unknown : Life::gone;
    }
    return start_of(holder.pid) == holder.start ? Life::alive : Life::gone;
}

std::string who_locks(const std::vector<std::string>& paths) {
    std::vector<std::string> files; // as /proc/locks ends its third field: the inode
    for (const std::string& path : paths)
        if (struct stat status{}; ::stat(path.c_str(), &status) == 0)
            files.push_back(":" + std::to_string(status.st_ino));
    for (const std::string& line : text::split(content("/proc/locks"), '\n')) {
        std::istringstream words(line);
        std::string number, type, mode, access, pid, file;
        words >> number >> type >> mode >> access >> pid >> file;
        const bool ours = std::any_of(files.begin(), files.end(),
                                      [&](const std::string& end) { return file.ends_with(end); });
        if (!ours || access != "WRITE" || pid == std::to_string(getpid()) || pid == "-1")
            continue;
        return "process " + pid + " (" + text::trim(content("/proc/" + pid + "/comm")) + ")";
    }
    return {};
}

} // namespace runbook::journal
