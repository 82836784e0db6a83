#include "bindings/notify.h"

#include "bindings/core/declare.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::bindings {
namespace {

using OutboxPtr = std::shared_ptr<notify::Outbox>;
using Texts = std::vector<std::string>;
constexpr const char* outbox_type = "runbook.outbox";         ///< name of the metatable
constexpr const char* outbox_key = "runbook.outbox.of_state"; ///< where the state keeps its own

struct SendOptions {
    Texts to{"console"};
    std::string title, level = "info", key, action, incident, stage;
    Map data;
};
struct ChannelOptions {
    std::string kind = "webhook";
    std::optional<std::string> format, level, rate, channel, page, api, host, security, from, user,
        path, ca, style;
    Value url, token, key, password;
    Map headers;
    bind::Duration timeout{10};
    std::optional<std::int64_t> attempts, port;
    Texts to, components, info, warning, error, critical;
    std::optional<bool> required, threads;
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
            field("title", &SendOptions::title, "what stands before the text; a mail's subject"),
            field("level", &SendOptions::level,
                  "info, warning, error or critical: routes go by it"),
            field("key", &SendOptions::key,
                  "sent at most once per key and channel in this run, also over a resume"),
            field("action", &SendOptions::action,
                  "of an incident: trigger (if left out), acknowledge or resolve"),
            field("incident", &SendOptions::incident, "which incident of this run; its key"),
            field("stage", &SendOptions::stage,
                  "what a status page is told: scheduled, started, update, rollback, rolled_back, "
                  "held, failed or done"),
            field("data", &SendOptions::data, "further members of a generic webhook's message")};
        return all;
    }
};

template <>
struct Describe<ChannelOptions> {
    static const std::vector<Field<ChannelOptions>>& fields() {
        using Options = ChannelOptions;
        static const std::vector<Field<Options>> all = {
            field("kind", &Options::kind,
                  "console, file, bell, webhook, slack, pagerduty, statuspage, smtp or route"),
            field("format", &Options::format,
                  "webhook: generic (the message as JSON), slack ({\"text\": …}) or grafana (an "
                  "annotation); file: text or json"),
            field("url", &Options::url, "where a webhook posts; best a secret"),
            field("headers", &Options::headers, "name = text or secret"),
            field("token", &Options::token,
                  "a secret: of a Slack app, of Statuspage's API, a webhook's bearer token"),
            field("channel", &Options::channel, "where the Slack app posts"),
            field("key", &Options::key, "a secret: PagerDuty's integration key"),
            field("page", &Options::page, "the id of the status page"),
            field("components", &Options::components, "ids of the status page's components"),
            field("style", &Options::style, "of the status page: maintenance or incident"),
            field("api", &Options::api, "another address of the provider's API"),
            field("host", &Options::host, "the mail server"),
            field("port", &Options::port, "587; 465 with security = tls"),
            field("security", &Options::security, "starttls, tls or none"),
            field("from", &Options::from, "the mail's sender"),
            field("to", &Options::to, "addresses"),
            field("user", &Options::user, "of the mail server"),
            field("password", &Options::password, "a secret"),
            field("ca", &Options::ca, "file with authorities, instead of the system's"),
            field("path", &Options::path, "of the file"),
            field("threads", &Options::threads,
                  "Slack app, mail: what follows the run's first message answers it; true"),
            field("level", &Options::level,
                  "milder messages are not for it; info, PagerDuty: error"),
            field("rate", &Options::rate,
                  "the most in a time: 1/s, 30/m, 100/h; Slack and Statuspage 1/s, PagerDuty 2/s"),
            field("timeout", &Options::timeout, "of one attempt; 10s"),
            field("attempts", &Options::attempts, "8"),
            field("required", &Options::required, "a failed delivery fails the step"),
            field("info", &Options::info, "of a route: channels for this level and above"),
            field("warning", &Options::warning, "the same"),
            field("error", &Options::error, "the same"),
            field("critical", &Options::critical, "the same")};
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
    return map.set("attempts", delivery.attempts).set("thread", delivery.thread);
}

/// One event for each delivery of the list; loop thread.
void emit(vm::Host& host, const Value& list, const std::string& key) {
    for (const Value& item : *list.get<List>()) {
        const Map& delivery = *item.get<Map>();
        if (delivery.boolean("repeated"))
            continue;
        Map data{{"channel", delivery.text("channel")}, {"text", delivery.text("text")}};
        if (!key.empty())
            data.set("key", key);
        if (delivery.boolean("delivered"))
            host.emit("notify.sent", data.set("receipt", delivery.text("receipt")));
        else
            host.emit("notify.failed", data.set("error", delivery.text("error")));
    }
}

/// Members of a table as the engine gives them; loop thread.
Texts texts(const Map& map, const char* key) {
    Texts result;
    const Value* value = map.find(key);
    const List* list = value ? value->get<List>() : nullptr;
    for (const Value& item : list ? *list : List{})
        if (const auto* text = item.get<std::string>())
            result.push_back(*text);
    return result;
}

List to_list(const Texts& texts) {
    return {texts.begin(), texts.end()};
}

/// Throws `usage` that names the nearest.
std::string word(const std::string& what, const std::string& given, const Texts& known) {
    if (std::find(known.begin(), known.end(), given) == known.end())
        throw Error("usage",
                    fmt::format("unknown {} '{}'{}", what, given, text::did_you_mean(given, known)),
                    "known: " + text::join(known, ", "));
    return given;
}

const Texts levels(notify::level_names.begin(), notify::level_names.end());

notify::Level level(const std::string& given) {
    return *notify::level_of(word("level", given, levels));
}

OutboxPtr outbox_of(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, outbox_key);
    auto* outbox = vm::get_shared<notify::Outbox>(L, lua_gettop(L), outbox_type);
    OutboxPtr found = outbox ? *outbox : nullptr;
    lua_pop(L, 1);
    return found;
}

