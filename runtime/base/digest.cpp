// Digests and encodings (contract in digest.h). Any thread, no state of its own.
#include "runtime/base/digest.h"

#include "runtime/base/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nettle/sha2.h>
#include <nettle/version.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

namespace runbook::digest {

namespace {

const EVP_MD* algorithm_of(const std::string& name) {
    for (const char* known : {"sha256", "sha512", "sha1", "md5"})
        if (name == known)
            if (const EVP_MD* found = EVP_get_digestbyname(known))
                return found;
    throw Error("usage", "digest '" + name + "' is not known", "sha256, sha512, sha1 or md5");
}

} // namespace

struct Hash::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    explicit State(const EVP_MD* algorithm) {
        if (!context || EVP_DigestInit_ex(context, algorithm, nullptr) != 1) {
            EVP_MD_CTX_free(context);
            throw Error("internal", "this digest is not available in this OpenSSL");
        }
    }
    ~State() { EVP_MD_CTX_free(context); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

Hash::Hash(const std::string& algorithm)
    : state_(std::make_unique<State>(algorithm_of(algorithm))) {}
Hash::~Hash() = default;
Hash::Hash(Hash&&) noexcept = default;

void Hash::update(std::string_view data) {
    if (EVP_DigestUpdate(state_->context, data.data(), data.size()) != 1)
        throw Error("internal", "the digest failed");
}

std::string Hash::hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
    unsigned size = 0;
    if (EVP_DigestFinal_ex(state_->context, sum.data(), &size) != 1)
        throw Error("internal", "the digest failed");
    return digest::hex({reinterpret_cast<const char*>(sum.data()), size});
}

std::string sha256_hex(std::string_view data) {
    // Nettle's: libcrypto with its providers would be a tenth of a start-up.
    sha256_ctx context;
    std::array<unsigned char, SHA256_DIGEST_SIZE> sum{};
    sha256_init(&context);
    sha256_update(&context, data.size(), reinterpret_cast<const unsigned char*>(data.data()));
#if NETTLE_VERSION_MAJOR >= 4
    sha256_digest(&context, sum.data());
#else
    sha256_digest(&context, sum.size(), sum.data());
#endif
    return digest::hex({reinterpret_cast<const char*>(sum.data()), sum.size()});
}

std::string hmac_hex(const std::string& algorithm, std::string_view key, std::string_view data) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
    unsigned size = 0;
    if (!HMAC(algorithm_of(algorithm), key.data(), static_cast<int>(key.size()),
              reinterpret_cast<const unsigned char*>(data.data()), data.size(), sum.data(), &size))
        throw Error("internal", "the HMAC failed");
    return digest::hex({reinterpret_cast<const char*>(sum.data()), size});
}

std::string random(std::size_t count) {
    std::string bytes(count, '\0');
    for (std::size_t at = 0; at < count;) {
        const ssize_t got = ::getrandom(bytes.data() + at, count - at, 0);
        if (got < 0 && errno != EINTR)
            throw Error("internal", "the system's random source failed");
        at += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    }
    return bytes;
}

std::string uuid() {
    std::string bytes = random(16);
    bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
    bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
    std::string text = hex(bytes);
    for (std::size_t at : {20, 16, 12, 8})
        text.insert(at, 1, '-');
    return text;
}

bool equal(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string sha256_file(const std::string& path, Cancel* cancel) {
    return file_hex(path, "sha256", cancel);
}

std::string file_hex(const std::string& path, const std::string& algorithm, Cancel* cancel) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                         &std::fclose);
    if (!file)
        throw Error("fs", "cannot read " + path + ": " + std::strerror(errno));
    Hash sum(algorithm);
    std::string block(std::size_t{1} << 18, '\0');
    for (;;) {
        if (cancel)
            cancel->check(("digest of " + path).c_str());
        const std::size_t got = std::fread(block.data(), 1, block.size(), file.get());
        if (got == 0) {
            if (std::ferror(file.get()))
                throw Error("fs", "cannot read " + path + ": " + std::strerror(errno));
            return sum.hex();
        }
        sum.update({block.data(), got});
    }
}

std::string hex(std::string_view data) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(data.size() * 2);
    for (char c : data) {
        const auto byte = static_cast<unsigned char>(c);
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

std::string unhex(std::string_view text) {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9')
            return c - '0';
        const char low = static_cast<char>(c | 0x20);
        return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
    };
    if (text.size() % 2)
        throw Error("argument", "hex text has an odd number of digits");
    std::string out;
    out.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0)
            throw Error("argument", "not a hex digit at position " + std::to_string(i + 1));
        out += static_cast<char>(high * 16 + low);
    }
    return out;
}

std::string base64(std::string_view data) {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((data.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < data.size(); i += 3) {
        const std::size_t have = std::min<std::size_t>(3, data.size() - i);
        unsigned group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group = group << 8 | (k < have ? static_cast<unsigned char>(data[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k)
            out += k <= have ? alphabet[group >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

/// Both alphabets; white space and missing padding are accepted.
std::string unbase64(std::string_view text) {
    std::string out;
    unsigned group = 0, bits = 0;
    bool padded = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        unsigned value = 0;
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        if (c == '=') {
            padded = true;
            continue;
        }
        if (c >= 'A' && c <= 'Z')
            value = static_cast<unsigned>(c - 'A');
        else if (c >= 'a' && c <= 'z')
            value = static_cast<unsigned>(c - 'a') + 26;
        else if (c >= '0' && c <= '9')
            value = static_cast<unsigned>(c - '0') + 52;
        else if (c == '+' || c == '-')
            value = 62;
        else if (c == '/' || c == '_')
            value = 63;
        else
            padded = true, value = 64;
        if (padded)
            throw Error("argument", "not base64 at position " + std::to_string(i + 1));
        group = (group << 6 | value) & 0xFFFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out += static_cast<char>(group >> bits & 0xFF);
        }
    }
    if (bits == 6)
        throw Error("argument", "base64 text is cut off");
    return out;
}

} // namespace runbook::digest
