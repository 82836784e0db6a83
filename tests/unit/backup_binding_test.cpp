// `backup` as playbooks call it: results, refusals, permissions, effects.
#include "tests/unit/backup_support.h"

#include "bindings/backup.h"
#include "bindings/db.h"
#include "runtime/base/json.h"
#include "tests/unit/vm_fixture.h"

#include <sqlite3.h>

using namespace runbook;
using runbook::backup::test::Folder;
namespace fs = std::filesystem;

namespace {

struct BackupMachine : runbook::test::Machine {
    Folder folder;
    BackupMachine() {
        bindings::register_db(state, registry);
        bindings::register_backup(state, registry);
        sqlite3* handle = nullptr;
        sqlite3_open((folder.path + "/app.db").c_str(), &handle);
        sqlite3_exec(handle, "create table people(x); insert into people values (1), (2)", nullptr,
                     nullptr, nullptr);
        sqlite3_close(handle);
        set("src", "sqlite:" + folder.path + "/app.db", "read");
        set("dst", "sqlite:" + folder.path + "/new.db", "write");
        set("other", "sqlite:" + folder.path + "/other.db", "read");
    }
    /// A global that is a parameter of the playbook.
    void set(const std::string& name, const std::string& url, const char* access) {
        lua_State* L = state.L();
        state.push_sandbox();
        lua_pushlstring(L, name.data(), name.size());
        bindings::push_connection(L, url, access, name);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    std::string text(const std::string& code) {
        Value value = run("local d = '" + folder.path + "/backup/' " + code);
        auto* text = value.get<std::string>();
        return text ? *text : json::dump(value);
    }
};

} // namespace

TEST_CASE("backup binding: create, verify, test restore, latest, restore", "[backup][bindings]") {
    BackupMachine m;
    CHECK(m.text("local b = backup.create(src, { to = d, name = 'b1' }) return b.file") ==
          m.folder.path + "/backup/b1.sqlite");
    CHECK(
        m.text("local b = backup.verify(d .. 'b1.sqlite') return b.engine .. b.tables .. b.rows .. "
               "b.counts.people .. b.verified") == "SQLite122read");
    CHECK(m.text("local b = backup.verify(d .. 'b1.sqlite') "
                 "local r = backup.test_restore(b, nil, { counts = db.counts(src) }) "
                 "return tostring(r.restored) .. r.tables .. r.rows") == "true12");
    CHECK(m.text("local b = backup.latest(src, { from = d, restored = true }) "
                 "return b.verified .. tostring(b.age >= 0 and b.age < 3600)") == "restoredtrue");
    CHECK(m.text("return backup.restore(d .. 'b1.sqlite', dst).rows") == "2");
    CHECK(m.text("return db.value(dst, 'select count(*) from people')") == "2");
}

TEST_CASE("backup binding: refusals", "[backup][bindings]") {
    BackupMachine m;
    auto error = [&](const std::string& code, vm::Effect up_to = vm::Effect::writes) {
        return m.error("local d = '" + m.folder.path + "/backup/' " + code, up_to);
    };
    const std::string at = "test.lua:1: ";
    CHECK(error("backup.create('postgres://x')") ==
          at + "backup.create: argument 1 'source': connection expected, got string");
    CHECK(error("backup.create(src, { too = d })") ==
          at + "backup.create: argument 2 'options': unknown option 'too' (did you mean 'to'?)");
    CHECK(error("backup.verify(5)") == at + "backup.verify: argument 1 'backup': a path or a "
                                            "result of backup.create expected, got integer");
    CHECK(error("backup.test_restore('x.dump')") ==
          at + "backup.test_restore: argument 2 'scratch': connection expected, got nil");
    CHECK(error("backup.test_restore('x.sqlite', nil, { counts = { people = 'two' } })") ==
          at + "counts: 'people': integer expected, got string");
    CHECK(error("backup.restore('x.sqlite', src)") ==
          at + "backup.restore: sqlite:" + m.folder.path + "/app.db is open for reading only");
    CHECK(error("backup.latest(other, { from = d })") ==
          at + "no backup of sqlite:" + m.folder.path + "/other.db in " + m.folder.path +
              "/backup/");
    CHECK(error("backup.create(src, { to = d })", vm::Effect::reads) ==
          at + "backup.create is not allowed in this test");
    CHECK(m.text("return backup.repository('/srv/vault')") == "restic:/srv/vault");
    CHECK(m.text("return backup.repository('sftp:backup@nas:/srv/vault')") ==
          "restic:sftp:backup@nas:/srv/vault");
    CHECK(error("backup.repository('rest:https://me:word@host/x')") ==
          at + "a repository's location holds a password");
    CHECK(error("backup.repository('x', { password = 'word' })") ==
          at + "backup.repository: argument 2 'options': option 'password': secret expected, got "
               "string");
    CHECK(error("backup.restore(d .. 'b1.sqlite', dst, { tables = 5 })") ==
          at + "backup.restore: argument 3 'options': option 'tables': list expected, got number");
    CHECK(error("backup.create(src, { to = d, jobs = 2 })") ==
          at + "a backup of SQLite has one format and one job");
    m.host().permissions_.everything = false;
    m.host().permissions_.files = {"elsewhere/"};
    CHECK(error("backup.create(src, { to = d })").find("may not touch `") != std::string::npos);
    CHECK(error("backup.verify(d .. 'b.sqlite')").find("may not touch `") != std::string::npos);
    for (auto [place, what] :
         {std::pair{"/srv/vault", "may not touch `/srv/vault`"},
          {"sftp:backup@nas:/srv/vault", "may not reach `nas"},
          {"rest:https://vault.example:8000/x", "may not reach `vault.example:8000`"},
          {"s3:s3.example.com/bucket", "may not reach `s3.example.com"},
          {"b2:bucket:x", "may not reach `api.backblazeb2.com"},
          {"rclone:far:x", "may not run `rclone`"}}) {
        INFO(place);
        CHECK(error("backup.list(backup.repository('" + std::string(place) + "'))").find(what) !=
              std::string::npos);
    }
    CHECK(fs::exists(m.folder.path + "/backup") == false);
}
