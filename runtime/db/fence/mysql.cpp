// The fence of MySQL and MariaDB: what their accounts may write in this database is recorded, then
// revoked, then their sessions are ended: an open session keeps a schema's privileges until it
// ends. Neither engine revokes in a transaction, so every step may be done again.
#include "runtime/base/text.h"
#include "runtime/db/fence/detail.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>

namespace runbook::db::fence {
namespace {

constexpr std::array<std::string_view, 10> writing = {
    "INSERT", "UPDATE", "DELETE",  "CREATE", "DROP",
    "ALTER",  "INDEX",  "TRIGGER", "EVENT",  "DELETE HISTORY"};
constexpr std::array<std::string_view, 4> system_users = {"mysql.sys", "mysql.session",
                                                          "mysql.infoschema", "mariadb.sys"};

/// One line of SHOW GRANTS about a schema, a table, or everything.
struct Grant {
    std::string account, object, statement;
    std::vector<std::string> words; ///< those that write
    bool global = false, pattern = false;
};

struct Account {
    std::string user, text; ///< text as SQL has it: 'app'@'%'
};

std::string quoted_text(const std::string& text) {
    std::string out = "'";
    for (char c : text) {
        if (c == '\'' || c == '\\')
            out += c;
        out += c;
    }
    return out + "'";
}

/// The user in 'app'@'%'.
std::string user_of(const std::string& account) {
    return account.substr(1, account.find('\'', 1) - 1);
}

/// Accounts and roles of the server that the fence is for.
std::vector<Account> accounts(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    const std::string own =
        ask_one(connection, "select substring_index(current_user(), '@', 1) as u", {}, cancel)
            .text("u");
    std::vector<Account> list;
    const bool mariadb = connection.server().flavour == Flavour::mariadb;
    for (const Map& row :
         ask(connection,
             mariadb ? "select user as u, host as h, is_role = 'Y' as r from mysql.user"
                     : "select user as u, host as h, 0 as r from mysql.user",
             cancel)) {
        const std::string user = row.text("u");
        const auto is_in = [&](const std::vector<std::string>& names) {
            return std::find(names.begin(), names.end(), user) != names.end();
        };
        if (options.roles.empty()
                ? user == own || is_in(options.except) || user.empty() || user == "PUBLIC" ||
                      std::find(system_users.begin(), system_users.end(), user) !=
                          system_users.end()
                : !is_in(options.roles))
            continue;
        list.push_back({user, row.integer("r") != 0
                                  ? quoted_text(user)
                                  : quoted_text(user) + "@" + quoted_text(row.text("h"))});
    }
    for (const std::string& role : options.roles)
        if (role == own)
            refuse(connection,
                   fmt::format("'{}' is the user that the fence's connection logs in as", role),
                   "the fence needs a user of its own, with GRANT OPTION on the database");
        else if (std::none_of(list.begin(), list.end(),
                              [&](const Account& one) { return one.user == role; }))
            refuse(connection, fmt::format("there is no user '{}' to fence", role),
                   "write the name without its host");
    return list;
}

/// A grant's name of a schema against ours; `pattern` is set where it reaches other schemas too.
bool names_schema(std::string_view granted, const std::string& database, bool& pattern) {
    std::string plain;
    bool open_end = false;
    for (std::size_t i = 0; i < granted.size(); ++i) {
        if (granted[i] == '\\' && i + 1 < granted.size())
            plain += granted[++i];
        else if (granted[i] == '%')
            open_end = true;
        else
            plain += granted[i];
    }
    if (!open_end)
        return plain == database;
    pattern = database.starts_with(plain);
    return pattern;
}

/// "SELECT, INSERT (`a`, `b`)" split at the commas outside of brackets.
std::vector<std::string> privilege_words(const std::string& list) {
    std::vector<std::string> words;
    std::string word;
    int depth = 0;
    for (char c : list) {
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (c == ',' && depth == 0) {
            words.push_back(text::trim(word));
            word.clear();
        } else {
            word += c;
        }
    }
    words.push_back(text::trim(word));
    return words;
}

/// The grants of an account that let it write in this database; roles that it has been given go
/// into `roles`.
std::vector<Grant> grants_of(Connection& connection, const std::string& account,
                             std::vector<std::string>* roles, Cancel& cancel) {
    std::vector<Grant> found;
    const std::string& database = connection.url().name;
    auto cursor = connection.query("show grants for " + account, {}, {}, cancel);
    std::vector<std::string> lines;
    while (BatchPtr batch = cursor->next(cancel))
        for (std::size_t row = 0; row < batch->rows(); ++row)
            lines.emplace_back(batch->cell(row, 0).text);
    cursor.reset();
    for (const std::string& line : lines) {
        const auto on = line.find(" ON "), to = line.rfind(" TO ");
        if (!line.starts_with("GRANT ") || to == std::string::npos)
            continue;
        if (on == std::string::npos || on > to) {
            if (roles)
                roles->push_back(line.substr(6, to - 6));
            continue;
        }
        Grant grant{account, line.substr(on + 4, to - on - 4), line, {}, false, false};
        const auto dot = grant.object.find("`.");
        grant.global = grant.object == "*.*";
        if (!grant.global && (grant.object.front() != '`' || dot == std::string::npos ||
                              !names_schema(std::string_view(grant.object).substr(1, dot - 1),
                                            database, grant.pattern)))
            continue;
        const bool table_level = !grant.global && !grant.object.ends_with(".*");
        for (const std::string& word : privilege_words(line.substr(6, on - 6))) {
            const std::string base = text::trim(word.substr(0, word.find('(')));
            if (base == "ALL PRIVILEGES") {
                for (std::string_view each : writing)
                    if (!(table_level && each == "EVENT") &&
                        !(each == "DELETE HISTORY" &&
                          connection.server().flavour != Flavour::mariadb))
                        grant.words.emplace_back(each);
            } else if (std::find(writing.begin(), writing.end(), base) != writing.end()) {
                grant.words.push_back(word);
            }
        }
        if (!grant.words.empty())
            found.push_back(std::move(grant));
    }
    return found;
}

void end_sessions(Connection& connection, const std::set<std::string>& users,
                  const FenceOptions& options, std::int64_t& ended, Cancel& cancel) {
    if (users.empty())
        return;
    List list;
    std::string marks;
    for (const std::string& user : users) {
        list.emplace_back(user);
        marks += marks.empty() ? "?" : ", ?";
    }
    const std::string sql = "select id from information_schema.processlist where user in (" +
                            marks + ") and id <> connection_id()";
    const std::vector<Value> params(list.begin(), list.end());
    std::set<std::int64_t> before;
    for (const Map& row : ask(connection, sql, params, cancel))
        before.insert(row.integer("id"));
    for (std::int64_t id : before) {
        try {
            tell(connection, fmt::format("kill {}", id), cancel);
            ++ended;
        } catch (const Error& error) {
            if (error.message().find("(1094)") == std::string::npos) // gone by itself
                throw;
        }
    }
    const auto until = std::chrono::steady_clock::now() + options.within;
    while (true) {
        bool left = false;
        for (const Map& row : ask(connection, sql, params, cancel))
            left = left || before.contains(row.integer("id"));
        if (!left)
            return;
        if (std::chrono::steady_clock::now() > until)
            throw Error(
                "db.lock_timeout",
                fmt::format("{}: sessions that were told to end are still undoing their "
                            "work after {}",
                            connection.url().masked(),
                            text::duration(std::chrono::duration<double>(options.within).count())),
                "run the step again, with a longer `within`");
        cancel.check("the end of other sessions");
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

/// Revokes what was found, after it was recorded.
void take(Connection& connection, const std::string& name, const Grant& grant, Cancel& cancel) {
    if (ask(connection,
            "select 1 from _runbook_fence where fence = ? and object = ? and grantee = ?",
            {name, grant.object, grant.account}, cancel)
            .empty())
        tell(connection,
             "insert into _runbook_fence (fence, object, grantee, statement) values (?, ?, ?, ?)",
             {name, grant.object, grant.account, grant.statement}, cancel);
    tell(connection,
         fmt::format("revoke {} on {} from {}", text::join(grant.words, ", "), grant.object,
                     grant.account),
         cancel);
}

} // namespace

std::optional<std::string> leak_mysql(Connection& connection, const FenceOptions& options,
                                      Cancel& cancel) {
    for (const Account& account : accounts(connection, options, cancel)) {
        std::vector<std::string> open{account.text};
        for (std::size_t i = 0; i < open.size() && i < 50; ++i) {
            std::vector<std::string> roles;
            for (const Grant& grant : grants_of(connection, open[i], &roles, cancel))
                if (!grant.global || !options.roles.empty())
                    return fmt::format("{} may {} on {}{}", account.text, grant.words.front(),
                                       grant.object, i == 0 ? "" : " by the role " + open[i]);
            for (const std::string& list : roles)
                for (const std::string& role : privilege_words(list))
                    open.push_back(role);
        }
    }
    return std::nullopt;
}

Map close_mysql(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    const std::string name = name_of(options);
    if (connection.url().name.empty())
        refuse(connection, "the URL names no database to fence",
               "write mysql://user@host/database");
    std::vector<Grant> grants;
    std::set<std::string> users;
    for (const Account& account : accounts(connection, options, cancel)) {
        for (Grant& grant : grants_of(connection, account.text, nullptr, cancel)) {
            if (grant.global && options.roles.empty())
                continue; // an administrator of the server: the proof sees what it does
            if (grant.global)
                refuse(connection,
                       fmt::format("{} may {} on every database: taking that away would reach "
                                   "beyond this one",
                                   account.text, grant.words.front()),
                       "grant the application its privileges on its own database");
            if (grant.pattern)
                refuse(connection,
                       fmt::format("{} has its privileges on {}, which names other databases too",
                                   account.text, grant.object),
                       "grant them on this database by its own name");
            users.insert(account.user);
            grants.push_back(std::move(grant));
        }
    }
    tell(connection,
         "create table if not exists _runbook_fence (fence varchar(190) not null, object "
         "varchar(190) not null, grantee varchar(200) not null, statement text not null, at "
         "timestamp not null default current_timestamp) engine = InnoDB default charset = utf8mb4",
         cancel);
    auto standing = header(connection, name, cancel);
    if (!standing)
        set_header(connection, name, Map{{"state", "closing"}}, cancel);
    else // an attempt that was interrupted: its sessions may still be there
        for (const Map& row :
             ask(connection,
                 "select distinct grantee from _runbook_fence where fence = ? and object <> ''",
                 {name}, cancel))
            users.insert(user_of(row.text("grantee")));
    std::set<std::string> objects;
    for (const Grant& grant : grants) {
        take(connection, name, grant, cancel);
        objects.insert(grant.object);
    }
    if (auto hole = leak_mysql(connection, options, cancel)) {
        open_mysql(connection, options, cancel);
        refuse(connection, *hole + " still; what was revoked is given back",
               "fence that role too, or revoke it");
    }
    std::int64_t ended = 0;
    end_sessions(connection, users, options, ended, cancel);
    List fenced;
    for (const std::string& user : users)
        fenced.emplace_back(user);
    return Map{{"fenced", std::move(fenced)}, {"tables", objects.size()}, {"ended", ended}};
}

Map open_mysql(Connection& connection, const FenceOptions& options, Cancel& cancel) {
    const std::string name = name_of(options);
    set_header(connection, name, Map{{"state", "opening"}}, cancel);
    List gone;
    std::int64_t given = 0, ended = 0;
    std::set<std::string> users;
    for (const Map& row :
         ask(connection,
             "select object, grantee, statement from _runbook_fence where fence = ? and object <> "
             "'' order by object, grantee",
             {name}, cancel)) {
        try {
            tell(connection, row.text("statement"), cancel);
            ++given;
            users.insert(user_of(row.text("grantee")));
        } catch (const Error& error) {
            // No such table; no such account, in the words of either server.
            bool known = false;
            for (const char* number : {"(1146)", "(1133)", "(1410)", "(1141)", "(3162)", "(1959)"})
                known = known || error.message().find(number) != std::string::npos;
            if (!known)
                throw;
            gone.emplace_back(row.text("object") + " for " + row.text("grantee"));
        }
    }
    // A session that began behind the fence would stay without the privileges until its end.
    end_sessions(connection, users, options, ended, cancel);
    forget(connection, name, cancel);
    return Map{{"given_back", given}, {"gone", std::move(gone)}, {"ended", ended}};
}

} // namespace runbook::db::fence
