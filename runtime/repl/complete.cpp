#include "runtime/repl/complete.h"

#include "runtime/base/text.h"
#include "runtime/repl/commands.h"
#include "runtime/repl/line.h"
#include "runtime/repl/session.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace runbook::repl {

namespace {

constexpr std::array sql_words = {
    "select",      "from",        "where",   "group by", "order by",    "limit",
    "insert into", "values",      "update",  "set",      "delete from", "join",
    "left join",   "on",          "and",     "or",       "not",         "null",
    "is null",     "is not null", "in",      "like",     "between",     "having",
    "distinct",    "count(*)",    "explain", "begin",    "commit",      "rollback"};

bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// The unfinished word at the end; with `dots`, "db.que" is one.
std::string last_word(const std::string& line, bool dots) {
    std::size_t start = line.size();
    while (start > 0 && (is_word(line[start - 1]) || (dots && line[start - 1] == '.')))
        --start;
    return line.substr(start);
}

/// "copy.database" in `copy.database(a, b, { str`: the call whose option table is open.
std::string open_call(const std::string& line) {
    std::size_t depth = 0;
    bool in_table = false;
    for (std::size_t i = line.size(); i-- > 0;) {
        const char c = line[i];
        if (c == '}' || c == ')')
            ++depth;
        else if (c == '{' && depth == 0)
            in_table = true;
        else if ((c == '{' || c == '(') && depth > 0)
            --depth;
        else if (c == '(' && in_table)
            return last_word(line.substr(0, i), true);
    }
    return in_table ? last_word(text::trim(line.substr(0, line.rfind('{'))), true) : std::string();
}

void keep(Editor::Candidates& found, const std::string& word, const std::string& candidate) {
    if (text::lower(candidate).starts_with(text::lower(word)) && candidate.size() >= word.size())
        found.words.push_back(word + candidate.substr(word.size()));
}

void lua_names(Editor::Candidates& found, Session& session, const std::string& line) {
    const std::string word = last_word(line, true);
    found.word = word.size();
    if (const std::string call = open_call(line); !call.empty())
        if (const vm::FunctionDoc* function = session.registry().find(call))
            for (const vm::ParameterDoc& parameter : function->parameters)
                for (const vm::FieldDoc& field : parameter.fields)
                    keep(found, word, field.name);
    for (const std::string& name : session.registry().names()) {
        const bool inside = name.find('.') != std::string::npos;
        if (!inside || word.find('.') != std::string::npos)
            keep(found, word, name);
    }
    for (const std::string& name : session.globals())
        keep(found, word, name);
}

/// `prod:que`: methods of a connection.
bool methods(Editor::Candidates& found, Session& session, const std::string& line) {
    const std::string word = last_word(line, false);
    const std::size_t colon = line.size() - word.size();
    if (colon == 0 || line[colon - 1] != ':')
        return false;
    const std::string owner = last_word(line.substr(0, colon - 1), false);
    const auto& all = session.connections();
    if (std::none_of(all.begin(), all.end(), [&](const auto& c) { return c->name == owner; }))
        return false;
    found.word = word.size();
    for (const vm::AreaDoc& area : session.registry().areas())
        for (const vm::TypeDoc& type : area.types)
            if (type.name == "connection")
                for (const vm::FunctionDoc& method : type.methods)
                    keep(found, word, method.name);
    return true;
}

void command_words(Editor::Candidates& found, Session& session, const std::string& line) {
    const std::size_t blank = line.find(' ');
    if (blank == std::string::npos) {
        const std::string word = line.substr(1);
        found.word = word.size();
        for (const std::string& name : command_names())
            keep(found, word, name);
        return;
    }
    const std::string word = last_word(line, false);
    found.word = word.size();
    if (line.starts_with(":use"))
        for (const auto& connection : session.connections())
            keep(found, word, connection->name);
    else if (line.starts_with("\\d"))
        for (const std::string& name : session.database_names())
            keep(found, word, name);
}

} // namespace

Editor::Candidates complete(Session& session, const std::string& line) {
    Editor::Candidates found;
    const Input kind = kind_of(line);
    if (kind == Input::command) {
        command_words(found, session, line);
    } else if (kind == Input::sql && line.find(' ') != std::string::npos) {
        const std::string word = last_word(line, false);
        found.word = word.size();
        for (const std::string& name : session.database_names())
            keep(found, word, name);
        for (const char* name : sql_words)
            if (!word.empty())
                keep(found, word, name);
    } else if (!methods(found, session, line)) {
        lua_names(found, session, line);
        if (line == last_word(line, false) && !line.empty())
            for (const char* name : sql_words)
                keep(found, line, name);
    }
    std::sort(found.words.begin(), found.words.end());
    found.words.erase(std::unique(found.words.begin(), found.words.end()), found.words.end());
    return found;
}

} // namespace runbook::repl
