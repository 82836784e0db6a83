#include "runtime/vm/decimal.h"

#include "runtime/vm/userdata.h"
#include "runtime/vm/values.h"

#include <boost/multiprecision/cpp_int.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace runbook::vm {

namespace {

using boost::multiprecision::cpp_int;
constexpr const char* decimal_type = "runbook.decimal";

/// unscaled / 10^scale
struct Number {
    cpp_int unscaled;
    unsigned scale = 0;
};

cpp_int power_of_ten(unsigned exponent) {
    return boost::multiprecision::pow(cpp_int(10), exponent);
}

Number number_of(const std::string& text) {
    Number number;
    std::string digits = text;
    if (const std::size_t dot = digits.find('.'); dot != std::string::npos) {
        number.scale = static_cast<unsigned>(digits.size() - dot - 1);
        digits.erase(dot, 1);
    }
    const bool negative = digits.starts_with('-');
    const std::size_t first = digits.find_first_not_of("-0"); // a leading 0 would mean octal
    number.unscaled = first == std::string::npos ? cpp_int(0) : cpp_int(digits.substr(first));
    if (negative)
        number.unscaled = -number.unscaled;
    return number;
}

std::string text_of(const Number& number) {
    std::string digits = number.unscaled.str();
    const bool negative = digits.starts_with('-');
    if (negative)
        digits.erase(0, 1);
    if (number.scale > 0) {
        if (digits.size() <= number.scale)
            digits.insert(0, number.scale - digits.size() + 1, '0');
        digits.insert(digits.size() - number.scale, ".");
    }
    return negative ? "-" + digits : digits;
}

void align(Number& a, Number& b) {
    if (a.scale < b.scale)
        a.unscaled *= power_of_ten(b.scale - a.scale), a.scale = b.scale;
    else if (b.scale < a.scale)
        b.unscaled *= power_of_ten(a.scale - b.scale), b.scale = a.scale;
}

/// A decimal, or a Lua number that has a short exact text.
std::optional<Number> operand(lua_State* L, int index) {
    if (const auto decimal = to_decimal(L, index))
        return number_of(decimal->text);
    if (lua_type(L, index) == LUA_TNUMBER)
        if (auto decimal = parse_decimal(fmt::format("{:.17g}", lua_tonumber(L, index))))
            return number_of(decimal->text);
    return std::nullopt;
}

template <class Fn>
int binary(lua_State* L, Fn fn) {
    bool fine = false;
    {
        auto a = operand(L, 1), b = operand(L, 2);
        if (a && b) {
            fn(*a, *b);
            fine = true;
        }
    }
    if (!fine)
        return luaL_error(L, "decimal arithmetic with a %s",
                          type_word(L, to_decimal(L, 1) ? 2 : 1).c_str());
    return 1;
}

void push_number(lua_State* L, const Number& number) {
    push_decimal(L, Decimal{text_of(number)});
}

int add(lua_State* L) {
    return binary(L, [L](Number& a, Number& b) {
        align(a, b);
        push_number(L, {a.unscaled + b.unscaled, a.scale});
    });
}

int subtract(lua_State* L) {
    return binary(L, [L](Number& a, Number& b) {
        align(a, b);
        push_number(L, {a.unscaled - b.unscaled, a.scale});
    });
}

int multiply(lua_State* L) {
    return binary(L, [L](Number& a, Number& b) {
        push_number(L, {a.unscaled * b.unscaled, a.scale + b.scale});
    });
}

template <class Relation>
int compare(lua_State* L, Relation relation) {
    return binary(L, [L, relation](Number& a, Number& b) {
        align(a, b);
        lua_pushboolean(L, relation(a.unscaled, b.unscaled) ? 1 : 0);
    });
}

int negate(lua_State* L) {
    auto number = operand(L, 1);
    number->unscaled = -number->unscaled;
    push_number(L, *number);
    return 1;
}

int to_text(lua_State* L) {
    const char* text = static_cast<const char*>(get_plain(L, 1, decimal_type));
    lua_pushlstring(L, text, lua_objlen(L, 1));
    return 1;
}

int to_number(lua_State* L) {
    const auto decimal = to_decimal(L, 1);
    if (!decimal)
        return luaL_argerror(L, 1, "decimal expected");
    lua_pushnumber(L, std::strtod(decimal->text.c_str(), nullptr));
    return 1;
}

int concat(lua_State* L) {
    for (int i = 1; i <= 2; ++i) {
        if (const auto decimal = to_decimal(L, i))
            lua_pushlstring(L, decimal->text.data(), decimal->text.size());
        else
            lua_pushvalue(L, i);
    }
    lua_concat(L, 2);
    return 1;
}

} // namespace

