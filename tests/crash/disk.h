// A disk that remembers: SQLite's files come from the real file system through a VFS that records
// every write, truncation, sync and removal in order, and can make one of them fail. Replay then
// builds what a power cut after any of them would have left. Owns: the VFS while alive (it is the
// default one then). Any thread may write; one Recorder at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace crash {

struct Operation {
    enum Kind { create, write, truncate, sync, remove, mark } kind = mark;
    std::string file; ///< name without its folder
    std::int64_t at = 0;
    std::string data;    ///< what was written; of a mark, what was promised
    bool folder = false; ///< remove: the folder was synced too
};

/// Which operation fails, counted over writes, truncations and syncs from 1.
struct Fault {
    std::uint64_t at = 0;  ///< 0: none
    bool lasting = false;  ///< and every later one too
    bool halfway = false;  ///< a write leaves its first half
    std::string only = {}; ///< `write` or `sync`: only these fail
};

class Recorder {
  public:
    explicit Recorder(Fault fault = {});
    ~Recorder();
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    /// From here on `text` is true for whoever looks from outside.
    void promise(const std::string& text);
    std::vector<Operation> take();
    std::uint64_t counted() const { return counted_; }
    bool failed() const { return failed_; }

    // for the VFS
    void note(Operation operation);
    /// Whether the next operation of this kind fails.
    bool fails(const char* kind);
    const Fault& fault() const { return fault_; }

  private:
    std::mutex mutex_;
    std::vector<Operation> log_;
    Fault fault_;
    std::uint64_t counted_ = 0;
    bool failed_ = false;
};

/// How a disk may behave that is none: for the proof that the checks notice.
enum class Lie { none, every_sync, wal_sync };

/// What is on the disk after a number of operations, and what a power cut there may leave of it.
class Platter {
  public:
    explicit Platter(Lie lie = Lie::none) : lie_(lie) {}
    void apply(const Operation& operation);
    /// Files with everything that was written (the machine only lost power after its cache was
    /// empty).
    std::map<std::string, std::string> kept() const;
    /// Only what was synced.
    std::map<std::string, std::string> dropped() const;
    /// Each unsynced write there, not there, or some of its sectors there.
    std::map<std::string, std::string> torn(std::mt19937_64& random) const;
    /// Operations whose fate is open.
    std::size_t open() const;

  private:
    struct File {
        bool there = false; ///< on the disk for sure
        std::string content;
        std::vector<Operation> pending; ///< since the last sync, in order
    };
    static void make_durable(File& file);
    void settle_names();
    std::map<std::string, std::string> build(const std::function<int(const Operation&)>& fate,
                                             const std::function<bool(std::size_t)>& sector) const;
    std::map<std::string, File> files_;
    Lie lie_;
};

/// Writes the files into an empty folder.
void write_files(const std::string& folder, const std::map<std::string, std::string>& files);

} // namespace crash