/// Runs `work`, which pushes its results and returns how many, or raises what it throws.
template <class Work>
int guarded(lua_State* L, Work work) {
    int results = -1;
    try {
        results = work();
    } catch (const Error& error) {
        vm::push_error(L, error);
    }
    return results >= 0 ? results : lua_error(L);
}

/// add{name, kind, settings, folder, only_check}: a channel of runbook.toml.
int engine_add(lua_State* L) {
    return guarded(L, [L] {
        const Value given = vm::to_value(L, 1);
        const Map& map = *given.get<Map>();
        const Value* settings = map.find("settings");
        const notify::Channel channel = notify::channel_of(
            map.text("name"), map.text("kind"),
            settings && settings->get<Map>() ? *settings->get<Map>() : Map{}, map.text("folder"));
        OutboxPtr outbox = outbox_of(L);
        if (outbox && !map.boolean("only_check"))
            outbox->add(channel);
        List leads_to;
        for (const auto& [at, names] : channel.routes)
            for (const std::string& name : names)
                leads_to.push_back(name);
        vm::push_value(L, Map{{"required", channel.required}, {"leads_to", leads_to}});
        return 1;
    });
}

/// about(): {name = {required, incidents, public}} of every channel there is by now.
int engine_about(lua_State* L) {
    return guarded(L, [L] {
        Map all;
        if (OutboxPtr outbox = outbox_of(L))
            for (const std::string& name : outbox->channels())
                if (const auto channel = outbox->find(name))
                    all.set(name, Map{{"required", channel->required},
                                      {"incidents", channel->kind == "pagerduty"},
                                      {"public", channel->kind == "statuspage"}});
        vm::push_value(L, all);
        return 1;
    });
}

/// route{to, level}: the channels that a message of that level goes to.
int engine_route(lua_State* L) {
    return guarded(L, [L] {
        const Value given = vm::to_value(L, 1);
        const Map& map = *given.get<Map>();
        const Texts to = texts(map, "to");
        OutboxPtr outbox = outbox_of(L);
        vm::push_value(L,
                       to_list(outbox ? outbox->route(to, level(map.text("level", "info"))) : to));
        return 1;
    });
}

