#include "runtime/backup/files.h"

#include "runtime/backup/tree.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const char* what, int error) {
    throw Error("fs", fmt::format("{}: {}: {}", path, what, text::lower(std::strerror(error))));
}

struct File {
    int fd;
    File(const std::string& path, int flags, mode_t mode = 0600)
        : fd(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
        if (fd < 0)
            fail(path, "cannot open", errno);
    }
    ~File() { ::close(fd); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
};

std::string folder_of(const std::string& path) {
    std::string folder = fs::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

} // namespace

Partial::Partial(std::string path, bool folder)
    : final_(std::move(path)), partial_(final_ + ".partial") {
    files::mkdir(folder_of(final_));
    if (fs::exists(final_))
        throw Error("fs", fmt::format("{}: exists already", final_),
                    "give the backup another name");
    // Nobody else may read the dump.
    if (!folder)
        File file(partial_, O_CREAT | O_WRONLY | O_TRUNC);
    else if (fs::remove_all(partial_); ::mkdir(partial_.c_str(), 0700) != 0)
        fail(partial_, "cannot make the folder", errno);
}

Partial::~Partial() {
    std::error_code ignored;
    if (!kept_)
        fs::remove_all(partial_, ignored);
}

void Partial::keep() {
    tree_sync(partial_);
    // Unlike rename, never over another backup; a file system that cannot tell is asked to link.
    bool done =
        ::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, final_.c_str(), RENAME_NOREPLACE) == 0;
    if (!done && errno == EINVAL && ::link(partial_.c_str(), final_.c_str()) == 0)
        done = ::unlink(partial_.c_str()) == 0;
    if (!done && (errno == EEXIST || ::rename(partial_.c_str(), final_.c_str()) != 0))
        fail(final_, "cannot rename", errno);
    kept_ = true;
    File folder(folder_of(final_), O_RDONLY | O_DIRECTORY);
    if (::fsync(folder.fd) != 0)
        fail(final_, "cannot sync", errno);
}

TemporaryFolder::TemporaryFolder() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base && *base ? base : "/tmp") + "/runbook-XXXXXX";
    if (!::mkdtemp(path_.data()))
        fail(path_, "cannot make a temporary folder", errno);
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

std::string absolute(const std::string& path) {
    if (path.starts_with("restic:"))
        return path;
    std::string made = fs::absolute(path).lexically_normal().string();
    if (made.size() > 1 && made.back() == '/') // a backup that is a folder, as a shell completes it
        made.pop_back();
    return made;
}

} // namespace runbook::backup
