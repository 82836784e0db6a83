// `redis`: the Lua face of runtime/redis. Loop thread; commands run on the connection's own worker.
#include "bindings/redis.h"

#include "bindings/core/declare.h"
#include "bindings/core/text_argument.h"
#include "runtime/base/worker.h"
#include "runtime/redis/redis.h"

#include <fmt/format.h>

namespace runbook::bindings {
namespace {

struct RedisHandle {
    redis::ClientPtr client;
    std::shared_ptr<Worker> worker = std::make_shared<Worker>();
};
using HandlePtr = std::shared_ptr<RedisHandle>;

struct RedisTls {
    bool verify = true;
    std::string ca, cert, key;
};
struct ConnectOptions {
    std::string user;
    std::optional<bind::Text> password;
    std::optional<RedisTls> tls;
    bind::Duration timeout{10};
};
struct SetOptions {
    bind::Duration ttl{0};
};
struct LimitOptions {
    std::int64_t limit = 1'000'000;
};
struct CallOptions {
    bool reads = false;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct TypeName<bindings::RedisHandle> {
    static constexpr const char* name = "redis_connection";
};
template <>
struct Describe<bindings::RedisTls> {
    static const std::vector<Field<bindings::RedisTls>>& fields() {
        using bindings::RedisTls;
        static const std::vector<Field<RedisTls>> all = {
            field("verify", &RedisTls::verify, "false accepts any certificate"),
            field("ca", &RedisTls::ca, "file with the authorities to trust; this system's"),
            field("cert", &RedisTls::cert, "client certificate"),
            field("key", &RedisTls::key, "its key")};
        return all;
    }
};
template <>
struct Describe<bindings::ConnectOptions> {
    static const std::vector<Field<bindings::ConnectOptions>>& fields() {
        using bindings::ConnectOptions;
        static const std::vector<Field<ConnectOptions>> all = {
            field("user", &ConnectOptions::user, "name of an ACL user; the default user"),
            field("password", &ConnectOptions::password, "best a secret parameter"),
            field("tls", &ConnectOptions::tls, "{verify, ca, cert, key}, for rediss://"),
            field("timeout", &ConnectOptions::timeout, "of connecting, and of each command; 10s")};
        return all;
    }
};
template <>
struct Describe<bindings::SetOptions> {
    static const std::vector<Field<bindings::SetOptions>>& fields() {
        static const std::vector<Field<bindings::SetOptions>> all = {
            field("ttl", &bindings::SetOptions::ttl, "how long it lives; for ever")};
        return all;
    }
};
template <>
struct Describe<bindings::LimitOptions> {
    static const std::vector<Field<bindings::LimitOptions>>& fields() {
        static const std::vector<Field<bindings::LimitOptions>> all = {
            field("limit", &bindings::LimitOptions::limit,
                  "with more keys nothing happens and redis.limit is raised; 1000000")};
        return all;
    }
};
template <>
struct Describe<bindings::CallOptions> {
    static const std::vector<Field<bindings::CallOptions>>& fields() {
        static const std::vector<Field<bindings::CallOptions>> all = {
            field("reads", &bindings::CallOptions::reads, "the command changes nothing")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

const std::vector<std::string> error_kinds = {"redis.auth", "redis.permission", "redis.readonly",
                                              "redis.busy", "redis.command",    "net.connection",
                                              "net.dns",    "net.timeout",      "tls.invalid",
                                              "permission", "cancelled",        "timeout"};
constexpr const char* connection_doc = "from redis.connect";
/// Examples run without a server: they end where it would be reached.
constexpr const char* no_server = "local cache = redis.connect 'redis://127.0.0.1:1/0'\n";

std::string refused(const std::string& call) {
    return std::string(no_server) + "local ok, err = pcall(" + call +
           ")\nassert(not ok and err.kind == 'net.connection')";
}

/// The answer of a command on the connection's own thread.
bind::Job<Value> ask(const HandlePtr& handle, std::vector<std::string> words, bool reads) {
    bind::Job<Value> job;
    job.work = [handle, words = std::move(words), reads](Cancel& cancel) {
        return handle->client->command(words, reads, cancel);
    };
    job.on = handle->worker;
    return job;
}

/// An answer of 1 or 0.
bind::Job<bool> ask_whether(const HandlePtr& handle, std::vector<std::string> words, bool reads) {
    bind::Job<bool> job;
    job.work = [handle, words = std::move(words), reads](Cancel& cancel) {
        return handle->client->command(words, reads, cancel) == Value(1);
    };
    job.on = handle->worker;
    return job;
}

std::string milliseconds(const bind::Duration& duration) {
    return std::to_string(static_cast<std::int64_t>(duration.seconds * 1000));
}

void declare_connect(bind::Area& area) {
    area.def("connect", "A Redis server, or Valkey. It is reached with the first command.")
        .param("url", "redis://host:6379/0, rediss:// for TLS")
        .param("options", "who one is, and whom one trusts")
        .returns("redis_connection", "closed when nobody uses it any more")
        .raises({"usage", "permission"})
        .reads()
        .example("local cache = redis.connect 'redis://127.0.0.1:6379/2'\n"
                 "assert(cache.url == 'redis://127.0.0.1:6379/2')")
        .native([](bind::Call& call, std::string url, ConnectOptions options) -> HandlePtr {
            redis::Settings settings = redis::parse_url(url);
            call.permissions().check_redis(settings.address.text());
            if (!options.user.empty())
                settings.user = options.user;
            if (options.password)
                settings.password = options.password->data;
            if (options.tls) {
                if (!settings.tls)
                    throw Error("usage", "redis.connect: option 'tls' is for rediss://");
                const RedisTls& tls = *options.tls;
                for (const std::string* path : {&tls.ca, &tls.cert, &tls.key})
                    if (!path->empty())
                        call.permissions().check_file(*path);
                if (tls.cert.empty() != tls.key.empty())
                    throw Error("usage", "redis.connect: 'cert' and 'key' belong together");
                settings.tls = {tls.verify, tls.ca, tls.cert, tls.key};
            }
            settings.timeout = std::chrono::milliseconds(
                static_cast<std::int64_t>(options.timeout.seconds * 1000));
            auto handle = std::make_shared<RedisHandle>();
            handle->client = std::make_shared<redis::Client>(std::move(settings));
            return handle;
        });
}

void declare_reads(bind::Area& area) {
    area.def("ping", "True, or an error: whether the server answers.")
        .param("connection", connection_doc)
        .returns("boolean", "true")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.ping, cache"))
        .native([](bind::Call&, HandlePtr handle) -> bind::Job<bool> {
            bind::Job<bool> job;
            job.work = [handle](Cancel& cancel) {
                return handle->client->command({"PING"}, true, cancel) == Value("PONG");
            };
            job.on = handle->worker;
            return job;
        });
    area.def("get", "The text of a key.")
        .param("connection", connection_doc)
        .param("key", "its name")
        .returns("string", "nil where there is no such key")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.get, cache, 'a'"))
        .native([](bind::Call&, HandlePtr handle, std::string key) {
            return ask(handle, {"GET", std::move(key)}, true);
        });
    area.def("exists", "Whether there is a key.")
        .param("connection", connection_doc)
        .param("key", "its name")
        .returns("boolean", "true if there is")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.exists, cache, 'a'"))
        .native([](bind::Call&, HandlePtr handle, std::string key) {
            return ask_whether(handle, {"EXISTS", std::move(key)}, true);
        });
    area.def("ttl", "How long a key still lives.")
        .param("connection", connection_doc)
        .param("key", "its name")
        .returns("number", "seconds; nil where there is no such key, or it lives for ever")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.ttl, cache, 'a'"))
        .native([](bind::Call&, HandlePtr handle, std::string key) -> bind::Job<Value> {
            bind::Job<Value> job;
            job.work = [handle, key](Cancel& cancel) -> Value {
                const Value left = handle->client->command({"PTTL", key}, true, cancel);
                const auto* millis = left.get<std::int64_t>();
                if (!millis || *millis < 0)
                    return Null{};
                return static_cast<double>(*millis) / 1000;
            };
            job.on = handle->worker;
            return job;
        });
    area.def("keys", "The names that match a pattern, looked for in batches (SCAN), so that others "
                     "are not kept waiting.")
        .param("connection", connection_doc)
        .param("pattern", "as in Redis: sessions:*, ? and [a-z] too")
        .param("options", "how many are too many")
        .returns("string[]", "each once, sorted")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.keys, cache, 'a:*'"))
        .native([](bind::Call&, HandlePtr handle, std::string pattern,
                   LimitOptions options) -> bind::Job<std::vector<std::string>> {
            bind::Job<std::vector<std::string>> job;
            job.work = [handle, pattern, options](Cancel& cancel) {
                return redis::keys(*handle->client, pattern, options.limit, cancel);
            };
            job.on = handle->worker;
            return job;
        });
    area.def("size", "How many keys the database has.")
        .param("connection", connection_doc)
        .returns("integer", "keys")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.size, cache"))
        .native([](bind::Call&, HandlePtr handle) { return ask(handle, {"DBSIZE"}, true); });
    area.def("info", "What the server says about itself (INFO).")
        .param("connection", connection_doc)
        .param("section", "server, memory, replication…; the default ones where it is left out")
        .returns("table", "name = text or number")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.info, cache, 'memory'"))
        .native([](bind::Call&, HandlePtr handle,
                   std::optional<std::string> section) -> bind::Job<Value> {
            bind::Job<Value> job;
            job.work = [handle, section](Cancel& cancel) -> Value {
                return redis::info(*handle->client, section.value_or(""), cancel);
            };
            job.on = handle->worker;
            return job;
        });
}

void declare_writes(bind::Area& area) {
    area.def("set", "Sets the text of a key.")
        .param("connection", connection_doc)
        .param("key", "its name")
        .param("value", "text, or a secret")
        .param("options", "how long it lives")
        .raises(error_kinds)
        .writes()
        .example(refused("redis.set, cache, 'a', 'x'"))
        .native([](bind::Call&, HandlePtr handle, std::string key, bind::Text value,
                   SetOptions options) -> bind::Job<void> {
            std::vector<std::string> words{"SET", std::move(key), std::move(value.data)};
            if (options.ttl.seconds > 0)
                words.insert(words.end(), {"PX", milliseconds(options.ttl)});
            bind::Job<void> job;
            job.work = [handle, words](Cancel& cancel) {
                handle->client->command(words, false, cancel);
            };
            job.on = handle->worker;
            return job;
        });
    area.def("expire", "Gives a key a time to live.")
        .param("connection", connection_doc)
        .param("key", "its name")
        .param("ttl", "how long from now")
        .returns("boolean", "false where there is no such key")
        .raises(error_kinds)
        .writes()
        .example(refused("redis.expire, cache, 'a', '5m'"))
        .native([](bind::Call&, HandlePtr handle, std::string key, bind::Duration ttl) {
            return ask_whether(handle, {"PEXPIRE", std::move(key), milliseconds(ttl)}, false);
        });
    area.def("delete", "Removes keys by their names.")
        .param("connection", connection_doc)
        .param("keys", "a name, or a list of names")
        .returns("integer", "how many there were")
        .raises(error_kinds)
        .writes()
        .example(refused("redis.delete, cache, { 'a', 'b' }"))
        .native(
            [](bind::Call&, HandlePtr handle, std::vector<std::string> names) -> bind::Job<Value> {
                if (names.empty())
                    return {[](Cancel&) -> Value { return 0; }};
                names.insert(names.begin(), "UNLINK");
                return ask(handle, std::move(names), false);
            });
    area.def("delete_matching",
             "Removes the keys that match a pattern. They are counted first: with more than the "
             "limit nothing is removed. A pattern that matches everything is refused.")
        .param("connection", connection_doc)
        .param("pattern", "with a prefix: firestore:*")
        .param("options", "how many are too many")
        .returns("integer", "how many were removed")
        .raises({"redis.limit", "usage", "redis.auth", "redis.permission", "redis.readonly",
                 "redis.busy", "redis.command", "net.connection", "net.dns", "net.timeout",
                 "tls.invalid", "permission", "cancelled", "timeout"})
        .writes()
        .example(refused("redis.delete_matching, cache, 'a:*'"))
        .native([](bind::Call&, HandlePtr handle, std::string pattern,
                   LimitOptions options) -> bind::Job<std::int64_t> {
            bind::Job<std::int64_t> job;
            job.work = [handle, pattern, options](Cancel& cancel) {
                return redis::remove_matching(*handle->client, pattern, options.limit, cancel);
            };
            job.on = handle->worker;
            return job;
        });
    area.def("flush", "Removes every key of the connection's database; its number must be said.")
        .param("connection", connection_doc)
        .param("database", "the number in the connection's address")
        .raises(error_kinds)
        .writes()
        .example(refused("redis.flush, cache, 0"))
        .native([](bind::Call&, HandlePtr handle, std::int64_t database) -> bind::Job<void> {
            if (database != handle->client->settings().database)
                throw Error("usage",
                            fmt::format("redis.flush: the connection is to database {}, not {}",
                                        handle->client->settings().database, database));
            bind::Job<void> job;
            job.work = [handle](Cancel& cancel) {
                handle->client->command({"FLUSHDB"}, false, cancel);
            };
            job.on = handle->worker;
            return job;
        });
    area.def("publish", "Sends a message to a channel.")
        .param("connection", connection_doc)
        .param("channel", "its name")
        .param("message", "text")
        .returns("integer", "how many received it")
        .raises(error_kinds)
        .writes()
        .example(refused("redis.publish, cache, 'news', 'x'"))
        .native([](bind::Call&, HandlePtr handle, std::string channel, std::string message) {
            return ask(handle, {"PUBLISH", std::move(channel), std::move(message)}, false);
        });
    area.def("call", "Any other command.")
        .param("connection", connection_doc)
        .param("words", "the command and its arguments, as a list")
        .param("options", "what it does")
        .returns("value", "text, integer, null, a list of them")
        .raises(error_kinds)
        .reads()
        .example(refused("redis.call, cache, { 'HGETALL', 'a' }, { reads = true }"))
        .native([](bind::Call& call, HandlePtr handle, std::vector<std::string> words,
                   CallOptions options) {
            if (words.empty())
                throw Error("argument", "redis.call: argument 2 'words': at least the command");
            if (!options.reads)
                call.require_writes();
            return ask(handle, std::move(words), options.reads);
        });
}

} // namespace

void register_redis(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "redis",
                    "Redis servers, those that the playbook declares in needs.redis.");
    declare_connect(area);
    declare_reads(area);
    declare_writes(area);
    area.type<RedisHandle>("A connection to a Redis server.")
        .field("url", "string", "its address, without user and password",
               [](const RedisHandle& handle) { return handle.client->url(); })
        .method("ping")
        .method("get")
        .method("exists")
        .method("ttl")
        .method("keys")
        .method("size")
        .method("info")
        .method("set")
        .method("expire")
        .method("delete")
        .method("delete_matching")
        .method("flush")
        .method("publish")
        .method("call")
        .done("redis");
}

} // namespace runbook::bindings
