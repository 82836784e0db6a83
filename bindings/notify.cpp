#include "bindings/notify.h"

#include "bindings/core/declare.h"
#include "runtime/base/redact.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/scheduler.h"

namespace runbook::bindings {
namespace {

using OutboxPtr = std::shared_ptr<notify::Outbox>;
constexpr const char* outbox_type = "runbook.outbox";         ///< name of the metatable
constexpr const char* outbox_key = "runbook.outbox.of_state"; ///< where the state keeps its own

struct SendOptions {
    std::vector<std::string> to{"console"};
    std::string title, level = "info", key, run, step;
    Map data;
};
struct ChannelOptions {
    std::string kind = "webhook", format = "generic";
    Value url;
    Map headers;
    bind::Duration timeout{10};
    int attempts = 3;
    bool required = false;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

using namespace bindings;

template <>
struct Describe<SendOptions> {
    static const std::vector<Field<SendOptions>>& fields() {
        static const std::vector<Field<SendOptions>> all = {
            field("to", &SendOptions::to, "names of channels; console"),
            field("title", &SendOptions::title, "what stands before the text"),
            field("level", &SendOptions::level, "info, warning or error"),
            field("key", &SendOptions::key, "sent at most once per key and channel"),
            field("data", &SendOptions::data, "further members of a generic webhook's message")};
        return all;
    }
};

template <>
struct Describe<ChannelOptions> {
    static const std::vector<Field<ChannelOptions>>& fields() {
        static const std::vector<Field<ChannelOptions>> all = {
            field("kind", &ChannelOptions::kind, "webhook or console"),
            field("format", &ChannelOptions::format,
                  "generic (the message as JSON) or slack ({\"text\": …})"),
            field("url", &ChannelOptions::url, "where a webhook posts; best a secret"),
            field("headers", &ChannelOptions::headers, "name = text or secret"),
            field("timeout", &ChannelOptions::timeout, "of one attempt; 10s"),
            field("attempts", &ChannelOptions::attempts, "3"),
            field("required", &ChannelOptions::required, "a failed delivery fails the step")};
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

Value to_value(const notify::Delivery& delivery) {
    Map map{
        {"channel", delivery.channel}, {"delivered", delivery.delivered}, {"text", delivery.text}};
    if (delivery.delivered)
        map.set("receipt", delivery.receipt).set("repeated", delivery.repeated);
    else
        map.set("kind", delivery.error_kind).set("error", delivery.error);
    return map.set("attempts", delivery.attempts);
}

/// One event for each delivery of the list; loop thread.
void emit(vm::Host& host, const Value& list) {
    for (const Value& item : *list.get<List>()) {
        const Map& delivery = *item.get<Map>();
        if (delivery.boolean("repeated"))
            continue;
        Map data{{"channel", delivery.text("channel")}, {"text", delivery.text("text")}};
        if (delivery.boolean("delivered"))
            host.emit("notify.sent", data.set("receipt", delivery.text("receipt")));
        else
            host.emit("notify.failed", data.set("error", delivery.text("error")));
    }
}

/// Members of a table as the engine gives them; loop thread.
std::vector<std::string> texts(const Map& map, const char* key) {
    std::vector<std::string> result;
    const Value* value = map.find(key);
    const List* list = value ? value->get<List>() : nullptr;
    for (const Value& item : list ? *list : List{})
        if (const auto* text = item.get<std::string>())
            result.push_back(*text);
    return result;
}

OutboxPtr outbox_of(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, outbox_key);
    auto* outbox = vm::get_shared<notify::Outbox>(L, lua_gettop(L), outbox_type);
    OutboxPtr found = outbox ? *outbox : nullptr;
    lua_pop(L, 1);
    return found;
}

} // namespace

namespace {

/// add{name, kind, format, url, timeout, attempts, required}: a channel of runbook.toml.
int engine_add(lua_State* L) {
    bool fine = false;
    try {
        const Value given = vm::to_value(L, 1);
        const Map& map = *given.get<Map>();
        notify::Channel channel;
        channel.name = map.text("name");
        channel.kind = map.text("kind");
        channel.format = map.text("format");
        if (const Value* url = map.find("url"))
            channel.url = *url;
        channel.timeout =
            std::chrono::milliseconds(static_cast<std::int64_t>(map.number("timeout", 10) * 1000));
        channel.retry.attempts = static_cast<int>(map.integer("attempts", 3));
        channel.required = map.boolean("required");
        if (OutboxPtr outbox = outbox_of(L))
            outbox->add(channel);
        fine = true;
    } catch (const Error& error) {
        vm::push_error(L, error);
    }
    return fine ? 0 : lua_error(L);
}

/// names(): every channel there is by now.
int engine_names(lua_State* L) {
    {
        List names;
        if (OutboxPtr outbox = outbox_of(L))
            for (const std::string& name : outbox->channels())
                names.push_back(name);
        vm::push_value(L, names);
    }
    return 1;
}

/// deliver{to, text, title, level, key, run, step, data}: sends, and returns one entry for each
/// channel; journals nothing, and raises for no failed delivery: the engine does what follows.
int start_deliver(lua_State* L) {
    int status = -1;
    try {
        const Value given = vm::to_value(L, 1);
        const Map map = *given.get<Map>();
        OutboxPtr outbox = outbox_of(L);
        notify::Message message;
        message.text = map.text("text");
        message.title = map.text("title");
        message.level = map.text("level", "info");
        message.run = map.text("run");
        message.step = map.text("step");
        message.key = map.text("key");
        if (const Value* data = map.find("data"))
            if (const Map* members = data->get<Map>())
                message.data = *members;
        auto list = std::make_shared<List>();
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "notify";
        operation->work = [outbox, message, to = texts(map, "to"), list](Cancel& cancel) {
            for (const std::string& channel : to) {
                try {
                    for (const auto& delivery : outbox->deliver({channel}, message, cancel))
                        list->push_back(to_value(delivery));
                } catch (const Error& error) {
                    cancel.check("notify");
                    list->push_back(Map{{"channel", channel},
                                        {"delivered", false},
                                        {"text", message.text},
                                        {"kind", error.kind()},
                                        {"error", redact(error.message())}});
                }
            }
        };
        operation->push = [list](lua_State* to) {
            vm::push_value(to, *list);
            return 1;
        };
        vm::Scheduler::of(L).park(L, operation);
        status = 1;
    } catch (const Error& error) {
        vm::push_error(L, error);
    }
    return status >= 0 ? lua_yield(L, 1) : lua_error(L);
}

} // namespace

void add_channel(vm::State& state, const notify::Channel& channel) {
    if (OutboxPtr outbox = outbox_of(state.L()))
        outbox->add(channel);
}

void register_notify(vm::State& state, vm::Registry& registry) {
    // The console is shown by whoever shows the event notify.sent: nothing is printed here.
    auto outbox = std::make_shared<notify::Outbox>([](const std::string&) {});
    vm::push_shared<notify::Outbox>(state.L(), outbox_type, outbox);
    lua_setfield(state.L(), LUA_REGISTRYINDEX, outbox_key);

    // what the engine posts through: says, updates, notices
    lua_newtable(state.L());
    lua_pushcfunction(state.L(), engine_add);
    lua_setfield(state.L(), -2, "add");
    lua_pushcfunction(state.L(), engine_names);
    lua_setfield(state.L(), -2, "names");
    vm::push_waiting_function(state.L(), start_deliver, 0);
    lua_setfield(state.L(), -2, "deliver");
    lua_setfield(state.L(), LUA_REGISTRYINDEX, "runbook.messages");

    bind::Area area(state, registry, "notify", "Messages to people, through channels.");
    area.def("send", "Sends a text. A message that cannot be delivered fails nothing, unless its "
                     "channel is required.")
        .param("text", "what people read; secrets in it become ***")
        .param("options", "where to, and how")
        .returns("table[]", "for each channel {channel, delivered, text, attempts, receipt, "
                            "repeated} or {…, kind, error}")
        .raises({"usage", "notify.failed", "cancelled", "timeout"})
        .reads()
        .example("assert(notify.send('Backup done')[1].delivered)")
        .native(
            [outbox](bind::Call& call, std::string text, SendOptions options) -> bind::Job<Value> {
                if (call.host().dry_run())
                    throw Error("dry", "notify.send"); // said, not sent
                notify::Message message;
                message.text = std::move(text);
                message.title = options.title;
                message.level = options.level;
                message.key = options.key;
                message.data = options.data;
                return {[outbox, message, to = options.to](Cancel& cancel) {
                            List list;
                            for (const auto& delivery : outbox->deliver(to, message, cancel))
                                list.push_back(to_value(delivery));
                            return Value(list);
                        },
                        nullptr,
                        [&host = call.host()](lua_State* L, Value& list) {
                            emit(host, list);
                            vm::push_value(L, list);
                            return 1;
                        }};
            });
    area.def(
            "channel",
            "Declares a channel for this playbook; one of runbook.toml with that name is replaced.")
        .param("name", "what `to` calls it")
        .param("options", "where it leads")
        .raises({"usage", "permission"})
        .example("notify.channel('ops', { url = 'http://localhost:9/hook' })")
        .native([outbox](bind::Call& call, std::string name, ChannelOptions options) {
            notify::Channel channel;
            channel.name = std::move(name);
            channel.kind = options.kind;
            channel.format = options.format;
            channel.url = options.url;
            for (const auto& [header, value] : options.headers)
                channel.headers.emplace_back(header, value);
            channel.timeout = std::chrono::milliseconds(
                static_cast<std::int64_t>(options.timeout.seconds * 1000));
            channel.retry.attempts = options.attempts;
            channel.required = options.required;
            if (auto* url = options.url.get<std::string>())
                call.permissions().check_http(*url);
            if (auto* url = options.url.get<SecretPtr>())
                call.permissions().check_http((*url)->reveal());
            outbox->add(channel);
        });
}

} // namespace runbook::bindings
