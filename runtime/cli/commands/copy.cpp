// `runbook copy` and `verify`: the native engines directly.
#include "runtime/transfer/copy/copy.h"
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/cli/passwords.h"
#include "runtime/cli/rules_file.h"
#include "runtime/cli/working.h"
#include "runtime/transfer/copy/settings.h"
#include "runtime/transfer/verify/repair_file.h"
#include "runtime/transfer/verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>

namespace runbook::cli {

namespace {

struct Ends {
    db::Url source, target;
};

Ends ends_of(const Arguments& arguments) {
    const std::string &source = arguments.positional[0], &target = arguments.positional[1];
    Ends ends{database_argument(source, "source", "SOURCE"),
              database_argument(target, "target", "TARGET")};
    warn_of_passwords({{"source", source}, {"target", target}}, "");
    return ends;
}

/// What is refused before a row is written is exit 2; what went wrong later is 1.
bool before_the_start(const Error& error) {
    static const std::vector<std::string> kinds = {
        "usage",        "argument",      "copy.refused",   "db.connection", "db.auth",
        "db.not_empty", "db.permission", "db.unsupported", "file.exists"};
    return std::find(kinds.begin(), kinds.end(), error.kind()) != kinds.end();
}

/// Runs the work with Ctrl-C and progress; its exit code, or 1 where it failed half-way.
template <class Work>
int with_progress(const std::string& output, Work work, const bool* begun = nullptr) {
    Interrupts interrupts;
    const ProgressPtr progress = show_progress(output);
    try {
        return work(progress, interrupts.cancel());
    } catch (const Error& error) {
        end_progress(progress);
        if (before_the_start(error) && !(begun && *begun))
            throw;
        print_error(error);
        return engine::failed;
    }
}

std::map<std::string, std::int64_t> settings_of(const Arguments& arguments) {
    std::map<std::string, std::int64_t> settings;
    for (const std::string& given : arguments.all("setting")) {
        const std::size_t equals = given.find('=');
        std::int64_t number = 0;
        const char* end = given.data() + given.size();
        const char* begin = equals == std::string::npos ? end : given.data() + equals + 1;
        const auto [stop, error] = std::from_chars(begin, end, number);
        if (error != std::errc() || stop != end)
            throw Error("usage", "--setting needs NAME=NUMBER, got '" + given + "'",
                        "for example --setting net_read_timeout=120");
        settings[given.substr(0, equals)] = number;
    }
    copy::check_settings(settings);
    return settings;
}

double duration_option(const Arguments& arguments, const std::string& name, double otherwise) {
    if (!arguments.has(name))
        return otherwise;
    const std::string given = arguments.text(name);
    if (given == "0")
        return 0;
    if (const std::optional<double> seconds = text::parse_duration(given))
        return *seconds;
    throw Error("usage", fmt::format("option --{}: a duration such as 90s or 2h expected, got '{}'",
                                     name, given));
}

std::string count(std::int64_t number) {
    return text::grouped(number);
}

std::string text_of(const copy::CopyResult& result) {
    std::vector<std::vector<std::string>> rows = {{"table", "rows", "bytes", "time"}};
    for (const copy::TableCopied& table : result.tables)
        rows.push_back(
            {table.table, count(table.rows), text::bytes(table.bytes), text::clock(table.seconds)});
    std::string out = aligned(rows);
    for (const copy::ReportEntry& entry : result.report)
        if (!entry.reason.empty())
            out += fmt::format("{} {}: {}: {}\n", entry.kind, entry.object, entry.outcome,
                               entry.reason);
    for (const copy::Finding& finding : result.findings)
        out += "warning: " + finding.text() + "\n";
    if (result.rejected > 0)
        out += fmt::format("rejected: {} row{} in _runbook_rejects of the target\n",
                           count(result.rejected), result.rejected == 1 ? "" : "s");
    if (result.resumed)
        out += fmt::format("gone on with the copy {}: {} rows were there already\n", result.run,
                           count(result.resumed_rows));
    if (!result.restarted.empty())
        out += fmt::format("begun anew: the unfinished copy {} was dropped: {}\n", result.restarted,
                           result.why_restarted);
    const double rate = result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0;
    return out + fmt::format("copied {} rows of {} table{}, {}, in {} ({} rows/s)\n",
                             count(result.rows), result.tables.size(),
                             result.tables.size() == 1 ? "" : "s", text::bytes(result.bytes),
                             text::clock(result.seconds), count(static_cast<std::int64_t>(rate)));
}

std::string text_of(const verify::Result& result) {
    std::vector<std::vector<std::string>> rows = {
        {"table", "rows", "missing", "extra", "changed", "unsettled", "by"}};
    for (const verify::TableResult& table : result.tables)
        rows.push_back({table.table, count(table.source_rows), count(table.missing),
                        count(table.extra), count(table.changed), count(table.unsettled),
                        table.method});
    std::string out = aligned(rows);
    for (const verify::Sample& sample : result.samples)
        out += sample.text() + "\n";
    for (const verify::Unchecked& table : result.unchecked)
        out += fmt::format("not compared: {}: {}\n", table.table, table.reason);
    for (const std::string& table : result.only_in_target)
        out += fmt::format("only in the target: {}\n", table);
    for (const std::string& column : result.omitted_columns)
        out += fmt::format("column left out: {}\n", column);
    if (result.passed())
        return out + fmt::format("equal: {} rows of {} table{}, every column, in {}\n",
                                 count(result.rows), result.tables.size(),
                                 result.tables.size() == 1 ? "" : "s", text::clock(result.seconds));
    if (result.mismatches() == 0 && result.unsettled == 0)
        return out + fmt::format("not proven: nothing differs in what was compared, which is "
                                 "{:.1f} % of the rows\n",
                                 result.coverage * 100);
    return out +
           fmt::format("different: {} missing, {} extra, {} changed, {} unsettled of {} rows\n",
                       count(result.missing), count(result.extra), count(result.changed),
                       count(result.unsettled), count(result.rows));
}

} // namespace

int run_copy(const Context&, const Arguments& arguments) {
    const Ends ends = ends_of(arguments);
    copy::Options options;
    options.streams = arguments.number("streams", options.streams);
    options.include = arguments.all("table");
    options.exclude = arguments.all("exclude");
    options.schema = arguments.text("schema");
    options.charset = arguments.text("charset");
    options.collation = arguments.text("collation");
    options.rules = rules_of(arguments);
    options.settings = settings_of(arguments);
    options.schema_only = arguments.has("schema-only");
    options.data_only = arguments.has("data-only");
    if (options.schema_only && options.data_only)
        throw Error("usage", "--schema-only and --data-only exclude each other");
    options.rate_bytes_s = arguments.has("rate") ? arguments.number("rate", 1) : 0;
    options.chunk_bytes = arguments.number("chunk-bytes", static_cast<int>(options.chunk_bytes));
    if (options.chunk_bytes < 1'000'000)
        throw Error("usage", "option --chunk-bytes: at least 1000000 expected");
    options.rejects = arguments.has("rejects") ? arguments.number("rejects", 1) : 0;
    options.reject_file = arguments.text("reject-file");
    if (!options.reject_file.empty() && options.rejects == 0)
        throw Error("usage", "--reject-file needs --rejects N");
    options.snapshot_age_s = duration_option(arguments, "snapshot-age", options.snapshot_age_s);
    options.lag_limit_s = duration_option(arguments, "lag-limit", options.lag_limit_s);
    options.load_limit = arguments.has("load-limit") ? arguments.number("load-limit", 1) : 0;
    for (const std::string& replica : arguments.all("replica"))
        options.replicas.push_back(database_argument(replica, "replica", "--replica"));
    if (arguments.has("resume") && arguments.has("anew"))
        throw Error("usage", "--resume and --anew exclude each other");
    if (arguments.has("resume"))
        options.resume = copy::Resume::always;
    if (arguments.has("anew"))
        options.resume = copy::Resume::never;
    if (arguments.has("fenced") || arguments.has("fenced-role")) {
        options.fence = copy::Fence{ends.source, {}};
        options.fence->options.roles = arguments.all("fenced-role");
    }
    const std::string output = output_or_default(arguments.text("output"));
    bool begun = false;
    options.on_begin = [&begun] { begun = true; };
    return with_progress(
        output,
        [&](const ProgressPtr& progress, Cancel& cancel) {
            if (arguments.has("plan")) {
                fmt::print("{}", copy::plan(ends.source, ends.target, options, cancel));
                return 0;
            }
            const copy::CopyResult result =
                copy::copy_database(ends.source, ends.target, options, progress, cancel);
            end_progress(progress);
            if (output == "json")
                print_event("copy.finished", copy::to_map(result));
            else
                fmt::print("{}", redact(text_of(result)));
            return 0;
        },
        &begun);
}

int run_verify(const Context&, const Arguments& arguments) {
    const Ends ends = ends_of(arguments);
    verify::Options options;
    options.mode = verify::parse_mode(arguments.text("mode", "full"));
    options.sample = arguments.number("sample", static_cast<int>(options.sample));
    options.tables = arguments.all("table");
    options.exclude = arguments.all("exclude");
    options.schema = arguments.text("schema");
    options.show_values = !arguments.has("hide-values");
    options.rules = rules_of(arguments);
    const std::string output = output_or_default(arguments.text("output"));
    return with_progress(output, [&](const ProgressPtr& progress, Cancel& cancel) {
        std::unique_ptr<verify::RepairFile> file;
        if (arguments.has("repair")) {
            file = std::make_unique<verify::RepairFile>(arguments.text("repair"), ends.source,
                                                        ends.target);
            options.repair = [&](const std::string& sql) { file->write(sql); };
        }
        const verify::Result result =
            verify::verify_database(ends.source, ends.target, options, progress, cancel);
        end_progress(progress);
        if (output == "json")
            print_event("verify.finished", verify::to_map(result));
        else
            fmt::print("{}", redact(text_of(result)));
        if (file) {
            const std::string told = file->end(result.repairs, result.not_repaired);
            if (output != "json")
                fmt::print("{}\n", told);
        }
        return result.passed() ? engine::succeeded : engine::failed;
    });
}

} // namespace runbook::cli
