// Loading of client libraries on first use (contract in lazy.h). Any thread.
#include "runtime/base/lazy.h"

#include "runtime/base/error.h"

#include <atomic>
#include <cctype>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <mutex>

namespace runbook::lazy {

namespace {

/// Fills every slot. A library that is not there may be there at the next call: nothing is
/// remembered of a failure.
void load(const Library& library) {
    // Global, as a linked library's symbols are: plugins of the MySQL clients may look for them.
    void* handle = dlopen(library.soname, RTLD_LAZY | RTLD_GLOBAL);
    if (!handle) {
        const char* said = dlerror();
        std::string_view reason = said ? said : "the linker gives no reason";
        if (reason.starts_with(fmt::format("{}: ", library.soname)))
            reason.remove_prefix(std::strlen(library.soname) + 2);
        throw Error(
            "library", fmt::format("cannot load {}: {}", library.soname, reason),
            fmt::format("install it (on Debian: apt install {})", debian_package(library.soname)));
    }
    const char* name = library.names;
    for (std::size_t i = 0; i < library.count; ++i, name += std::strlen(name) + 1)
        std::atomic_ref(library.slots[i]).store(dlsym(handle, name), std::memory_order_release);
}

} // namespace

std::string debian_package(const std::string& soname) {
    const std::size_t at = soname.find(".so");
    std::string name = soname.substr(0, at);
    std::string version = at == std::string::npos ? "" : soname.substr(at + 3);
    if (version.starts_with('.'))
        version.erase(0, 1);
    // Between a digit and the version stands a hyphen: libfoo2.so.1 is in libfoo2-1.
    if (!version.empty() && !name.empty() && std::isdigit(static_cast<unsigned char>(name.back())))
        name += '-';
    return name + version;
}

void* find(Library& library, std::size_t index) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    void*& slot = library.slots[index];
    if (!slot)
        load(library);
    if (!slot) {
        const char* name = library.names;
        for (std::size_t i = 0; i < index; ++i)
            name += std::strlen(name) + 1;
        throw Error("library", fmt::format("{} has no function {}", library.soname, name),
                    "this runbook was built with another version of it: install that one, or "
                    "build runbook again");
    }
    return slot;
}

} // namespace runbook::lazy

/// What the trampolines call.
extern "C" void* runbook_lazy_find(runbook::lazy::Library* library, unsigned index);
extern "C" void* runbook_lazy_find(runbook::lazy::Library* library, unsigned index) {
    return runbook::lazy::find(*library, index);
}
