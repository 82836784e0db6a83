// The runs whose power is cut (contract in power.h): the journal alone, and the engine on top of
// it.
#include "bindings/core/declare.h"
#include "runtime/base/error.h"
#include "runtime/engine/engine.h"
#include "runtime/view/view.h"
#include "tests/crash/power.h"

#include <fmt/format.h>
#include <fstream>
#include <map>
#include <sqlite3.h>

using namespace runbook;
namespace fs = std::filesystem;

namespace crash {
namespace {

/// Another connection, as the heartbeat of the lease has one, or an sqlite3 shell.
void checkpoint_from_outside(const std::string& path, const char* how) {
    sqlite3* handle = nullptr;
    if (sqlite3_open(path.c_str(), &handle) == SQLITE_OK)
        sqlite3_exec(handle, (std::string("PRAGMA wal_checkpoint(") + how + ")").c_str(), nullptr,
                     nullptr, nullptr);
    sqlite3_close(handle);
}

std::vector<std::string> hashes_of(const std::string& path) {
    std::vector<std::string> out;
    for (const journal::Event& event : journal::Journal::open(path)->events(run_id))
        out.push_back(event.hash);
    return out;
}

/// The world outside: its effects are durable at once, and in the log.
struct World {
    std::vector<std::string> effects;
    Recorder* disk = nullptr;
    static World& the() {
        static World world;
        return world;
    }
    void write(const std::string& name) {
        effects.push_back(name);
        if (disk)
            disk->promise("effect " + name);
    }
    std::int64_t count(const std::string& name) const {
        return std::count(effects.begin(), effects.end(), name);
    }
};

void register_world(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "world", "What the test changes.");
    area.def("write", "Changes something.")
        .param("name", "what")
        .writes()
        .native([](bind::Call&, std::string name) -> bind::Job<void> {
            return {[name](Cancel&) { World::the().write(name); }};
        });
    area.def("count", "Looks.")
        .param("name", "at what")
        .reads()
        .native(
            [](bind::Call&, std::string name) -> std::int64_t { return World::the().count(name); });
}

class Promising final : public view::EventSink {
  public:
    explicit Promising(Recorder* disk) : disk_(disk) {}
    void on_event(const journal::Event& event) override {
        if (disk_)
            disk_->promise(fmt::format("event {}", event.seq));
    }

  private:
    Recorder* disk_;
};

constexpr const char* step_maker = R"(
playbook "power" { summary = "cut anywhere" }
local function standing(name) return world.count(name) > world.count("undo " .. name) end
local function back(name) if standing(name) then world.write("undo " .. name) end end
local function unit(name, more)
  local options = {
    run = function() world.write(name) return { name = name } end,
    observe = function() if standing(name) then return "done", { name = name } end return "absent" end,
    undo = function() back(name) end,
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return step(name)(options)
end
local first = unit "one"
unit("two", { capture = function() return { before = first.result.name } end, says = "two is there" })
checkpoint "look" { run = function() return world.count "two" end, pass = function(seen) return seen == 1 end }
unit("three", { verify = function() return world.count "three" == 1 end })
step "pure" { run = function() return 7 end }
gate "go" { ask = "go on?" }
unit "four"
)";
constexpr const char* good_end = "unit \"five\"\n";
constexpr const char* bad_end = R"(
step "five" { run = function() world.write "five" error "no" end, undo = function() back "five" end,
  observe = function() return standing "five" and "partial" or "absent" end }
)";

engine::Options engine_options(const Folder& folder) {
    engine::Options options;
    options.file = folder.path + "/power.lua";
    options.journal = folder.journal();
    options.run_id = run_id;
    options.approve = {"go"};
    return options;
}

void write_playbook(const Folder& folder, bool fails) {
    std::ofstream(folder.path + "/power.lua") << step_maker << (fails ? bad_end : good_end);
}

} // namespace

journal::RunRecord new_run() {
    journal::RunRecord record;
    record.run = run_id;
    record.playbook = "power";
    record.file = "/srv/power.lua";
    record.started = 1'000'000;
    record.pinned = Map{{"source", std::string(3000, 's')}, {"sha256", "ab12"}};
    return record;
}

