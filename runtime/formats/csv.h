// CSV as RFC 4180 says: fields with commas, quotes and line ends inside quotes, lines ended by CRLF
// or LF. Any thread; a Reader is used by one at a time.
#pragma once

#include "runtime/base/value.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::csv {

struct Format {
    char separator = ',';
    bool header = true; ///< the first record names the fields
};

/// Reads record after record, from a text or a file, in memory of one block. A record is a Map by
/// the names of the header, or a List. Every field is text. Throws Error{`csv`} with the line: text
/// behind a closing quote, a quote inside an unquoted field, a quote that is never closed, a record
/// with more or fewer fields than the first, a name that comes twice; Error{`fs`} for the file.
class Reader {
  public:
    static Reader of_file(const std::string& path, Format format);
    static Reader of_text(std::string text, Format format);

    /// Nothing at the end.
    std::optional<Value> next();
    /// Up to so many records; fewer only at the end.
    List next(std::size_t count);
    const std::vector<std::string>& names() const { return names_; }

  private:
    Reader(std::string source, std::FILE* file, std::string text, Format format);
    int get();
    int peek();
    bool record(std::vector<std::string>& fields);
    bool field(std::string& into, bool& quoted);
    [[noreturn]] void fail(const std::string& why) const;

    std::string source_; ///< what errors begin with: the path, or nothing
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
    std::string block_;
    std::size_t at_ = 0;
    Format format_;
    std::int64_t line_ = 1, started_ = 1;
    std::size_t width_ = 0;
    std::vector<std::string> names_;
    bool began_ = false;
};

/// Records (maps or lists) as text with CRLF line ends. `columns` says which fields of maps, in
/// which order; empty: those of the first. Null becomes an empty field. Throws Error{`argument`}
/// for a record that is neither, a field that is a table, a name that a record has and `columns`
/// has not.
std::string dump(const List& records, std::vector<std::string> columns, Format format);

} // namespace runbook::csv
