// Files as playbooks use them: whole, small, written so that a crash leaves the old text or the new
// one. Any thread, no state. Every error is Error{`fs`} that names the path and the reason.
#pragma once

#include "runtime/base/cancel.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::files {

/// Throws also where the file is larger than `limit` bytes.
std::string read(const std::string& path, std::int64_t limit = 64 << 20);
/// Writes beside it, syncs, renames, syncs the folder. Keeps the mode of a file that is replaced; a
/// new one gets `mode`.
void write(const std::string& path, std::string_view text, int mode = 0644);
/// Creates an empty file, or sets the time of one that exists.
void touch(const std::string& path);
/// A file, or a folder without anything in it. False where there is nothing of that name.
bool remove(const std::string& path);
bool exists(const std::string& path);
/// Names in a folder, sorted; folders end in '/'.
std::vector<std::string> list(const std::string& path);
/// With its parents; nothing happens where it exists.
void mkdir(const std::string& path);
/// Replaces `to` as write() does, with the mode of `from`.
void copy(const std::string& from, const std::string& to, Cancel& cancel);
/// Gives a file or folder another name on the same file system, in one moment; a file that has the
/// name is replaced.
void move(const std::string& from, const std::string& to);
/// Sets the permission bits.
void set_mode(const std::string& path, int mode);

struct Info {
    std::string type;  ///< file, folder or other; of what a symbolic link leads to
    bool link = false; ///< reached through a symbolic link
    std::int64_t size = 0, modified = 0; ///< bytes; microseconds since the epoch
    int mode = 0;
    std::string owner, group; ///< names, or numbers where there is no name
};
Info info(const std::string& path);

struct Disk {
    std::int64_t total = 0, free = 0; ///< bytes; free: what this user may still write
};
/// Of the file system that holds the path.
Disk disk(const std::string& path);

/// The paths that a pattern of the shell matches (glob(7)), sorted; folders end in '/'.
std::vector<std::string> glob(const std::string& pattern);
/// The lines of a text without their ends (LF or CRLF); a last one without an end counts.
std::vector<std::string> lines(std::string_view text);

/// Bytes of a file.
std::int64_t size(const std::string& path);

} // namespace runbook::files
