// For tests that look at real processes.
#pragma once

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <unistd.h>

namespace test {

/// Exists and is no zombie.
inline bool is_alive(pid_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(stat, text, '\0'); // empty, and no exception, where it goes while it is read
    auto end = text.rfind(") ");
    return end != std::string::npos && text[end + 2] != 'Z';
}

/// Waits for a condition; the limit only ends a test that has failed already.
inline bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 3000; ++i) {
        if (condition())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

} // namespace test
