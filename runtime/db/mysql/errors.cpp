// MySQL's and MariaDB's error numbers as ours. Any thread, no state.
#include "runtime/db/mysql/session.h"

#include <fmt/format.h>

#include "runtime/base/redact.h"
#include <algorithm>

#include <array>

namespace runbook::db::mysql {
namespace {

struct Range {
    unsigned number;
    const char* kind;
};

// From the servers' lists of error messages; what is not here goes by its SQLSTATE.
constexpr Range kinds[] = {
    {1044, "db.permission"},   {1045, "db.auth"},         {1698, "db.auth"},
    {1130, "db.auth"},         {1251, "db.auth"},         {1524, "db.auth"},
    {1862, "db.auth"},         {2059, "db.auth"},         {2061, "db.auth"},
    {3118, "db.auth"},         {4151, "db.auth"},         {1142, "db.permission"},
    {1143, "db.permission"},   {1227, "db.permission"},   {1370, "db.permission"},
    {1410, "db.permission"},   {3948, "db.permission"},   {4166, "db.permission"},
    {1205, "db.lock_timeout"}, {3572, "db.lock_timeout"}, {1213, "db.deadlock"},
    {3101, "db.deadlock"},     {1792, "db.read_only"},    {1836, "db.read_only"},
    {3100, "db.error"},        {1021, "db.disk_full"},    {1114, "db.disk_full"},
    {3675, "db.disk_full"},    {1317, "db.cancelled"},    {3024, "db.timeout"},
    {1969, "db.timeout"},      {1235, "db.unsupported"},  {1295, "db.unsupported"},
    {3819, "db.constraint"},   {1040, "db.connection"},   {1203, "db.connection"},
    {1226, "db.connection"},   {1129, "db.connection"},   {1049, "db.connection"},
};

constexpr std::array<unsigned, 10> lost_numbers = {1053, 1927, 2002, 2003, 2006,
                                                   2013, 2026, 2027, 2055, 4031};

std::string hint_of(unsigned number, const Url& url) {
    switch (number) {
    case 1045:
    case 1698:
        return url.password
                   ? "check the user's password (" + url.password->origin() +
                         "), and whether the account may connect from this host" +
                         (url.options.contains("sslcert")
                              ? ""
                              : " and without a certificate (sslcert, sslkey)")
                   : "set the password in the URL, in RUNBOOK_<NAME>_PASSWORD or in ~/.my.cnf";
    case 1130:
        return "no account of the server admits this host";
    case 2002:
    case 2003:
    case 2005:
        return "is the server up, and reachable from this host?";
    case 2026:
        return "sslmode and sslrootcert in the URL say how the server proves who it is";
    case 1040:
    case 1203:
        return "every connection slot of the server is taken";
    case 1142:
    case 1143:
    case 1227:
    case 1044:
        return "the user of this connection lacks a privilege";
    case 1792:
        return "the connection is declared access = \"read\"";
    case 1021:
    case 1114:
        return "free space on the server's disk";
    default:
        return {};
    }
}

} // namespace

bool is_lost(unsigned number) {
    return std::find(lost_numbers.begin(), lost_numbers.end(), number) != lost_numbers.end();
}

std::string kind_of(unsigned number, std::string_view state) {
    for (const Range& known : kinds)
        if (known.number == number)
            return known.kind;
    if (is_lost(number) || (number >= 2000 && number < 2030))
        return "db.connection";
    if (state.starts_with("08"))
        return "db.connection";
    if (state.starts_with("28"))
        return "db.auth";
    if (state.starts_with("23"))
        return "db.constraint";
    if (state.starts_with("42"))
        return "db.syntax";
    if (state == "40001")
        return "db.deadlock";
    return "db.error";
}

Error make_error(const Url& url, unsigned number, const std::string& state, std::string text) {
    std::string kind = kind_of(number, state);
    if (number == 1290)
        kind = text.find("read-only") != std::string::npos ? "db.read_only" : "db.permission";
    if (number == 1045 || number == 1698)
        text = fmt::format("access denied for user '{}'", url.user);
    if (number == 2026 && text.starts_with("TLS/SSL error: "))
        text = "TLS: " + text.substr(15);
    while (text.ends_with('.'))
        text.pop_back();
    // "Unknown column" becomes "unknown column"; "CREATE …" stays.
    if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z')
        text[0] = static_cast<char>(text[0] - 'A' + 'a');
    // The server's own complaint comes back as an alert.
    const std::string hint = number == 2026 && text.find("alert") != std::string::npos
                                 ? "the server does not accept the certificate of sslcert"
                                 : hint_of(number, url);
    return Error(kind, fmt::format("{}: {} ({})", url.masked(), text, number), hint,
                 state == "00000" ? "" : state);
}

} // namespace runbook::db::mysql
