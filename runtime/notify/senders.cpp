// The channels without a provider of their own: console, file, bell, webhook.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/notify/notify.h"
#include "runtime/notify/post.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

namespace runbook::notify {
namespace {

class Console final : public Sender {
  public:
    explicit Console(ConsoleSink sink) : sink_(std::move(sink)) {}
    Receipt send(const Message& message, Cancel&) override {
        std::string line = one_text(message);
        if (sink_)
            sink_(line);
        else
            std::fprintf(stderr, "%s\n", line.c_str());
        return {.text = "console"};
    }

  private:
    ConsoleSink sink_;
};

/// Rings at the terminal of this process.
class Bell final : public Sender {
  public:
    Receipt send(const Message&, Cancel&) override {
        const int terminal = ::open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        const bool rung = terminal >= 0 && ::write(terminal, "\a", 1) == 1;
        if (terminal >= 0)
            ::close(terminal);
        if (!rung)
            throw Error("notify.refused", "there is no terminal to ring at");
        return {.text = "bell"};
    }
};

/// A line a message at the end of a file. A message that may have been written before is looked for
/// there by its key.
class File final : public Sender {
  public:
    explicit File(Channel channel) : channel_(std::move(channel)) {}

    Receipt send(const Message& message, Cancel&) override {
        const Opened file(channel_.place);
        const std::string key = channel_.format == "json" ? "\"key\":" + json::dump(message.key)
                                                          : "[" + message.key + "]";
        const std::string end = tail(file.fd);
        if (message.again && end.find(key) != std::string::npos)
            return {.text = channel_.place, .thread = {}, .repeated = true};
        std::string line = end.empty() || end.ends_with('\n') ? "" : "\n"; // a torn one
        line += channel_.format == "json" ? json::dump(generic(message)) : plain(message);
        line += '\n';
        for (std::size_t done = 0; done < line.size();) {
            const ssize_t written = ::write(file.fd, line.data() + done, line.size() - done);
            if (written < 0 && errno == EINTR)
                continue;
            if (written < 0)
                fail();
            done += static_cast<std::size_t>(written);
        }
        if (::fdatasync(file.fd) != 0 &&
            errno != EINVAL) // a pipe or a terminal has nothing to sync
            fail();
        return {.text = channel_.place};
    }

  private:
    struct Opened {
        int fd;
        explicit Opened(const std::string& path)
            : fd(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640)) {
            if (fd < 0)
                throw Error("notify.refused",
                            fmt::format("{}: {}", path, text::lower(std::strerror(errno))));
            ::flock(fd, LOCK_EX); // several runs may write to one file
        }
        ~Opened() { ::close(fd); }
        Opened(const Opened&) = delete;
        Opened& operator=(const Opened&) = delete;
    };

    [[noreturn]] void fail() const {
        throw Error("notify.unavailable",
                    fmt::format("{}: {}", channel_.place, text::lower(std::strerror(errno))));
    }

    static std::string plain(const Message& message) {
        std::string text;
        for (char c : one_text(message))
            text += c == '\n' ? std::string("\n    ") : std::string(1, c);
        return fmt::format("{} {:<8} [{}] {}", time::iso_millis(time::now_micros()),
                           name_of(message.level), message.key, text);
    }

    /// The last megabyte.
    static std::string tail(int fd) {
        constexpr off_t most = 1 << 20;
        const off_t size = ::lseek(fd, 0, SEEK_END);
        std::string text(static_cast<std::size_t>(std::max<off_t>(0, std::min(size, most))), '\0');
        const ssize_t got = ::pread(fd, text.data(), text.size(), std::max<off_t>(0, size - most));
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return text;
    }

    Channel channel_;
};

class Webhook final : public Sender {
  public:
    explicit Webhook(Channel channel)
        : channel_(std::move(channel)), login_(authorization("Bearer", channel_.token)) {}

    Receipt send(const Message& message, Cancel& cancel) override {
        auto headers = channel_.headers;
        headers.emplace_back("Idempotency-Key", message.key);
        if (!login_.is_null())
            headers.emplace_back("Authorization", login_);
        const Asked asked = ask(channel_, "POST", open_value(channel_.url), body(message),
                                std::move(headers), cancel);
        const int status = asked.response.status;
        if (status < 200 || status > 299)
            throw answer_error(
                asked, status == 404 || status == 410
                           ? fmt::format("nothing is there any more: check url of channels.{} in "
                                         "runbook.toml",
                                         channel_.name)
                       : status == 401 || status == 403
                           ? fmt::format("check url, token and headers of channels.{} in "
                                         "runbook.toml",
                                         channel_.name)
                           : "");
        return {.text = receipt(asked)};
    }

  private:
    Value body(const Message& message) const {
        if (channel_.format == "slack")
            return Map{{"text", slack_text(message)}};
        if (channel_.format == "grafana") {
            List tags{"runbook", name_of(message.level)};
            if (!message.run.empty())
                tags.push_back(message.run);
            return Map{
                {"time", time::now_micros() / 1000}, {"tags", tags}, {"text", one_text(message)}};
        }
        return generic(message);
    }

    /// What tells the message again: an id in the answer, a request id, or the status.
    static std::string receipt(const Asked& asked) {
        for (const char* name : {"id", "ts", "message_id", "key"})
            if (const std::string id = asked.text(name); !id.empty())
                return id.substr(0, 200);
        for (const char* name : {"x-request-id", "x-slack-req-id"})
            if (auto id = asked.response.header(name); !id.empty())
                return std::string(id.substr(0, 200));
        return fmt::format("status {}", asked.response.status);
    }

    Channel channel_;
    Value login_;
};

} // namespace

std::unique_ptr<Sender> make_file(const Channel& channel) {
    return std::make_unique<File>(channel);
}

std::unique_ptr<Sender> make_sender(const Channel& channel, ConsoleSink console) {
    if (channel.kind == "console")
        return std::make_unique<Console>(std::move(console));
    if (channel.kind == "bell")
        return std::make_unique<Bell>();
    if (channel.kind == "file")
        return make_file(channel);
    if (channel.kind == "slack" && channel.url.is_null())
        return make_slack(channel);
    if (channel.kind == "pagerduty")
        return make_pagerduty(channel);
    if (channel.kind == "statuspage")
        return make_statuspage(channel);
    if (channel.kind == "smtp")
        return make_smtp(channel);
    Channel hook = channel;
    if (channel.kind == "slack")
        hook.format = "slack";
    return std::make_unique<Webhook>(hook);
}

} // namespace runbook::notify
