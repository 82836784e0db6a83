// See log_scan.h.
#include "runtime/host/log_scan.h"

#include "runtime/base/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace runbook::host {
namespace {

/// A line that is longer is counted by its pieces.
constexpr std::size_t longest_line = 1 << 20;

class File {
  public:
    explicit File(const std::string& path)
        : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
        struct stat found {};
        if (fd_ >= 0 && fstat(fd_, &found) == 0 && S_ISREG(found.st_mode)) {
            mark = {static_cast<std::int64_t>(found.st_dev),
                    static_cast<std::int64_t>(found.st_ino),
                    static_cast<std::int64_t>(found.st_size)};
            regular = true;
        } else if (fd_ < 0) {
            problem = std::strerror(errno);
        }
    }
    ~File() {
        if (fd_ >= 0)
            close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    [[nodiscard]] bool is(const LogMark& other) const {
        return regular && mark.device == other.device && mark.inode == other.inode;
    }
    std::size_t read_at(char* into, std::size_t size, std::int64_t offset) const {
        const ssize_t got = pread(fd_, into, size, offset);
        if (got < 0)
            throw Error("fs", fmt::format("a log cannot be read: {}", std::strerror(errno)));
        return static_cast<std::size_t>(got);
    }

    LogMark mark; ///< its end
    bool regular = false;
    std::string problem = "no regular file";

  private:
    int fd_;
};

class Scan {
  public:
    Scan(LogScan& out, const std::vector<std::string>& texts, const std::vector<std::string>& but)
        : out_(out), texts_(texts), but_(but) {}

    /// Counts the whole lines behind `offset`; with `all`, what stands after the last one too.
    /// Returns the offset behind what was counted.
    std::int64_t read(const File& file, std::int64_t offset, bool all, Cancel& cancel) {
        std::array<char, 65536> block;
        std::string open_line;
        std::int64_t at = offset;
        while (const std::size_t got = file.read_at(block.data(), block.size(), at)) {
            cancel.check("reading a log");
            at += static_cast<std::int64_t>(got);
            std::string_view rest(block.data(), got);
            for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
                open_line.append(rest.substr(0, end));
                count(open_line);
                open_line.clear();
                rest.remove_prefix(end + 1);
            }
            open_line.append(rest);
            if (open_line.size() > longest_line) {
                count(open_line);
                open_line.clear();
            }
        }
        if (all && !open_line.empty()) {
            count(open_line);
            open_line.clear();
        }
        return at - static_cast<std::int64_t>(open_line.size());
    }

  private:
    static bool has_any(const std::string& line, const std::vector<std::string>& texts) {
        return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
            return line.find(text) != std::string::npos;
        });
    }
    void count(const std::string& line) {
        ++out_.lines;
        if ((!texts_.empty() && !has_any(line, texts_)) || has_any(line, but_))
            return;
        ++out_.matches;
        if (out_.first.size() < 5)
            out_.first.push_back(line.substr(0, 300));
    }

    LogScan& out_;
    const std::vector<std::string>&texts_, &but_;
};

} // namespace

LogScan scan_log(const std::string& path, const std::optional<LogMark>& from,
                 const std::vector<std::string>& texts, const std::vector<std::string>& but,
                 Cancel& cancel) {
    LogScan out;
    const File now(path);
    if (!now.regular)
        throw Error("fs", fmt::format("{}: {}", path, now.problem));
    Scan scan(out, texts, but);
    if (!from) {
        // From the last whole line on: what is being written at the moment is of the next look.
        out.mark = now.mark;
        std::array<char, 4096> tail;
        const std::int64_t start =
            std::max<std::int64_t>(0, now.mark.offset - static_cast<std::int64_t>(tail.size()));
        const std::size_t got = now.read_at(tail.data(), tail.size(), start);
        const auto last = std::string_view(tail.data(), got).rfind('\n');
        if (last != std::string_view::npos)
            out.mark.offset = start + static_cast<std::int64_t>(last) + 1;
        else if (start == 0)
            out.mark.offset = 0;
        return out;
    }
    std::int64_t offset = 0;
    if (now.is(*from) && now.mark.offset >= from->offset) {
        offset = from->offset;
    } else if (const File old(path + ".1"); old.is(*from) && old.mark.offset >= from->offset) {
        scan.read(old, from->offset, true, cancel);
    } else {
        out.lost = true;
    }
    out.mark = now.mark;
    out.mark.offset = scan.read(now, offset, false, cancel);
    return out;
}

} // namespace runbook::host
