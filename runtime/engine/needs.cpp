#include "runtime/engine/needs.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

namespace runbook::engine {
namespace {

struct Token {
    enum class Kind { name, text, number, symbol } kind;
    std::string text;
    int line;
};

/// Lua's words, without comments; escapes in strings stay as they are written.
class Lexer {
  public:
    explicit Lexer(const std::string& source) : source_(source) {}

    std::vector<Token> all() {
        std::vector<Token> tokens;
        while (at_ < source_.size()) {
            const char c = source_[at_];
            if (c == '\n')
                ++line_;
            if (std::isspace(static_cast<unsigned char>(c))) {
                ++at_;
            } else if (source_.compare(at_, 2, "--") == 0) {
                at_ += 2;
                if (!skip_long(nullptr))
                    at_ = std::min(source_.find('\n', at_), source_.size());
            } else if (c == '"' || c == '\'') {
                tokens.push_back(quoted(c));
            } else if (std::string text; c == '[' && skip_long(&text)) {
                tokens.push_back({Token::Kind::text, text, line_});
            } else if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') {
                const std::size_t from = at_;
                while (
                    at_ < source_.size() &&
                    (std::isalnum(static_cast<unsigned char>(source_[at_])) || source_[at_] == '_'))
                    ++at_;
                const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
                tokens.push_back({digit ? Token::Kind::number : Token::Kind::name,
                                  source_.substr(from, at_ - from), line_});
            } else {
                const bool two =
                    source_.compare(at_, 2, "..") == 0 || source_.compare(at_, 2, "==") == 0;
                tokens.push_back({Token::Kind::symbol, source_.substr(at_, two ? 2 : 1), line_});
                at_ += two ? 2 : 1;
            }
        }
        return tokens;
    }

  private:
    Token quoted(char quote) {
        Token token{Token::Kind::text, "", line_};
        for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
            if (source_[at_] == '\\' && at_ + 1 < source_.size())
                token.text += source_[at_++];
            line_ += source_[at_] == '\n' ? 1 : 0;
            token.text += source_[at_];
        }
        ++at_;
        return token;
    }

    /// `[[…]]` or `[==[…]==]` here; false where there is none.
    bool skip_long(std::string* text) {
        std::size_t level = 0, at = at_ + 1;
        if (at_ >= source_.size() || source_[at_] != '[')
            return false;
        while (at < source_.size() && source_[at] == '=')
            ++level, ++at;
        if (at >= source_.size() || source_[at] != '[')
            return false;
        const std::string close = "]" + std::string(level, '=') + "]";
        const std::size_t end = std::min(source_.find(close, at), source_.size());
        if (text)
            *text = source_.substr(at + 1, end - at - 1);
        line_ +=
            static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at),
                                        source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
        at_ = std::min(end + close.size(), source_.size());
        return true;
    }

    const std::string& source_;
    std::size_t at_ = 0;
    int line_ = 1;
};

std::string host_of(const std::string& url) {
    const std::size_t scheme = url.find("://");
    if (scheme == std::string::npos)
        return url;
    const std::string rest = url.substr(scheme + 3);
    const std::string authority = rest.substr(0, rest.find_first_of("/?#"));
    return authority.substr(authority.rfind('@') + 1);
}

class Reader {
  public:
    Reader(const std::string& file, const std::string& source, const std::vector<Grant>& parameters)
        : file_(file), tokens_(Lexer(source).all()), parameters_(parameters) {
        std::set<std::string> twice;
        for (std::size_t i = 0; i + 2 < tokens_.size(); ++i)
            if (tokens_[i].kind == Token::Kind::name && is(i + 1, "=") &&
                !names_.emplace(tokens_[i].text, i + 2).second)
                twice.insert(tokens_[i].text);
        for (const std::string& name : twice)
            names_.erase(name);
        find_bound();
    }

    std::vector<Touch> read() {
        for (std::size_t i = 0; i + 3 < tokens_.size(); ++i) {
            const bool call = tokens_[i].kind == Token::Kind::name && is(i + 1, ".") &&
                              tokens_[i + 2].kind == Token::Kind::name &&
                              !(i > 0 && (is(i - 1, ".") || is(i - 1, ":")));
            if (call)
                read_call(tokens_[i].text == "shell" ? "sh" : tokens_[i].text, tokens_[i + 2].text,
                          i + 3);
        }
        return found_;
    }

  private:
    bool is(std::size_t i, std::string_view symbol) const {
        return i < tokens_.size() && tokens_[i].kind == Token::Kind::symbol &&
               tokens_[i].text == symbol;
    }

    bool word(std::size_t i, std::string_view text) const {
        return i < tokens_.size() && tokens_[i].kind == Token::Kind::name &&
               tokens_[i].text == text;
    }

