// Small text helpers: what people read. Any thread, no state.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::text {

/// The candidate nearest to `word` (Damerau-Levenshtein distance at most a third of its length,
/// rounded up), the first of equals, or empty.
std::string nearest(std::string_view word, std::span<const std::string> candidates);
/// " (did you mean 'retry'?)" or "".
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// 1234567 → "1,234,567".
std::string grouped(std::int64_t number);
/// Bytes in SI: "84.2 MB", "512 B".
std::string bytes(std::int64_t count);
/// Seconds for people: "0:07", "1:52", "1:02:03".
std::string clock(double seconds);
/// "30m" / "1h30m" / "250ms" / "90s"; what durations look like in the playbook language.
std::string duration(double seconds);
/// Seconds from "250ms", "30s", "10m", "2h", "7d", "1h30m"; nothing where it is not a duration.
std::optional<double> parse_duration(std::string_view text);

/// A word for a POSIX shell: quoted only where needed.
std::string shell_quote(std::string_view word);
std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> words, std::string_view separator);
std::string trim(std::string_view text);
std::string lower(std::string_view text);

/// Number of terminal columns of UTF-8 text (wcwidth; invalid bytes count one).
std::size_t display_width(std::string_view text);
/// Cut to at most `columns`, with "…" where something was cut off.
std::string ellipsize(std::string_view text, std::size_t columns);

} // namespace runbook::text
