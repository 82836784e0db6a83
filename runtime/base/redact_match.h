// How redact() finds secrets: literal patterns, and text in which each of their bytes may stand
// escaped. Private to runtime/base/redact.*. Owns nothing shared: the caller locks.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace runbook::redaction {

/// What is searched for: a secret, or an encoding of it. At least four bytes.
struct Pattern {
    std::string text;
    bool lead = false;    ///< the base64 character before it holds some bits of the secret
    bool tail = false;    ///< the one after it does
    bool encoded = false; ///< base64 or hex: line ends may stand between its characters
    bool word = false;    ///< found only where no letter, digit or `_` stands beside it
};

/// What is masked: [begin, end).
struct Span {
    std::size_t begin = 0, end = 0;
};

class Index {
  public:
    Index();
    /// Nothing happens where it is known already, or shorter than four bytes.
    void add(Pattern pattern);
    bool empty() const { return patterns_.empty(); }
    /// The matches in order of their begin; those that overlap are one. `open`, where wanted, gets
    /// the first place at which a match may begin whose end has not been seen yet, or text.size().
    std::vector<Span> search(std::string_view text, std::size_t* open = nullptr) const;

  private:
    struct Scan;
    void grow(unsigned bits);
    void mark(std::uint32_t gram);
    bool marked(std::uint32_t gram) const {
        const std::uint32_t bit = gram * 0x9E3779B1u >> shift_;
        return filter_[bit >> 6] >> (bit & 63) & 1;
    }

    std::vector<Pattern> patterns_;
    std::unordered_set<std::string> known_;
    /// Patterns by their first four bytes, and a bit for each of those.
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> by_gram_;
    std::vector<std::uint64_t> filter_;
    unsigned shift_ = 0;
    /// Bytes and pairs of bytes with which a pattern begins.
    std::bitset<256> first_;
    std::bitset<65536> pairs_;
    /// First one, two and three bytes of each pattern, for text that ends there.
    std::unordered_set<std::uint32_t> prefixes_;
};

} // namespace runbook::redaction
