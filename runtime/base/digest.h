// Digests and encodings, over OpenSSL's libcrypto, which is loaded on first use, and Nettle for the
// SHA-256 of texts, which every run needs. Any thread.
#pragma once

#include "runtime/base/cancel.h"

#include <memory>
#include <string>
#include <string_view>

namespace runbook::digest {

/// Incremental digest.
class Hash {
  public:
    /// "sha256", "sha512", "sha1" or "md5"; throws Error{`usage`} for another.
    explicit Hash(const std::string& algorithm);
    ~Hash();
    Hash(Hash&&) noexcept;
    void update(std::string_view data);
    /// Lower-case hex; the object is spent.
    std::string hex();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

class Sha256 : public Hash {
  public:
    Sha256() : Hash("sha256") {}
};

std::string sha256_hex(std::string_view data);
/// Reads the file in blocks; throws Error{`fs`}.
std::string file_hex(const std::string& path, const std::string& algorithm,
                     Cancel* cancel = nullptr);
std::string sha256_file(const std::string& path, Cancel* cancel = nullptr);
/// RFC 2104, lower-case hex.
std::string hmac_hex(const std::string& algorithm, std::string_view key, std::string_view data);
/// So many bytes from the system's random source (getrandom(2)).
std::string random(std::size_t count);
/// RFC 9562, version 4: "f81d4fae-7dec-41d0-a765-00a0c91e6bf6".
std::string uuid();
/// Takes as long whatever the texts hold; only their lengths show.
bool equal(std::string_view a, std::string_view b);
std::string hex(std::string_view data);
std::string unhex(std::string_view text);
std::string base64(std::string_view data);
std::string unbase64(std::string_view text);

} // namespace runbook::digest
