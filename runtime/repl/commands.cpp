#include "runtime/repl/commands.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/repl/export.h"
#include "runtime/repl/session.h"

#include <fmt/format.h>

#include <cmath>

namespace runbook::repl {

namespace {

constexpr std::string_view help_text =
    "A line is SQL when it starts with an SQL word, and Lua otherwise. SQL runs at the end of a "
    "line that is\n"
    "complete, or at `;`. Each connection is a Lua name: db.query(prod, \"select 1\").\n"
    "\n"
    "  :connections          what is open\n"
    "  :connect NAME=URL     open a database; RUNBOOK_<NAME>_PASSWORD gives the password\n"
    "  :use NAME             SQL lines go there from now on\n"
    "  :read-write           reopen the current connection so that it may write\n"
    "  :read-only            reopen it so that the server refuses to\n"
    "  :timing               show times, or not\n"
    "  :expanded             one block a row, or tables\n"
    "  :export FILE          what was done, as a playbook to work on\n"
    "  :help                 this text; help() in Lua lists the functions\n"
    "  :quit                 leave; Ctrl-D too\n"
    "  \\d [TABLE]            tables, or the columns of one\n"
    "  \\l                    databases\n"
    "\n"
    "Ctrl-C cancels the statement in the server, not the session. Tab completes.\n";

struct Line {
    std::string word, argument;
};

Line parse(const std::string& line) {
    const std::string trimmed = text::trim(line);
    const std::size_t blank = trimmed.find(' ');
    Line out{trimmed.substr(0, blank), ""};
    if (blank != std::string::npos)
        out.argument = text::trim(trimmed.substr(blank));
    while (out.argument.ends_with(';'))
        out.argument.pop_back();
    return out;
}

std::string need(const Line& line, const char* what) {
    if (line.argument.empty())
        throw Error("usage", fmt::format("{} needs {}", line.word, what),
                    ":help lists the commands");
    return line.argument;
}

Connection& connected(Session& session) {
    if (!session.current())
        throw Error("usage", "no connection is open", ":connect NAME=URL opens one");
    return *session.current();
}

std::string describe(const Connection& connection) {
    return fmt::format("{} {}", db::flavour_name(connection.server.flavour),
                       connection.server.version);
}

std::string connections(Session& session, const View& view) {
    if (session.connections().empty())
        return "no connection is open; :connect NAME=URL opens one\n";
    Grid grid{{"name", "server", "session", "database", "tls"}, {}};
    for (const auto& connection : session.connections()) {
        const bool current = connection.get() == session.current();
        grid.rows.push_back(
            {connection->name + (current ? " *" : ""), describe(*connection),
             connection->read_write ? "read-write" : "read-only",
             connection->handle->url().masked(),
             connection->server.tls_cipher.empty() ? "no" : connection->server.tls_cipher});
    }
    return format_grid(grid, view.style);
}

std::string connect(Session& session, const Line& line) {
    const std::string argument = need(line, "NAME=URL");
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos || equals == 0)
        throw Error("usage", ":connect needs NAME=URL",
                    "for example :connect prod=postgres://ops@db1/shop");
    session.connect(argument.substr(0, equals), argument.substr(equals + 1), false);
    return fmt::format("{}: {}, read-only\n", session.current()->name,
                       describe(*session.current()));
}

std::string set_read_write(Session& session, bool read_write) {
    session.set_read_write(read_write);
    return fmt::format("{} is {} now\n", session.current()->name,
                       read_write ? "read-write" : "read-only");
}

const char* tables_query(db::Engine engine) {
    switch (engine) {
    case db::Engine::postgresql:
        return "select n.nspname as schema, c.relname as name, case c.relkind when 'r' then "
               "'table' when 'p' "
               "then 'partitioned table' when 'v' then 'view' when 'm' then 'materialized view' "
               "when 'f' then "
               "'foreign table' else 'sequence' end as kind, case when c.reltuples < 0 then null "
               "else "
               "c.reltuples::bigint end as \"rows, about\", pg_total_relation_size(c.oid) as bytes "
               "from pg_class c join pg_namespace n on n.oid = c.relnamespace "
               "where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', "
               "'information_schema') and n.nspname not like 'pg_toast%' order by 1, 2";
    case db::Engine::mysql:
        return "select table_name as name, lower(table_type) as kind, table_rows as `rows, about`, "
               "data_length + index_length as bytes from information_schema.tables "
               "where table_schema = database() order by 1";
    default:
        return "select name, type as kind from sqlite_master where type in ('table', 'view') and "
               "name not "
               "like 'sqlite_%' order by 1";
    }
}

const char* columns_query(db::Engine engine) {
    switch (engine) {
    case db::Engine::postgresql:
        return "select a.attname as \"column\", format_type(a.atttypid, a.atttypmod) as type, case "
               "when "
               "a.attnotnull then 'no' else 'yes' end as \"null\", pg_get_expr(d.adbin, d.adrelid) "
               "as "
               "\"default\" from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid "
               "and d.adnum "
               "= a.attnum where a.attrelid = cast(? as text)::regclass and a.attnum > 0 and not "
               "a.attisdropped order by a.attnum";
    case db::Engine::mysql:
        return "select column_name as `column`, column_type as type, lower(is_nullable) as `null`, "
               "column_default as `default`, column_key as `key` from information_schema.columns "
               "where table_schema = database() and table_name = ? order by ordinal_position";
    default:
        return "select name as \"column\", type, case \"notnull\" when 1 then 'no' else 'yes' end "
               "as \"null\", "
               "dflt_value as \"default\", pk as \"key\" from pragma_table_info(?)";
    }
}

std::string tables(Session& session, const View& view, const Line& line) {
    const db::Engine engine = connected(session).handle->url().engine;
    View plain = view;
    plain.timing = false;
    if (line.argument.empty())
        return show_outcome(session.sql(tables_query(engine)), plain);
    const Outcome found = session.sql(columns_query(engine), {Value(line.argument)});
    if (found.grid.rows.empty())
        throw Error("usage",
                    fmt::format("there is no table '{}'{}", line.argument,
                                text::did_you_mean(line.argument, session.database_names())),
                    "\\d lists the tables");
    return show_outcome(found, plain);
}

std::string databases(Session& session, const View& view) {
    View plain = view;
    plain.timing = false;
    switch (connected(session).handle->url().engine) {
    case db::Engine::postgresql:
        return show_outcome(
            session.sql("select datname as name, pg_get_userbyid(datdba) as owner from "
                        "pg_database where not datistemplate order by 1"),
            plain);
    case db::Engine::mysql:
        return show_outcome(
            session.sql("select schema_name as name from information_schema.schemata order by 1"),
            plain);
    default:
        return show_outcome(session.sql("select name, file from pragma_database_list"), plain);
    }
}

std::string rows_text(std::int64_t count) {
    return text::grouped(count) + (count == 1 ? " row" : " rows");
}

std::string time_text(double seconds) {
    if (seconds < 1)
        return fmt::format("{} ms", std::lround(seconds * 1000));
    return seconds < 60 ? fmt::format("{:.1f} s", seconds) : text::clock(seconds);
}

} // namespace

