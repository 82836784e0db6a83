#include "runtime/repl/repl.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/repl/commands.h"
#include "runtime/repl/complete.h"
#include "runtime/repl/editor.h"
#include "runtime/repl/line.h"
#include "runtime/repl/session.h"
#include "runtime/secret/sources.h"
#include "runtime/view/view.h"
#include "runtime/vm/backtrace.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <unistd.h>

namespace runbook::repl {

namespace {

void print(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

void print_error(const Error& error) {
    fmt::print(stderr, "error: {}\n", redact(error.message()));
    if (!error.hint().empty())
        fmt::print(stderr, "hint: {}\n", redact(error.hint()));
}

/// Lines of the terminal, or of a script.
class Lines {
  public:
    Lines(Session& session, bool terminal) {
        if (terminal)
            editor_ = std::make_unique<Editor>(
                [&session](const std::string& line) { return complete(session, line); });
    }
    bool terminal() const { return editor_ != nullptr; }

    Editor::Ended read(const std::string& prompt, std::string& line) {
        if (editor_)
            return editor_->read(prompt, line);
        if (peeked_) {
            line = std::move(*peeked_);
            peeked_.reset();
            return Editor::Ended::line;
        }
        return std::getline(std::cin, line) ? Editor::Ended::line : Editor::Ended::end;
    }
    /// A script's next line, without taking it.
    std::string peek() {
        std::string line;
        if (!peeked_ && std::getline(std::cin, line))
            peeked_ = line;
        return peeked_.value_or("");
    }
    void remember(const std::string& entry) {
        if (editor_)
            editor_->remember(entry);
    }

  private:
    std::unique_ptr<Editor> editor_;
    std::optional<std::string> peeked_;
};

class Prompt {
  public:
    Prompt(Session& session, bool terminal) : session_(session), lines_(session, terminal) {
        const view::Settings settings = view::settings_for(stdout);
        view_.style.unicode = settings.unicode;
        view_.style.colour = settings.colour;
        columns_ = settings.columns;
        view_.timing = terminal;
    }

    int run() {
        std::string line;
        while (!view_.quit) {
            const Editor::Ended ended = lines_.read(prompt(), line);
            if (ended == Editor::Ended::end)
                break;
            if (ended == Editor::Ended::interrupted)
                continue;
            const Input kind = kind_of(line);
            if (kind == Input::nothing)
                continue;
            if (!whole(kind, line))
                continue;
            if (!handle(kind, line) && !lines_.terminal())
                return engine::failed;
        }
        if (lines_.terminal() && !view_.quit)
            print("\n");
        return 0;
    }

  private:
    /// With the server's name once for each connection, and short from then on.
    std::string prompt() {
        const Connection* connection = session_.current();
        if (!connection)
            return "runbook> ";
        const std::string state =
            fmt::format("{}{}{}", connection->name, connection->read_write, connection->url);
        if (state == introduced_)
            return connection->name + "> ";
        introduced_ = state;
        return fmt::format("{} ({}, {} {})> ", connection->name,
                           connection->read_write ? "read-write" : "read-only",
                           db::flavour_name(connection->server.flavour),
                           connection->server.version);
    }

    bool wants_more(Input kind, const std::string& text) {
        if (kind == Input::lua)
            return session_.lua_incomplete(text);
        if (kind != Input::sql)
            return false;
        if (!sql_complete(text))
            return true;
        // A script may go on with a clause on the next line.
        return !lines_.terminal() && !text::trim(text).ends_with(';') &&
               continues_sql(lines_.peek());
    }

    /// Adds lines until the entry is complete; false where Ctrl-C dropped it.
    bool whole(Input kind, std::string& text) {
        while (wants_more(kind, text)) {
            std::string next;
            const Editor::Ended ended = lines_.read("   ...> ", next);
            if (ended == Editor::Ended::interrupted)
                return false;
            if (ended == Editor::Ended::end)
                return true; // what is missing is said by whoever runs it
            text += "\n" + next;
        }
        return true;
    }

    bool handle(Input kind, const std::string& line) {
        session_.take_trace();
        view_.style.width = lines_.terminal() ? static_cast<std::size_t>(columns_()) : 0;
        bool fine = true;
        try {
            if (kind == Input::command)
                print(redact(run_command(session_, view_, line)));
            else if (kind == Input::sql)
                sql(line);
            else
                lua(line);
        } catch (const Error& error) {
            fine = false;
            if (error.kind() == "cancelled" || error.kind() == "db.cancelled")
                fmt::print(stderr, "cancelled\n");
            else
                print_error(advised(error, kind, line));
            if (const std::string trace = session_.take_trace(); vm::whole_stack)
                for (const std::string& frame : text::split(redact(trace), '\n'))
                    if (!frame.empty())
                        fmt::print(stderr, "    {}\n", frame);
        }
        lines_.remember(line);
        return fine;
    }

    /// The same error with the hint that helps at a prompt.
    Error advised(const Error& error, Input kind, const std::string& line) {
        const Connection* connection = session_.current();
        if (error.kind() == "db.read_only" && connection && !connection->read_write)
            return {error.kind(), error.message(),
                    ":read-write reopens the connection for writing"};
        if (kind == Input::lua && error.kind() == "load" && error.hint().empty())
            if (const std::string verb = nearest_verb(line); !verb.empty())
                return {error.kind(), error.message(),
                        fmt::format("did you mean '{}'? It was read as Lua", verb)};
        return error;
    }

    void sql(const std::string& text) {
        for (std::string statement : sql_statements(text)) {
            statement = described(statement);
            if (statement.starts_with('\\')) {
                print(redact(run_command(session_, view_, statement)));
                continue;
            }
            const Outcome outcome = session_.sql(statement);
            session_.done().push_back(
                {true, session_.current()->name, statement, outcome.has_rows});
            print(redact(show_outcome(outcome, view_)));
        }
    }

    /// `desc orders` where the server does not know it.
    std::string described(const std::string& statement) {
        const std::size_t blank = statement.find(' ');
        const std::string word = text::lower(statement.substr(0, blank));
        const Connection* connection = session_.current();
        if ((word != "desc" && word != "describe") || blank == std::string::npos || !connection ||
            connection->handle->url().engine == db::Engine::mysql)
            return statement;
        return "\\d " + text::trim(statement.substr(blank));
    }

    void lua(const std::string& text) {
        const std::vector<Value> values = session_.lua(text);
        for (const Value& value : values)
            print(redact(format_result(value, view_.style)));
        if (!text::trim(text).starts_with("help"))
            session_.done().push_back({false, "", text::trim(text), false});
    }

    Session& session_;
    Lines lines_;
    View view_;
    std::function<int()> columns_;
    std::string introduced_;
};

void run_file(Session& session, const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file)
        throw Error("usage", fmt::format("{}: no such file, or it cannot be read", path));
    session.lua(text.str(), path);
}

} // namespace

int run(engine::RegisterBindings register_bindings, const Options& options) {
    const secret::Use leases(
        [](const std::string& text) { fmt::print(stderr, "warning: {}\n", redact(text)); });
    Session session(register_bindings, print);
    for (const auto& [name, url] : options.connect)
        session.connect(name, url, options.read_write);
    if (options.connect.size() > 1)
        session.use(options.connect.front().first);
    if (!options.file.empty())
        run_file(session, options.file);
    const bool terminal = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
    return Prompt(session, terminal).run();
}

} // namespace runbook::repl