void write_journal(const std::string& path, Recorder& disk, int events, std::size_t large,
                   bool early) {
    std::int64_t requests = 0;
    for (int process = 0; process < 2; ++process) {
        auto journal = journal::Journal::open(path);
        auto heartbeat = journal::Journal::open(path);
        if (process == 0) {
            journal->create(new_run());
            disk.promise("create");
        }
        const std::int64_t fence = journal->acquire(run_id, 30);
        disk.promise(fmt::format("fence {}", fence));
        for (int i = 0; i < events; ++i) {
            const std::size_t size = i % 7 == 3 ? large : i % 3 == 1 ? 5000 : 40;
            const Map data{{"n", static_cast<std::int64_t>(i)},
                           {"text", std::string(size, static_cast<char>('a' + i % 26))}};
            const std::int64_t last = process * events + i + 1;
            if (early)
                disk.promise(fmt::format("event {}", last));
            const journal::Event event =
                journal->append(run_id, fence, i % 2 ? "step.finished" : "step.started",
                                fmt::format("step {}", i), data);
            disk.promise(fmt::format("event {}", event.seq));
            if (i % 5 == 2)
                heartbeat->renew(run_id, fence, 30);
            if (i % 6 == 4) {
                heartbeat->post({0, run_id, "approve", "gate", "anna", 0, {}});
                disk.promise(fmt::format("request {}", ++requests));
            }
            if (i == events / 2)
                checkpoint_from_outside(path, process ? "PASSIVE" : "RESTART");
            if (i == events * 3 / 4)
                checkpoint_from_outside(path, process ? "TRUNCATE" : "FULL");
        }
        if (process == 0) {
            journal->release(run_id, fence);
        } else {
            journal->finish(run_id, journal::RunState::finished, "succeeded", 0);
            disk.promise("finish");
            journal->release(run_id, fence);
        }
    } // the last one that closes moves the log into the file and removes it
}

Scenario record_journal(const std::string& name, int events, std::size_t large, bool early) {
    const Folder folder;
    Scenario out{name, {}, {}, false, false};
    {
        Recorder disk;
        write_journal(folder.journal(), disk, events, large, early);
        out.log = disk.take();
    }
    out.hashes = hashes_of(folder.journal());
    return out;
}

Scenario record_engine(const Folder& playbook, bool fails) {
    Scenario out{fails ? "run that rolls back" : "run", {}, {}, true, false};
    write_playbook(playbook, fails);
    {
        Recorder disk;
        World::the() = {{}, &disk};
        Promising sink(&disk);
        engine::Engine engine(register_world, sink);
        const int exit = engine.exec(engine_options(playbook));
        if (exit != (fails ? 1 : 0))
            throw std::runtime_error(fmt::format("the uncut run ended with {}", exit));
        disk.promise("finish");
        out.log = disk.take();
        World::the().disk = nullptr;
    }
    out.hashes = hashes_of(playbook.journal());
    fs::remove(playbook.journal());
    return out;
}

std::string resume_problem(const Folder& folder, const Promise& promise, bool fails) {
    try {
        const auto record = journal::Journal::open(folder.journal())->find(run_id);
        if (!record || record->state == journal::RunState::finished)
            return "";
        World::the() = {promise.effects, nullptr};
        Promising sink(nullptr);
        engine::Engine engine(register_world, sink);
        const int exit = engine.resume(run_id, engine_options(folder));
        std::map<std::string, int> count;
        for (const std::string& effect : World::the().effects)
            ++count[effect];
        for (const char* name : {"one", "two", "three", "four", "five"}) {
            const int done = count[name], undone = count[std::string("undo ") + name];
            if (!fails && (done != 1 || undone != 0))
                return fmt::format("resumed, {} is there {} times and undone {} times", name, done,
                                   undone);
            if (fails && (done != undone || done > (name == std::string("five") ? 2 : 1)))
                return fmt::format(
                    "resumed and rolled back, {} is there {} times and undone {} times", name, done,
                    undone);
        }
        if (exit != (fails ? 1 : 0))
            return fmt::format("resumed, it ended with {}", exit);
        if (const auto bad = journal::Journal::open(folder.journal())->audit(run_id))
            return fmt::format("resumed, the chain breaks at event {}", *bad);
        return "";
    } catch (const Error& error) {
        return "resume: " + error.kind() + ": " + error.message();
    }
}

} // namespace crash
