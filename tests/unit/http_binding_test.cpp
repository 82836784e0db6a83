// The Lua faces of processes, HTTP, notifications, files, JSON, time and log: arguments, results,
// refusals.
#include "tests/unit/catch.h"

#include "bindings/fs.h"
#include "bindings/http.h"
#include "bindings/json.h"
#include "bindings/log.h"
#include "bindings/notify.h"
#include "bindings/sh.h"
#include "bindings/time.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "tests/unit/http_support.h"
#include "tests/unit/vm_fixture.h"

#include <filesystem>
#include <regex>

using namespace runbook;
using ::test::answer;
using ::test::Server;

namespace {

struct Things : runbook::test::Machine {
    Things() {
        bindings::register_sh(state, registry);
        bindings::register_fs(state, registry);
        bindings::register_http(state, registry);
        bindings::register_notify(state, registry);
        bindings::register_json(state, registry);
        bindings::register_time(state, registry);
        bindings::register_log(state, registry);
        state.push_sandbox(); // the engine's words define it
        lua_pushliteral(state.L(), "null");
        vm::push_null(state.L());
        lua_rawset(state.L(), -3);
        lua_pop(state.L(), 1);
    }
    std::string text(const std::string& code) {
        Value value = run(code);
        auto* text = value.get<std::string>();
        return text ? *text : json::dump(value);
    }
};

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/runbook-binding-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

} // namespace

TEST_CASE("sh: words and options in one table", "[process][bindings]") {
    Things m;
    CHECK(m.text("return sh.run({ 'printf', '%s|', 'a b', 3 }).out") == "a b|3|");
    CHECK(m.text("return sh.run({ 'cat', stdin = 'in', timeout = '10s' }).out") == "in");
    CHECK(
        m.text("local r = sh.run({ 'sh', '-c', 'echo $A; exit 3' }, { env = { A = 5 }, exit = 3 }) "
               "return r.exit .. r.out") == "35\n");
    CHECK(m.text("local r = sh.run { 'echo $A; exit 4', shell = true, env = { A = 'x' }, any_exit "
                 "= true } "
                 "return r.exit .. r.out") == "4x\n");
    CHECK(m.text("return sh.quote [[it's]]") == R"('it'\''s')");
    CHECK(m.text("return sh.which 'sh'").ends_with("/sh"));
    CHECK(m.run("return sh.which 'no-such-program'").is_null());
}

TEST_CASE("sh: refusals", "[process][bindings]") {
    Things m;
    auto list = "sh.run: argument 1 'command': ";
    CHECK(m.error("sh.run 'ls'") ==
          std::string("test.lua:1: ") + list + "list of words expected, got string");
    CHECK(m.error("sh.run {}") == std::string("test.lua:1: ") + list +
                                      "at least the name of a program expected, got an empty list");
    CHECK(m.error("sh.run { 'a', {} }") ==
          std::string("test.lua:1: ") + list + "word 2: string expected, got table");
    CHECK(m.error("sh.run { 'a', timout = 5 }") ==
          std::string("test.lua:1: ") + list + "unknown option 'timout' (did you mean 'timeout'?)");
    CHECK(m.error("sh.run { 'a', timeout = 'soon' }") ==
          std::string("test.lua:1: ") + list +
              "option 'timeout': 'soon' is not a duration: write 30s, 10m, 2h, 7d");
    CHECK(
        m.error("sh.run({ 'a' }, { exitt = 1 })") ==
        "test.lua:1: sh.run: argument 2 'options': unknown option 'exitt' (did you mean 'exit'?)");
    CHECK(m.error("sh.run { 'a', 'b', shell = true }") ==
          "test.lua:1: sh.run: with shell = true exactly one word is expected, the script");
    CHECK(m.error("sh.run { 'false' }") == "test.lua:1: `false` exited with status 1");
    // Effects: only what says that it reads is allowed where effects are not.
    CHECK(m.error("sh.run { 'true' }", vm::Effect::reads)
              .ends_with("run is not allowed in this test"));
    CHECK(m.error("sh.run { 'true', reads = true }", vm::Effect::reads) == "no error");
    CHECK(m.error("sh.run { 'true', reads = true }", vm::Effect::none) ==
          "test.lua:1: sh.run is not allowed in this test");
    m.host().permissions_.everything = false;
    m.host().permissions_.shell = {"systemctl", "touch"};
    m.host().permissions_.declared_at = "playbooks/x.lua:8";
    m.host().permissions_.step = "step \"clean\"";
    CHECK(m.error("sh.run { 'rm', '-rf', '/' }") ==
          "test.lua:1: step \"clean\" may not run `rm`: needs.shell allows systemctl, touch "
          "(playbooks/x.lua:8)");
    CHECK(m.error("sh.run { 'systemctl x', shell = true }").find("may not run `sh`") !=
          std::string::npos);
}

