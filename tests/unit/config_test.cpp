// runbook.toml: what it gives, and the exact text of each mistake.
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/config/config.h"
#include "tests/unit/catch.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace runbook;

namespace {

std::string problem(std::string_view text) {
    try {
        config::parse(text, "runbook.toml");
    } catch (const Error& error) {
        return error.kind() + ": " + error.message();
    }
    return "no error";
}

} // namespace

TEST_CASE("runbook.toml gives environments, connections, channels and the roster", "[config]") {
    const config::Config found = config::parse(R"(
[env.staging.params]
source = "postgres://app@db1/shop"
streams = 4
ratio = 0.5
careful = true
tables = ["a", "b"]

[connections]
prod = "postgres://ops@db1/shop"
old = { url = "mysql://root@db2/shop", password = "env:OLD_PASSWORD", access = "read" }

[channels.migration]
type = "webhook"
url = "env:MIGRATION_HOOK"

[roster]
lead = ["anna", "ben"]
dba = "carla"
)",
                                               "runbook.toml");
    const Map& params = found.parameters("staging");
    CHECK(params.text("source") == "postgres://app@db1/shop");
    CHECK(params.integer("streams") == 4);
    CHECK(params.number("ratio") == 0.5);
    CHECK(params.boolean("careful"));
    CHECK(params.find("tables")->get<List>()->size() == 2);
    REQUIRE(found.connection("prod"));
    CHECK(found.connection("prod")->url == "postgres://ops@db1/shop");
    REQUIRE(found.connection("old"));
    CHECK(found.connection("old")->password == "env:OLD_PASSWORD");
    CHECK(found.connection("old")->access == "read");
    CHECK_FALSE(found.connection("new"));
    REQUIRE(found.channel("migration"));
    CHECK(found.channel("migration")->type == "webhook");
    CHECK(found.channel("migration")->settings.text("url") == "env:MIGRATION_HOOK");
    REQUIRE(found.role("lead"));
    CHECK(found.role("lead")->people == std::vector<std::string>{"anna", "ben"});
    CHECK(found.role("dba")->people == std::vector<std::string>{"carla"});
}

TEST_CASE("each mistake in runbook.toml names its line", "[config]") {
    CHECK(problem("[enviroment.x]\n") == "load: runbook.toml:1: unknown table 'enviroment'");
    CHECK(problem("\n[chanels.x]\ntype = 'webhook'\n") ==
          "load: runbook.toml:2: unknown table 'chanels' (did you mean 'channels'?)");
    CHECK(problem("journal = 'x'\n") == "load: runbook.toml:1: unknown key 'journal'");
    CHECK(problem("env = 3\n") == "load: runbook.toml:1: 'env': table expected, got a number");
    CHECK(problem("[env.x]\nparms = {}\n") ==
          "load: runbook.toml:2: env.x: unknown key 'parms' (did you mean 'params'?)");
    CHECK(problem("[env.x.params]\nday = 2026-11-20\n") ==
          "load: runbook.toml:2: 'day': text, number, boolean or list expected, got a date");
    CHECK(problem("[connections]\na = {}\n") ==
          "load: runbook.toml:2: connections.a: url is missing");
    CHECK(problem("[connections]\na = { url = 'sqlite:x', password = 'tiger' }\n") ==
          "load: runbook.toml:2: connections.a.password: env:NAME, file:PATH, command:PROGRAM, "
          "vault:PATH#FIELD or aws:NAME#FIELD expected");
    CHECK(
        problem("[connections]\na = { url = 'sqlite:x', access = 'raed' }\n") ==
        "load: runbook.toml:2: connections.a.access: unknown access 'raed' (did you mean 'read'?)");
    CHECK(problem("[connections]\na = { ulr = 'sqlite:x' }\n") ==
          "load: runbook.toml:2: connections.a: unknown key 'ulr' (did you mean 'url'?)");
    CHECK(problem("[channels.ops]\nurl = 'x'\n") ==
          "load: runbook.toml:1: channels.ops: type is missing");
    CHECK(problem("[roster]\nlead = [1]\n") ==
          "load: runbook.toml:2: 'roster.lead': text expected, got a number");
    CHECK(problem("[env.x.params\n").starts_with("load: runbook.toml:1: "));
}

TEST_CASE("an unknown environment names the nearest", "[config]") {
    const config::Config found =
        config::parse("[env.staging.params]\n[env.production.params]\n", "runbook.toml");
    try {
        found.parameters("stagin");
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.message() == "runbook.toml: no environment 'stagin' (did you mean 'staging'?)");
        CHECK(error.hint() == "declared: production, staging");
    }
    try {
        config::Config{}.parameters("x");
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.message() == "environment 'x': there is no runbook.toml beside the playbook");
    }
}

TEST_CASE("secrets are opened from the environment and from files", "[config]") {
    const auto folder =
        std::filesystem::temp_directory_path() / ("runbook_config_" + std::to_string(std::rand()));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "pw") << "tiger-lily\n";
    CHECK_THROWS_WITH(config::open_secret("file:pw", folder.string()),
                      "file " + (folder / "pw").string() + " can be read by others: chmod 600 it");
    std::filesystem::permissions(folder / "pw", std::filesystem::perms::owner_read);
    CHECK(config::open_secret("file:pw", folder.string())->reveal() == "tiger-lily");
    CHECK(config::open_secret("file:pw", folder.string())->origin() ==
          "file:" + (folder / "pw").string());
    setenv("RUNBOOK_CONFIG_TEST", "pangolin", 1);
    CHECK(config::open_secret("env:RUNBOOK_CONFIG_TEST", "")->reveal() == "pangolin");
    unsetenv("RUNBOOK_CONFIG_TEST");
    CHECK_THROWS_WITH(config::open_secret("env:RUNBOOK_CONFIG_TEST", ""),
                      "environment variable RUNBOOK_CONFIG_TEST is not set");
    CHECK_THROWS_WITH(config::open_secret("file:none", folder.string()),
                      "file " + (folder / "none").string() +
                          " cannot be read: no such file or directory");
    CHECK(config::load(folder.string()).file.empty());
    std::filesystem::remove_all(folder);
}
