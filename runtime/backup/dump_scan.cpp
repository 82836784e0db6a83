#include "runtime/backup/dump_scan.h"

#include "runtime/base/error.h"

#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <vector>

namespace runbook::backup {
namespace {

constexpr std::string_view insert_head = "INSERT INTO `";
constexpr std::string_view create_head = "CREATE TABLE `";
constexpr std::size_t longest_head =
    512; ///< a name has at most 64 characters, each at most 4 bytes, quoted

/// The name behind `head` and whether its closing quote is there; `` stands for one `.
bool read_name(std::string_view text, std::string& name) {
    name.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '`') {
            name += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '`') {
            name += text[i++];
        } else {
            return i + 1 < text.size(); // the character behind decides that the name is over
        }
    }
    return false;
}

} // namespace

void DumpScan::feed(std::string_view data) {
    for (std::size_t i = 0; i < data.size(); ++i) {
        if (state_ == State::text) { // most of a dump: jump to what matters
            std::size_t next = data.find_first_of("'\\", i);
            if (next == std::string_view::npos)
                return;
            i = next;
        } else if (state_ == State::skip) {
            std::size_t next = data.find('\n', i);
            if (next == std::string_view::npos)
                return;
            i = next;
        }
        one(data[i]);
    }
}

void DumpScan::one(char c) {
    switch (state_) {
    case State::head:
        if (c == '\n') {
            line_done(head_);
            head_.clear();
            return;
        }
        head_ += c;
        head_done();
        return;
    case State::skip:
        if (c == '\n')
            state_ = State::head;
        return;
    case State::insert:
        if (c == '`') {
            state_ = State::name;
        } else if (c == '(' && values_) {
            ++*rows_;
            state_ = State::tuple;
        } else if (c == ';') {
            state_ = State::skip;
        } else if (!values_) {
            word_ = (c >= 'A' && c <= 'Z') ? word_ + c : std::string();
            values_ = word_ == "VALUES";
        }
        return;
    case State::name:
        if (c == '`')
            state_ = State::insert; // a doubled quote opens it again
        return;
    case State::tuple:
        if (c == '\'')
            state_ = State::text;
        else if (c == ')')
            state_ = State::insert;
        return;
    case State::text:
        if (c == '\\')
            state_ = State::escape;
        else if (c == '\'')
            state_ = State::tuple; // a doubled quote opens it again
        return;
    case State::escape:
        state_ = State::text;
        return;
    }
}

/// Decides as soon as the head of the line says what it is.
void DumpScan::head_done() {
    std::string name;
    auto begins = [&](std::string_view head) {
        return std::string_view(head_).substr(0, head.size()) == head.substr(0, head_.size());
    };
    if (!delimiter_ && head_.starts_with(insert_head)) {
        if (read_name(std::string_view(head_).substr(insert_head.size()), name)) {
            rows_ = &counts_[name];
            values_ = false;
            word_.clear();
            head_.clear();
            state_ = State::insert; // the character read last is a blank
        }
    } else if (!delimiter_ && head_.starts_with(create_head)) {
        if (read_name(std::string_view(head_).substr(create_head.size()), name)) {
            counts_.try_emplace(name, 0);
            head_.clear();
            state_ = State::skip;
        }
    } else if (!begins(insert_head) && !begins(create_head) && !begins("DELIMITER ") &&
               !head_.starts_with("DELIMITER ") && !begins("-- Dump completed") &&
               !head_.starts_with("-- Dump completed")) {
        head_.clear();
        state_ = State::skip;
    }
    if (head_.size() > longest_head) {
        head_.clear();
        state_ = State::skip;
    }
}

void DumpScan::line_done(std::string_view line) {
    if (line.starts_with("DELIMITER "))
        delimiter_ = line != "DELIMITER ;";
    if (!delimiter_ && line.starts_with("-- Dump completed"))
        complete_ = true;
}

void DumpScan::finish() {
    if (state_ == State::head)
        line_done(head_);
}

Counts scan_dump(const std::string& file, Cancel& cancel) {
    std::ifstream in(file, std::ios::binary);
    if (!in)
        throw Error("fs", fmt::format("{}: cannot read: {}", file, std::strerror(errno)));
    DumpScan scan;
    std::vector<char> block(1 << 20);
    bool empty = true;
    while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0) {
        cancel.check("reading the dump");
        empty = false;
        scan.feed({block.data(), static_cast<std::size_t>(in.gcount())});
    }
    if (in.bad())
        throw Error("fs", fmt::format("{}: cannot read: {}", file, std::strerror(errno)));
    scan.finish();
    if (empty)
        throw Error("backup.unverified", fmt::format("{}: the dump is empty", file));
    if (!scan.complete())
        throw Error("backup.unverified",
                    fmt::format("{}: the dump ends early: its last line is missing", file));
    return scan.counts();
}

} // namespace runbook::backup
