// Client libraries that are loaded on first use (cmake/lazy.cmake makes the functions that come
// here). Any thread. Nobody calls this by hand: the first call of a library's function does. Owns:
// the loading, and the error for a library that is not installed. A library stays loaded until the
// process ends.
#pragma once

#include <cstddef>
#include <string>

namespace runbook::lazy {

/// One library, as cmake/lazy.S.in lays it out.
struct Library {
    const char* soname; ///< as the dynamic linker looks for it: "libpq.so.5"
    const char* names;  ///< of its functions, each ended by a zero byte
    void** slots;       ///< their addresses, null until the library is loaded
    std::size_t count;
};

/// Loads the library if nobody has, fills its slots, and returns the address of its function number
/// `index`. Throws Error `library` where the library is not installed, or a version of it without
/// that function.
void* find(Library& library, std::size_t index);

/// The Debian package that a library comes in, by Debian's rule (policy 8.1): "libpq.so.5" is in
/// libpq5.
std::string debian_package(const std::string& soname);

} // namespace runbook::lazy
