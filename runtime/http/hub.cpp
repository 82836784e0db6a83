#include "runtime/http/hub.h"

#include "runtime/base/error.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace runbook::http {
namespace {

/// Beside the transfers: files of the journal, databases, commands.
constexpr rlim_t other_files = 512;

/// One descriptor a transfer: raises the soft limit towards the hard one when it gets near.
void make_room(std::size_t transfers) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        transfers + other_files < limit.rlim_cur)
        return;
    limit.rlim_cur = std::min(limit.rlim_max, (transfers + other_files) * 2);
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

Error error_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const Error& error) {
        return error;
    } catch (const std::exception& error) {
        return {"internal", error.what()};
    }
}

Hub& Hub::one() {
    static auto* const hub = new Hub; // never destroyed: its thread runs to the end of the process
    return *hub;
}

Hub::Hub() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_ = curl_multi_init();
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!multi_ || epoll_ < 0 || wake_ < 0)
        throw Error("internal", "libcurl could not be started");
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Hub::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Hub::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = wake_;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the loop thread's
    std::thread([this] { loop(); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Hub::post(std::function<void()> fn) {
    {
        std::lock_guard lock(mutex_);
        posted_.push_back(std::move(fn));
    }
    std::uint64_t one = 1;
    [[maybe_unused]] ssize_t n = ::write(wake_, &one, sizeof one);
}

void Hub::add(void* easy, std::function<void(int)>* done) {
    make_room(++transfers_);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, done);
    curl_multi_add_handle(multi_, easy);
}

void Hub::remove(void* easy) {
    --transfers_;
    curl_multi_remove_handle(multi_, easy);
}

std::uint64_t Hub::after(std::chrono::milliseconds delay, std::function<void()> fn) {
    const std::uint64_t id = ++last_timer_;
    const auto at = Clock::now() + delay;
    timers_.emplace(std::pair(at, id), std::move(fn));
    due_.emplace(id, at);
    return id;
}

void Hub::drop(std::uint64_t timer) {
    const auto found = due_.find(timer);
    if (found == due_.end())
        return;
    timers_.erase({found->second, timer});
    due_.erase(found);
}

void Hub::loop() {
    for (;;)
        turn();
}

int Hub::wait_ms() const {
    std::optional<Clock::time_point> next = curl_timer_;
    if (!timers_.empty() && (!next || timers_.begin()->first.first < *next))
        next = timers_.begin()->first.first;
    if (!next)
        return -1;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
}

void Hub::turn() {
    epoll_event events[256];
    const int ready = ::epoll_wait(epoll_, events, 256, wait_ms());
    int running = 0;
    for (int i = 0; i < ready; ++i) {
        if (events[i].data.fd == wake_) {
            std::uint64_t count = 0;
            [[maybe_unused]] ssize_t n = ::read(wake_, &count, sizeof count);
            continue;
        }
        int flags = 0;
        if (events[i].events & EPOLLIN)
            flags |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT)
            flags |= CURL_CSELECT_OUT;
        if (events[i].events & (EPOLLERR | EPOLLHUP))
            flags |= CURL_CSELECT_ERR;
        curl_multi_socket_action(multi_, events[i].data.fd, flags, &running);
    }
    if (curl_timer_ && Clock::now() >= *curl_timer_) {
        curl_timer_.reset(); // before: the call may set the next one
        curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    take_finished();
    run_posted();
    run_timers();
}

void Hub::run_posted() {
    std::vector<std::function<void()>> batch;
    {
        std::lock_guard lock(mutex_);
        batch.swap(posted_);
    }
    for (auto& fn : batch)
        fn();
}

void Hub::run_timers() {
    while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
        auto node = timers_.extract(timers_.begin());
        due_.erase(node.key().second);
        node.mapped()();
    }
}

void Hub::take_finished() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL* easy = message->easy_handle;
        const CURLcode code = message->data.result; // the message ends with the handle's removal
        std::function<void(int)>* done = nullptr;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &done);
        remove(easy);
        (*done)(code);
    }
}

int Hub::on_socket(void*, int socket, int what, void* self_pointer, void* known) {
    auto* self = static_cast<Hub*>(self_pointer);
    if (what == CURL_POLL_REMOVE) {
        ::epoll_ctl(self->epoll_, EPOLL_CTL_DEL, socket, nullptr);
        curl_multi_assign(self->multi_, socket, nullptr);
        return 0;
    }
    epoll_event event{};
    event.data.fd = socket;
    if (what & CURL_POLL_IN)
        event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        event.events |= EPOLLOUT;
    if (known) {
        ::epoll_ctl(self->epoll_, EPOLL_CTL_MOD, socket, &event);
        return 0;
    }
    if (::epoll_ctl(self->epoll_, EPOLL_CTL_ADD, socket, &event) != 0 && errno == EEXIST)
        ::epoll_ctl(self->epoll_, EPOLL_CTL_MOD, socket, &event);
    curl_multi_assign(self->multi_, socket, self);
    return 0;
}

int Hub::on_timer(void*, long ms, void* self_pointer) {
    auto* self = static_cast<Hub*>(self_pointer);
    if (ms < 0)
        self->curl_timer_.reset();
    else
        self->curl_timer_ = Clock::now() + std::chrono::milliseconds(ms);
    return 0;
}

} // namespace runbook::http
