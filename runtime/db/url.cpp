// Parsing and masking of database URLs. Any thread, no state. No message ever repeats a part of the
// text in which a password could stand.
#include "runtime/db/url.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace runbook::db {
namespace {

constexpr std::array<std::string_view, 5> ssl_modes = {"disable", "prefer", "require", "verify-ca",
                                                       "verify-full"};

std::vector<std::string> known_options() {
    return {"sslmode", "sslrootcert",     "sslcert",         "sslkey",
            "socket",  "connect_timeout", "application_name"};
}

[[noreturn]] void refuse(std::string message, std::string hint = {}) {
    throw Error("usage", "database URL: " + message, std::move(hint));
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/// `part` names what is decoded, for the message; the text itself is never shown.
std::string decode(std::string_view text, std::string_view part) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                refuse(
                    fmt::format("the {} has a '%' that two hexadecimal digits do not follow", part),
                    "a percent sign itself is written %25");
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            refuse(fmt::format("the {} has a control character in it", part));
        out += c;
    }
    return out;
}

constexpr const char* encode_hint =
    "in a user name or password, '/', '?', '@' and '%' are written %2F, %3F, %40 and %25";

void parse_authority(Url& url, std::string_view authority, const std::string& origin) {
    if (auto at = authority.rfind('@'); at != std::string_view::npos) {
        std::string_view who = authority.substr(0, at);
        authority.remove_prefix(at + 1);
        auto colon = who.find(':');
        url.user = decode(who.substr(0, colon), "user name");
        if (colon != std::string_view::npos) {
            std::string password = decode(who.substr(colon + 1), "password");
            if (!password.empty())
                url.password = make_secret(std::move(password), origin);
        }
    }
    std::string_view port;
    if (authority.starts_with('[')) {
        auto end = authority.find(']');
        if (end == std::string_view::npos)
            refuse("the IPv6 address has no closing ']'");
        url.host = decode(authority.substr(1, end - 1), "host");
        authority.remove_prefix(end + 1);
        if (!authority.empty() && authority.front() != ':')
            refuse("after the ']' of an IPv6 address only ':' and a port may follow", encode_hint);
        if (!authority.empty())
            port = authority.substr(1);
    } else {
        auto colon = authority.find(':');
        if (colon != std::string_view::npos &&
            authority.find(':', colon + 1) != std::string_view::npos)
            refuse("an IPv6 address stands in brackets: [::1]", encode_hint);
        url.host = decode(authority.substr(0, colon), "host");
        if (colon != std::string_view::npos)
            port = authority.substr(colon + 1);
    }
    if (port.empty())
        return;
    auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (failed != std::errc{} || end != port.data() + port.size() || url.port < 1 ||
        url.port > 65535)
        refuse("the port is not a number from 1 to 65535", encode_hint);
}

void check_option(const std::string& key, const std::string& value) {
    auto known = known_options();
    if (std::find(known.begin(), known.end(), key) == known.end())
        refuse(fmt::format("unknown option '{}'{}", key, text::did_you_mean(key, known)),
               "options: " + text::join(known, ", "));
    if (key == "sslmode" && std::find(ssl_modes.begin(), ssl_modes.end(), value) == ssl_modes.end())
        refuse(fmt::format("sslmode '{}' is not one of disable, prefer, require, verify-ca, "
                           "verify-full",
                           value));
    if (key == "connect_timeout") {
        int seconds = 0;
        auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), seconds);
        if (failed != std::errc{} || end != value.data() + value.size() || seconds < 1)
            refuse(fmt::format("connect_timeout '{}' is not a number of seconds", value));
    }
}

void parse_options(Url& url, std::string_view query) {
    if (query.empty())
        return;
    for (const std::string& pair : text::split(query, '&')) {
        auto equals = pair.find('=');
        std::string key = decode(pair.substr(0, equals), "option's name");
        if (equals == std::string::npos)
            refuse(fmt::format("option '{}' has no value", key), "write it as name=value");
        std::string value = decode(std::string_view(pair).substr(equals + 1), "option's value");
        check_option(key, value);
        if (!url.options.emplace(key, std::move(value)).second)
            refuse(fmt::format("option '{}' is given twice", key));
    }
}

} // namespace

Url Url::parse(std::string_view text, const std::string& origin) {
    Url url;
    if (text.starts_with("sqlite:")) {
        url.engine = Engine::sqlite;
        url.name = std::string(text.substr(7));
        if (url.name.starts_with("//"))
            url.name.erase(0, 2);
        if (url.name.empty())
            refuse("sqlite: needs a path", "for example sqlite:./data.db, or sqlite::memory:");
        return url;
    }
    auto scheme_end = text.find("://");
    std::string scheme = scheme_end == std::string_view::npos
                             ? std::string()
                             : text::lower(text.substr(0, scheme_end));
    if (scheme == "postgres" || scheme == "postgresql")
        url.engine = Engine::postgresql;
    else if (scheme == "mysql" || scheme == "mariadb")
        url.engine = Engine::mysql;
    else
        refuse("it does not begin with postgres://, mysql://, mariadb:// or sqlite:",
               "for example postgres://user@host:5432/name");
    text.remove_prefix(scheme_end + 3);

    std::string_view query;
    if (auto mark = text.find('?'); mark != std::string_view::npos) {
        query = text.substr(mark + 1);
        text = text.substr(0, mark);
    }
    std::string_view authority = text.substr(0, text.find('/'));
    std::string_view path =
        authority.size() < text.size() ? text.substr(authority.size() + 1) : std::string_view();
    // An '@' this far right means that the password had a raw '/' or '?' in it.
    if (path.find('@') != std::string_view::npos || query.find('@') != std::string_view::npos)
        refuse("there is an '@' after the host", encode_hint);
    parse_authority(url, authority, origin);
    if (path.find('/') != std::string_view::npos)
        refuse("the name of the database has a '/' in it", "it is written %2F");
    url.name = decode(path, "name of the database");
    parse_options(url, query);
    return url;
}

std::string Url::masked() const {
    if (engine == Engine::sqlite)
        return "sqlite:" + name;
    std::string out = engine == Engine::postgresql ? "postgres://" : "mysql://";
    if (!user.empty() || password) {
        out += user;
        if (password)
            out += ":***";
        out += '@';
    }
    if (host.find(':') != std::string::npos)
        out += '[' + host + ']';
    else
        out += host;
    if (port != 0)
        out += fmt::format(":{}", port);
    if (!name.empty())
        out += '/' + name;
    return out;
}

} // namespace runbook::db
