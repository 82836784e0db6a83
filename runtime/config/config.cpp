// toml++'s only translation unit (contract in config.h).
#include "runtime/config/config.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace runbook::config {

namespace {

constexpr std::string_view file_name = "runbook.toml";
constexpr std::string_view sources_text =
    "env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD or aws:NAME#FIELD expected";

class Reader {
  public:
    Reader(const std::string& file, Config& config) : file_(file), config_(config) {}

    void run(const toml::table& root) {
        for (const auto& [key, node] : root) {
            const std::string name(key.str());
            const toml::table* table = node.as_table();
            static const std::vector<std::string> tables = {"env",     "connections", "channels",
                                                            "backups", "roster",      "vault"};
            if (std::find(tables.begin(), tables.end(), name) == tables.end())
                unknown(node, fmt::format("unknown {} '{}'", table ? "table" : "key", name), name,
                        tables);
            if (!table)
                fail(node, fmt::format("'{}': table expected, got {}", name, word(node)));
            for (const auto& [inner, value] : *table) {
                const std::string entry(inner.str());
                if (name == "vault")
                    vault(entry, value);
                else if (name == "env")
                    environment(entry, value);
                else if (name == "connections")
                    connection(entry, value);
                else if (name == "channels")
                    channel(entry, value);
                else if (name == "backups")
                    backups(entry, value);
                else
                    role(entry, value);
            }
        }
    }