    /// Names that a function, a loop or a `local a, b` binds, wherever that is: what they stand for
    /// elsewhere is not certain. A `local x = …` is, unless there is a second.
    void find_bound() {
        for (std::size_t i = 0; i < tokens_.size(); ++i) {
            std::size_t at = i + 1;
            if (word(i, "local") && at + 1 < tokens_.size())
                locals_.insert(tokens_[word(at, "function") ? at + 1 : at].text);
            if (word(i, "function"))
                while (at < tokens_.size() && !is(at, "("))
                    ++at;
            else if (!word(i, "for") && !(word(i, "local") && is(i + 2, ",")))
                continue;
            for (at += is(at, "(") ? 1 : 0; at < tokens_.size(); at += 2) {
                bound_.insert(tokens_[at].text);
                if (!is(at + 1, ","))
                    break;
            }
        }
    }

    /// Whether the name is given no other meaning in this file than the language's.
    bool own_meaning(const std::string& area) const {
        return !locals_.contains(area) && !bound_.contains(area);
    }

    /// Whether the expression of one token before `i` ends there.
    bool ends(std::size_t i) const {
        return i >= tokens_.size() || is(i, ",") || is(i, ";") || is(i, "}") || is(i, ")");
    }

    /// Whether the name is `local name = "literal"` and nothing else in this file.
    bool constant(const std::string& name, std::size_t value) const {
        if (bound_.contains(name) || value < 3 || !word(value - 3, "local"))
            return false;
        const std::size_t next = value + 1;
        return ends(next) ||
               (tokens_[next].kind == Token::Kind::name && !word(next, "and") && !word(next, "or"));
    }

    void read_call(const std::string& area, const std::string& function, std::size_t i) {
        static const std::map<std::string, std::string> by_first = {
            {"ssh", "ssh"}, {"http", "http"}, {"fs", "files"}, {"net", "net"}, {"redis", "redis"}};
        call_ = area + "." + function;
        line_ = tokens_[i - 1].line;
        certain_ = own_meaning(area) && own_meaning(tokens_[i - 3].text) && call_ != "fs.glob";
        if (area == "sh" && (function == "run" || function == "pipe")) {
            i += is(i, "(") ? 1 : 0;
            if (!is(i, "{"))
                return add("shell", std::nullopt);
            return function == "run" ? command(i + 1) : pipe(i + 1);
        }
        const auto kind = by_first.find(area);
        if (kind == by_first.end() ||
            (area == "redis" && function != "open" && function != "connect"))
            return;
        const bool literal = i < tokens_.size() && tokens_[i].kind == Token::Kind::text;
        if (!literal && !is(i, "("))
            return add(kind->second, std::nullopt);
        if (literal && !is(i + 1, "..") && !is(i + 1, ":")) // f "x": whatever follows
            return add(kind->second, what_of(kind->second, tokens_[i].text), true);
        i += literal ? 0 : 1;
        if (call_ == "http.request")
            i = after_comma(i);
        argument(kind->second, i);
        if (call_ == "fs.copy" || call_ == "fs.move" || call_ == "http.download")
            argument("files", after_comma(i));
    }

    /// The words of a command, behind the brace.
    void command(std::size_t i) {
        int depth = 1;
        bool by_shell = false, said = false;
        for (std::size_t j = i; j < tokens_.size() && depth > 0; ++j) {
            depth += is(j, "{") ? 1 : is(j, "}") ? -1 : 0;
            if (depth != 1 || tokens_[j].text != "shell" || !is(j + 1, "="))
                continue;
            said = true;
            by_shell |= word(j + 2, "true");
        }
        const bool certain = std::exchange(certain_, certain_ && by_shell == said);
        if (by_shell)
            add("shell", "sh", true);
        else
            argument("shell", i);
        certain_ |= certain;
    }

    void pipe(std::size_t i) {
        int depth = 1;
        for (; i < tokens_.size() && depth > 0; ++i) {
            if (is(i, "{") && depth++ == 1)
                command(i + 1);
            else if (is(i, "}"))
                --depth;
        }
    }

    std::size_t after_comma(std::size_t i) const {
        int depth = 0;
        for (; i < tokens_.size() && depth >= 0; ++i) {
            if (is(i, ",") && depth == 0)
                return i + 1;
            depth += is(i, "(") || is(i, "{") || is(i, "[")   ? 1
                     : is(i, ")") || is(i, "}") || is(i, "]") ? -1
                                                              : 0;
        }
        return tokens_.size();
    }