std::optional<Decimal> parse_decimal(std::string_view text) {
    std::string digits;
    bool negative = false, any = false;
    long exponent = 0;
    std::size_t i = 0, fraction = 0;
    if (i < text.size() && (text[i] == '-' || text[i] == '+'))
        negative = text[i++] == '-';
    for (bool dot = false; i < text.size(); ++i) {
        if (std::isdigit(static_cast<unsigned char>(text[i]))) {
            digits += text[i];
            fraction += dot ? 1 : 0;
            any = true;
        } else if (text[i] == '.' && !dot) {
            dot = true;
        } else {
            break;
        }
    }
    if (!any)
        return std::nullopt;
    if (i < text.size()) {
        if (text[i] != 'e' && text[i] != 'E')
            return std::nullopt;
        const std::string rest(text.substr(i + 1));
        char* end = nullptr;
        exponent = std::strtol(rest.c_str(), &end, 10);
        if (rest.empty() || *end != '\0' || std::labs(exponent) > 1000)
            return std::nullopt;
    }
    long scale = static_cast<long>(fraction) - exponent;
    if (scale < 0) {
        digits.append(static_cast<std::size_t>(-scale), '0');
        scale = 0;
    }
    if (digits.size() <= static_cast<std::size_t>(scale))
        digits.insert(0, static_cast<std::size_t>(scale) - digits.size() + 1, '0');
    if (scale > 0)
        digits.insert(digits.size() - static_cast<std::size_t>(scale), ".");
    const std::size_t first = digits.find_first_not_of('0');
    const std::size_t point = std::min(digits.find('.'), digits.size());
    digits.erase(0, std::min(first == std::string::npos ? digits.size() - 1 : first, point - 1));
    const bool zero = digits.find_first_not_of("0.") == std::string::npos;
    return Decimal{negative && !zero ? "-" + digits : digits};
}

void push_decimal(lua_State* L, const Decimal& decimal) {
    push_decimal(L, std::string_view(decimal.text));
}

void push_decimal(lua_State* L, std::string_view text) {
    std::memcpy(push_plain(L, decimal_type, text.size()), text.data(), text.size());
}

std::optional<Decimal> to_decimal(lua_State* L, int index) {
    const auto* text = static_cast<const char*>(get_plain(L, index, decimal_type));
    if (!text)
        return std::nullopt;
    return Decimal{std::string(text, lua_objlen(L, index))};
}

int decimal_constructor(lua_State* L) {
    {
        std::size_t size = 0;
        const char* text = luaL_checklstring(L, 1, &size);
        if (auto decimal = parse_decimal({text, size})) {
            push_decimal(L, *decimal);
            return 1;
        }
    }
    return luaL_argerror(L, 1, "not a decimal number");
}

void register_decimal(lua_State* L) {
    new_plain_metatable(L, decimal_type);
    const std::initializer_list<luaL_Reg> functions = {
        {"__add", add},
        {"__sub", subtract},
        {"__mul", multiply},
        {"__unm", negate},
        {"__concat", concat},
        {"__tostring", to_text},
        {"__eq", [](lua_State* S) { return compare(S, std::equal_to<>()); }},
        {"__lt", [](lua_State* S) { return compare(S, std::less<>()); }},
        {"__le", [](lua_State* S) { return compare(S, std::less_equal<>()); }}};
    for (const luaL_Reg& entry : functions) {
        lua_pushcfunction(L, entry.func);
        lua_setfield(L, -2, entry.name);
    }
    lua_newtable(L);
    lua_pushcfunction(L, to_number);
    lua_setfield(L, -2, "tonumber");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

} // namespace runbook::vm