TEST_CASE("sh: output lines reach the progress sink", "[process][bindings]") {
    Things m;
    m.run("sh.run { 'sh', '-c', 'echo one; echo two' }");
    CHECK(m.host().progress_->lines == std::vector<std::string>{"one", "two"});
}

TEST_CASE("http: the functions", "[http][bindings]") {
    Server server([](const Server::Seen& seen, int) {
        if (seen.head.starts_with("GET /health"))
            return answer(200, R"({"status":"ok","db":{"adapter":"Mysql2"},"none":null,"list":[]})",
                          "Content-Type: application/json; charset=utf-8\r\n");
        if (seen.head.starts_with("GET /down"))
            return answer(503, "maintenance");
        return answer(200, seen.head.substr(0, seen.head.find(' ')) + " " + seen.body);
    });
    Things m;
    const std::string at = "local u = '" + server.url("") + "' ";
    CHECK(m.text(at + "return http.get(u .. '/x').body") == "GET ");
    CHECK(m.text(at + "return http.post(u .. '/x', { json = { a = { 1, null } } }).body") ==
          R"(POST {"a":[1,null]})");
    CHECK(m.text(at + "return http.put(u .. '/x', { body = 'b' }).body") == "PUT b");
    CHECK(m.text(at + "return http.delete(u .. '/x').status") == "200");
    CHECK(m.text(at + "local h = http.json(u .. '/health') return h.status .. h.db.adapter .. "
                      "tostring(h.none) .. #h.list") == "okMysql2null0");
    CHECK(m.text(at + "return http.get(u .. '/health').json.db.adapter") == "Mysql2");
    CHECK(m.text(at + "return http.request('PATCH', u .. '/x', { body = 'p' }).body") == "PATCH p");
    CHECK(m.error(at + "http.request('PATCH', u)", vm::Effect::reads)
              .ends_with("not allowed in this test"));
    CHECK(m.error(at + "http.request('GET', u)", vm::Effect::reads) == "no error");
    CHECK(m.text(at + "return http.status(u .. '/down')") == "503");
    CHECK(m.text(at + "return http.answers(u .. '/down').error") ==
          "GET " + server.url("/down") + ": expected status 200 to 299, got 503");
    CHECK(m.text(at + "return http.answers(u .. '/down', { status = { 200, 503 } }).up") == "true");
    CHECK(m.text(at + "return http.probe(u .. '/down')()") == "false");
    CHECK(m.text(at + "return http.probe(u .. '/down', { status = 503 })()") == "true");
    CHECK(m.text(at +
                 "local n = 0 return http.wait_until(u .. '/down', function(r) n = n + 1 return "
                 "n == 3 and r.status == 503 end, { every = '1ms' }).body .. n") == "maintenance3");
    const std::string waited =
        m.error(at + "http.wait_until(u .. '/down', function(r) return r.status == 200 end, { "
                     "within = '5ms', every = '10ms' })");
    CHECK(std::regex_match(waited, std::regex("GET " + server.url("/down") +
                                              ": not what was waited for: status 503 "
                                              "\\(after 5ms, (1 attempt|2 attempts)\\)")));
    CHECK(m.error(at + "http.wait_until(u, 5)") ==
          "test.lua:1: http.wait_until: argument 2 'test': function expected, got number");
    CHECK(m.text(at + "return http.patch(u .. '/x', { body = 'p' }).body") == "PATCH p");
    CHECK(m.text(at + "return http.head(u .. '/x').body") == "");
    CHECK(
        m.text(at +
               "return http.expect(u .. '/down', { status = 503, body = 'maintenance' }).status") ==
        "503");
    CHECK(m.text(at + "return http.expect(u .. '/health', { json = { ['db.adapter'] = 'Mysql2' } "
                      "}).attempts") == "1");
    CHECK(m.error(at + "http.expect(u .. '/down', { status = { 200, 302 } })") ==
          "test.lua:1: GET " + server.url("/down") + ": expected status 200 or 302, got 503");
    CHECK(m.error(at + "http.get(u, { timeuot = 1 })") ==
          "test.lua:1: http.get: argument 2 'options': unknown option 'timeuot' (did you mean "
          "'timeout'?)");
    CHECK(m.error(at + "http.get(u, { retry = { attempt = 1 } })") ==
          "test.lua:1: http.get: argument 2 'options': option 'retry': unknown option 'attempt' "
          "(did you mean "
          "'attempts'?)");
    CHECK(
        m.error(at + "http.get(u, { retry = { attempts = 3, initial = '1ms' }, status = 201 })") ==
        "test.lua:1: GET " + server.url("") + ": expected status 201, got 200");
}

