#include "tests/crash/disk.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <sqlite3.h>
#include <unistd.h>

namespace crash {
namespace {

constexpr std::size_t sector_size = 512;

Recorder* recorder = nullptr;
sqlite3_vfs* real = nullptr;
sqlite3_vfs shim;
sqlite3_io_methods methods;

/// Ours in front, the real file behind it in the same allocation.
struct File {
    sqlite3_file base;
    char name[120]; ///< empty: not recorded
    sqlite3_file* inner() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* of(sqlite3_file* file) {
    return reinterpret_cast<File*>(file);
}
const sqlite3_io_methods* inner_methods(sqlite3_file* file) {
    return of(file)->inner()->pMethods;
}

std::string base_name(const char* path) {
    return std::filesystem::path(path).filename().string();
}

int do_write(sqlite3_file* file, const void* data, int size, sqlite3_int64 at) {
    File* own = of(file);
    if (!*own->name)
        return inner_methods(file)->xWrite(own->inner(), data, size, at);
    const bool fails = recorder->fails("write");
    if (fails && !recorder->fault().halfway)
        return SQLITE_FULL;
    const int length = fails ? size / 2 : size;
    const int code = inner_methods(file)->xWrite(own->inner(), data, length, at);
    if (code == SQLITE_OK)
        recorder->note(
            {Operation::write, own->name, at,
             std::string(static_cast<const char*>(data), static_cast<std::size_t>(length)), false});
    return fails ? SQLITE_FULL : code;
}

int do_truncate(sqlite3_file* file, sqlite3_int64 size) {
    File* own = of(file);
    if (*own->name && recorder->fails("truncate"))
        return SQLITE_IOERR_TRUNCATE;
    const int code = inner_methods(file)->xTruncate(own->inner(), size);
    if (*own->name && code == SQLITE_OK)
        recorder->note({Operation::truncate, own->name, size, {}, false});
    return code;
}

int do_sync(sqlite3_file* file, int how) {
    File* own = of(file);
    if (*own->name && recorder->fails("sync"))
        return SQLITE_IOERR_FSYNC;
    const int code = inner_methods(file)->xSync(own->inner(), how);
    if (*own->name && code == SQLITE_OK)
        recorder->note({Operation::sync, own->name, 0, {}, false});
    return code;
}

int do_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    File* own = of(file);
    new (own) File{};
    const int kinds = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
    const bool recorded = name && (flags & kinds);
    const bool fresh = recorded && ::access(name, F_OK) != 0;
    const int code = real->xOpen(real, name, own->inner(), flags, out);
    if (!own->inner()->pMethods)
        return code;
    own->base.pMethods = &methods;
    if (recorded && code == SQLITE_OK) {
        const std::string base = base_name(name);
        std::strncpy(own->name, base.c_str(), sizeof own->name - 1);
        if (fresh && ::access(name, F_OK) == 0)
            recorder->note({Operation::create, base, 0, {}, false});
    }
    return code;
}

int do_delete(sqlite3_vfs*, const char* name, int folder) {
    const int code = real->xDelete(real, name, folder);
    if (code == SQLITE_OK)
        recorder->note({Operation::remove, base_name(name), 0, {}, folder != 0});
    return code;
}

void fill_methods() {
    methods = {};
    methods.iVersion = 2; // without memory-mapped pages: they would change behind our back
    methods.xClose = [](sqlite3_file* f) { return inner_methods(f)->xClose(of(f)->inner()); };
    methods.xRead = [](sqlite3_file* f, void* to, int size, sqlite3_int64 at) {
        return inner_methods(f)->xRead(of(f)->inner(), to, size, at);
    };
    methods.xWrite = do_write;
    methods.xTruncate = do_truncate;
    methods.xSync = do_sync;
    methods.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
        return inner_methods(f)->xFileSize(of(f)->inner(), size);
    };
    methods.xLock = [](sqlite3_file* f, int how) {
        return inner_methods(f)->xLock(of(f)->inner(), how);
    };
    methods.xUnlock = [](sqlite3_file* f, int how) {
        return inner_methods(f)->xUnlock(of(f)->inner(), how);
    };
    methods.xCheckReservedLock = [](sqlite3_file* f, int* out) {
        return inner_methods(f)->xCheckReservedLock(of(f)->inner(), out);
    };
    methods.xFileControl = [](sqlite3_file* f, int what, void* argument) {
        return inner_methods(f)->xFileControl(of(f)->inner(), what, argument);
    };
    methods.xSectorSize = [](sqlite3_file* f) {
        return inner_methods(f)->xSectorSize(of(f)->inner());
    };
    methods.xDeviceCharacteristics = [](sqlite3_file* f) {
        return inner_methods(f)->xDeviceCharacteristics(of(f)->inner());
    };
    methods.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
        return inner_methods(f)->xShmMap(of(f)->inner(), page, size, extend, out);
    };
    methods.xShmLock = [](sqlite3_file* f, int offset, int count, int flags) {
        return inner_methods(f)->xShmLock(of(f)->inner(), offset, count, flags);
    };
    methods.xShmBarrier = [](sqlite3_file* f) { inner_methods(f)->xShmBarrier(of(f)->inner()); };
    methods.xShmUnmap = [](sqlite3_file* f, int remove) {
        return inner_methods(f)->xShmUnmap(of(f)->inner(), remove);
    };
}

void write_at(std::string& content, std::int64_t at, std::string_view data) {
    const auto start = static_cast<std::size_t>(at);
    if (content.size() < start + data.size())
        content.resize(start + data.size(), '\0');
    std::copy(data.begin(), data.end(), content.begin() + static_cast<std::ptrdiff_t>(start));
}

} // namespace

