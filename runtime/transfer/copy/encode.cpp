// The codecs from COPY text to LOAD DATA text (see encode.h).
#include "runtime/transfer/copy/encode.h"

#include "runtime/base/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

namespace runbook::copy {
namespace {

static_assert(std::endian::native == std::endian::little, "points are written as they are");

using schema::Codec;

// LOAD DATA reads \v and \f as the letters; everything else means the same.
void append_text(std::string_view field, std::string& out) {
    while (!field.empty()) {
        auto* found = static_cast<const char*>(std::memchr(field.data(), '\\', field.size()));
        if (!found) {
            out.append(field);
            return;
        }
        auto at = static_cast<std::size_t>(found - field.data());
        out.append(field.substr(0, at));
        char next = at + 1 < field.size() ? field[at + 1] : '\\';
        if (next == 'v')
            out += '\v';
        else if (next == 'f')
            out += '\f';
        else
            out.append(field.substr(at, 2));
        field.remove_prefix(std::min(at + 2, field.size()));
    }
}

void append_octet(unsigned char octet, std::string& out) {
    switch (octet) {
    case 0:
        out += "\\0";
        return;
    case '\t':
        out += "\\t";
        return;
    case '\n':
        out += "\\n";
        return;
    case '\\':
        out += "\\\\";
        return;
    default:
        out += static_cast<char>(octet);
    }
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

[[noreturn]] void bad_field(std::size_t number, std::string_view what) {
    throw Error("internal", fmt::format("field {} of a row from COPY is no {}", number + 1, what));
}

void append_bytea(std::string_view field, std::size_t number, std::string& out) {
    if (!field.starts_with("\\\\x") || field.size() % 2 == 0)
        bad_field(number, "bytea in hexadecimal");
    field.remove_prefix(3);
    for (std::size_t i = 0; i < field.size(); i += 2) {
        int high = hex_digit(field[i]), low = hex_digit(field[i + 1]);
        if (high < 0 || low < 0)
            bad_field(number, "bytea in hexadecimal");
        append_octet(static_cast<unsigned char>(high << 4 | low), out);
    }
}

void append_bits(std::string_view field, std::size_t number, std::string& out) {
    std::size_t octets = (field.size() + 7) / 8;
    std::size_t ahead = octets * 8 - field.size();
    for (std::size_t octet = 0; octet < octets; ++octet) {
        unsigned value = 0;
        for (std::size_t bit = 0; bit < 8; ++bit) {
            std::size_t position = octet * 8 + bit;
            char digit = position < ahead ? '0' : field[position - ahead];
            if (digit != '0' && digit != '1')
                bad_field(number, "string of bits");
            value = value << 1 | static_cast<unsigned>(digit == '1');
        }
        append_octet(static_cast<unsigned char>(value), out);
    }
}

/// Four octets of reference system, then well-known binary: order, kind, x, y.
void append_point(std::string_view field, std::size_t number, std::string& out) {
    const std::string text(field);
    char* end = nullptr;
    if (!text.starts_with('('))
        bad_field(number, "point");
    double parts[2];
    parts[0] = std::strtod(text.c_str() + 1, &end);
    if (*end != ',')
        bad_field(number, "point");
    parts[1] = std::strtod(end + 1, &end);
    if (std::string_view(end) != ")")
        bad_field(number, "point");
    unsigned char octets[25] = {0, 0, 0, 0, 1, 1, 0, 0, 0};
    std::memcpy(octets + 9, parts, sizeof parts);
    for (unsigned char octet : octets)
        append_octet(octet, out);
}

void append_field(Codec codec, std::string_view field, std::size_t number, std::string& out) {
    if (field == "\\N") {
        out += "\\N";
        return;
    }
    switch (codec) {
    case Codec::as_is:
        append_text(field, out);
        return;
    case Codec::boolean:
        if (field != "t" && field != "f")
            bad_field(number, "boolean");
        out += field == "t" ? '1' : '0';
        return;
    case Codec::bytea:
        append_bytea(field, number, out);
        return;
    case Codec::zone:
        if (!field.ends_with("+00"))
            bad_field(number, "moment in UTC");
        out.append(field.substr(0, field.size() - 3));
        return;
    case Codec::bits:
        append_bits(field, number, out);
        return;
    case Codec::point:
        append_point(field, number, out);
        return;
    }
}

} // namespace

RowEncoder::RowEncoder(std::vector<Codec> codecs) : codecs_(std::move(codecs)) {
    for (Codec codec : codecs_)
        plain_ = plain_ && codec == Codec::as_is;
}

void RowEncoder::encode(std::string_view row, std::string& out) const {
    if (row.ends_with('\n'))
        row.remove_suffix(1);
    if (plain_) {
        append_text(row, out);
        out += '\n';
        return;
    }
    for (std::size_t i = 0; i < codecs_.size(); ++i) {
        std::size_t end = row.find('\t');
        bool last = i + 1 == codecs_.size();
        if (last != (end == std::string_view::npos))
            throw Error("internal", fmt::format("a row from COPY has not the {} fields expected",
                                                codecs_.size()));
        append_field(codecs_[i], row.substr(0, end), i, out);
        out += last ? '\n' : '\t';
        if (!last)
            row.remove_prefix(end + 1);
    }
}

std::string unescape(std::string_view field) {
    std::string out;
    out.reserve(field.size());
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (field[i] != '\\' || i + 1 == field.size()) {
            out += field[i];
            continue;
        }
        switch (field[++i]) {
        case 'b':
            out += '\b';
            break;
        case 'f':
            out += '\f';
            break;
        case 'n':
            out += '\n';
            break;
        case 'r':
            out += '\r';
            break;
        case 't':
            out += '\t';
            break;
        case 'v':
            out += '\v';
            break;
        default:
            out += field[i];
        }
    }
    return out;
}

void escape(std::string_view text, std::string& out) {
    for (char c : text) {
        switch (c) {
        case '\n':
            out += "\\n";
            break;
        case '\r':
            out += "\\r";
            break;
        case '\t':
            out += "\\t";
            break;
        case '\\':
            out += "\\\\";
            break;
        default:
            out += c;
        }
    }
}

} // namespace runbook::copy