TEST_CASE("http: effects and permissions", "[http][bindings]") {
    Server server([](const Server::Seen&, int) { return answer(200); });
    Things m;
    const std::string at = "local u = '" + server.url("/") + "' ";
    CHECK(m.error(at + "http.get(u)", vm::Effect::reads) == "no error");
    CHECK(m.error(at + "http.post(u)", vm::Effect::reads)
              .ends_with("post is not allowed in this test"));
    CHECK(m.error(at + "http.post(u, { reads = true })", vm::Effect::reads) == "no error");
    m.host().permissions_.everything = false;
    m.host().permissions_.http = {"app.example.com"};
    auto before = server.seen().size();
    CHECK(m.error(at + "http.get(u)").find("may not reach `127.0.0.1:") != std::string::npos);
    CHECK(server.seen().size() == before);
}

TEST_CASE("notify: send and channel", "[notify][bindings]") {
    Server server([](const Server::Seen&, int) { return answer(200, "ok"); });
    Things m;
    CHECK(m.text("return notify.send('Hello')[1].receipt") == "console");
    REQUIRE(m.host().events.size() == 1);
    CHECK(m.host().events[0].first == "notify.sent");
    CHECK(m.host().events[0].second.text("text") == "Hello");
    m.run("notify.channel('ops', { url = '" + server.url() + "', format = 'slack' })");
    CHECK(m.text("local d = notify.send('Again', { to = { 'ops', 'console' }, key = 'k' }) "
                 "return d[1].channel .. d[1].receipt .. #d") == "opsstatus 2002");
    CHECK(server.seen().at(0).body == R"({"text":"Again"})");
    CHECK(m.text("return notify.send('Again', { to = 'ops', key = 'k' })[1].repeated") == "true");
    CHECK(server.seen().size() == 1);
    CHECK(m.error("notify.send('x', { to = 'opps' })") ==
          "test.lua:1: no notification channel 'opps' (did you mean 'ops'?)");
    const std::string nobody = fmt::format("http://127.0.0.1:{}/", ::test::free_port());
    const std::string refused = nobody.substr(0, nobody.size() - 1) +
                                ": connection refused; try it: runbook channels --test gone";
    m.run("notify.channel('gone', { url = '" + nobody + "', attempts = 1 })");
    CHECK(m.text("return notify.send('x', { to = 'gone' })[1].error") == refused);
    CHECK(m.host().events.back().first == "notify.failed");
    m.run("notify.channel('gone', { url = '" + nobody + "', attempts = 1, required = true })");
    CHECK(m.error("notify.send('x', { to = 'gone' })") == "test.lua:1: channel 'gone': " + refused);
    CHECK(m.error("notify.send('x', { level = 'warn' })") == "test.lua:1: unknown level 'warn'");
    CHECK(m.error("notify.send('x', { action = 'trigerr' })") ==
          "test.lua:1: unknown action 'trigerr' (did you mean 'trigger'?)");
    CHECK(m.error("notify.channel('x', { kind = 'webhok', url = 'http://x/' })") ==
          "test.lua:1: channel 'x': unknown type 'webhok' (did you mean 'webhook'?)");
    CHECK(m.error("notify.channel('x', { kind = 'pagerduty', key = 'in the open' })") ==
          "test.lua:1: channel 'x': key: a secret expected, not its text");
}

