// A status page with the API of Atlassian Statuspage: one incident (or maintenance) a run, which
// its posts move through the states. The run's name stands in the incident's metadata, so that it
// is found again after a crash, and a post that may have arrived is looked for in it.
#include "runtime/base/error.h"
#include "runtime/notify/post.h"
#include "runtime/notify/turn.h"

#include <fmt/format.h>

namespace runbook::notify {
namespace {

const Map* map_in(const Map& map, std::string_view key) {
    const Value* value = map.find(key);
    return value ? value->get<Map>() : nullptr;
}

class StatusPage final : public Sender {
  public:
    explicit StatusPage(Channel channel)
        : channel_(std::move(channel)), login_(authorization("OAuth", channel_.token)) {}

    Receipt send(const Message& message, Cancel& cancel) override {
        std::string id = message.thread;
        if (id.empty() && !message.run.empty())
            id = find(message.run, cancel);
        if (!id.empty() && message.again && has(id, message, cancel))
            return {.text = id, .thread = id, .repeated = true};
        const bool fresh = id.empty();
        const Asked asked = call(fresh ? "POST" : "PATCH", fresh ? "" : "/" + id,
                                 Value(Map{{"incident", incident(message, fresh)}}), cancel);
        if (fresh)
            id = asked.text("id");
        if (id.empty())
            throw Error("notify.unavailable",
                        asked.host + " answered without the id of an incident");
        return {.text = id, .thread = id};
    }

    Receipt probe(const Message&, Cancel& cancel) override {
        call("GET", "?limit=1", std::nullopt, cancel);
        return {.text = "it may be read; nothing was posted, because it is public"};
    }

  private:
    Asked call(const std::string& method, const std::string& rest, std::optional<Value> json,
               Cancel& cancel) {
        Asked asked = ask(channel_, method,
                          fmt::format("{}/pages/{}/incidents{}", channel_.api,
                                      http::url_encode(channel_.place), rest),
                          std::move(json), {{"Authorization", login_}}, cancel);
        const int status = asked.response.status;
        if (status >= 200 && status < 300)
            return asked;
        const std::string entry = fmt::format("channels.{} in runbook.toml", channel_.name);
        throw answer_error(asked, status == 401 || status == 403 ? "check token of " + entry
                                  : status == 404                ? "check page of " + entry
                                                                 : "");
    }

    /// The incident of that run; empty where there is none.
    std::string find(const std::string& run, Cancel& cancel) {
        const Asked asked = call("GET", "?limit=100", std::nullopt, cancel);
        nap(channel_.pace, cancel);
        const List* all = asked.body.get<List>();
        if (!all)
            throw Error("notify.unavailable", asked.host + " answered without a list of incidents");
        for (const Value& one : *all) {
            const Map* map = one.get<Map>();
            const Map* metadata = map ? map_in(*map, "metadata") : nullptr;
            const Map* own = metadata ? map_in(*metadata, "runbook") : nullptr;
            if (own && own->text("run") == run)
                return map->text("id");
        }
        return {};
    }

    /// Whether the incident has that post already.
    bool has(const std::string& id, const Message& message, Cancel& cancel) {
        const Asked asked = call("GET", "/" + id, std::nullopt, cancel);
        nap(channel_.pace, cancel);
        const Map* map = asked.body.get<Map>();
        const Value* updates = map ? map->find("incident_updates") : nullptr;
        const List* list = updates ? updates->get<List>() : nullptr;
        for (const Value& one : list ? *list : List{})
            if (const Map* update = one.get<Map>(); update && update->text("body") == message.text)
                return true;
        return false;
    }

    bool planned() const { return channel_.style == "maintenance"; }

    std::string state(const Message& message, bool fresh) const {
        const std::string& stage = message.stage;
        if (planned())
            return stage == "scheduled"                        ? "scheduled"
                   : stage == "done" || stage == "rolled_back" ? "completed"
                   : stage.empty() && !fresh                   ? ""
                                                               : "in_progress";
        return stage == "done"                                  ? "resolved"
               : stage == "rolled_back"                         ? "monitoring"
               : stage == "started" || (stage.empty() && fresh) ? "investigating"
               : stage.empty()                                  ? ""
                                                                : "identified";
    }

    std::string impact(const Message& message) const {
        if (planned())
            return "maintenance";
        return message.level == Level::critical ? "critical"
               : message.level == Level::error  ? "major"
                                                : "minor";
    }

    std::string component_state(const Message& message, const std::string& state) const {
        if (state == "completed" || state == "resolved" || state == "scheduled")
            return "operational";
        if (planned())
            return "under_maintenance";
        return message.level == Level::critical ? "major_outage"
               : message.level == Level::error  ? "partial_outage"
                                                : "degraded_performance";
    }

    Map incident(const Message& message, bool fresh) const {
        const std::string now = state(message, fresh);
        Map incident{{"body", message.text}};
        if (!now.empty())
            incident.set("status", now);
        if (fresh) {
            const std::string name = !message.title.empty() ? message.title
                                     : message.data.contains("playbook")
                                         ? message.data.text("playbook")
                                         : message.text.substr(0, message.text.find('\n'));
            incident.set("name", cut(name, 255)).set("impact_override", impact(message));
            if (!message.run.empty())
                incident.set("metadata", Map{{"runbook", Map{{"run", message.run}}}});
            for (const char* key : {"scheduled_for", "scheduled_until"})
                if (const std::string at = message.data.text(key); !at.empty())
                    incident.set(key, at);
        }
        if (!channel_.components.empty() && !now.empty()) {
            Map states;
            List ids;
            for (const std::string& id : channel_.components) {
                states.set(id, component_state(message, now));
                ids.push_back(id);
            }
            incident.set("components", states).set("component_ids", ids);
        }
        return incident;
    }

    Channel channel_;
    Value login_;
};

} // namespace

std::unique_ptr<Sender> make_statuspage(const Channel& channel) {
    return std::make_unique<StatusPage>(channel);
}

} // namespace runbook::notify
