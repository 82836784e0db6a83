// The parser of pgoutput's messages (see pgoutput.h).
#include "runtime/transfer/follow/pgoutput.h"

#include "runtime/base/error.h"

#include <fmt/format.h>

#include <charconv>

namespace runbook::follow {

std::string lsn_text(Lsn lsn) {
    return fmt::format("{:X}/{:X}", lsn >> 32, lsn & 0xffffffffU);
}

Lsn parse_lsn(std::string_view text) {
    std::size_t slash = text.find('/');
    std::uint32_t high = 0, low = 0;
    auto part = [](std::string_view digits, std::uint32_t& out) {
        auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
        return error == std::errc() && end == digits.data() + digits.size() && !digits.empty();
    };
    if (slash == std::string_view::npos || !part(text.substr(0, slash), high) ||
        !part(text.substr(slash + 1), low))
        throw Error("internal", fmt::format("'{}' is no place in the write-ahead log", text));
    return std::uint64_t{high} << 32 | low;
}

} // namespace runbook::follow

namespace runbook::follow::pgoutput {
namespace {

class Reader {
  public:
    explicit Reader(std::string_view rest) : rest_(rest) {}

    std::string_view bytes(std::size_t count) {
        if (rest_.size() < count)
            throw Error("internal", "a message of the change stream is cut off");
        std::string_view out = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return out;
    }
    std::uint64_t number(std::size_t size) {
        std::uint64_t out = 0;
        for (char c : bytes(size))
            out = out << 8 | static_cast<unsigned char>(c);
        return out;
    }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::size_t u16() { return static_cast<std::size_t>(number(2)); }
    char letter() { return bytes(1)[0]; }
    std::int64_t moment() { return static_cast<std::int64_t>(number(8)) + epoch_micros; }
    std::string text() {
        std::size_t end = rest_.find('\0');
        if (end == std::string_view::npos)
            throw Error("internal", "a message of the change stream is cut off");
        std::string out(rest_.substr(0, end));
        rest_.remove_prefix(end + 1);
        return out;
    }
    Tuple tuple() {
        Tuple out(u16());
        for (Field& field : out) {
            switch (char kind = letter()) {
            case 'n':
                field.kind = Field::Kind::null;
                break;
            case 'u':
                field.kind = Field::Kind::unchanged;
                break;
            case 't':
                field.kind = Field::Kind::text;
                field.text = bytes(u32());
                break;
            default:
                throw Error("internal",
                            fmt::format("a field of kind '{}' in the change stream", kind));
            }
        }
        return out;
    }

  private:
    std::string_view rest_;
};

Relation relation(Reader& in) {
    Relation out;
    out.id = in.u32();
    out.schema = in.text();
    if (out.schema.empty())
        out.schema = "pg_catalog";
    out.name = in.text();
    out.identity = in.letter();
    out.columns.resize(in.u16());
    for (RelationColumn& column : out.columns) {
        column.key = (in.letter() & 1) != 0;
        column.name = in.text();
        column.type = in.u32();
        column.modifier = static_cast<std::int32_t>(in.u32());
    }
    return out;
}

Update update(Reader& in) {
    Update out;
    out.relation = in.u32();
    char kind = in.letter();
    if (kind == 'K' || kind == 'O') {
        out.old_kind = kind;
        out.old = in.tuple();
        kind = in.letter();
    }
    if (kind != 'N')
        throw Error("internal", "an UPDATE without its new row in the change stream");
    out.row = in.tuple();
    return out;
}

} // namespace

Message parse(std::string_view message) {
    Reader in(message);
    switch (char kind = in.letter()) {
    case 'B': {
        Begin out;
        out.final_lsn = in.number(8);
        out.micros = in.moment();
        out.xid = in.u32();
        return out;
    }
    case 'C': {
        Commit out;
        in.letter(); // flags, none defined
        out.commit = in.number(8);
        out.end = in.number(8);
        out.micros = in.moment();
        return out;
    }
    case 'R':
        return relation(in);
    case 'I': {
        Insert out;
        out.relation = in.u32();
        in.letter(); // N
        out.row = in.tuple();
        return out;
    }
    case 'U':
        return update(in);
    case 'D': {
        Delete out;
        out.relation = in.u32();
        out.old_kind = in.letter();
        out.old = in.tuple();
        return out;
    }
    case 'T': {
        Truncate out;
        std::size_t count = in.u32();
        in.letter(); // CASCADE, RESTART IDENTITY: every table it reached is listed
        for (std::size_t i = 0; i < count; ++i)
            out.relations.push_back(in.u32());
        return out;
    }
    case 'O':
    case 'Y':
    case 'M':
        return Other{kind};
    default:
        throw Error("internal", fmt::format("a message of kind '{}' in the change stream", kind));
    }
}

std::uint64_t read_u64(std::string_view bytes) {
    return Reader(bytes).number(8);
}

void append_u64(std::uint64_t number, std::string& out) {
    for (int shift = 56; shift >= 0; shift -= 8)
        out += static_cast<char>(number >> shift & 0xff);
}

} // namespace runbook::follow::pgoutput
