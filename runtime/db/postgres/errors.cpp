// PostgreSQL's errors as ours: SQLSTATE to kind, and messages of one sentence. Any thread, no
// state.
#include "runtime/db/postgres/session.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <cstdlib>

namespace runbook::db::postgres {

std::string kind_of(std::string_view state) {
    if (state == "42501")
        return "db.permission";
    if (state == "57014")
        return "db.cancelled";
    if (state == "40P01" || state == "40001")
        return "db.deadlock";
    if (state == "55P03")
        return "db.lock_timeout";
    if (state == "25006")
        return "db.read_only";
    if (state == "53100")
        return "db.disk_full";
    if (state == "0A000")
        return "db.unsupported";
    if (state == "25P03" || state == "57P05")
        return "db.connection";
    if (state.starts_with("08") || state.starts_with("57P") || state == "53300" || state == "3D000")
        return "db.connection";
    if (state.starts_with("28"))
        return "db.auth";
    if (state.starts_with("23"))
        return "db.constraint";
    if (state.starts_with("42"))
        return "db.syntax";
    return "db.error";
}

namespace {

std::string field(const PGresult* result, int code) {
    const char* text = PQresultErrorField(result, code);
    return text ? text : "";
}

std::string default_hint(std::string_view state) {
    if (state == "42501")
        return "the role of this connection lacks a privilege";
    if (state == "25006")
        return "the connection is declared access = \"read\"";
    if (state == "53100")
        return "free space on the server's disk";
    if (state == "57P01")
        return "somebody ended the session or stopped the server";
    return {};
}

} // namespace

Error error_of(const Url& url, const PGresult* result, int offset) {
    std::string state = field(result, PG_DIAG_SQLSTATE);
    std::string text = field(result, PG_DIAG_MESSAGE_PRIMARY);
    if (text.empty())
        text = text::trim(PQresultErrorMessage(result));
    if (std::string detail = field(result, PG_DIAG_MESSAGE_DETAIL); !detail.empty()) {
        while (detail.ends_with('.'))
            detail.pop_back();
        text += ": " + detail;
    }
    if (std::string at = field(result, PG_DIAG_STATEMENT_POSITION); !at.empty())
        text += fmt::format(" at character {}", std::atoi(at.c_str()) - offset);
    std::string hint = field(result, PG_DIAG_MESSAGE_HINT);
    if (hint.empty())
        hint = default_hint(state);
    return Error(kind_of(state), fmt::format("{}: {} ({})", url.masked(), text, state), hint,
                 state);
}

} // namespace runbook::db::postgres
