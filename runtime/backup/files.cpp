#include "runtime/backup/files.h"

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
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

void sync_path(const std::string& path, int flags) {
    File file(path, flags);
    if (::fsync(file.fd) != 0)
        fail(path, "cannot sync", errno);
}

std::string folder_of(const std::string& path) {
    std::string folder = fs::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

} // namespace

Partial::Partial(std::string path) : final_(std::move(path)), partial_(final_ + ".partial") {
    files::mkdir(folder_of(final_));
    if (fs::exists(final_))
        throw Error("fs", fmt::format("{}: exists already", final_),
                    "give the backup another name");
    File file(partial_, O_CREAT | O_WRONLY | O_TRUNC); // nobody else may read the dump
}

Partial::~Partial() {
    if (!kept_)
        ::unlink(partial_.c_str());
}

void Partial::keep() {
    sync_path(partial_, O_RDONLY);
    if (::link(partial_.c_str(), final_.c_str()) == 0) // unlike rename, does not replace
        ::unlink(partial_.c_str());
    else if (errno == EEXIST || ::rename(partial_.c_str(), final_.c_str()) != 0)
        fail(final_, "cannot rename", errno);
    kept_ = true;
    sync_path(folder_of(final_), O_RDONLY | O_DIRECTORY);
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
    return fs::absolute(path).lexically_normal().string();
}

} // namespace runbook::backup
