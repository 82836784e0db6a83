#include "runtime/backup/tree.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace runbook::backup {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const char* what, const std::error_code& code) {
    throw Error("fs", fmt::format("{}: {}: {}", path, what, text::lower(code.message())));
}

void sync_one(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0 || ::fsync(fd) != 0) {
        const std::error_code code(errno, std::generic_category());
        if (fd >= 0)
            ::close(fd);
        fail(path, "cannot sync", code);
    }
    ::close(fd);
}

} // namespace

std::vector<std::string> tree_files(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code code;
    for (auto at = fs::recursive_directory_iterator(folder, code);
         !code && at != fs::recursive_directory_iterator(); at.increment(code)) {
        const fs::file_status status = at->symlink_status(code);
        if (code)
            break;
        if (fs::is_regular_file(status))
            names.push_back(at->path().lexically_relative(folder).string());
        else if (!fs::is_directory(status))
            throw Error("fs", fmt::format("{}: neither a file nor a folder", at->path().string()));
    }
    if (code)
        fail(folder, "cannot read", code);
    std::sort(names.begin(), names.end());
    return names;
}

std::int64_t tree_size(const std::string& path) {
    if (!fs::is_directory(path))
        return files::size(path);
    std::int64_t bytes = 0;
    for (const std::string& name : tree_files(path))
        bytes += files::size(path + "/" + name);
    return bytes;
}

Digests tree_digests(const std::string& path, const std::string& name, Cancel& cancel) {
    Digests made;
    if (!fs::is_directory(path)) {
        made.sha256 = digest::sha256_file(path, &cancel);
        made.lines = fmt::format("{}  {}\n", made.sha256, name);
        return made;
    }
    digest::Sha256 all;
    for (const std::string& file : tree_files(path)) {
        const std::string one = digest::sha256_file(path + "/" + file, &cancel);
        all.update(fmt::format("{}  {}\n", one, file));
        made.lines += fmt::format("{}  {}/{}\n", one, name, file);
    }
    made.sha256 = all.hex();
    return made;
}

void tree_copy(const std::string& from, const std::string& to, Cancel& cancel) {
    if (!fs::is_directory(from)) {
        files::copy(from, to, cancel);
        return;
    }
    for (const std::string& name : tree_files(from)) {
        const std::string target = to + "/" + name;
        files::mkdir(fs::path(target).parent_path().string());
        files::copy(from + "/" + name, target, cancel);
    }
}

void tree_sync(const std::string& path) {
    if (!fs::is_directory(path)) {
        sync_one(path, O_RDONLY);
        return;
    }
    std::vector<std::string> folders = {path};
    for (const std::string& name : tree_files(path)) {
        sync_one(path + "/" + name, O_RDONLY);
        const std::string folder = fs::path(path + "/" + name).parent_path().string();
        if (std::find(folders.begin(), folders.end(), folder) == folders.end())
            folders.push_back(folder);
    }
    for (const std::string& folder : folders)
        sync_one(folder, O_RDONLY | O_DIRECTORY);
}

void tree_remove(const std::string& path) {
    std::error_code code;
    const std::string leaving = path + ".removing";
    fs::remove_all(leaving, code);
    if (!fs::is_directory(path)) {
        files::remove(path);
        return;
    }
    fs::rename(path, leaving, code);
    if (!code)
        fs::remove_all(leaving, code);
    if (code)
        fail(path, "cannot remove", code);
}

} // namespace runbook::backup
