// Files of a backup: written under another name, synced, renamed; copies checked by reading them
// back. Any thread.
#pragma once

#include <string>

namespace runbook::backup {

/// A file, or a folder, that is removed again unless it was kept.
class Partial {
  public:
    /// `path` is the final name. Throws `fs` where it exists already or its folder cannot be made.
    explicit Partial(std::string path, bool folder = false);
    ~Partial();
    Partial(const Partial&) = delete;
    Partial& operator=(const Partial&) = delete;
    const std::string& path() const { return partial_; }
    /// Syncs, renames, syncs the folder.
    void keep();

  private:
    std::string final_, partial_;
    bool kept_ = false;
};

/// A folder of its own below TMPDIR, mode 0700, removed with all that is in it.
class TemporaryFolder {
  public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

/// A location in a repository ("restic:…") is returned as it is.
std::string absolute(const std::string& path);

} // namespace runbook::backup