Recorder::Recorder(Fault fault) : fault_(std::move(fault)) {
    recorder = this;
    real = sqlite3_vfs_find(nullptr);
    fill_methods();
    shim = *real;
    shim.zName = "recording";
    shim.pNext = nullptr;
    shim.szOsFile = static_cast<int>(sizeof(File)) + real->szOsFile;
    shim.xOpen = do_open;
    shim.xDelete = do_delete;
    sqlite3_vfs_register(&shim, 1);
}

Recorder::~Recorder() {
    sqlite3_vfs_unregister(&shim);
    sqlite3_vfs_register(real, 1);
    recorder = nullptr;
}

void Recorder::promise(const std::string& text) {
    note({Operation::mark, {}, 0, text, false});
}

std::vector<Operation> Recorder::take() {
    const std::lock_guard lock(mutex_);
    return std::move(log_);
}

void Recorder::note(Operation operation) {
    const std::lock_guard lock(mutex_);
    log_.push_back(std::move(operation));
}

bool Recorder::fails(const char* kind) {
    const std::lock_guard lock(mutex_);
    ++counted_;
    if (fault_.at == 0 || counted_ < fault_.at || (failed_ && !fault_.lasting))
        return false;
    if (!fault_.only.empty() && fault_.only != kind)
        return false;
    return failed_ = true;
}

void Platter::make_durable(File& file) {
    for (const Operation& done : file.pending)
        switch (done.kind) {
        case Operation::create:
            file.there = true, file.content.clear();
            break;
        case Operation::remove:
            file.there = false, file.content.clear();
            break;
        case Operation::truncate:
            file.content.resize(static_cast<std::size_t>(done.at), '\0');
            break;
        default:
            file.there = true, write_at(file.content, done.at, done.data);
            break;
        }
    file.pending.clear();
}

/// The folder is synced: which names there are is settled, what the files hold is not.
void Platter::settle_names() {
    for (auto& [name, file] : files_) {
        const auto last =
            std::find_if(file.pending.rbegin(), file.pending.rend(), [](const Operation& one) {
                return one.kind == Operation::create || one.kind == Operation::remove;
            });
        if (last == file.pending.rend())
            continue;
        file.there = last->kind == Operation::create;
        file.content.clear();
        file.pending.erase(file.pending.begin(), last.base());
    }
}

void Platter::apply(const Operation& operation) {
    if (operation.kind == Operation::mark)
        return;
    File& file = files_[operation.file];
    const bool lied =
        lie_ == Lie::every_sync || (lie_ == Lie::wal_sync && operation.file.ends_with("-wal"));
    if (operation.kind != Operation::sync) {
        file.pending.push_back(operation);
        if (operation.kind == Operation::remove && operation.folder && !lied)
            settle_names();
        return;
    }
    if (lied)
        return;
    // SQLite syncs the folder with the first sync of a log or journal that it made.
    if (std::any_of(file.pending.begin(), file.pending.end(),
                    [](const Operation& one) { return one.kind == Operation::create; }))
        settle_names();
    make_durable(file);
}

/// fate: 0 not there, 1 there, 2 ask `sector` for each of its sectors. Names of a folder change in
/// their order: what comes after a creation or removal that is not there did not happen either.
std::map<std::string, std::string>
Platter::build(const std::function<int(const Operation&)>& fate,
               const std::function<bool(std::size_t)>& sector) const {
    std::map<std::string, std::string> out;
    for (const auto& [name, file] : files_) {
        bool there = file.there;
        std::string content = file.content;
        for (const Operation& one : file.pending) {
            const int how = fate(one);
            const bool names = one.kind == Operation::create || one.kind == Operation::remove;
            if (names && how == 0)
                break;
            if (how == 0)
                continue;
            if (one.kind == Operation::create)
                there = true, content.clear();
            else if (one.kind == Operation::remove)
                there = false, content.clear();
            else if (one.kind == Operation::truncate)
                content.resize(static_cast<std::size_t>(one.at), '\0');
            else if (how == 1)
                there = true, write_at(content, one.at, one.data);
            else
                for (std::size_t from = 0, number = 0; from < one.data.size(); ++number) {
                    const auto place = static_cast<std::size_t>(one.at) + from;
                    const std::size_t length =
                        std::min(one.data.size() - from, sector_size - place % sector_size);
                    if (sector(number))
                        write_at(content, static_cast<std::int64_t>(place),
                                 std::string_view(one.data).substr(from, length));
                    from += length;
                }
        }
        if (there)
            out[name] = std::move(content);
    }
    return out;
}

std::map<std::string, std::string> Platter::kept() const {
    return build([](const Operation&) { return 1; }, {});
}
std::map<std::string, std::string> Platter::dropped() const {
    return build([](const Operation&) { return 0; }, {});
}
std::map<std::string, std::string> Platter::torn(std::mt19937_64& random) const {
    return build([&](const Operation&) { return static_cast<int>(random() % 3); },
                 [&](std::size_t) { return random() % 2 == 0; });
}
std::size_t Platter::open() const {
    std::size_t count = 0;
    for (const auto& [name, file] : files_)
        count += file.pending.size();
    return count;
}

void write_files(const std::string& folder, const std::map<std::string, std::string>& files) {
    for (const auto& [name, content] : files)
        std::ofstream(folder + "/" + name, std::ios::binary) << content;
}

} // namespace crash
