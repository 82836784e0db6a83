// `runbook channels`: where messages can go, and whether they arrive.
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output.h"
#include "runtime/config/config.h"
#include "runtime/notify/notify.h"

#include <fmt/format.h>

#include <filesystem>
#include <pwd.h>
#include <unistd.h>

namespace runbook::cli {

namespace {

struct Listed {
    notify::Channel channel;
    std::string problem; ///< a secret that is not there
};

std::vector<Listed> read_channels(const config::Config& config, const std::string& folder) {
    std::vector<Listed> all = {{notify::channel_of("console", "console", {}), {}}};
    for (const config::Channel& channel : config.channels) {
        try {
            std::string problem;
            const Map settings = config::open_settings(channel, folder, problem);
            all.push_back(
                {notify::channel_of(channel.name, channel.type, settings, folder), problem});
        } catch (const Error& error) {
            throw Error("load",
                        fmt::format("{}:{}: channels.{}: {}", config.file, channel.line,
                                    channel.name, error.message()),
                        error.hint());
        }
    }
    return all;
}

/// Without its secret an address is not known.
std::string where(const Listed& one) {
    return one.problem.empty() ? notify::leads_to(one.channel) : "";
}

void print_list(const std::vector<Listed>& all, bool json) {
    std::vector<std::vector<std::string>> rows = {
        {"channel", "type", "from level", "leads to", ""}};
    for (const Listed& one : all) {
        const std::string level(notify::name_of(one.channel.level));
        if (json)
            fmt::print("{}\n", redact(json::dump(Map{{"channel", one.channel.name},
                                                     {"type", one.channel.kind},
                                                     {"level", level},
                                                     {"leads_to", where(one)},
                                                     {"problem", one.problem}})));
        else
            rows.push_back({one.channel.name, one.channel.kind,
                            one.channel.kind == "route" ? "" : level, where(one), one.problem});
    }
    if (!json)
        fmt::print("{}", redact(aligned(rows)));
}

std::string sender_name() {
    const passwd* user = ::getpwuid(::getuid());
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    return fmt::format("{} on {}", user ? user->pw_name : "somebody", host);
}

/// Sends to one channel; whether it was taken.
bool try_channel(notify::Outbox& outbox, const Listed& one, notify::Level level, bool json) {
    const std::string& name = one.channel.name;
    notify::Message message;
    message.text =
        fmt::format("A test of the channel {} by {}. Nothing has happened.", name, sender_name());
    message.title = "runbook";
    message.level = level;
    message.key = "runbook-test-" + digest::uuid();
    std::string receipt, problem = one.problem, hint;
    try {
        Cancel cancel;
        if (problem.empty())
            receipt = outbox.probe(name, message, cancel).text;
        if (one.channel.kind == "console" && !json)
            fmt::print("runbook: {}\n", message.text);
    } catch (const Error& error) {
        problem = error.message();
        hint = error.hint();
    }
    if (json)
        fmt::print("{}\n", redact(json::dump(Map{{"channel", name},
                                                 {"delivered", problem.empty()},
                                                 {"receipt", receipt},
                                                 {"error", problem},
                                                 {"hint", hint}})));
    else if (problem.empty())
        fmt::print("{}: taken ({})\n", name, redact(receipt));
    else
        fmt::print("{}: not delivered: {}{}\n", name, redact(problem),
                   hint.empty() ? "" : "\n  hint: " + redact(hint));
    return problem.empty();
}

} // namespace

int run_channels(const Context&, const Arguments& arguments) {
    std::string folder;
    if (!arguments.positional.empty())
        folder = std::filesystem::path(arguments.positional.front()).parent_path().string();
    const config::Config config = config::load(folder);
    secret::configure(config.vault);
    const std::vector<Listed> all = read_channels(config, folder);
    const bool json = arguments.text("output") == "json";
    if (!arguments.has("test")) {
        print_list(all, json);
        return 0;
    }
    notify::Outbox outbox([](const std::string&) {});
    for (const Listed& one : all)
        outbox.add(one.channel);
    const notify::Level level = *notify::level_of(arguments.text("level", "critical"));
    std::vector<std::string> names;
    for (const std::string& given : arguments.all("test")) {
        try {
            const auto channel = outbox.find(given);
            const auto to = channel && channel->kind != "route" ? std::vector{given}
                                                                : outbox.route({given}, level);
            names.insert(names.end(), to.begin(), to.end());
        } catch (const Error& error) {
            throw Error("usage", fmt::format("--test {}: {}", given, error.message()),
                        error.hint());
        }
    }
    bool fine = true;
    for (const std::string& name : names)
        for (const Listed& one : all)
            if (one.channel.name == name)
                fine = try_channel(outbox, one, level, json) && fine;
    return fine ? 0 : 1;
}

} // namespace runbook::cli
