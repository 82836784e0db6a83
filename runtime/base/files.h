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
/// Bytes of a file.
std::int64_t size(const std::string& path);

} // namespace runbook::files
