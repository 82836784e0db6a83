#include "runtime/repl/export.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/repl/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

namespace runbook::repl {

namespace {

/// A Lua long string that `text` cannot close.
std::string quoted(const std::string& text) {
    std::string level;
    while (text.find("]" + level + "]") != std::string::npos)
        level += '=';
    const std::string first = text.find('\n') == std::string::npos ? "" : "\n";
    return "[" + level + "[" + first + text + (text.ends_with(']') ? " " : "") + "]" + level + "]";
}

std::string name_of(const std::string& file) {
    std::string name = std::filesystem::path(file).stem().string();
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_')
            c = '-';
    return name;
}

std::string title(std::size_t number, const Done& done) {
    std::string words = redact(text::trim(done.text)); // before it is cut
    std::replace(words.begin(), words.end(), '\n', ' ');
    words = text::ellipsize(words, 44);
    std::string out;
    for (const char c : words)
        out += c == '"' || c == '\\' ? '\'' : c;
    return fmt::format("{}: {}", number, out);
}

/// A line of the prompt inside a function: its names become locals, an expression gets one.
std::string lua_line(const Session& session, const std::string& text) {
    std::size_t end = 0;
    while (end < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_'))
        ++end;
    const std::string first = text.substr(0, end), rest = text::trim(text.substr(end));
    const bool assigns = end > 0 && rest.starts_with('=') && !rest.starts_with("==");
    if (assigns || (first == "function" && rest.find('.') > rest.find('(')))
        return "local " + text;
    return session.is_statement(text) ? text : "local _ = " + text;
}

std::string indented(const std::string& text) {
    std::string out;
    for (const std::string& line : text::split(text, '\n'))
        out += "    " + line + "\n";
    return out;
}

/// Lines of Lua that follow each other are one step: a later one uses the names of the first.
std::string lua_step(const Session& session, std::size_t number, const std::vector<Done>& done,
                     std::size_t& at) {
    std::string out = fmt::format("step \"{}\" {{\n  run  = function()\n", title(number, done[at]));
    for (; at < done.size() && !done[at].sql; ++at)
        out += indented(lua_line(session, done[at].text));
    return out + "  end,\n  undo = keep \"say here what takes it back\",\n}\n";
}

std::string sql_step(std::size_t number, const Done& done) {
    const std::string name = title(number, done);
    if (done.rows)
        return fmt::format(
            "step \"{}\" {{ run = function() return {{ rows = db.query({}, {}) }} end }}\n", name,
            done.connection, quoted(done.text));
    return fmt::format(
        "step \"{}\" {{\n  run  = function() return {{ changed = db.execute({}, {}) }} end,\n"
        "  undo = keep \"say here what takes it back\",\n}}\n",
        name, done.connection, quoted(done.text));
}

} // namespace

std::string export_playbook(Session& session, const std::string& file) {
    if (session.done().empty())
        throw Error("usage", "nothing was done yet that a playbook could do");
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored))
        throw Error("usage", fmt::format("{} exists already", file), "choose another name");
    std::string out =
        fmt::format("-- What was done at the prompt, {} UTC. A skeleton: give each step its way "
                    "back, a checkpoint and an owner.\n",
                    time::iso_millis(time::now_micros()).substr(0, 16));
    out += fmt::format("local p = playbook \"{}\" {{\n  summary = \"what was done at the "
                       "prompt\",\n  params  = {{\n",
                       name_of(file));
    for (const auto& connection : session.connections())
        out += fmt::format(
            "    {} = {{ \"database\", access = \"{}\", required = true, doc = \"{}\" }},\n",
            connection->name, connection->read_write ? "write" : "read",
            connection->handle->url().masked());
    out += "  },\n}\n";
    for (const auto& connection : session.connections())
        out += fmt::format("local {0} = p.{0}\n", connection->name);
    out += "\n";
    const std::vector<Done>& done = session.done();
    std::size_t number = 0;
    for (std::size_t i = 0; i < done.size();)
        out += redact(done[i].sql ? sql_step(++number, done[i++])
                                  : lua_step(session, ++number, done, i));
    std::ofstream stream(file, std::ios::binary);
    stream << out;
    stream.close();
    if (!stream)
        throw Error("fs", fmt::format("{} cannot be written", file));
    return fmt::format("{}: {} step{}\n", file, number, number == 1 ? "" : "s");
}

} // namespace runbook::repl
