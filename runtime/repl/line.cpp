#include "runtime/repl/line.h"

#include "runtime/base/text.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace runbook::repl {

namespace {

constexpr std::array verbs = {
    "select", "with",   "show",     "explain",   "insert",   "update",   "delete",  "create",
    "alter",  "drop",   "truncate", "begin",     "commit",   "rollback", "set",     "values",
    "table",  "vacuum", "analyze",  "call",      "use",      "pragma",   "desc",    "describe",
    "grant",  "revoke", "start",    "savepoint", "release",  "merge",    "replace", "reindex",
    "lock",   "kill",   "refresh",  "comment",   "optimize", "reset",    "attach",  "detach"};

/// After these words a statement goes on.
constexpr std::array dangling = {"select", "from",  "where", "and",   "or",     "not",    "join",
                                 "on",     "set",   "by",    "into",  "values", "insert", "update",
                                 "delete", "with",  "as",    "in",    "is",     "like",   "between",
                                 "having", "union", "all",   "order", "group",  "limit",  "left",
                                 "right",  "inner", "outer", "cross", "using",  "table",  "create",
                                 "alter",  "drop",  "when",  "then",  "else",   "case"};

constexpr std::array continuing = {
    "from",  "where",  "and",       "or",        "join",  "left",   "right", "inner",
    "outer", "cross",  "on",        "group",     "order", "having", "limit", "offset",
    "union", "except", "intersect", "returning", "fetch", "using",  "into",  "values",
    "set",   "as",     "when",      "then",      "else",  "end",    "full"};

template <std::size_t N>
bool among(const std::array<const char*, N>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

std::string first_word(std::string_view line) {
    std::size_t end = 0;
    while (end < line.size() &&
           (std::isalpha(static_cast<unsigned char>(line[end])) || line[end] == '_'))
        ++end;
    return text::lower(line.substr(0, end));
}

/// Walks over SQL: quotes, dollar quotes and comments are skipped as wholes.
class Walker {
  public:
    explicit Walker(std::string_view text) : text_(text) {}
    std::size_t depth = 0;
    bool open = false;   ///< ended inside a quote, a comment or brackets
    std::string without; ///< the text, comments left out, each quoted part as '?'

    /// Calls `on(position)` for each character outside quotes and comments.
    template <class Fn>
    void walk(Fn on) {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\'' || c == '"' || c == '`')
                skip_to(std::string(1, c), 1), without += '?';
            else if (text_.substr(at_).starts_with("--"))
                skip_line();
            else if (text_.substr(at_).starts_with("/*"))
                skip_to("*/", 2);
            else if (const std::string tag = dollar_tag(); !tag.empty())
                skip_to(tag, tag.size()), without += '?';
            else {
                without += c;
                depth += c == '(' ? 1 : 0;
                depth -= c == ')' && depth > 0 ? 1 : 0;
                on(at_++);
            }
        }
        open = open || depth > 0;
    }

  private:
    void skip_to(const std::string& close, std::size_t opening) {
        const std::size_t end = text_.find(close, at_ + opening);
        open = end == std::string_view::npos;
        at_ = open ? text_.size() : end + close.size();
    }
    void skip_line() {
        const std::size_t end = text_.find('\n', at_);
        at_ = end == std::string_view::npos ? text_.size() : end;
    }
    /// "$$" or "$name$" at this place.
    std::string dollar_tag() const {
        if (text_[at_] != '$')
            return {};
        std::size_t end = at_ + 1;
        while (end < text_.size() &&
               (std::isalpha(static_cast<unsigned char>(text_[end])) || text_[end] == '_'))
            ++end;
        return end < text_.size() && text_[end] == '$'
                   ? std::string(text_.substr(at_, end - at_ + 1))
                   : std::string();
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

/// The text without comments, each quoted part as '?': for looking at its words.
std::string bare(std::string_view text) {
    Walker walker(text);
    walker.walk([](std::size_t) {});
    return text::trim(walker.without);
}

} // namespace

Input kind_of(std::string_view line) {
    const std::string trimmed = text::trim(line);
    if (trimmed.empty())
        return Input::nothing;
    if (trimmed.front() == ':' || trimmed.front() == '\\')
        return Input::command;
    if (trimmed.starts_with("--"))
        return Input::nothing;
    const std::string word = first_word(trimmed);
    if (!among(verbs, word))
        return Input::lua;
    const std::string rest = text::trim(std::string_view(trimmed).substr(word.size()));
    const bool touches = trimmed.size() > word.size() &&
                         (std::isalnum(static_cast<unsigned char>(trimmed[word.size()])) != 0 ||
                          trimmed[word.size()] == '.' || trimmed[word.size()] == '[');
    // `set = 3`, `table.concat(…)`, `values + 1` and `use { … }` are Lua.
    const bool after = !rest.empty() && std::string_view("=:{.,+-/<>~%^").find(rest.front()) !=
                                            std::string_view::npos;
    const bool lua = touches || (after && (word != "select" || rest.front() == '='));
    return lua ? Input::lua : Input::sql;
}

std::string nearest_verb(std::string_view line) {
    const std::string word = first_word(text::trim(line));
    const std::vector<std::string> names(verbs.begin(), verbs.end());
    return word.size() < 3 ? std::string() : text::nearest(word, names);
}

bool sql_complete(std::string_view text) {
    Walker walker(text);
    walker.walk([](std::size_t) {});
    if (walker.open)
        return false;
    const std::string words = text::trim(walker.without);
    if (words.empty() || words.ends_with(';'))
        return true;
    if (words.ends_with(',') || words.ends_with('=') || words.ends_with('+') ||
        words.ends_with("||"))
        return false;
    std::size_t start = words.size();
    while (start > 0 &&
           (std::isalnum(static_cast<unsigned char>(words[start - 1])) || words[start - 1] == '_'))
        --start;
    return !among(dangling, text::lower(std::string_view(words).substr(start)));
}

std::string sql_statement(std::string_view text) {
    std::string out = text::trim(text);
    while (out.ends_with(';') || out.ends_with(' ') || out.ends_with('\n'))
        out.pop_back();
    return out;
}

bool continues_sql(std::string_view line) {
    const std::string trimmed = text::trim(line);
    return trimmed.starts_with(',') || trimmed.starts_with(')') ||
           among(continuing, first_word(trimmed));
}

std::vector<std::string> sql_statements(std::string_view text) {
    std::vector<std::string> out;
    std::size_t start = 0;
    Walker walker(text);
    walker.walk([&](std::size_t at) {
        if (text[at] != ';')
            return;
        out.push_back(text::trim(text.substr(start, at - start)));
        start = at + 1;
    });
    out.push_back(text::trim(text.substr(start)));
    std::erase_if(out, [](const std::string& statement) { return bare(statement).empty(); });
    return out;
}

bool gives_rows(std::string_view statement) {
    const std::string words = text::lower(bare(statement));
    const std::string word = first_word(words);
    for (const char* verb :
         {"select", "show", "explain", "values", "table", "pragma", "desc", "describe", "call"})
        if (word == verb)
            return true;
    if (word == "with") {
        for (const char* verb : {"insert ", "update ", "delete "})
            if (words.find(std::string(") ") + verb) != std::string::npos &&
                words.find(" returning ") == std::string::npos)
                return false;
        return true;
    }
    return words.find(" returning ") != std::string::npos;
}

} // namespace runbook::repl
