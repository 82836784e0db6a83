#include "runtime/base/files.h"

#include "runtime/base/error.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace runbook::files {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, int error) {
    throw Error("fs", fmt::format("{}: {}", path, text::lower(std::strerror(error))));
}

struct File {
    int fd;
    File(const std::string& path, int flags, mode_t mode = 0644)
        : fd(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
        if (fd < 0)
            fail(path, errno);
    }
    ~File() { ::close(fd); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
};

std::string folder_of(const std::string& path) {
    std::string folder = fs::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

void sync(int fd, const std::string& path) {
    if (::fsync(fd) != 0)
        fail(path, errno);
}

/// A new file that takes the place of `path`, or goes again. Where the file system can, it has no
/// name until it is whole, so that a process killed halfway leaves nothing behind.
class Replacement {
  public:
    Replacement(const std::string& path, int mode) : path_(path) {
        fd_ = ::open(folder_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (fd_ < 0) {
            name_ = path + ".XXXXXX";
            fd_ = ::mkostemp(name_.data(), O_CLOEXEC);
        }
        if (fd_ < 0)
            fail(path, errno);
        struct stat old {};
        bool replaces = ::stat(path.c_str(), &old) == 0;
        ::fchmod(fd_, replaces ? old.st_mode & 07777 : static_cast<mode_t>(mode));
        if (replaces && ::fchown(fd_, old.st_uid, old.st_gid) != 0)
            ::fchmod(fd_, old.st_mode & 0777); // without the owner, no set-id bits
    }
    ~Replacement() {
        ::close(fd_);
        if (!done_ && !name_.empty())
            ::unlink(name_.c_str());
    }
    Replacement(const Replacement&) = delete;
    Replacement& operator=(const Replacement&) = delete;

    void write(std::string_view data) {
        while (!data.empty()) {
            ssize_t n = ::write(fd_, data.data(), data.size());
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                fail(path_, errno);
            data.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    void finish() {
        sync(fd_, path_);
        failpoint::cross("effect.inside");
        if (name_.empty() && (done_ = give_name(path_)) == false) {
            // there is one already: a name beside it for as long as it takes to rename
            const std::string beside = fmt::format("{}.{}.{}", path_, ::getpid(), fd_);
            ::unlink(beside.c_str());
            if (!give_name(beside))
                fail(path_, EEXIST);
            name_ = beside;
        }
        if (!done_ && ::rename(name_.c_str(), path_.c_str()) != 0)
            fail(path_, errno);
        done_ = true;
        File folder(folder_of(path_), O_RDONLY | O_DIRECTORY);
        sync(folder.fd, path_);
    }

  private:
    /// False where the name is taken.
    bool give_name(const std::string& name) const {
        const std::string here = fmt::format("/proc/self/fd/{}", fd_);
        if (::linkat(AT_FDCWD, here.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno != EEXIST)
            fail(path_, errno);
        return false;
    }

    std::string path_, name_; ///< name_: of its own, empty while it has none
    int fd_ = -1;
    bool done_ = false;
};

struct stat info_of(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
        fail(path, errno);
    return info;
}

} // namespace

std::string read(const std::string& path, std::int64_t limit) {
    File file(path, O_RDONLY);
    std::string text;
    char block[65536];
    for (;;) {
        ssize_t n = ::read(file.fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail(path, errno);
        if (n == 0)
            return text;
        text.append(block, static_cast<std::size_t>(n));
        if (static_cast<std::int64_t>(text.size()) > limit)
            throw Error("fs", fmt::format("{}: larger than {}", path, text::bytes(limit)));
    }
}

void write(const std::string& path, std::string_view text, int mode) {
    Replacement file(path, mode);
    file.write(text);
    file.finish();
}

void touch(const std::string& path) {
    {
        File file(path, O_WRONLY | O_CREAT);
        if (::futimens(file.fd, nullptr) != 0)
            fail(path, errno);
    }
    File folder(folder_of(path), O_RDONLY | O_DIRECTORY);
    sync(folder.fd, path);
}

bool remove(const std::string& path) {
    if (::unlink(path.c_str()) != 0) {
        int error = errno;
        if (error == EISDIR || error == EPERM)
            error = ::rmdir(path.c_str()) == 0 ? 0 : errno;
        if (error == ENOENT || error == ENOTDIR)
            return false;
        if (error != 0)
            fail(path, error);
    }
    File folder(folder_of(fs::path(path).lexically_normal().string()), O_RDONLY | O_DIRECTORY);
    sync(folder.fd, path);
    return true;
}

bool exists(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0)
        return true;
    if (errno != ENOENT && errno != ENOTDIR)
        fail(path, errno); // "cannot know" is not "no"
    return false;
}

std::vector<std::string> list(const std::string& path) {
    std::vector<std::string> names;
    std::error_code error;
    fs::directory_iterator at(path, error);
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
        std::error_code ignored;
        names.push_back(at->path().filename().string() + (at->is_directory(ignored) ? "/" : ""));
    }
    if (error)
        fail(path, error.value());
    std::sort(names.begin(), names.end());
    return names;
}

void mkdir(const std::string& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error)
        fail(path, error.value());
}

void copy(const std::string& from, const std::string& to, Cancel& cancel) {
    File in(from, O_RDONLY);
    Replacement out(to, static_cast<int>(info_of(from).st_mode & 0777));
    std::vector<char> block(1 << 20);
    for (;;) {
        cancel.check("copying a file");
        ssize_t n = ::read(in.fd, block.data(), block.size());
        if (n < 0)
            fail(from, errno);
        if (n == 0)
            break;
        out.write({block.data(), static_cast<std::size_t>(n)});
    }
    out.finish();
}

void move(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
        if (errno == EXDEV)
            throw Error("fs", fmt::format("{}: {} is on another file system", from, to),
                        "copy it and remove the first");
        throw Error("fs", fmt::format("{} to {}: {}", from, to, text::lower(std::strerror(errno))));
    }
    for (const std::string& path : {from, to}) {
        File folder(folder_of(fs::path(path).lexically_normal().string()), O_RDONLY | O_DIRECTORY);
        sync(folder.fd, path);
    }
}

void set_mode(const std::string& path, int mode) {
    if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
        fail(path, errno);
}

Info info(const std::string& path) {
    const struct stat found = info_of(path);
    struct stat itself {};
    Info result;
    result.type = S_ISREG(found.st_mode) ? "file" : S_ISDIR(found.st_mode) ? "folder" : "other";
    result.link = ::lstat(path.c_str(), &itself) == 0 && S_ISLNK(itself.st_mode);
    result.size = found.st_size;
    result.modified = found.st_mtim.tv_sec * 1'000'000 + found.st_mtim.tv_nsec / 1000;
    result.mode = static_cast<int>(found.st_mode & 07777);
    std::vector<char> buffer(1 << 14);
    passwd user{}, *known_user = nullptr;
    ::getpwuid_r(found.st_uid, &user, buffer.data(), buffer.size(), &known_user);
    result.owner = known_user ? known_user->pw_name : std::to_string(found.st_uid);
    group name{}, *known_group = nullptr;
    ::getgrgid_r(found.st_gid, &name, buffer.data(), buffer.size(), &known_group);
    result.group = known_group ? known_group->gr_name : std::to_string(found.st_gid);
    return result;
}

Disk disk(const std::string& path) {
    struct statvfs found {};
    if (::statvfs(path.c_str(), &found) != 0)
        fail(path, errno);
    const auto unit = static_cast<std::int64_t>(found.f_frsize);
    return {static_cast<std::int64_t>(found.f_blocks) * unit,
            static_cast<std::int64_t>(found.f_bavail) * unit};
}

std::vector<std::string> glob(const std::string& pattern) {
    glob_t found{};
    const int error = ::glob(pattern.c_str(), GLOB_ERR | GLOB_MARK | GLOB_NOSORT, nullptr, &found);
    std::vector<std::string> paths;
    if (error == 0)
        paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    if (error == GLOB_ABORTED)
        throw Error("fs", pattern + ": a folder of it cannot be read");
    if (error == GLOB_NOSPACE)
        throw Error("fs", pattern + ": matches too much");
    std::sort(paths.begin(), paths.end());
    return paths;
}

std::vector<std::string> lines(std::string_view text) {
    std::vector<std::string> found;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r') && end != std::string_view::npos)
            line.remove_suffix(1);
        found.emplace_back(line);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return found;
}

std::int64_t size(const std::string& path) {
    struct stat info = info_of(path);
    if (S_ISDIR(info.st_mode))
        fail(path, EISDIR);
    return info.st_size;
}

} // namespace runbook::files