std::string show_outcome(const Outcome& outcome, const View& view) {
    std::string out, foot;
    if (outcome.has_rows) {
        Style style = view.style;
        if (view.expanded)
            style.width = 1;
        out = format_grid(outcome.grid, style);
        const auto count = static_cast<std::int64_t>(outcome.grid.rows.size());
        foot = outcome.more
                   ? fmt::format("{} shown, there are more: limit the statement, or read them "
                                 "in Lua with db.rows",
                                 rows_text(count))
                   : rows_text(count);
    } else {
        for (const std::string& warning : outcome.executed.warnings)
            out += "warning: " + warning + "\n";
        foot = outcome.executed.rows_affected > 0
                   ? rows_text(outcome.executed.rows_affected) + " changed"
                   : std::string("done");
    }
    if (view.timing)
        foot += ", " + time_text(outcome.seconds);
    return out + "(" + foot + ")\n";
}

std::vector<std::string> command_names() {
    return {"connections", "connect",  "use",    "read-write", "read-only",
            "timing",      "expanded", "export", "help",       "quit"};
}

std::string run_command(Session& session, View& view, const std::string& text) {
    const Line line = parse(text);
    const std::string& word = line.word;
    if (word == ":help" || word == "\\?")
        return std::string(help_text);
    if (word == ":quit" || word == ":q" || word == "\\q") {
        view.quit = true;
        return {};
    }
    if (word == ":connections")
        return connections(session, view);
    if (word == ":connect")
        return connect(session, line);
    if (word == ":use" || word == "\\c") {
        session.use(need(line, "NAME"));
        return {};
    }
    if (word == ":read-write" || word == ":read-only")
        return set_read_write(session, word == ":read-write");
    if (word == ":timing" || word == "\\timing") {
        view.timing = !view.timing;
        return fmt::format("timing is {}\n", view.timing ? "on" : "off");
    }
    if (word == ":expanded" || word == "\\x") {
        view.expanded = !view.expanded;
        return fmt::format("expanded is {}\n", view.expanded ? "on" : "off");
    }
    if (word == ":export")
        return export_playbook(session, need(line, "FILE"));
    if (word == "\\d" || word == "\\dt" || word == "\\d+")
        return tables(session, view, line);
    if (word == "\\l")
        return databases(session, view);
    std::vector<std::string> names;
    for (const std::string& name : command_names())
        names.push_back(":" + name);
    throw Error("usage",
                fmt::format("unknown command '{}'{}", word, text::did_you_mean(word, names)),
                ":help lists the commands");
}

} // namespace runbook::repl