/// run(id): the run that messages are of; remember(channel, key): delivered by an earlier process;
/// trouble(channel): why its message is not there yet.
int engine_run(lua_State* L) {
    return guarded(L, [L] {
        if (OutboxPtr outbox = outbox_of(L))
            outbox->set_run(lua_tostring(L, 1));
        return 0;
    });
}
int engine_remember(lua_State* L) {
    return guarded(L, [L] {
        if (OutboxPtr outbox = outbox_of(L))
            outbox->remember(lua_tostring(L, 1), lua_tostring(L, 2));
        return 0;
    });
}
int engine_trouble(lua_State* L) {
    return guarded(L, [L] {
        OutboxPtr outbox = outbox_of(L);
        vm::push_value(L, outbox ? outbox->trouble(lua_tostring(L, 1)) : std::string());
        return 1;
    });
}

notify::Message message_of(const Map& map) {
    notify::Message message;
    message.text = map.text("text");
    message.title = map.text("title");
    message.level = level(map.text("level", "info"));
    message.run = map.text("run");
    message.step = map.text("step");
    message.key = map.text("key");
    message.stage = map.text("stage");
    message.action = map.text("action");
    message.incident = map.text("incident");
    message.thread = map.text("thread");
    message.again = map.boolean("again");
    if (const Value* data = map.find("data"))
        if (const Map* members = data->get<Map>())
            message.data = *members;
    return message;
}

