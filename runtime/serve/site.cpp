#include "runtime/serve/site.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/db/password.h"
#include "runtime/serve/backups.h"
#include "runtime/serve/metrics.h"
#include "runtime/serve/page.h"
#include "runtime/serve/status.h"
#include "runtime/view/report/report.h"

#include <charconv>
#include <fmt/format.h>

namespace runbook::serve {
namespace {

constexpr const char* json_type = "application/json; charset=utf-8";
constexpr const char* html_type = "text/html; charset=utf-8";
constexpr std::size_t all_runs = 1'000'000, shown_runs = 50, most_runs = 1000;
constexpr std::string_view runs_path = "/runs/";

Answer plain(int status, std::string text) {
    Answer answer;
    answer.status = status;
    answer.body = std::move(text) + "\n";
    return answer;
}

Answer as_json(const Map& map, int status = 200) {
    return {status, json_type, json::dump(redact(Value(map)), 2) + "\n", {}};
}

Answer as_html(const std::string& text) {
    return {200, html_type, redact(text), {}};
}

Map error_map(const Error& error) {
    Map map{{"kind", error.kind()}, {"message", error.message()}};
    if (!error.hint().empty())
        map.set("hint", error.hint());
    return map;
}

/// Says nothing of what is wrong with it: who has no token learns nothing here.
Answer unauthorized() {
    Answer answer = plain(401, "unauthorized");
    answer.headers = {{"WWW-Authenticate", "Bearer realm=\"runbook\""},
                      {"WWW-Authenticate", "Basic realm=\"runbook\", charset=\"UTF-8\""}};
    return answer;
}

/// ?limit=N of a request; nothing where it is no number from 1 to 1000.
std::optional<std::size_t> limit_of(const Request& request) {
    const std::string text = request.query("limit");
    if (text.empty())
        return shown_runs;
    std::size_t limit = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (failed != std::errc() || end != text.data() + text.size() || limit < 1 || limit > most_runs)
        return {};
    return limit;
}

void check(const config::Config& config) {
    const auto refuse = [&](int line, const std::string& what, const Error& error) {
        throw Error("load", fmt::format("{}:{}: {}: {}", config.file, line, what, error.message()),
                    error.hint());
    };
    for (const config::Connection& one : config.connections)
        try {
            db::parse_named(one.url, one.name);
        } catch (const Error& error) {
            refuse(one.line, "connections." + one.name, error);
        }
    for (const config::Backups& one : config.backups)
        try {
            source_of(config, one);
        } catch (const Error& error) {
            refuse(one.line, fmt::format("backups.{}.source", one.name), error);
        }
}

} // namespace

struct Site::Route {
    std::string_view path, also; ///< `also`: as the Firestore runbook names it
    Answer (Site::*answer)(const Request&);
    bool html = false; ///< an error is said in plain words, not as JSON
};

const Site::Route* Site::route_of(const std::string& path) {
    static const Route routes[] = {
        {"/", "", &Site::page, true},
        {"/health", "", &Site::health},
        {"/metrics", "/api/database/metrics", &Site::metrics},
        {"/api/database/health", "", &Site::database_health},
        {"/api/migration-status", "/api/database/migration-status", &Site::migration_status},
        {"/api/backup-status", "/api/database/backup-status", &Site::backup_status},
    };
    static const Route report{runs_path, "", &Site::report, true};
    for (const Route& route : routes)
        if (path == route.path || (!route.also.empty() && path == route.also))
            return &route;
    return path.starts_with(runs_path) && path.size() > runs_path.size() ? &report : nullptr;
}

Site::Site(Sources sources, Token token)
    : sources_(std::move(sources)), token_(std::move(token)),
      databases_(sources_.config.connections, sources_.folder) {
    check(sources_.config);
}

Answer Site::answer(const Request& request) {
    if (!token_.allows(request.authorization))
        return unauthorized();
    if (request.method != "GET" && request.method != "HEAD") {
        Answer answer = plain(405, "only GET and HEAD: nothing can be changed here");
        answer.headers = {{"Allow", "GET, HEAD"}};
        return answer;
    }
    const Route* route = route_of(request.path);
    if (!route)
        return plain(404, "nothing is here: try /");
    std::optional<Error> problem;
    try {
        return (this->*route->answer)(request);
    } catch (const Error& error) {
        problem = error;
    } catch (const std::exception& error) {
        problem = Error("internal", error.what());
    }
    if (route->html)
        return plain(503, redact(problem->message()));
    return as_json(Map{{"status", "failing"}, {"error", error_map(*problem)}}, 503);
}

Answer Site::health(const Request&) {
    const auto journal = sources_.journal();
    journal->listed(1); // it can be opened, and read
    return as_json(
        Map{{"status", "ok"}, {"version", RUNBOOK_VERSION}, {"journal", journal->name()}});
}

Answer Site::database_health(const Request&) {
    const Map found = databases_.look();
    return as_json(found, found.text("status") == "failing" ? 503 : 200);
}

Answer Site::migration_status(const Request& request) {
    const std::optional<std::size_t> limit = limit_of(request);
    if (!limit)
        return as_json(Map{{"error", Map{{"kind", "usage"},
                                         {"message", fmt::format("limit: a number from 1 to {}",
                                                                 most_runs)}}}},
                       400);
    const auto journal = sources_.journal();
    return as_json(status_of(overview_.look(*journal, *limit), journal->name()));
}

Answer Site::backup_status(const Request&) {
    return as_json(serve::backup_status(look_at_backups(sources_.config, sources_.folder)));
}

Answer Site::metrics(const Request&) {
    std::optional<std::vector<Seen>> runs;
    try {
        runs = overview_.look(*sources_.journal(), all_runs);
    } catch (const Error&) {
        runs.reset(); // the metrics themselves say so; /health says why
    }
    return {200,
            Metrics::content_type,
            redact(metrics_of(runs ? &*runs : nullptr,
                              look_at_backups(sources_.config, sources_.folder))),
            {}};
}

Answer Site::page(const Request&) {
    const auto journal = sources_.journal();
    return as_html(page_of(overview_.look(*journal, shown_runs), journal->name()));
}

Answer Site::report(const Request& request) {
    const auto journal = sources_.journal();
    const std::string id = request.path.substr(runs_path.size());
    const auto run = journal->find(id);
    if (!run)
        return plain(404, "no such run");
    report::Options options;
    options.audited = true;
    options.altered = journal->audit(run->run);
    options.source = report::pinned_source(run->pinned);
    return as_html(report::html(journal->events(run->run), options));
}

} // namespace runbook::serve
