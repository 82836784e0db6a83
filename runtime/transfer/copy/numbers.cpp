// Numbers in JSON texts (see numbers.h).
#include "runtime/transfer/copy/numbers.h"

#include <fmt/format.h>

#include <cstdlib>
#include <limits>

namespace runbook::copy {
namespace {

/// Digits without leading and trailing zeros, and the power of ten of the first: equal numbers give
/// equal pairs.
std::string canonical(std::string_view number) {
    std::string digits;
    bool negative = number.starts_with('-');
    if (negative)
        number.remove_prefix(1);
    long exponent = 0;
    std::size_t e = number.find_first_of("eE");
    if (e != std::string_view::npos) {
        exponent = std::strtol(std::string(number.substr(e + 1)).c_str(), nullptr, 10);
        number = number.substr(0, e);
    }
    std::size_t point = number.find('.');
    long before = static_cast<long>(point == std::string_view::npos ? number.size() : point);
    for (char c : number)
        if (c != '.')
            digits += c;
    std::size_t zeros = digits.find_first_not_of('0');
    if (zeros == std::string::npos)
        return "0";
    digits.erase(0, zeros);
    digits.erase(digits.find_last_not_of('0') + 1);
    return fmt::format("{}{}e{}", negative ? "-" : "", digits,
                       before - static_cast<long>(zeros) + exponent);
}

bool is_lossy(std::string_view number) {
    if (number.size() < 16)
        return false;
    bool integer = number.find_first_of(".eE") == std::string_view::npos;
    if (integer) {
        bool negative = number.starts_with('-');
        std::string_view digits = number.substr(negative ? 1 : 0);
        std::string_view limit = negative ? "9223372036854775808" : "18446744073709551615";
        return digits.size() > limit.size() || (digits.size() == limit.size() && digits > limit);
    }
    double value = std::strtod(std::string(number).c_str(), nullptr);
    return canonical(number) != canonical(fmt::format("{}", value));
}

} // namespace

std::string first_lossy_number(std::string_view json) {
    for (std::size_t i = 0; i < json.size();) {
        char c = json[i];
        if (c == '"') {
            for (++i; i < json.size() && json[i] != '"'; ++i)
                if (json[i] == '\\')
                    ++i;
            ++i;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            std::size_t begin = i;
            while (i < json.size() &&
                   std::string_view("0123456789+-.eE").find(json[i]) != std::string_view::npos)
                ++i;
            std::string_view number = json.substr(begin, i - begin);
            if (is_lossy(number))
                return std::string(number);
        } else {
            ++i;
        }
    }
    return {};
}

} // namespace runbook::copy