    /// One expression: a literal, a name bound once to one, or a parameter.
    void argument(const std::string& kind, std::size_t i) {
        if (i >= tokens_.size())
            return add(kind, std::nullopt);
        std::size_t next = i + 1;
        const Token* token = &tokens_[i];
        if (token->kind == Token::Kind::name && is(i + 1, ".") && i + 2 < tokens_.size()) {
            for (const auto& [name, type] : parameters_)
                if (name == tokens_[i + 2].text &&
                    (kind == "files" ? type == "path" : kind == "http" && type == "url"))
                    return kind == "files" ? add(kind, name, ends(i + 3))
                                           : void(); // a url is allowed by itself
            return add(kind, std::nullopt);
        }
        bool sure = ends(next);
        if (token->kind == Token::Kind::name)
            if (const auto bound = names_.find(token->text); bound != names_.end()) {
                sure = sure && constant(token->text, bound->second);
                token = &tokens_[bound->second];
                if (bound->second + 1 < tokens_.size() && is(bound->second + 1, ".."))
                    return add(kind, std::nullopt);
            }
        if (token->kind != Token::Kind::text)
            return add(kind, std::nullopt);
        const bool longer = is(next, "..") || is(next, ":"); // only its beginning
        const std::string what = what_of(kind, token->text);
        if (longer && kind == "http" &&
            token->text.find('/', token->text.find("://") + 3) != std::string::npos)
            return add(kind, what, token == &tokens_[i]);
        if (longer)
            return add(kind, std::nullopt);
        add(kind, what, sure);
    }

    static std::string what_of(const std::string& kind, const std::string& text) {
        return kind == "http" ? host_of(text) : text;
    }

    void add(const std::string& kind, const std::optional<std::string>& what, bool sure = false) {
        const bool known = sure && certain_ && what && what->find('\\') == std::string::npos;
        found_.push_back({kind, what.value_or(""), call_, file_, line_, known});
    }

    std::string file_;
    std::vector<Token> tokens_;
    const std::vector<Grant>& parameters_;
    std::map<std::string, std::size_t> names_; ///< where the value of a name begins
    std::vector<Touch> found_;
    std::set<std::string> bound_;  ///< see find_bound()
    std::set<std::string> locals_; ///< every `local x` and `local function x`
    std::string call_;
    int line_ = 0;
    bool certain_ = false; ///< what is called is the language's own function
};

} // namespace

const std::vector<std::string>& need_kinds() {
    static const std::vector<std::string> kinds{"shell", "ssh", "http", "files", "net", "redis"};
    return kinds;
}

std::vector<std::string>& entries_of(vm::Permissions& permissions, const std::string& kind) {
    if (kind == "shell")
        return permissions.shell;
    if (kind == "ssh")
        return permissions.ssh;
    if (kind == "http")
        return permissions.http;
    if (kind == "files")
        return permissions.files;
    return kind == "net" ? permissions.net : permissions.redis;
}

const std::vector<std::string>& entries_of(const vm::Permissions& permissions,
                                           const std::string& kind) {
    return entries_of(const_cast<vm::Permissions&>(permissions), kind);
}

void widen(vm::Permissions& permissions, const std::vector<Grant>& grants) {
    for (const auto& [kind, what] : grants) {
        auto& entries = entries_of(permissions, kind);
        if (std::find(entries.begin(), entries.end(), what) == entries.end())
            entries.push_back(what);
    }
}

List to_list(const std::vector<Grant>& grants) {
    List list;
    for (const auto& [kind, what] : grants)
        list.push_back(Map{{"kind", kind}, {"what", what}});
    return list;
}

std::vector<Grant> to_grants(const Value* value) {
    std::vector<Grant> grants;
    const List* list = value ? value->get<List>() : nullptr;
    for (const Value& item : list ? *list : List{})
        if (const Map* grant = item.get<Map>())
            grants.emplace_back(grant->text("kind"), grant->text("what"));
    return grants;
}

std::vector<Touch> touches_of(const std::string& file, const std::string& source,
                              const std::vector<Grant>& parameters) {
    return Reader(file, source, parameters).read();
}

bool allowed(const vm::Permissions& permissions, const Touch& touch) {
    vm::Permissions asked = permissions;
    asked.uses.reset();
    for (std::string& pattern : asked.shell)
        pattern = pattern.substr(0, pattern.find(' ')); // only the program is known
    try {
        if (touch.kind == "shell")
            asked.check_shell({touch.what});
        else if (touch.kind == "ssh")
            asked.check_ssh(touch.what);
        else if (touch.kind == "http")
            asked.check_http(touch.what);
        else if (touch.kind == "files")
            asked.check_file(touch.what);
        else if (touch.kind == "net")
            asked.check_net(touch.what);
        else
            asked.check_redis(touch.what);
    } catch (const Error&) {
        return false;
    }
    return true;
}

Map seen_needs(const vm::Permissions& permissions) {
    Map seen, unused;
    for (const std::string& kind : need_kinds()) {
        List used, idle;
        const auto whats =
            permissions.uses ? permissions.uses->of(kind) : std::vector<std::string>();
        for (const std::string& what : whats)
            used.push_back(what);
        for (const std::string& entry : entries_of(permissions, kind)) {
            vm::Permissions only;
            entries_of(only, kind) = {entry};
            const bool asked = std::any_of(whats.begin(), whats.end(), [&](const auto& what) {
                return allowed(only, {kind, what, "", "", 0});
            });
            if (!asked)
                idle.push_back(entry);
        }
        if (!used.empty())
            seen.set(kind, used);
        if (!idle.empty())
            unused.set(kind, idle);
    }
    return Map{{"kind", "needs"}, {"seen", seen}, {"unused", unused}};
}

} // namespace runbook::engine
