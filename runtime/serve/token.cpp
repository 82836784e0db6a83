#include "runtime/serve/token.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace runbook::serve {
namespace {

constexpr std::size_t shortest = 16, longest = 4096;

[[noreturn]] void refuse(const std::string& file, const std::string& why, const std::string& hint) {
    throw Error("usage", fmt::format("token file {}: {}", file, why), hint);
}

struct Open {
    explicit Open(int descriptor) : fd(descriptor) {}
    ~Open() {
        if (fd >= 0)
            ::close(fd);
    }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    int fd;
};

/// Written beside it, then linked to its name: whoever comes at the same moment finds no file or a
/// whole one, and the first that was there stays.
void make_file(const std::string& file) {
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    std::error_code failed;
    if (!folder.empty() && !std::filesystem::exists(folder)) {
        std::filesystem::create_directories(folder, failed);
        if (!failed)
            ::chmod(folder.c_str(), 0700);
    }
    const std::string text = digest::hex(digest::random(32)) + "\n";
    const std::string partial = fmt::format("{}.{}.partial", file, digest::hex(digest::random(6)));
    int problem = 0;
    {
        const Open to(::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (to.fd < 0)
            refuse(file, fmt::format("cannot be made: {}", std::strerror(errno)),
                   "name one with --token-file");
        if (::write(to.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
            ::fsync(to.fd) != 0)
            problem = errno ? errno : EIO;
    }
    if (problem == 0 && ::link(partial.c_str(), file.c_str()) != 0 && errno != EEXIST)
        problem = errno;
    ::unlink(partial.c_str());
    if (problem != 0)
        refuse(file, fmt::format("cannot be made: {}", std::strerror(problem)),
               "name one with --token-file");
}

std::string read_file(const std::string& file) {
    const Open from(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (from.fd < 0 || ::fstat(from.fd, &status) != 0)
        refuse(file, std::strerror(errno),
               "without --token-file one is made, which only this user may read");
    if (!S_ISREG(status.st_mode))
        refuse(file, "is no file", "");
    if ((status.st_mode & 077) != 0)
        refuse(file,
               fmt::format("others may read or write it (mode {:03o})", status.st_mode & 0777),
               "chmod 600 " + text::shell_quote(file) + ", and change the token if somebody has");
    std::string text(longest + 1, '\0');
    const ssize_t size = ::read(from.fd, text.data(), text.size());
    if (size < 0)
        refuse(file, std::strerror(errno), "");
    text.resize(static_cast<std::size_t>(size));
    if (text.size() > longest)
        refuse(file, fmt::format("longer than {} bytes: that is no token", longest), "");
    return text::trim(text);
}

} // namespace

Token::Token(const std::string& file, bool make) {
    if (make && ::access(file.c_str(), F_OK) != 0)
        make_file(file);
    const std::string text = read_file(file);
    hide(text); // before anything is said of it
    if (text.size() < shortest)
        refuse(file, fmt::format("its token has fewer than {} characters", shortest),
               "openssl rand -hex 32 makes one that cannot be guessed");
    if (text.find_first_of(" \t\r\n:") != std::string::npos)
        refuse(file, "a token is one word without blanks and colons",
               "openssl rand -hex 32 makes one");
    token_ = make_secret(text, "file:" + file);
}

bool Token::allows(std::string_view authorization) const {
    const std::size_t blank = authorization.find(' ');
    if (blank == std::string_view::npos)
        return false;
    const std::string scheme = text::lower(authorization.substr(0, blank));
    std::string brought = text::trim(authorization.substr(blank));
    if (scheme == "basic") {
        try {
            brought = digest::unbase64(brought);
        } catch (const Error&) {
            return false;
        }
        brought.erase(0, brought.find(':') == std::string::npos ? 0 : brought.find(':') + 1);
    } else if (scheme != "bearer") {
        return false;
    }
    // Digests are as long as each other, so that not even the token's length shows.
    return digest::equal(digest::sha256_hex(brought), digest::sha256_hex(token_->reveal()));
}

} // namespace runbook::serve
