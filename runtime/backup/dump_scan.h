// Reads an SQL dump of mysqldump or mariadb-dump as text: its tables, the rows in its INSERT
// statements, its last line. The counts are those of the dump's own snapshot, whatever was written
// to the server meanwhile. Any thread.
#pragma once

#include "runtime/backup/backup.h"

#include <string>
#include <string_view>

namespace runbook::backup {

class DumpScan {
  public:
    void feed(std::string_view data);
    /// After the last byte.
    void finish();
    const Counts& counts() const { return counts_; }
    bool empty() const { return empty_; }
    /// The tool wrote its last line (mysqldump and mariadb-dump; mydumper writes none).
    bool complete() const { return complete_; }
    /// The last statement that was looked into has its end.
    bool ended() const { return state_ == State::head || state_ == State::skip; }

  private:
    enum class State {
        head,   ///< at the beginning of a line, collecting its head
        skip,   ///< to the end of the line
        insert, ///< behind INSERT INTO `name`: outside of a tuple
        tuple,
        text,   ///< in '…' or "…" inside a tuple
        escape, ///< behind a backslash in text
        name,   ///< in `…` of a column list
    };
    void one(char c);
    void head_done();
    void line_done(std::string_view line);

    State state_ = State::head;
    bool values_ = false;    ///< VALUES was read: parentheses are tuples now
    bool delimiter_ = false; ///< inside a trigger or routine
    bool complete_ = false, empty_ = true;
    char quote_ = '\'';
    std::string head_, word_;
    std::int64_t* rows_ = nullptr;
    Counts counts_;
};

/// Throws Error{`backup.unverified`} where what was scanned is empty or ends early.
void check_scan(const DumpScan& scan, const std::string& file);
/// Scans the whole file; throws Error{`backup.unverified`} where it is empty or ends early, `fs`,
/// `cancelled`, `timeout`.
Counts scan_dump(const std::string& file, Cancel& cancel);
/// The same for a folder of mydumper, whose files end with a statement's end.
Counts scan_folder(const std::string& folder, Cancel& cancel);

/// Writes what a dump of mysqldump or mariadb-dump says of these tables, its settings around it, to
/// `to`: structure, rows, triggers. Throws Error{`backup.unverified`} where it lacks one of them.
void cut_tables(const std::string& file, const std::vector<std::string>& tables,
                const std::string& to, Cancel& cancel);

} // namespace runbook::backup
