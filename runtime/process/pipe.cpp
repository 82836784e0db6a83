// Commands side by side, each one's output the next one's input. Each member is a run() of its own
// (helper, tree, limits) on a thread of its own while the pipe lives; the caller waits for all.
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/process/command.h"
#include "runtime/process/process.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace runbook::process {
namespace {

struct Member {
    Command command;
    Cancel cancel;
    Result result;
    std::optional<Error> error; ///< it was ended, or never began
};

void close_ends(const Member& member) {
    for (int fd : {member.command.input_fd, member.command.output_fd})
        if (fd >= 0)
            ::close(fd);
}

void run_member(Member& member) {
    try {
        Command command = member.command;
        command.expected.clear(); // judged when all have ended
        member.result = run(command, member.cancel);
    } catch (const Error& error) {
        member.error = error;
    } catch (const std::exception& error) {
        member.error = Error("internal", error.what());
    }
}

/// Where no thread can be started the member has failed, and its neighbours see the end.
void start(std::vector<std::jthread>& threads, Member& member) {
    try {
        threads.emplace_back([&member] { run_member(member); });
    } catch (const std::system_error& error) {
        member.error =
            Error("internal", fmt::format("no thread could be started: {}", error.what()));
        close_ends(member);
    }
}

/// Connects the members; closes what it opened where that fails.
void connect(std::vector<std::unique_ptr<Member>>& members) {
    for (std::size_t i = 0; i + 1 < members.size(); ++i) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) {
            const int problem = errno;
            for (const auto& member : members)
                close_ends(*member);
            throw Error("internal", fmt::format("pipe: {}", std::strerror(problem)));
        }
        members[i]->command.output_fd = ends[1];
        members[i + 1]->command.input_fd = ends[0];
    }
}

std::string statuses(const std::vector<std::unique_ptr<Member>>& members) {
    std::vector<std::string> words;
    for (const auto& member : members)
        words.push_back(member->error           ? "-"
                        : member->result.signal ? signal_name(member->result.signal)
                                                : std::to_string(member->result.exit));
    return text::join(words, ", ");
}

/// The error of the member that is to blame: one that only lost its reader is not, where another
/// failed too.
void judge(const std::vector<std::unique_ptr<Member>>& members) {
    std::optional<Error> blamed;
    std::size_t place = 0;
    bool in_doubt = false, blamed_reader_lost = false;
    for (std::size_t i = 0; i < members.size(); ++i) {
        const Member& member = *members[i];
        auto error = member.error ? member.error : status_error(member.command, member.result);
        if (!error)
            continue;
        in_doubt |= error->in_doubt();
        const bool reader_lost = !member.error && member.result.signal == SIGPIPE;
        if (blamed && (!blamed_reader_lost || reader_lost))
            continue;
        blamed = error;
        blamed_reader_lost = reader_lost;
        place = i + 1;
    }
    if (!blamed)
        return;
    Error error(blamed->kind(),
                fmt::format("member {} of {} of the pipe: {} (statuses: {})", place, members.size(),
                            blamed->message(), statuses(members)),
                blamed->hint());
    throw error.set_in_doubt(in_doubt);
}

} // namespace

PipeResult run_pipe(std::vector<Command> commands, Cancel& cancel) {
    if (commands.empty())
        throw Error("usage", "a pipe needs at least one command");
    std::vector<std::unique_ptr<Member>> members;
    for (std::size_t i = 0; i < commands.size(); ++i) {
        if (i > 0 && (!commands[i].input.is_null() || !commands[i].input_file.empty()))
            throw Error("usage", fmt::format("`{}`: only the first member of a pipe has an input",
                                             describe(commands[i])));
        if (commands[i].pty || commands[i].hold_input)
            throw Error("usage", fmt::format("`{}`: a member of a pipe has no terminal",
                                             describe(commands[i])));
        check(commands[i]);
        commands[i].timeout = commands[0].timeout;
        members.push_back(std::make_unique<Member>());
        members.back()->command = std::move(commands[i]);
    }
    cancel.check("a pipe");
    connect(members);
    const auto began = std::chrono::steady_clock::now();
    {
        Cancel::Hook hook(cancel, [&] {
            for (const auto& member : members)
                member->cancel.request(cancel.reason());
        });
        std::vector<std::jthread> threads;
        threads.reserve(members.size());
        for (const auto& member : members)
            start(threads, *member);
    }
    judge(members);
    PipeResult result;
    for (auto& member : members)
        result.members.push_back(std::move(member->result));
    result.elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return result;
}

} // namespace runbook::process
