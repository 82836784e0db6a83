#include "runtime/engine/terminal.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace runbook::engine {

std::optional<std::string> ask_terminal(const std::string& prompt, Cancel& cancel) {
    std::array<int, 2> wake{};
    if (::pipe(wake.data()) != 0)
        return std::nullopt;
    std::optional<std::string> line;
    {
        Cancel::Hook hook(cancel, [&] {
            if (::write(wake[1], "x", 1) < 0)
                return;
        });
        if (::write(STDERR_FILENO, prompt.data(), prompt.size()) < 0)
            errno = 0;
        std::string text;
        while (!cancel.requested()) {
            std::array<pollfd, 2> wait{{{STDIN_FILENO, POLLIN, 0}, {wake[0], POLLIN, 0}}};
            if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR)
                break;
            if (wait[1].revents != 0)
                break;
            if (wait[0].revents == 0)
                continue;
            char byte = 0;
            const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
            if (count <= 0)
                break;
            if (byte == '\n') {
                line = text;
                break;
            }
            text += byte;
        }
    }
    ::close(wake[0]);
    ::close(wake[1]);
    cancel.check("question");
    return line;
}

} // namespace runbook::engine
