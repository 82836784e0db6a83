// The cancel flag and its hooks: the one place that locks them. Any thread; see cancel.h.
#include "runtime/base/cancel.h"

#include "runtime/base/error.h"

namespace runbook {

void Cancel::request(Reason reason) {
    std::lock_guard lock(mutex_);
    if (reason_.load() != Reason::none)
        return;
    reason_.store(reason);
    for (Hook* hook = newest_; hook; hook = hook->older_) {
        hook->ran_ = true;
        hook->fn_();
    }
}

void Cancel::check(const char* what) const {
    switch (reason_.load()) {
    case Reason::none:
        return;
    case Reason::timeout:
        throw Error("timeout", std::string(what) + ": time limit reached");
    case Reason::cancelled:
        throw Error("cancelled", std::string(what) + ": cancelled");
    }
}

Cancel::Hook::Hook(Cancel& cancel, std::function<void()> fn)
    : cancel_(cancel), fn_(std::move(fn)), older_(nullptr) {
    std::lock_guard lock(cancel_.mutex_);
    older_ = cancel_.newest_;
    cancel_.newest_ = this;
    if (cancel_.requested()) {
        ran_ = true;
        fn_();
    }
}

Cancel::Hook::~Hook() {
    std::lock_guard lock(cancel_.mutex_);
    Hook** link = &cancel_.newest_;
    while (*link && *link != this)
        link = &(*link)->older_;
    if (*link)
        *link = older_;
}

} // namespace runbook
