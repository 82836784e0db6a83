// The file of a repair (see repair_file.h). Any thread, one at a time.
#include "runtime/transfer/verify/repair_file.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace runbook::verify {

RepairFile::RepairFile(std::string path, const db::Url& source, const db::Url& target)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR)) {
    if (file_ < 0 && errno == EEXIST)
        throw Error("file.exists", path_ + ": the file is there already",
                    "a repair never overwrites a file: give another name");
    if (file_ < 0)
        throw Error("file.error", fmt::format("{}: {}", path_, std::strerror(errno)));
    write(fmt::format("-- Makes the rows of {}\n-- equal to those of {},\n-- as they were at {}. "
                      "Read it before you run it.\nBEGIN;\n",
                      target.masked(), source.masked(), time::iso_millis(time::now_micros())));
}

RepairFile::~RepairFile() {
    if (file_ >= 0)
        ::close(file_);
}

void RepairFile::write(const std::string& sql) {
    for (std::size_t at = 0; at < sql.size();) {
        const ssize_t done = ::write(file_, sql.data() + at, sql.size() - at);
        if (done < 0 && errno != EINTR)
            throw Error("file.error", fmt::format("{}: {}", path_, std::strerror(errno)));
        at += done > 0 ? static_cast<std::size_t>(done) : 0;
    }
}

std::string RepairFile::end(std::int64_t statements, std::int64_t left) {
    write("COMMIT;\n");
    if (::fsync(file_) != 0 && errno != EINVAL)
        throw Error("file.error", fmt::format("{}: {}", path_, std::strerror(errno)));
    std::string out = fmt::format("repair: {} statement{} in {}", text::grouped(statements),
                                  statements == 1 ? "" : "s", path_);
    if (left > 0)
        out +=
            fmt::format("; {} difference{} without one", text::grouped(left), left == 1 ? "" : "s");
    return out;
}

} // namespace runbook::verify