/// deliver{to, …}, the rest as message_of() reads it: sends to the channels themselves, without
/// routes, and returns one entry for each; journals nothing, and raises for no failed delivery: the
/// engine does what follows.
int start_deliver(lua_State* L) {
    int status = -1;
    try {
        const Value given = vm::to_value(L, 1);
        const Map map = *given.get<Map>();
        OutboxPtr outbox = outbox_of(L);
        auto list = std::make_shared<List>();
        auto operation = std::make_shared<vm::Operation>();
        operation->name = "notify";
        operation->work = [outbox, message = message_of(map), to = texts(map, "to"),
                           list](Cancel& cancel) {
            for (const std::string& channel : to) {
                try {
                    for (const auto& delivery : outbox->deliver({channel}, message, cancel, false))
                        list->push_back(to_value(delivery));
                } catch (const Error& error) {
                    cancel.check("notify");
                    list->push_back(Map{{"channel", channel},
                                        {"delivered", false},
                                        {"text", redact(message.text)},
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

/// What the engine posts through: says, updates, notices.
void install_messages(lua_State* L) {
    static const luaL_Reg functions[] = {
        {"add", engine_add}, {"about", engine_about},       {"route", engine_route},
        {"run", engine_run}, {"remember", engine_remember}, {"trouble", engine_trouble},
        {nullptr, nullptr}};
    lua_newtable(L);
    luaL_register(L, nullptr, functions);
    vm::push_waiting_function(L, start_deliver, 0);
    lua_setfield(L, -2, "deliver");
    lua_setfield(L, LUA_REGISTRYINDEX, "runbook.messages");
}

notify::Message message_of(std::string text, const SendOptions& options, const std::string& run) {
    notify::Message message;
    message.text = std::move(text);
    message.title = options.title;
    message.level = level(options.level);
    message.run = run;
    if (!options.key.empty())
        message.key = run.empty() ? options.key : run + "/send/" + options.key;
    if (!options.action.empty())
        message.action = word("action", options.action, {"trigger", "acknowledge", "resolve"});
    if (!options.incident.empty())
        message.incident = run.empty() ? options.incident : run + "/" + options.incident;
    if (!options.stage.empty())
        message.stage = word("stage", options.stage,
                             {"scheduled", "started", "update", "rollback", "rolled_back", "held",
                              "failed", "done"});
    message.data = options.data;
    return message;
}

Map settings_of(const ChannelOptions& options) {
    Map map;
    const auto set = [&map](const char* name, const auto& value) {
        if (value)
            map.set(name, *value);
    };
    set("format", options.format), set("level", options.level), set("rate", options.rate);
    set("channel", options.channel), set("page", options.page), set("api", options.api);
    set("host", options.host), set("security", options.security), set("from", options.from);
    set("user", options.user), set("path", options.path), set("ca", options.ca);
    set("style", options.style), set("attempts", options.attempts), set("port", options.port);
    set("required", options.required), set("threads", options.threads);
    for (const auto& [name, value] : {std::pair{"url", &options.url},
                                      {"token", &options.token},
                                      {"key", &options.key},
                                      {"password", &options.password}})
        if (!value->is_null())
            map.set(name, *value);
    for (const auto& [name, list] : {std::pair{"to", &options.to},
                                     {"components", &options.components},
                                     {"info", &options.info},
                                     {"warning", &options.warning},
                                     {"error", &options.error},
                                     {"critical", &options.critical}})
        if (!list->empty())
            map.set(name, to_list(*list));
    if (!options.headers.empty())
        map.set("headers", options.headers);
    if (options.kind != "route" && options.kind != "console")
        map.set("timeout", options.timeout.seconds);
    return map;
}

/// A playbook's own channel may lead only where the playbook may go.
void check_needs(const vm::Permissions& needs, const notify::Channel& channel) {
    if (const auto* url = channel.url.get<std::string>())
        needs.check_http(*url);
    if (const auto* url = channel.url.get<SecretPtr>())
        needs.check_http((*url)->reveal());
    if (!channel.api.empty() && channel.url.is_null())
        needs.check_http(channel.api);
    if (channel.kind == "smtp")
        needs.check_net(fmt::format("{}:{}", channel.place, channel.port ? channel.port : 587));
    if (channel.kind == "file")
        needs.check_file(channel.place);
}

} // namespace

void register_notify(vm::State& state, vm::Registry& registry) {
    // The console is shown by whoever shows the event notify.sent: nothing is printed here.
    auto outbox = std::make_shared<notify::Outbox>([](const std::string&) {});
    vm::push_shared<notify::Outbox>(state.L(), outbox_type, outbox);
    lua_setfield(state.L(), LUA_REGISTRYINDEX, outbox_key);
    install_messages(state.L());

    bind::Area area(state, registry, "notify", "Messages to people, through channels.");
    area.def("send", "Sends a text. A message that cannot be delivered fails nothing, unless its "
                     "channel is required.")
        .param("text", "what people read; secrets in it become ***")
        .param("options", "where to, and how")
        .returns("table[]", "for each channel that takes messages of this level {channel, "
                            "delivered, text, attempts, receipt, repeated} or {…, kind, error}")
        .raises({"usage", "notify.failed", "cancelled", "timeout"})
        .reads()
        .example("assert(notify.send('Backup done')[1].delivered)")
        .native(
            [outbox](bind::Call& call, std::string text, SendOptions options) -> bind::Job<Value> {
                const notify::Message message = message_of(std::move(text), options, outbox->run());
                if (call.host().dry_run())
                    throw Error("dry", "notify.send"); // said, not sent
                return {[outbox, message, to = options.to](Cancel& cancel) {
                            List list;
                            for (const auto& delivery : outbox->deliver(to, message, cancel))
                                list.push_back(to_value(delivery));
                            return Value(list);
                        },
                        nullptr,
                        [&host = call.host(), key = message.key](lua_State* L, Value& list) {
                            emit(host, list, key);
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
            try {
                const auto channel = notify::channel_of(name, options.kind, settings_of(options));
                check_needs(call.permissions(), channel);
                outbox->add(channel);
            } catch (const Error& error) {
                if (error.kind() != "usage")
                    throw;
                throw Error("usage", fmt::format("channel '{}': {}", name, error.message()),
                            error.hint());
            }
        });
}

} // namespace runbook::bindings
