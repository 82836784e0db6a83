// A backup on the disk is one file, or a folder of files: both have a size, a digest, copies. Any
// thread; no state. Errors: `fs`, `cancelled`, `timeout`.
#pragma once

#include "runtime/base/cancel.h"

#include <cstdint>
#include <string>
#include <vector>

namespace runbook::backup {

/// Names of the files in a folder and below it, sorted, relative to it. Anything but files and
/// folders is an error: a link would be followed by whoever restores.
std::vector<std::string> tree_files(const std::string& folder);
/// Bytes of all files.
std::int64_t tree_size(const std::string& path);

struct Digests {
    /// Of the file; of a folder: of its lines "DIGEST  NAME\n", names relative to it and sorted.
    std::string sha256;
    /// What `sha256sum -c` reads beside it: "DIGEST  FILE\n", "DIGEST  FOLDER/NAME\n"….
    std::string lines;
};
/// `name` stands in the lines.
Digests tree_digests(const std::string& path, const std::string& name, Cancel& cancel);
/// Into `to`, which exists and is empty.
void tree_copy(const std::string& from, const std::string& to, Cancel& cancel);
/// Syncs every file and folder.
void tree_sync(const std::string& path);
/// In one moment gone under its name, then removed; what an earlier call left half-way too.
void tree_remove(const std::string& path);

} // namespace runbook::backup
