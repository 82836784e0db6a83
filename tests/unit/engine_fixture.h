// Runs playbooks with the real engine and journal, a world of two functions, and a view that keeps
// the events.
#pragma once

#include "bindings/core/declare.h"
#include "runtime/base/json.h"
#include "runtime/engine/engine.h"
#include "runtime/view/view.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace runbook::test {

/// What the playbooks under test do to.
struct World {
    std::vector<std::string> effects; ///< in order
    std::set<std::string> broken;     ///< names whose write fails
    std::string log;                  ///< file that gets the effects too
    void note(const std::string& name) {
        effects.push_back(name);
        if (!log.empty())
            std::ofstream(log, std::ios::app) << name << '\n';
    }
    static World& the() {
        static World world;
        return world;
    }
};

inline void register_world(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "world", "What tests change.");
    area.def("write", "Changes something.")
        .param("name", "what")
        .writes()
        .native([](bind::Call&, std::string name) -> bind::Job<std::string> {
            return {[name](Cancel&) -> std::string {
                World::the().note(name);
                if (World::the().broken.contains(name))
                    throw Error("world.broken", name + " is broken");
                return name;
            }};
        });
    area.def("read", "Looks.")
        .param("name", "at what")
        .reads()
        .native([](bind::Call&, std::string name) -> bool {
            return World::the().broken.contains(name);
        });
    area.def("mend", "Mends.")
        .param("name", "what")
        .writes()
        .native([](bind::Call&, std::string name) {
            World::the().broken.erase(name);
            World::the().note("mend " + name);
        });
    area.def("kill", "Ends the process as kill -9 does.").writes().native([](bind::Call&) {
        ::kill(::getpid(), SIGKILL);
    });
}

class EventList final : public view::EventSink {
  public:
    void on_event(const journal::Event& event) override {
        events.push_back(event);
        if (!die_after.empty() && names().back() == die_after)
            ::kill(::getpid(), SIGKILL);
    }
    std::vector<journal::Event> events;
    std::string die_after; ///< "event step": the process ends as kill -9 does, once it is journaled

    /// "event step" of each, those named in `skip` left out.
    std::vector<std::string> names() const {
        std::vector<std::string> result;
        for (const journal::Event& event : events)
            result.push_back(event.step.empty() ? event.event : event.event + " " + event.step);
        return result;
    }
    const Map* data(const std::string& event, const std::string& step = "") const {
        for (auto it = events.rbegin(); it != events.rend(); ++it)
            if (it->event == event && it->step == step)
                return &it->data;
        return nullptr;
    }
};

struct Play {
    Play() {
        World::the() = {};
        std::string pattern =
            (std::filesystem::temp_directory_path() / "runbook-engine-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
        options.file = folder + "/x.lua";
        options.journal = folder + "/journal.db";
        options.run_id = "r1";
    }
    ~Play() { std::filesystem::remove_all(folder); }

    void write(const std::string& text, const std::string& name = "x.lua") const {
        std::ofstream(folder + "/" + name) << text;
    }
    /// Runs `text` below a header; returns the exit code.
    int exec(const std::string& text) {
        write("local p = playbook \"test\" { summary = \"a test\" }\n" + text);
        return run();
    }
    int run() {
        engine::Engine engine(register_world, sink);
        return engine.exec(options);
    }
    int resume() {
        sink.events.clear();
        engine::Engine engine(register_world, sink);
        return engine.resume("r1", options);
    }
    int retry(const std::string& step) {
        sink.events.clear();
        engine::Engine engine(register_world, sink);
        return engine.retry("r1", step, options);
    }
    /// The message of the error that kept it from starting.
    std::string refusal(const std::string& text) {
        write(text);
        try {
            run();
        } catch (const Error& error) {
            std::string message = error.message();
            for (std::size_t at = message.find(folder + "/"); at != std::string::npos;
                 at = message.find(folder + "/"))
                message.erase(at, folder.size() + 1);
            return message;
        }
        return "it ran";
    }
    /// Runs `text` in a child process, so that world.kill() can end it; its effects go to a file.
    /// Returns the exit status.
    int exec_in_child(const std::string& text) {
        write("local p = playbook \"test\" { summary = \"a test\" }\n" + text);
        return in_child([this] { return run(); });
    }
    /// The same, killed right after an event ("step.failed b") is journaled.
    int exec_until(const std::string& event, const std::string& text) {
        sink.die_after = event;
        const int status = exec_in_child(text);
        sink.die_after.clear();
        return status;
    }
    int resume_in_child() {
        return in_child([this] { return resume(); });
    }
    int rollback_in_child() {
        return in_child([this] {
            engine::Engine engine(register_world, sink);
            return engine.rollback("r1", "", options);
        });
    }
    int retry_in_child(const std::string& step) {
        return in_child([this, &step] {
            engine::Engine engine(register_world, sink);
            return engine.retry("r1", step, options);
        });
    }
    /// The effects of all children so far.
    std::vector<std::string> effects() const {
        std::vector<std::string> lines;
        std::ifstream file(folder + "/effects");
        for (std::string line; std::getline(file, line);)
            lines.push_back(line);
        return lines;
    }

  private:
    template <class Fn>
    int in_child(Fn fn) {
        World::the().log = folder + "/effects";
        const pid_t child = ::fork();
        if (child == 0) {
            int status = 99;
            try {
                status = fn();
            } catch (const std::exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
            }
            ::_exit(status);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  public:
    std::string folder;
    engine::Options options;
    EventList sink;
};

/// The error that a step failed with.
inline const Map& failure(const Play& play, const std::string& step) {
    const Map* data = play.sink.data("step.failed", step);
    REQUIRE(data);
    return *data->find("error")->get<Map>();
}

} // namespace runbook::test
