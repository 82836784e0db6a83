// A Redis server (contract in redis.h).
#include "runtime/redis/redis.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <charconv>
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <set>

namespace runbook::redis {
namespace {

constexpr std::int64_t batch_size = 500;

[[noreturn]] void refuse(const std::string& why) {
    throw Error("usage", "the address of Redis " + why,
                "write redis://host:6379/0, or rediss://host:6379/0 for TLS");
}

std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned byte = 0;
        if (text[i] == '%' && i + 2 < text.size() &&
            std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
                text.data() + i + 3) {
            out += static_cast<char>(byte);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

/// The kind of error that the first word of the server's message stands for.
std::string kind_of(const std::string& message) {
    const std::string word = message.substr(0, message.find(' '));
    if (word == "NOAUTH" || word == "WRONGPASS")
        return "redis.auth";
    if (word == "NOPERM")
        return "redis.permission";
    if (word == "READONLY")
        return "redis.readonly";
    if (word == "LOADING" || word == "BUSY" || word == "TRYAGAIN" || word == "CLUSTERDOWN" ||
        word == "MASTERDOWN")
        return "redis.busy";
    return "redis.command";
}

Value value_of(const redisReply& reply) {
    switch (reply.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return std::string(reply.str, static_cast<std::size_t>(reply.len));
    case REDIS_REPLY_INTEGER:
        return std::int64_t{reply.integer};
    case REDIS_REPLY_ARRAY: {
        List list;
        for (std::size_t i = 0; i < reply.elements; ++i)
            list.push_back(value_of(*reply.element[i]));
        return list;
    }
    case REDIS_REPLY_ERROR: // inside of a list (EXEC)
        return std::string(reply.str, static_cast<std::size_t>(reply.len));
    default:
        return Null{};
    }
}

std::string encoded(const std::vector<std::string>& words) {
    std::string out = fmt::format("*{}\r\n", words.size());
    for (const std::string& word : words)
        out += fmt::format("${}\r\n", word.size()) + word + "\r\n";
    return out;
}

bool matches_everything(const std::string& pattern) {
    return pattern.find_first_not_of("*?") == std::string::npos;
}

} // namespace

Settings parse_url(const std::string& url) {
    Settings settings;
    std::string_view rest = url;
    if (rest.starts_with("rediss://"))
        settings.tls.emplace();
    else if (!rest.starts_with("redis://"))
        refuse(fmt::format("begins with redis:// or rediss://, got '{}'",
                           rest.substr(0, rest.find(':'))));
    rest.remove_prefix(rest.find("://") + 3);
    const std::size_t slash = rest.find('/');
    std::string_view path = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
        const std::string_view who = rest.substr(0, at);
        const std::size_t colon = who.find(':');
        settings.user = decoded(who.substr(0, colon));
        if (colon != std::string_view::npos)
            settings.password = decoded(who.substr(colon + 1));
        if (!settings.password.empty())
            make_secret(settings.password, "url");
        rest = rest.substr(at + 1);
    }
    settings.address = net::parse_address(rest, false);
    if (settings.address.port == 0)
        settings.address.port = 6379;
    if (!path.empty()) {
        const auto [end, error] =
            std::from_chars(path.data(), path.data() + path.size(), settings.database);
        if (error != std::errc() || end != path.data() + path.size() || settings.database < 0)
            refuse("ends with the number of a database, as in /0");
    }
    return settings;
}

struct Client::Connection {
    explicit Connection(net::Stream opened) : stream(std::move(opened)) {}
    ~Connection() { redisReaderFree(reader); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    net::Stream stream;
    redisReader* reader = redisReaderCreate();
};

Client::Client(Settings settings) : settings_(std::move(settings)) {}
Client::~Client() = default;

std::string Client::url() const {
    return fmt::format("{}://{}/{}", settings_.tls ? "rediss" : "redis", settings_.address.text(),
                       settings_.database);
}

/// Sends one command and reads its answer. After anything but a whole answer the connection is
/// gone: what would come next on it is unknown.
Value Client::exchange(const std::vector<std::string>& words, bool reads, Cancel& cancel) {
    net::Patience patience(settings_.timeout, cancel,
                           fmt::format("{} at {}", words.front(), settings_.address.text()));
    bool sent = false;
    try {
        connection_->stream.write(encoded(words), patience);
        sent = true;
        for (;;) {
            void* found = nullptr;
            if (redisReaderGetReply(connection_->reader, &found) != REDIS_OK)
                throw Error("net.connection",
                            fmt::format("{}: what came is not Redis' protocol ({})",
                                        patience.doing(), connection_->reader->errstr));
            if (found) {
                const std::unique_ptr<redisReply, void (*)(void*)> reply(
                    static_cast<redisReply*>(found), &freeReplyObject);
                if (reply->type == REDIS_REPLY_ERROR) {
                    const std::string message(reply->str, static_cast<std::size_t>(reply->len));
                    throw Error(kind_of(message), fmt::format("{}: {}", patience.doing(), message));
                }
                return value_of(*reply);
            }
            const std::string more = connection_->stream.read(patience);
            if (more.empty())
                throw Error("net.connection",
                            patience.doing() + ": the server closed the connection");
            redisReaderFeed(connection_->reader, more.data(), more.size());
        }
    } catch (Error& error) {
        if (error.kind().starts_with("redis."))
            throw;
        connection_.reset();
        error.set_in_doubt(sent && !reads);
        throw;
    }
}

void Client::connect(Cancel& cancel) {
    net::Patience patience(settings_.timeout, cancel, "connecting to " + settings_.address.text());
    connection_ =
        std::make_unique<Connection>(net::Stream::open(settings_.address, settings_.tls, patience));
    try {
        if (!settings_.password.empty())
            exchange(settings_.user.empty()
                         ? std::vector<std::string>{"AUTH", settings_.password}
                         : std::vector<std::string>{"AUTH", settings_.user, settings_.password},
                     true, cancel);
        if (settings_.database != 0)
            exchange({"SELECT", std::to_string(settings_.database)}, true, cancel);
    } catch (const Error&) {
        connection_.reset();
        throw;
    }
}

Value Client::command(const std::vector<std::string>& words, bool reads, Cancel& cancel) {
    if (!connection_)
        connect(cancel);
    return exchange(words, reads, cancel);
}

void Client::scan(const std::string& pattern, std::int64_t batch, Cancel& cancel,
                  const std::function<void(std::vector<std::string>)>& each) {
    std::string cursor = "0";
    do {
        cancel.check("looking for keys");
        const Value answer = command(
            {"SCAN", cursor, "MATCH", pattern, "COUNT", std::to_string(batch)}, true, cancel);
        const auto* parts = answer.get<List>();
        const auto* next = parts && parts->size() == 2 ? (*parts)[0].get<std::string>() : nullptr;
        const auto* found = next ? (*parts)[1].get<List>() : nullptr;
        if (!found)
            throw Error("redis.command", "SCAN: the answer is not a cursor and a list");
        cursor = *next;
        std::vector<std::string> names;
        for (const Value& name : *found)
            if (const auto* text = name.get<std::string>())
                names.push_back(*text);
        if (!names.empty())
            each(std::move(names));
    } while (cursor != "0");
}

std::vector<std::string> keys(Client& client, const std::string& pattern, std::int64_t limit,
                              Cancel& cancel) {
    std::set<std::string> found;
    client.scan(pattern, batch_size, cancel, [&](std::vector<std::string> names) {
        found.insert(std::make_move_iterator(names.begin()), std::make_move_iterator(names.end()));
        if (static_cast<std::int64_t>(found.size()) > limit)
            throw Error("redis.limit",
                        fmt::format("more than {} keys match '{}'", text::grouped(limit), pattern),
                        "look again at the pattern, or raise the option 'limit'");
    });
    return {found.begin(), found.end()};
}

std::int64_t remove_matching(Client& client, const std::string& pattern, std::int64_t limit,
                             Cancel& cancel) {
    if (matches_everything(pattern))
        throw Error("usage", fmt::format("the pattern '{}' matches every key", pattern),
                    "name a prefix, as in sessions:*; redis.flush empties a database");
    const std::vector<std::string> names = keys(client, pattern, limit, cancel);
    std::int64_t removed = 0;
    for (std::size_t at = 0; at < names.size(); at += batch_size) {
        std::vector<std::string> words{"UNLINK"};
        for (std::size_t i = at; i < std::min(names.size(), at + batch_size); ++i)
            words.push_back(names[i]);
        if (const Value count = client.command(words, false, cancel); count.get<std::int64_t>())
            removed += *count.get<std::int64_t>();
    }
    return removed;
}

Map info(Client& client, const std::string& section, Cancel& cancel) {
    std::vector<std::string> words{"INFO"};
    if (!section.empty())
        words.push_back(section);
    const Value answer = client.command(words, true, cancel);
    Map facts;
    const auto* text = answer.get<std::string>();
    for (const std::string& line : text::split(text ? *text : "", '\n')) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos || line.starts_with('#'))
            continue;
        const std::string value = text::trim(line.substr(colon + 1));
        std::int64_t number = 0;
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), number);
        const bool whole = error == std::errc() && end == value.data() + value.size();
        facts.set(line.substr(0, colon), whole ? Value(number) : Value(value));
    }
    return facts;
}

} // namespace runbook::redis
