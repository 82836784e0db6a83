// A file of statements that would make a target equal to its source: for people to read, never run
// by runbook. It holds rows, so only its owner may read it.
#pragma once

#include "runtime/transfer/verify/verify.h"

#include <string>

namespace runbook::verify {

class RepairFile {
  public:
    /// Makes the file, mode 0600, one transaction. Errors: `file.exists` (it never overwrites one),
    /// `file.error`.
    RepairFile(std::string path, const db::Url& source, const db::Url& target);
    ~RepairFile();
    RepairFile(const RepairFile&) = delete;
    RepairFile& operator=(const RepairFile&) = delete;

    void write(const std::string& sql);
    /// Closes the transaction and makes the file durable. A sentence for people.
    std::string end(std::int64_t statements, std::int64_t left);

  private:
    std::string path_;
    int file_ = -1;
};

} // namespace runbook::verify
