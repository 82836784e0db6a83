// CSV (contract in csv.h).
#include "runtime/formats/csv.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>

namespace runbook::csv {
namespace {

constexpr std::size_t block_size = 1 << 16, longest_field = 16 << 20;

std::string text_of(const Value& value, std::size_t record, const std::string& column) {
    if (value.is_null())
        return {};
    if (const auto* text = value.get<std::string>())
        return *text;
    if (const auto* bytes = value.get<Bytes>())
        return bytes->data;
    if (const auto* truth = value.get<bool>())
        return *truth ? "true" : "false";
    if (const auto* integer = value.get<std::int64_t>())
        return std::to_string(*integer);
    if (const auto* number = value.get<double>())
        return fmt::format("{}", *number);
    if (const auto* decimal = value.get<Decimal>())
        return decimal->text;
    if (const auto* when = value.get<Timestamp>())
        return time::iso(*when);
    throw Error("argument", fmt::format("record {}, field '{}': CSV has no {}", record, column,
                                        value.type_name()));
}

std::string quoted(const std::string& text, char separator) {
    const bool plain = text.find_first_of("\"\r\n") == std::string::npos &&
                       text.find(separator) == std::string::npos;
    if (plain)
        return text;
    std::string out = "\"";
    for (char c : text) {
        out += c;
        if (c == '"')
            out += c;
    }
    return out + '"';
}

} // namespace

Reader::Reader(std::string source, std::FILE* file, std::string text, Format format)
    : source_(std::move(source)), file_(file, &std::fclose), block_(std::move(text)),
      format_(format) {}

Reader Reader::of_file(const std::string& path, Format format) {
    std::FILE* file = std::fopen(path.c_str(), "rbe");
    if (!file)
        throw Error("fs", fmt::format("{}: {}", path, text::lower(std::strerror(errno))));
    return Reader(path, file, {}, format);
}

Reader Reader::of_text(std::string text, Format format) {
    return Reader({}, nullptr, std::move(text), format);
}

void Reader::fail(const std::string& why) const {
    throw Error("csv",
                fmt::format("{}line {}: {}", source_.empty() ? "" : source_ + ": ", started_, why));
}

int Reader::peek() {
    if (at_ < block_.size())
        return static_cast<unsigned char>(block_[at_]);
    if (!file_)
        return EOF;
    block_.resize(block_size);
    block_.resize(std::fread(block_.data(), 1, block_.size(), file_.get()));
    at_ = 0;
    if (block_.empty() && std::ferror(file_.get()))
        throw Error("fs", fmt::format("{}: {}", source_, text::lower(std::strerror(errno))));
    return block_.empty() ? EOF : static_cast<unsigned char>(block_[0]);
}

int Reader::get() {
    const int c = peek();
    if (c != EOF)
        ++at_;
    if (c == '\n')
        ++line_;
    return c;
}

/// Reads one field; true where another follows in the same record.
bool Reader::field(std::string& into, bool& in_quotes) {
    into.clear();
    in_quotes = peek() == '"';
    if (in_quotes) {
        get();
        for (;;) {
            const int c = get();
            if (c == EOF)
                fail("the quote is never closed");
            if (c == '"') {
                if (peek() != '"')
                    break;
                get();
            }
            into += static_cast<char>(c);
            if (into.size() > longest_field)
                fail("a field is longer than " + text::bytes(longest_field));
        }
    }
    for (;;) {
        const int c = get();
        if (c == format_.separator)
            return true;
        if (c == EOF || c == '\n')
            return false;
        if (c == '\r' && (peek() == '\n' || peek() == EOF)) {
            get();
            return false;
        }
        if (in_quotes)
            fail("text stands behind a closing quote");
        if (c == '"')
            fail("a quote stands inside of a field without quotes");
        into += static_cast<char>(c);
        if (into.size() > longest_field)
            fail("a field is longer than " + text::bytes(longest_field));
    }
}

/// False at the end of the text.
bool Reader::record(std::vector<std::string>& fields) {
    fields.clear();
    started_ = line_;
    if (peek() == EOF)
        return false;
    bool more = true, in_quotes = false;
    while (more) {
        fields.emplace_back();
        more = field(fields.back(), in_quotes);
    }
    return true;
}

std::optional<Value> Reader::next() {
    std::vector<std::string> fields;
    if (!began_) {
        began_ = true;
        if (peek() == 0xEF) { // a byte order mark, as spreadsheets write it
            const std::string mark = block_.substr(at_, 3);
            if (mark == "\xEF\xBB\xBF")
                at_ += 3;
        }
        if (format_.header) {
            if (!record(names_))
                fail("the header is missing");
            for (std::size_t i = 0; i < names_.size(); ++i)
                if (std::find(names_.begin() + static_cast<std::ptrdiff_t>(i) + 1, names_.end(),
                              names_[i]) != names_.end())
                    fail("the header has '" + names_[i] + "' twice");
            width_ = names_.size();
        }
    }
    if (!record(fields))
        return {};
    if (width_ == 0)
        width_ = fields.size();
    if (fields.size() != width_)
        fail(fmt::format("{} field{}, {} expected", fields.size(), fields.size() == 1 ? "" : "s",
                         width_));
    if (!format_.header) {
        List list;
        for (std::string& one : fields)
            list.emplace_back(std::move(one));
        return list;
    }
    std::vector<std::pair<std::string, Value>> entries;
    for (std::size_t i = 0; i < fields.size(); ++i)
        entries.emplace_back(names_[i], std::move(fields[i]));
    return Map::of(std::move(entries));
}

List Reader::next(std::size_t count) {
    List records;
    while (records.size() < count) {
        std::optional<Value> one = next();
        if (!one)
            break;
        records.push_back(std::move(*one));
    }
    return records;
}

std::string dump(const List& records, std::vector<std::string> columns, Format format) {
    std::string out;
    const auto write = [&](const std::vector<std::string>& fields) {
        for (std::size_t i = 0; i < fields.size(); ++i)
            out +=
                (i ? std::string(1, format.separator) : "") + quoted(fields[i], format.separator);
        if (fields.size() == 1 && fields.front().empty())
            out += "\"\""; // an empty line would be no record
        out += "\r\n";
    };
    if (columns.empty() && !records.empty())
        if (const auto* first = records.front().get<Map>())
            for (const auto& entry : *first)
                columns.push_back(entry.first);
    if (format.header && !columns.empty())
        write(columns);
    for (std::size_t number = 1; number <= records.size(); ++number) {
        const Value& record = records[number - 1];
        std::vector<std::string> fields;
        if (const auto* map = record.get<Map>()) {
            for (const auto& entry : *map)
                if (std::find(columns.begin(), columns.end(), entry.first) == columns.end())
                    throw Error("argument",
                                fmt::format("record {} has the field '{}', which is "
                                            "not one of the columns: {}",
                                            number, entry.first, text::join(columns, ", ")));
            for (const std::string& column : columns) {
                const Value* value = map->find(column);
                fields.push_back(value ? text_of(*value, number, column) : "");
            }
        } else if (const auto* list = record.get<List>()) {
            for (std::size_t i = 0; i < list->size(); ++i)
                fields.push_back(text_of((*list)[i], number, std::to_string(i + 1)));
        } else {
            throw Error("argument", fmt::format("record {}: table expected, got {}", number,
                                                record.type_name()));
        }
        write(fields);
    }
    return out;
}

} // namespace runbook::csv
