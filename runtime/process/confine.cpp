// See confine.h and Documentation/userspace-api/landlock.rst of the kernel.
#include "runtime/process/confine.h"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace runbook::process {
namespace {

// Newer than the headers of Debian 12 (their Landlock is that of Linux 5.13).
constexpr std::uint64_t right_refer = 1ULL << 13, right_truncate = 1ULL << 14;

constexpr std::uint64_t reading =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t making =
    LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
/// What may be said of a file; the kernel refuses the others for one.
constexpr std::uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                                   LANDLOCK_ACCESS_FS_WRITE_FILE | right_truncate;

/// All that this kernel can handle.
std::uint64_t handled(int abi) {
    std::uint64_t rights = reading | making | LANDLOCK_ACCESS_FS_WRITE_FILE;
    if (abi >= 2)
        rights |= right_refer;
    if (abi >= 3)
        rights |= right_truncate;
    return rights;
}

/// True where the path may be reached now, or does not exist.
bool allow(int ruleset, const std::string& path, std::uint64_t rights) {
    const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    struct stat about {};
    landlock_path_beneath_attr rule{};
    rule.parent_fd = fd;
    rule.allowed_access = rights;
    if (::fstat(fd, &about) == 0 && !S_ISDIR(about.st_mode))
        rule.allowed_access &= of_files;
    const bool done =
        ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    const int problem = errno;
    ::close(fd);
    errno = problem;
    return done;
}

/// What a file that is not there yet needs of its folder: to be made and written there. The kernel
/// knows no rule for a name, so other files of the folder can be written too, but not read, listed,
/// removed or run.
constexpr std::uint64_t making_a_file =
    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE | right_truncate;

/// The path, or the nearest folder above it that exists.
std::string existing(std::string path) {
    while (path.size() > 1 && path.back() == '/')
        path.pop_back();
    while (::access(path.c_str(), F_OK) != 0) {
        const std::size_t slash = path.rfind('/');
        if (slash == std::string::npos)
            return ".";
        path.resize(slash == 0 ? 1 : slash);
        if (path == "/")
            break;
    }
    return path;
}

bool allow_declared(int ruleset, const std::string& path, std::uint64_t all) {
    struct stat about {};
    if (path.empty() || path.back() == '/' || ::lstat(path.c_str(), &about) == 0)
        return allow(ruleset, existing(path), all);
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (::stat(folder.c_str(), &about) != 0)
        return allow(ruleset, existing(path), all); // the folders are to be made too
    return allow(ruleset, folder, making_a_file & all);
}

} // namespace

int confinement() {
    const long version =
        ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version > 0 ? static_cast<int>(version) : 0;
}

bool confine(const std::vector<std::string>& paths) {
    const int abi = confinement();
    if (abi == 0)
        return false;
    const std::uint64_t all = handled(abi);
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = all;
    const int ruleset =
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
    if (ruleset < 0)
        return false;
    bool fine = true;
    for (const char* folder : {"/usr", "/bin", "/lib", "/lib32", "/lib64", "/sbin", "/opt", "/etc",
                               "/proc", "/sys", "/run", "/dev", "/var/lib", "/nix"})
        fine = fine && allow(ruleset, folder, reading);
    for (const char* device : {"/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random",
                               "/dev/urandom", "/dev/ptmx"})
        fine = fine && allow(ruleset, device, all & of_files);
    for (const char* folder : {"/tmp", "/var/tmp", "/dev/shm", "/dev/pts", "/proc/self/fd"})
        fine = fine && allow(ruleset, folder, all);
    for (const std::string& path : paths)
        fine = fine && allow_declared(ruleset, path, all);
    fine = fine && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    const int problem = errno;
    ::close(ruleset);
    errno = problem;
    return fine;
}

} // namespace runbook::process