TEST_CASE("fs: files", "[fs][bindings]") {
    Folder folder;
    Things m;
    const std::string at = "local d = '" + folder.path + "/' ";
    CHECK(m.text(at + "fs.write(d .. 'a.txt', 'x\\0y') return #fs.read(d .. 'a.txt')") == "3");
    CHECK(m.text(at + "fs.mkdir(d .. 'deep/er') fs.mkdir(d .. 'deep/er') fs.touch(d .. 'b') "
                      "return table.concat(fs.list(d), ' ')") == "a.txt b deep/");
    CHECK(m.text(at + "fs.copy(d .. 'a.txt', d .. 'c') return fs.size(d .. 'c')") == "3");
    CHECK(m.text(at + "return fs.remove(d .. 'c')") == "true");
    CHECK(m.text(at + "return fs.remove(d .. 'c')") == "false");
    CHECK(m.text(at + "return fs.exists(d .. 'c')") == "false");
    CHECK(m.text(at + "return fs.exists(d .. 'b')") == "true");
    CHECK(m.text(at + "return fs.sha256(d .. 'b')") ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(m.error(at + "fs.remove(d .. 'deep')") ==
          "test.lua:1: " + folder.path + "/deep: directory not empty");
    CHECK(m.error(at + "fs.read(d .. 'c')") ==
          "test.lua:1: " + folder.path + "/c: no such file or directory");
    CHECK(m.error(at + "fs.write(d .. 'no/such', 'x')") ==
          "test.lua:1: " + folder.path + "/no/such: no such file or directory");
    CHECK(m.error(at + "fs.size(d)") == "test.lua:1: " + folder.path + "/: is a directory");
    CHECK(m.error(at + "fs.write(d .. 'x', 5)") ==
          "test.lua:1: fs.write: argument 2 'text': string or secret expected, got integer");
    std::filesystem::permissions(folder.path + "/a.txt", std::filesystem::perms(0640));
    m.run(at + "fs.write(d .. 'a.txt', 'new')");
    CHECK(std::filesystem::status(folder.path + "/a.txt").permissions() ==
          std::filesystem::perms(0640));
    CHECK(m.text(at + "return table.concat(fs.list(d), ' ')") ==
          "a.txt b deep/"); // no temporary file is left
    m.host().permissions_.everything = false;
    m.host().permissions_.files = {folder.path + "/deep/"};
    CHECK(m.error(at + "fs.touch(d .. 'deep/x')") == "no error");
    CHECK(m.error(at + "fs.touch(d .. 'deep/../y')").find("may not touch `") != std::string::npos);
    CHECK(m.error(at + "fs.copy(d .. 'a.txt', d .. 'deep/y')").find("may not touch `") !=
          std::string::npos);
    CHECK(m.error(at + "fs.touch(d .. 'deep/x')", vm::Effect::reads) ==
          "test.lua:1: fs.touch is not allowed in this test");
}

TEST_CASE("json, time and log", "[json][bindings]") {
    Things m;
    CHECK(m.text("return json.encode { 1, null, { a = true, b = 'ü' } }") ==
          R"([1,null,{"a":true,"b":"ü"}])");
    CHECK(m.text("return json.encode({}) .. json.encode(json.array {}) .. json.encode(json.array { "
                 "1 })") == "{}[][1]");
    CHECK(m.text("return json.encode({ a = json.array {} }, { pretty = true })") ==
          "{\n  \"a\": []\n}");
    CHECK(m.text("local v = json.decode '{\"a\":[1,null,2.5]}' return tostring(v.a[2] == null) .. "
                 "v.a[3]") == "true2.5");
    CHECK(m.text("return tostring(json.decode '12345678901234567890')") == "12345678901234567890");
    CHECK(m.text("return json.encode(json.decode '{\"a\":[],\"b\":{}}')") == R"({"a":[],"b":{}})");
    CHECK(m.error("json.decode '{'").starts_with("test.lua:1: "));
    CHECK(m.error("json.array { a = 1 }") ==
          "test.lua:1: json.array: argument 1 'list': list expected, got map");
    CHECK(m.text("return time.iso(time.parse '2026-11-20 22:00:00.5+02:00')") ==
          "2026-11-20T22:00:00.5+02:00");
    CHECK(m.text("return time.parse '2026-11-20T00:01:00Z' - time.parse '2026-11-20T00:00:00Z'") ==
          "60");
    CHECK(m.text("return time.duration '1h30m' .. time.text(5400)") == "54001h30m");
    CHECK(m.text("return time.since(time.now()) < 60 and time.now() <= time.now()") == "true");
    CHECK(m.error("time.parse 'tomorrow'") ==
          "test.lua:1: time.parse: argument 1 'text': 'tomorrow' is not a time");
    CHECK(m.error("time.iso(5)") ==
          "test.lua:1: time.iso: argument 1 'timestamp': timestamp expected, got integer");
    m.run("log.info('rows', 5, { a = 1 }) log.warn 'careful'");
    CHECK(m.host().logged == std::vector<std::string>{"info: rows 5 {\"a\":1}", "warn: careful"});
}
