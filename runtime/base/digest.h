// Digests and encodings, over OpenSSL's libcrypto. Any thread.
#pragma once

#include "runtime/base/cancel.h"

#include <memory>
#include <string>
#include <string_view>

namespace runbook::digest {

/// Incremental SHA-256.
class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    void update(std::string_view data);
    /// Lower-case hex; the object is spent.
    std::string hex();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view data);
/// Reads the file in blocks; throws Error{`fs`}.
std::string sha256_file(const std::string& path, Cancel* cancel = nullptr);
std::string hex(std::string_view data);
std::string unhex(std::string_view text);
std::string base64(std::string_view data);
std::string unbase64(std::string_view text);

} // namespace runbook::digest
