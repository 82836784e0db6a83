// A scanner of SQL tokens, no parser. Any thread, no state.
#include "runtime/db/placeholders.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace runbook::db {
namespace {

bool word_start(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80);
}
bool word_char(char c) {
    return word_start(c) || std::isdigit(static_cast<unsigned char>(c)) || c == '$';
}

/// Position after a quoted piece that begins at `i`; the quote doubled is the quote itself.
std::size_t skip_quoted(std::string_view sql, std::size_t i, bool backslash) {
    char quote = sql[i++];
    while (i < sql.size()) {
        if (backslash && sql[i] == '\\') {
            i += 2;
        } else if (sql[i] == quote) {
            if (i + 1 < sql.size() && sql[i + 1] == quote)
                i += 2;
            else
                return i + 1;
        } else {
            ++i;
        }
    }
    return sql.size();
}

std::size_t skip_block_comment(std::string_view sql, std::size_t i, bool nests) {
    int depth = 0;
    while (i < sql.size()) {
        if (sql.substr(i, 2) == "/*" && (depth == 0 || nests)) {
            ++depth;
            i += 2;
        } else if (sql.substr(i, 2) == "*/") {
            i += 2;
            if (--depth == 0)
                return i;
        } else {
            ++i;
        }
    }
    return sql.size();
}

std::size_t skip_line(std::string_view sql, std::size_t i) {
    auto end = sql.find('\n', i);
    return end == std::string_view::npos ? sql.size() : end + 1;
}

/// After `$tag$…$tag$` that begins at `i`, or `i` where it is none.
std::size_t skip_dollar_quote(std::string_view sql, std::size_t i) {
    std::size_t end = i + 1;
    while (end < sql.size() && word_char(sql[end]) && sql[end] != '$')
        ++end;
    if (end >= sql.size() || sql[end] != '$' ||
        std::isdigit(static_cast<unsigned char>(sql[i + 1])))
        return i;
    std::string_view tag = sql.substr(i, end + 1 - i);
    auto close = sql.find(tag, end + 1);
    return close == std::string_view::npos ? sql.size() : close + tag.size();
}

/// Calls `word(position, text)` and `other(position)` for what stands outside quotes and comments;
/// `other` returns the position to go on at, or the same position to let the scanner go on by one.
template <class Word, class Other>
void scan_postgres(std::string_view sql, Word word, Other other) {
    for (std::size_t i = 0; i < sql.size();) {
        char c = sql[i];
        std::size_t next = i;
        if (c == '\'' || c == '"') {
            next = skip_quoted(sql, i, false);
        } else if (sql.substr(i, 2) == "--") {
            next = skip_line(sql, i);
        } else if (sql.substr(i, 2) == "/*") {
            next = skip_block_comment(sql, i, true);
        } else if (c == '$' && (next = skip_dollar_quote(sql, i)) != i) {
        } else if (word_start(c)) {
            next = i;
            while (next < sql.size() && word_char(sql[next]))
                ++next;
            std::string_view text = sql.substr(i, next - i);
            if (next < sql.size() && sql[next] == '\'' && (text == "e" || text == "E"))
                next = skip_quoted(sql, next, true);
            else
                word(i, text);
        } else if (std::isdigit(static_cast<unsigned char>(c))) {
            while (next < sql.size() && (word_char(sql[next]) || sql[next] == '.'))
                ++next;
        } else {
            next = other(i);
            if (next == i)
                ++next;
        }
        i = next;
    }
}

int dollar_number(std::string_view sql, std::size_t i) {
    int number = 0;
    for (++i; i < sql.size() && std::isdigit(static_cast<unsigned char>(sql[i])) && number < 100000;
         ++i)
        number = number * 10 + (sql[i] - '0');
    return number;
}

} // namespace

Rewritten rewrite_placeholders(std::string_view sql) {
    Rewritten out;
    auto ignore_word = [](std::size_t, std::string_view) {};
    scan_postgres(sql, ignore_word, [&](std::size_t i) {
        if (sql[i] == '$')
            out.dollars = std::max(out.dollars, dollar_number(sql, i));
        return i;
    });
    if (out.dollars > 0 || sql.find('?') == std::string_view::npos) {
        out.sql = std::string(sql);
        return out;
    }
    std::size_t copied = 0;
    scan_postgres(sql, ignore_word, [&](std::size_t i) {
        if (sql[i] != '?')
            return i;
        char next = i + 1 < sql.size() ? sql[i + 1] : ' ';
        if (next == '|' && sql.substr(i + 1, 2) != "||")
            return i + 2;
        if (next == '&')
            return i + 2;
        out.sql += sql.substr(copied, i - copied);
        if (next == '?') {
            out.sql += '?';
            copied = i + 2;
        } else {
            out.sql += fmt::format("${}", ++out.questions);
            copied = i + 1;
        }
        return copied;
    });
    out.sql += sql.substr(copied);
    return out;
}

std::string first_word(std::string_view sql) {
    std::string first;
    scan_postgres(
        sql,
        [&](std::size_t, std::string_view word) {
            if (first.empty())
                first = text::lower(word);
        },
        [](std::size_t i) { return i; });
    return first;
}

bool is_plain_query(std::string_view sql) {
    static constexpr std::array<std::string_view, 4> starts = {"select", "with", "values", "table"};
    static constexpr std::array<std::string_view, 7> changes = {
        "into", "insert", "update", "delete", "merge", "share", "nextval"};
    bool first = true, plain = true, ended = false;
    scan_postgres(
        sql,
        [&](std::size_t, std::string_view word) {
            std::string lower = text::lower(word);
            if (ended)
                plain = false;
            if (first)
                plain = std::find(starts.begin(), starts.end(), lower) != starts.end();
            else if (std::find(changes.begin(), changes.end(), lower) != changes.end())
                plain = false;
            first = false;
        },
        [&](std::size_t i) {
            if (sql[i] == ';')
                ended = true;
            return i;
        });
    return plain && !first;
}

bool may_unlock(std::string_view sql) {
    // MySQL runs what stands in such a comment.
    const bool hidden = sql.find("/*!") != sql.npos || sql.find("/*M!") != sql.npos;
    if (!hidden &&
        (is_plain_query(sql) || (first_word(sql) == "show" && sql.find(';') == sql.npos)))
        return false;
    bool write = false, transaction = false;
    std::string word;
    auto ends = [&] {
        if (word.find("transaction_read_only") != word.npos || word == "tx_read_only" ||
            word == "prepare" || word == "execute")
            return true;
        write = write || word == "write";
        transaction = transaction || word == "transaction" || word == "begin" || word == "start";
        word.clear();
        return write && transaction;
    };
    for (char c : sql) {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '_')
            word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        else if (ends())
            return true;
    }
    return ends();
}

int count_placeholders_mysql(std::string_view sql) {
    int count = 0;
    for (std::size_t i = 0; i < sql.size();) {
        char c = sql[i];
        if (c == '\'' || c == '"')
            i = skip_quoted(sql, i, true);
        else if (c == '`')
            i = skip_quoted(sql, i, false);
        else if (c == '#' ||
                 (sql.substr(i, 2) == "--" &&
                  (i + 2 >= sql.size() || std::isspace(static_cast<unsigned char>(sql[i + 2])))))
            i = skip_line(sql, i);
        else if (sql.substr(i, 2) == "/*")
            i = skip_block_comment(sql, i, false);
        else {
            count += c == '?';
            ++i;
        }
    }
    return count;
}

} // namespace runbook::db
