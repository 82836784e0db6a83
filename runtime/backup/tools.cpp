// What the engines share: finding and running tools, reading what they complain about.
#include "runtime/backup/engine.h"
#include "runtime/backup/files.h"
#include "runtime/backup/tree.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <array>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

namespace runbook::backup {
namespace {

struct Complaint {
    const char* part;
    const char* kind;
};
constexpr std::array complaints{
    Complaint{"permission denied for", "db.permission"},
    Complaint{"must be owner of", "db.permission"},
    Complaint{"command denied to user", "db.permission"},
    Complaint{"Access denied; you need", "db.permission"},
    Complaint{"' to database '", "db.permission"}, // 1044; 1045 is the password
    Complaint{"password authentication failed", "db.auth"},
    Complaint{"Access denied for user", "db.auth"},
    Complaint{"could not connect", "db.connection"},
    Complaint{"connection to server", "db.connection"},
    Complaint{"server closed the connection", "db.connection"},
    Complaint{"Can't connect to", "db.connection"},
    Complaint{"Lost connection to", "db.connection"},
    Complaint{"gone away", "db.connection"},
};

/// The line that says why: the first with an error in it, else the last.
std::string reason(const process::Result& result) {
    std::string last;
    for (const auto& line : text::split(result.err, '\n')) {
        std::string trimmed = text::trim(line);
        if (trimmed.empty())
            continue;
        last = trimmed;
        for (const char* sign : {"error:", "Error:", "ERROR", "Got error", "Couldn't"})
            if (trimmed.find(sign) != std::string::npos)
                return trimmed;
    }
    return last.empty() ? "it said nothing" : last;
}

const char* kind_of(const std::string& words) {
    for (const auto& complaint : complaints)
        if (words.find(complaint.part) != std::string::npos)
            return complaint.kind;
    return "backup.tool";
}

} // namespace

std::string find_tool(const std::string& given, const char* variable, const std::string& program,
                      const std::string& package) {
    if (!given.empty()) {
        std::string path = process::find_program(given);
        if (path.empty())
            throw Error("backup.tool", fmt::format("no program '{}'", given),
                        fmt::format("install {}, or name another in the option tool", package));
        return path;
    }
    const char* from_environment = std::getenv(variable);
    if (from_environment && *from_environment) {
        std::string path = process::find_program(from_environment);
        if (path.empty())
            throw Error("backup.tool",
                        fmt::format("{}: no program '{}'", variable, from_environment),
                        fmt::format("install {}, or set {} to where it is", package, variable));
        return path;
    }
    std::string path = process::find_program(program);
    if (path.empty())
        throw Error("backup.tool", fmt::format("no program '{}' in PATH", program),
                    fmt::format("install {}, or set {} or the option tool", package, variable));
    return path;
}

std::string tool_version(const std::string& tool, Cancel& cancel) {
    process::Command command;
    command.argv = {tool, "--version"};
    command.reads = true;
    command.timeout = std::chrono::seconds(30);
    std::string out = process::run(command, cancel).out;
    return text::trim(out.substr(0, out.find('\n')));
}

process::Result run_tool(const process::Command& given, const std::string& what, const db::Url& url,
                         Cancel& cancel) {
    process::Command command = given;
    command.expected = {}; // judged here
    process::Result result;
    try {
        result = process::run(command, cancel);
    } catch (const Error& error) {
        if (error.kind() != "shell.signal")
            throw;
        throw Error("backup.tool", fmt::format("{} {}: {}", what, url.masked(), error.message()));
    }
    // MySQL's tools exit 0 after some errors: a line that begins with one counts as well.
    bool complained = false;
    for (const auto& line : text::split(result.err, '\n'))
        for (const char* sign :
             {"mysqldump: Error", "mysqldump: Got error", "mysqldump: Couldn't",
              "mariadb-dump: Error", "mariadb-dump: Got error", "mariadb-dump: Couldn't"})
            complained |= line.starts_with(sign);
    if (result.exit == 0 && !complained)
        return result;
    std::string why = reason(result);
    throw Error(kind_of(why), fmt::format("{} {}: {}", what, url.masked(), redact(why)));
}

std::function<void()> size_reporter(const ProgressPtr& progress, const std::string& file) {
    if (!progress)
        return {};
    return [progress, file] {
        ProgressReport report;
        report.item = "dump";
        report.bytes = tree_size(file);
        progress->report(report);
    };
}

std::unique_ptr<db::Connection> open(const db::Url& url, db::Access access, Cancel& cancel) {
    db::ConnectOptions options;
    options.access = access;
    options.application_name = "runbook backup";
    return db::connect(url, options, cancel);
}

Value ask(db::Connection& connection, const std::string& sql, Cancel& cancel) {
    auto cursor = connection.query(sql, {}, {}, cancel);
    Value value;
    bool found = false;
    while (db::BatchPtr batch = cursor->next(cancel))
        if (!found && batch->rows() > 0) {
            value = batch->value(0, 0);
            found = true;
        }
    return value;
}

std::string scratch_name() {
    return "runbook_restore_" + digest::hex(digest::random(8));
}

} // namespace runbook::backup