  private:
    [[noreturn]] void fail(const toml::node& node, const std::string& message,
                           const std::string& hint = {}) const {
        throw Error("load", fmt::format("{}:{}: {}", file_, line(node), message), hint);
    }
    [[noreturn]] void unknown(const toml::node& node, const std::string& message,
                              const std::string& name,
                              const std::vector<std::string>& known) const {
        fail(node, message + text::did_you_mean(name, known),
             "known here: " + text::join(known, ", "));
    }
    static int line(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

    static std::string word(const toml::node& node) {
        switch (node.type()) {
        case toml::node_type::table:
            return "a table";
        case toml::node_type::array:
            return "a list";
        case toml::node_type::string:
            return "text";
        case toml::node_type::integer:
        case toml::node_type::floating_point:
            return "a number";
        case toml::node_type::boolean:
            return "a boolean";
        default:
            return "a date";
        }
    }

    Value value(const toml::node& node, const std::string& what) const {
        if (const auto* string = node.as_string())
            return Value(string->get());
        if (const auto* integer = node.as_integer())
            return Value(integer->get());
        if (const auto* number = node.as_floating_point())
            return Value(number->get());
        if (const auto* boolean = node.as_boolean())
            return Value(boolean->get());
        if (const auto* array = node.as_array()) {
            List list;
            for (const toml::node& item : *array)
                list.push_back(value(item, what));
            return list;
        }
        fail(node,
             fmt::format("'{}': text, number, boolean or list expected, got {}", what, word(node)));
    }

    std::string text_of(const toml::node& node, const std::string& what) const {
        const auto* string = node.as_string();
        if (!string)
            fail(node, fmt::format("'{}': text expected, got {}", what, word(node)));
        return string->get();
    }

    const toml::table& table_of(const toml::node& node, const std::string& what) const {
        const toml::table* table = node.as_table();
        if (!table)
            fail(node, fmt::format("'{}': table expected, got {}", what, word(node)));
        return *table;
    }

    void environment(const std::string& name, const toml::node& node) {
        Environment entry{name, {}, line(node)};
        for (const auto& [key, inner] : table_of(node, "env." + name)) {
            const std::string word(key.str());
            if (word != "params")
                unknown(inner, fmt::format("env.{}: unknown key '{}'", name, word), word,
                        {"params"});
            for (const auto& [parameter, setting] :
                 table_of(inner, fmt::format("env.{}.params", name)))
                entry.params.set(std::string(parameter.str()),
                                 value(setting, std::string(parameter.str())));
        }
        config_.environments.push_back(std::move(entry));
    }

    void connection(const std::string& name, const toml::node& node) {
        Connection entry{name, {}, {}, {}, line(node)};
        if (node.is_string()) {
            entry.url = text_of(node, name);
            config_.connections.push_back(std::move(entry));
            return;
        }
        const std::string where = "connections." + name;
        for (const auto& [key, inner] : table_of(node, where)) {
            const std::string word(key.str());
            if (word == "url")
                entry.url = text_of(inner, where + ".url");
            else if (word == "password")
                entry.password = reference(inner, where + ".password");
            else if (word == "access")
                entry.access = access(inner, where + ".access");
            else
                unknown(inner, fmt::format("{}: unknown key '{}'", where, word), word,
                        {"url", "password", "access"});
        }
        if (entry.url.empty())
            fail(node, fmt::format("{}: url is missing", where));
        config_.connections.push_back(std::move(entry));
    }

    void vault(const std::string& key, const toml::node& node) {
        secret::Vault& vault = config_.vault;
        const std::vector<std::pair<std::string, std::string*>> known = {
            {"address", &vault.address}, {"namespace", &vault.name_space},
            {"ca", &vault.ca},           {"cert", &vault.cert},
            {"key", &vault.key},         {"token", &vault.token},
            {"role_id", &vault.role_id}, {"secret_id", &vault.secret_id},
            {"approle", &vault.approle}};
        std::vector<std::string> names;
        for (const auto& [name, member] : known) {
            if (name == key) {
                const bool secret = name == "token" || name == "secret_id";
                *member = secret ? reference(node, "vault." + key) : text_of(node, "vault." + key);
                return;
            }
            names.push_back(name);
        }
        unknown(node, fmt::format("vault: unknown key '{}'", key), key, names);
    }

    /// A secret never stands in the file itself.
    std::string reference(const toml::node& node, const std::string& what) const {
        std::string text = text_of(node, what);
        if (!is_reference(text))
            fail(node, fmt::format("{}: {}", what, sources_text),
                 "a password in the file itself would be read by everybody who may read the file");
        return text;
    }

    std::string access(const toml::node& node, const std::string& what) const {
        std::string text = text_of(node, what);
        const std::vector<std::string> known = {"read", "write", "admin"};
        if (std::find(known.begin(), known.end(), text) == known.end())
            unknown(node, fmt::format("{}: unknown access '{}'", what, text), text, known);
        return text;
    }

    void channel(const std::string& name, const toml::node& node) {
        Channel entry{name, {}, {}, line(node)};
        const std::string where = "channels." + name;
        for (const auto& [key, inner] : table_of(node, where)) {
            const std::string word(key.str());
            if (word == "type") {
                entry.type = text_of(inner, where + ".type");
            } else if (const toml::table* members = inner.as_table();
                       members && word == "headers") {
                Map headers;
                for (const auto& [header, text] : *members)
                    headers.set(std::string(header.str()),
                                text_of(text, fmt::format("{}.headers.{}", where, header.str())));
                entry.settings.set(word, headers);
            } else {
                entry.settings.set(word, value(inner, where + "." + word));
            }
        }
        if (entry.type.empty())
            fail(node, fmt::format("{}: type is missing", where));
        config_.channels.push_back(std::move(entry));
    }

    double span(const toml::node& node, const std::string& what) const {
        const std::string text = text_of(node, what);
        const std::optional<double> seconds = text::parse_duration(text);
        if (!seconds || *seconds <= 0)
            fail(node, fmt::format("{}: '{}': a duration such as 24h or 30d expected", what, text));
        return *seconds;
    }

    void backups(const std::string& name, const toml::node& node) {
        Backups entry;
        entry.name = name;
        entry.line = line(node);
        const std::string where = "backups." + name;
        for (const auto& [key, inner] : table_of(node, where)) {
            const std::string word(key.str()), what = where + "." + word;
            const toml::array* array = inner.as_array();
            if (word == "source")
                entry.source = text_of(inner, what);
            else if (word == "folders" && array)
                for (const toml::node& item : *array)
                    entry.folders.push_back(text_of(item, what));
            else if (word == "folders")
                entry.folders.push_back(text_of(inner, what));
            else if (word == "every")
                entry.every = span(inner, what);
            else if (word == "grace")
                entry.grace = span(inner, what);
            else if (word == "restored")
                entry.restored = span(inner, what);
            else if (word == "keep")
                entry.keep = static_cast<int>(number(inner, what, 1, 1'000'000, true));
            else if (word == "shrink")
                entry.shrink = number(inner, what, 0, 1, false);
            else
                unknown(inner, fmt::format("{}: unknown key '{}'", where, word), word,
                        {"source", "folders", "every", "grace", "restored", "keep", "shrink"});
        }
        if (entry.source.empty())
            fail(node, fmt::format("{}: source is missing", where),
                 "a name of [connections], or a URL");
        if (entry.folders.empty())
            entry.folders.emplace_back("backup/");
        config_.backups.push_back(std::move(entry));
    }

    double number(const toml::node& node, const std::string& what, double lowest, double highest,
                  bool whole) const {
        const std::optional<double> found = node.value<double>();
        if (!found || !(*found >= lowest && *found <= highest) ||
            (whole && *found != std::floor(*found)))
            fail(node, fmt::format("{}: a {}number from {} to {} expected", what,
                                   whole ? "whole " : "", lowest, highest));
        return *found;
    }

    void role(const std::string& name, const toml::node& node) {
        Role entry{name, {}, line(node)};
        if (const toml::array* array = node.as_array())
            for (const toml::node& item : *array)
                entry.people.push_back(text_of(item, "roster." + name));
        else
            entry.people.push_back(text_of(node, "roster." + name));
        config_.roster.push_back(std::move(entry));
    }

    const std::string& file_;
    Config& config_;
};

template <class T>
const T* named(const std::vector<T>& entries, std::string_view name) {
    for (const T& entry : entries)
        if (entry.name == name)
            return &entry;
    return nullptr;
}

std::string read(const std::string& path, const std::string& kind, const std::string& what) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file)
        throw Error(
            kind, fmt::format("{}: cannot be read: {}", what, std::strerror(errno ? errno : EIO)));
    return text.str();
}

} // namespace

