#include "runtime/backup/dump_scan.h"

#include "runtime/backup/tree.h"
#include "runtime/base/error.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <utility>
#include <vector>

namespace runbook::backup {
namespace {

constexpr std::string_view insert_head = "INSERT INTO `";
constexpr std::string_view create_head = "CREATE TABLE `";
constexpr std::size_t longest_head =
    512; ///< a name has at most 64 characters, each at most 4 bytes, quoted

constexpr std::array<bool, 256> bytes_of(std::string_view chars) {
    std::array<bool, 256> set{};
    for (char c : chars)
        set[static_cast<unsigned char>(c)] = true;
    return set;
}
constexpr auto in_tuple = bytes_of("'\")"), in_text = bytes_of("'\"\\");

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
    empty_ = empty_ && data.empty();
    const std::size_t size = data.size();
    for (std::size_t i = 0; i < size; ++i) {
        if (state_ == State::text || state_ == State::tuple) { // most of a dump: to what matters
            const auto& matters = state_ == State::tuple ? in_tuple : in_text;
            while (i < size && !matters[static_cast<unsigned char>(data[i])])
                ++i;
            if (i == size)
                return;
        } else if (state_ == State::skip) {
            i = data.find('\n', i);
            if (i == std::string_view::npos)
                return;
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
        if (c == '\'' || c == '"') {
            quote_ = c;
            state_ = State::text;
        } else if (c == ')')
            state_ = State::insert;
        return;
    case State::text:
        if (c == '\\')
            state_ = State::escape;
        else if (c == quote_)
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

namespace {

/// Feeds all of a file to whoever takes blocks; false where it is empty.
template <class Take>
bool read_blocks(const std::string& file, Cancel& cancel, Take take) {
    std::ifstream in(file, std::ios::binary);
    if (!in)
        throw Error("fs", fmt::format("{}: cannot read: {}", file, std::strerror(errno)));
    std::vector<char> block(1 << 20);
    bool any = false;
    while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0) {
        cancel.check("reading the dump");
        any = true;
        take(std::string_view(block.data(), static_cast<std::size_t>(in.gcount())));
    }
    if (in.bad())
        throw Error("fs", fmt::format("{}: cannot read: {}", file, std::strerror(errno)));
    return any;
}

} // namespace

void check_scan(const DumpScan& scan, const std::string& file) {
    if (scan.empty())
        throw Error("backup.unverified", fmt::format("{}: the dump is empty", file));
    if (!scan.complete())
        throw Error("backup.unverified",
                    fmt::format("{}: the dump ends early: its last line is missing", file));
}

Counts scan_dump(const std::string& file, Cancel& cancel) {
    DumpScan scan;
    read_blocks(file, cancel, [&](std::string_view data) { scan.feed(data); });
    scan.finish();
    check_scan(scan, file);
    return scan.counts();
}

namespace {

Counts scan_one(const std::string& folder, const std::string& name, Cancel& cancel) {
    DumpScan scan;
    std::string end;
    read_blocks(folder + "/" + name, cancel, [&](std::string_view data) {
        scan.feed(data);
        end = data.size() > 1 ? data.substr(data.size() - 2) : end + std::string(data);
    });
    const bool ended = scan.ended();
    scan.finish();
    if (scan.empty() && name.find("-schema") == std::string::npos)
        return {}; // of a table without rows
    if (!ended || !end.ends_with(";\n"))
        throw Error("backup.unverified",
                    fmt::format("{}: {} ends early: in the middle of a statement", folder, name));
    return scan.counts();
}

} // namespace

Counts scan_folder(const std::string& folder, Cancel& cancel) {
    std::vector<std::string> names = tree_files(folder);
    std::erase_if(names, [](const std::string& name) {
        return !name.ends_with(".sql") || name.find('/') != std::string::npos;
    });
    Counts counts;
    for (const std::string& name : names)
        for (const auto& [table, rows] : scan_one(folder, name, cancel))
            counts[table] += rows;
    return counts;
}

void cut_tables(const std::string& file, const std::vector<std::string>& tables,
                const std::string& to, Cancel& cancel) {
    std::ofstream out(to, std::ios::binary);
    std::set<std::string> found;
    // Every section opens with a comment between two lines of "--"; what stands before the first
    // and from "SET TIME_ZONE" on holds the session's settings.
    enum class Part { head, wanted, other, tail } part = Part::head;
    bool rule = false;   // the line before was "--"
    bool inside = false; // of a routine's text, where any line may stand
    std::string line;
    bool known = false;
    auto decide = [&] {
        known = true;
        if (line.starts_with("DELIMITER "))
            inside = !line.starts_with("DELIMITER ;\n");
        const bool ruled = std::exchange(rule, line == "--\n");
        if (inside || part == Part::tail)
            return;
        const bool structure = line.starts_with("-- Table structure for table `");
        if (structure || line.starts_with("-- Dumping data for table `")) {
            std::string name;
            read_name(std::string_view(line).substr(line.find('`') + 1), name);
            const bool wanted = std::find(tables.begin(), tables.end(), name) != tables.end();
            part = wanted ? Part::wanted : Part::other;
            if (wanted && structure)
                found.insert(name);
        } else if (ruled && line.starts_with("-- ") && !line.starts_with("-- Host: ")) {
            part = Part::other; // views, routines, events
        } else if (line.starts_with("/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE")) {
            part = Part::tail;
        }
    };
    read_blocks(file, cancel, [&](std::string_view data) {
        while (!data.empty()) {
            const std::size_t end = data.find('\n');
            const std::string_view piece =
                data.substr(0, end == std::string_view::npos ? end : end + 1);
            data.remove_prefix(piece.size());
            const bool whole = piece.ends_with('\n');
            if (!known) {
                line += piece;
                if (!whole && line.size() < longest_head)
                    continue;
                decide();
                if (part != Part::other)
                    out << line;
            } else if (part != Part::other) {
                out << piece;
            }
            if (whole) {
                line.clear();
                known = false;
            }
        }
    });
    if (!known && !line.empty()) { // a last line without its end
        decide();
        if (part != Part::other)
            out << line;
    }
    out.close();
    if (!out)
        throw Error("fs", fmt::format("{}: cannot write: {}", to, std::strerror(errno)));
    for (const std::string& table : tables)
        if (!found.contains(table))
            throw Error("backup.unverified", fmt::format("{}: no table {} in it", file, table));
}

} // namespace runbook::backup
