// Reads the words at the beginning of statements; no parser. A statement that is not known to be
// harmless by its words is let through: the session looks again when it commits.
#include "runtime/db/mysql/implicit_commit.h"

#include "runtime/base/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

namespace runbook::db::mysql {
namespace {

bool word_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80) != 0;
}

/// Words in lower case, `;` between statements; other signs that matter as themselves. Comments and
/// quoted pieces are skipped, what servers execute inside `/*! … */` is not.
class Words {
  public:
    explicit Words(std::string_view sql) : sql_(sql) {}

    /// Empty at the end.
    std::string next() {
        while (i_ < sql_.size()) {
            const char c = sql_[i_];
            if (c == '\'' || c == '"' || c == '`') {
                skip_quoted();
                return "''";
            }
            if (c == '#' || dashes()) {
                const auto end = sql_.find('\n', i_);
                i_ = end == std::string_view::npos ? sql_.size() : end + 1;
            } else if (sql_.substr(i_, 2) == "/*") {
                skip_comment();
            } else if (sql_.substr(i_, 2) == "*/") {
                i_ += 2; // of one that is executed
            } else if (word_char(c)) {
                const std::size_t begin = i_;
                while (i_ < sql_.size() && word_char(sql_[i_]))
                    ++i_;
                return text::lower(std::string(sql_.substr(begin, i_ - begin)));
            } else if (++i_; c == ';' || c == '@' || c == '.' || c == '=' || c == ',') {
                return std::string(1, c);
            }
        }
        return {};
    }

  private:
    /// `--` begins a comment only before white space or at the end.
    bool dashes() const {
        return sql_.substr(i_, 2) == "--" &&
               (i_ + 2 >= sql_.size() || static_cast<unsigned char>(sql_[i_ + 2]) <= ' ');
    }
    void skip_quoted() {
        const char quote = sql_[i_++];
        while (i_ < sql_.size()) {
            if (quote != '`' && sql_[i_] == '\\')
                ++i_;
            else if (sql_[i_] == quote)
                break;
            ++i_;
        }
        i_ = std::min(i_ + 1, sql_.size()); // a doubled quote is two pieces side by side
    }
    void skip_comment() {
        std::size_t at = i_ + 2;
        if (sql_.substr(at, 1) == "M" && sql_.substr(at + 1, 1) == "!")
            ++at;
        if (sql_.substr(at, 1) == "!") {
            ++at;
            while (at < sql_.size() && std::isdigit(static_cast<unsigned char>(sql_[at])))
                ++at;
            i_ = at;
            return;
        }
        const auto end = sql_.find("*/", at);
        i_ = end == std::string_view::npos ? sql_.size() : end + 2;
    }

    std::string_view sql_;
    std::size_t i_ = 0;
};

using Statement = std::vector<std::string>;

template <std::size_t N>
bool one_of(const std::string& word, const std::array<const char*, N>& list) {
    return std::any_of(list.begin(), list.end(), [&](const char* one) { return word == one; });
}

/// The word at `i`, or an empty one.
std::string at(const Statement& words, std::size_t i) {
    return i < words.size() ? words[i] : std::string();
}

/// SET autocommit, SET PASSWORD and SET DEFAULT ROLE; a user's variable @autocommit is none.
bool set_ends(const Statement& words) {
    if (at(words, 1) == "password" || (at(words, 1) == "default" && at(words, 2) == "role"))
        return true;
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
        const bool own = words[i - 1] == "@" && at(words, i - 2) != "@";
        if (words[i] == "autocommit" && !own && words[i + 1] == "=")
            return true;
    }
    return false;
}

std::string upper(const Statement& words, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < std::min(count, words.size()); ++i) {
        std::string word = words[i];
        std::transform(word.begin(), word.end(), word.begin(),
                       [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        out += (out.empty() ? "" : " ") + word;
    }
    return out;
}

/// Of one statement: its first words where it ends the transaction.
std::string ends(const Statement& words) {
    const std::string first = at(words, 0), second = at(words, 1), third = at(words, 2);
    static constexpr std::array always{"alter",  "rename", "truncate",  "grant",  "revoke",
                                       "start",  "stop",   "change",    "flush",  "install",
                                       "import", "cache",  "uninstall", "commit", "shutdown"};
    static constexpr std::array tables{"table", "tables", "view", "local", "no_write_to_binlog"};
    if (first == "set" && second == "statement") { // MariaDB: SET STATEMENT x = 1 FOR the statement
        const auto inner = std::find(words.begin(), words.end(), "for");
        return inner == words.end() ? "" : ends(Statement(inner + 1, words.end()));
    }
    if (first == "commit" || first == "truncate" || first == "grant" || first == "revoke" ||
        first == "flush" || first == "shutdown")
        return upper(words, 1);
    if (one_of(first, always))
        return upper(words, 2);
    if (first == "create" || first == "drop") {
        std::size_t i = 1;
        if (at(words, i) == "or" && at(words, i + 1) == "replace")
            i += 2;
        const bool stays = at(words, i) == "temporary" || (first == "drop" && second == "prepare");
        return stays ? "" : first == "create" && i == 3 ? upper(words, 4) : upper(words, 2);
    }
    if (first == "begin")
        return second == "not" ? "" : "BEGIN"; // MariaDB's BEGIN NOT ATOMIC is a block
    if (first == "rollback")
        return second == "to" || third == "to" ? "" : "ROLLBACK";
    if (first == "set")
        return set_ends(words) ? upper(words, 2) : "";
    if ((first == "lock" || first == "unlock") && (second == "table" || second == "tables"))
        return upper(words, 2);
    if ((first == "analyze" || first == "check" || first == "optimize" || first == "repair") &&
        one_of(second, tables))
        return upper(words, 2);
    if (first == "load" && second == "index")
        return "LOAD INDEX";
    if (first == "reset" && second != "persist")
        return upper(words, 2);
    return {};
}

} // namespace

std::string ends_transaction(std::string_view sql) {
    Words words(sql);
    Statement statement;
    while (true) {
        const std::string word = words.next();
        if (!word.empty() && word != ";") {
            statement.push_back(word);
            continue;
        }
        if (std::string found = ends(statement); !found.empty())
            return found;
        if (word.empty())
            return {};
        statement.clear();
    }
}

} // namespace runbook::db::mysql
