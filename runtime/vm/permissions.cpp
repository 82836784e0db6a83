// Enforcement of `needs`: word patterns for commands, host names for HTTP, folders for files. Any
// thread.
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/vm/host.h"

#include <fmt/format.h>

#include <filesystem>

namespace runbook::vm {

namespace {

/// `*` stands for any run of characters.
bool glob(std::string_view pattern, std::string_view text) {
    std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p, ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

/// A pattern's words match the first words of the command, one `*` one word; what follows the
/// pattern is free.
bool command_matches(const std::string& pattern, const std::vector<std::string>& argv) {
    const std::vector<std::string> words = text::split(pattern, ' ');
    if (words.size() > argv.size())
        return false;
    for (std::size_t i = 0; i < words.size(); ++i)
        if (!glob(words[i], argv[i]))
            return false;
    return true;
}

/// Where a path leads, through every symbolic link, also one whose target is not there yet: opening
/// such a link would make the target.
std::filesystem::path resolved(std::string_view path) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    fs::path at = fs::weakly_canonical(fs::absolute(fs::path(path)), ignored);
    for (int links = 0; links < 40 && fs::is_symlink(fs::symlink_status(at, ignored)); ++links)
        at = fs::weakly_canonical(at.parent_path() / fs::read_symlink(at, ignored), ignored);
    return at;
}

[[noreturn]] void refuse(const Permissions& permissions, std::string_view doing,
                         std::string_view what, std::string_view need,
                         const std::vector<std::string>& allowed) {
    const std::string who = permissions.step.empty() ? "the playbook" : permissions.step;
    const std::string list =
        allowed.empty() ? "declares none" : "allows " + text::join(allowed, ", ");
    const std::string at =
        permissions.declared_at.empty() ? "" : fmt::format(" ({})", permissions.declared_at);
    throw Error(
        "permission",
        fmt::format("{} may not {} `{}`: needs.{} {}{}", who, doing, redact(what), need, list, at),
        fmt::format("add it to needs.{0} in the playbook's header, or allow it for one run "
                    "with --allow-{0}",
                    need));
}

std::string host_and_port(std::string_view url) {
    const std::size_t scheme = url.find("://");
    std::string_view rest = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
    rest = rest.substr(0, rest.find_first_of("/?#"));
    if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos)
        rest = rest.substr(at + 1);
    return std::string(rest);
}

bool reaches(const std::vector<std::string>& allowed, const std::string& wanted) {
    const std::string host = wanted.substr(0, wanted.rfind(':'));
    for (const std::string& entry : allowed) {
        const std::string pattern = host_and_port(entry);
        if (glob(pattern, wanted) || glob(pattern, host))
            return true;
    }
    return false;
}

} // namespace

void Uses::add(const std::string& kind, const std::string& what) {
    std::lock_guard lock(mutex_);
    for (const auto& [known, one] : all_)
        if (known == kind && one == what)
            return;
    all_.emplace_back(kind, what);
}

std::vector<std::string> Uses::of(const std::string& kind) const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> found;
    for (const auto& [known, what] : all_)
        if (known == kind)
            found.push_back(what);
    return found;
}

void Permissions::check_shell(const std::vector<std::string>& argv) const {
    const std::string program = argv.empty() ? "" : argv.front();
    if (uses)
        uses->add("shell", program);
    if (everything)
        return;
    bool known = false; // the program is, with other arguments: then they are what was refused
    for (const std::string& pattern : shell) {
        if (command_matches(pattern, argv))
            return;
        known |= glob(pattern.substr(0, pattern.find(' ')), program);
    }
    refuse(*this, "run", known ? text::ellipsize(text::join(argv, " "), 120) : program, "shell",
           shell);
}

void Permissions::check_ssh(std::string_view target) const {
    if (uses)
        uses->add("ssh", std::string(target));
    if (everything)
        return;
    const std::string_view host = target.substr(target.rfind('@') + 1); // npos + 1 is 0
    for (const std::string& pattern : ssh)
        if (glob(pattern, pattern.find('@') == std::string::npos ? host : target))
            return;
    refuse(*this, "run commands on", target, "ssh", ssh);
}

void Permissions::check_http(std::string_view url) const {
    const std::string wanted = host_and_port(url);
    if (uses)
        uses->add("http", wanted);
    if (everything)
        return;
    if (!reaches(http, wanted))
        refuse(*this, "reach", wanted, "http", http);
}

void Permissions::check_net(std::string_view address) const {
    const std::string wanted = host_and_port(address);
    if (uses)
        uses->add("net", wanted);
    if (everything)
        return;
    if (!reaches(net, wanted) && !reaches(http, wanted))
        refuse(*this, "reach", wanted, "net", net);
}

void Permissions::check_redis(std::string_view url) const {
    const std::string wanted = host_and_port(url);
    if (uses)
        uses->add("redis", wanted);
    if (everything)
        return;
    if (!reaches(redis, wanted))
        refuse(*this, "reach", wanted, "redis", redis);
}

void Permissions::check_file(std::string_view path) const {
    if (uses)
        uses->add("files", std::string(path));
    if (everything)
        return;
    namespace fs = std::filesystem;
    std::error_code ignored;
    const fs::path wanted = resolved(path);
    for (const std::string& entry : files) {
        const fs::path allowed = fs::weakly_canonical(fs::absolute(fs::path(entry)), ignored);
        const std::string prefix = allowed.string();
        const std::string candidate = wanted.string();
        if (candidate == prefix ||
            (entry.ends_with('/') &&
             (candidate + "/").starts_with(prefix.ends_with('/') ? prefix : prefix + "/")))
            return;
    }
    refuse(*this, "touch", path, "files", files);
}

} // namespace runbook::vm