const Map& Config::parameters(std::string_view environment) const {
    if (const Environment* found = named(environments, environment))
        return found->params;
    std::vector<std::string> names;
    for (const Environment& entry : environments)
        names.push_back(entry.name);
    throw Error("usage",
                file.empty() ? fmt::format("environment '{}': there is no {} beside the playbook",
                                           environment, file_name)
                             : fmt::format("{}: no environment '{}'{}", file, environment,
                                           text::did_you_mean(environment, names)),
                names.empty()
                    ? fmt::format("declare it as [env.{}.params] in {}", environment, file_name)
                    : "declared: " + text::join(names, ", "));
}

const Connection* Config::connection(std::string_view name) const {
    return named(connections, name);
}

const Channel* Config::channel(std::string_view name) const {
    return named(channels, name);
}

const Role* Config::role(std::string_view name) const {
    return named(roster, name);
}

Config parse(std::string_view text, const std::string& file) {
    Config config;
    config.file = file;
    try {
        const toml::table root = toml::parse(text, file);
        Reader(file, config).run(root);
    } catch (const toml::parse_error& problem) {
        throw Error("load",
                    fmt::format("{}:{}: {}", file, static_cast<int>(problem.source().begin.line),
                                problem.description()));
    }
    return config;
}

Config load(const std::string& folder) {
    const std::filesystem::path path = std::filesystem::path(folder) / file_name;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
        return {};
    return parse(read(path.string(), "load", path.string()), path.string());
}

bool is_reference(std::string_view text) {
    return secret::is_reference(text);
}

Map open_settings(const Channel& channel, const std::string& folder, std::string& problem) {
    const auto open = [&](const std::string& key, const Value& given) -> Value {
        const auto* text = given.get<std::string>();
        if (!text || !is_reference(*text))
            return given;
        try {
            return Value(open_secret(*text, folder));
        } catch (const Error& error) {
            problem = key + ": " + error.message();
            return Value(closed_secret("unset:" + channel.name));
        }
    };
    Map settings;
    for (const auto& [key, value] : channel.settings) {
        const bool secret = key == "token" || key == "key" || key == "password";
        if (const Map* members = value.get<Map>()) { // headers
            Map opened;
            for (const auto& [name, one] : *members)
                opened.set(name, open(key + "." + name, one));
            settings.set(key, opened);
        } else if (secret || key == "url") {
            const Value opened = open(key, value);
            if (secret && !opened.get<SecretPtr>())
                throw Error("usage", fmt::format("{}: {}", key, sources_text),
                            "a password in the file itself would be read by everybody who may "
                            "read the file");
            settings.set(key, opened);
        } else {
            settings.set(key, value);
        }
    }
    return settings;
}

SecretPtr open_secret(const std::string& reference, const std::string& folder) {
    return secret::open(secret::parse(reference),
                        {folder.empty() || folder.ends_with('/') ? folder : folder + "/"});
}

} // namespace runbook::config
