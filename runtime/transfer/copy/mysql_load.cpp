// LOAD DATA LOCAL fed from memory, by the client library's own callbacks (see mysql_load.h).
// Runs on the stream's thread. The read callback pulls rows from the source, rewrites them and
// hands them to the library: no queue, no file. REPLACE makes the server strict (without it, LOCAL
// means IGNORE: values are cut and rows are dropped with a warning). A callback that fails makes
// the library send the end of the file first, so the caller always rolls back.
#include "runtime/transfer/copy/mysql_load.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>
#include <mysql.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>

namespace runbook::copy {
namespace {

constexpr std::size_t batch_bytes = 256 << 10; ///< rewritten ahead of what the library asks for

/// What the callbacks work on; armed for one statement and one file name.
struct Transfer {
    std::string file;
    Feed* feed = nullptr;
    const RowEncoder* encoder = nullptr;
    std::string buffer;
    std::size_t at = 0;
    bool ended = false;
    std::exception_ptr error;
};

int begin(void** state, const char* file, void* userdata) {
    *state = userdata;
    auto& transfer = *static_cast<Transfer*>(userdata);
    if (!file || transfer.file != file) {
        transfer.error = std::make_exception_ptr(
            Error("copy.refused", "the server asked for another file than the copy's own"));
        return 1;
    }
    return 0;
}

int read(void* state, char* out, unsigned int size) {
    auto& transfer = *static_cast<Transfer*>(state);
    try {
        if (transfer.at == transfer.buffer.size()) {
            transfer.buffer.clear();
            transfer.at = 0;
            std::string_view row;
            while (!transfer.ended && transfer.buffer.size() < batch_bytes) {
                if (transfer.feed->next(row))
                    transfer.encoder->encode(row, transfer.buffer);
                else
                    transfer.ended = true;
            }
        }
        std::size_t count = std::min<std::size_t>(size, transfer.buffer.size() - transfer.at);
        std::memcpy(out, transfer.buffer.data() + transfer.at, count);
        transfer.at += count;
        return static_cast<int>(count);
    } catch (...) {
        transfer.error = std::current_exception();
        return -1;
    }
}

void end(void*) {}

int failed(void*, char* message, unsigned int size) {
    std::snprintf(message, size, "the copy's source failed");
    return 2000;
}

// Refuses whatever a server asks for while no statement of ours runs.
int refuse(void** state, const char*, void*) {
    *state = nullptr;
    return 1;
}
int read_nothing(void*, char*, unsigned int) {
    return -1;
}

class Armed {
  public:
    Armed(MYSQL* handle, Transfer& transfer) : handle_(handle) {
        mysql_set_local_infile_handler(handle_, begin, read, end, failed, &transfer);
    }
    ~Armed() {
        mysql_set_local_infile_handler(handle_, refuse, read_nothing, end, failed, nullptr);
    }
    Armed(const Armed&) = delete;
    Armed& operator=(const Armed&) = delete;

  private:
    MYSQL* handle_;
};

std::string kind_of(unsigned number) {
    switch (number) {
    case 1213:
        return "db.deadlock";
    case 1205:
        return "db.lock_timeout";
    case 2006:
    case 2013:
    case 1053:
    case 1927:
    case 2026:
    case 2027:
    case 2055:
    case 4031:
        return "db.connection";
    case 1317:
        return "db.cancelled";
    case 1114:
    case 1021:
        return "db.disk_full";
    case 1062:
    case 3819:
    case 4025:
    case 1048:
        return "db.constraint";
    case 1142:
    case 1044:
    case 1045:
        return "db.permission";
    default:
        return "db.error";
    }
}

Error server_error(db::Connection& connection, MYSQL* handle, const std::string& table) {
    unsigned number = mysql_errno(handle);
    std::string hint;
    if (number == 3948 || number == 1148 || number == 4166)
        hint = "the server's local_infile is off; ask for SET GLOBAL local_infile = ON";
    if (number == 1114 || number == 1021 || number == 3675)
        hint = "free space on the server's disk; what was loaded is whole, see resume";
    return {kind_of(number),
            fmt::format("{}: loading {}: {} ({})", connection.url().masked(), table,
                        mysql_error(handle), number),
            hint, mysql_sqlstate(handle)};
}

/// mysql_warning_count saturates at 65535; the text of mysql_info does not.
Loaded parse_info(const char* info) {
    Loaded loaded;
    long long records = -1, deleted = 0, skipped = 0, warnings = 0;
    if (!info || std::sscanf(info, "Records: %lld Deleted: %lld Skipped: %lld Warnings: %lld",
                             &records, &deleted, &skipped, &warnings) != 4)
        throw Error("copy.mismatch", "the server did not say how many rows it loaded");
    loaded = {records, deleted, skipped, warnings};
    return loaded;
}

std::string first_warning(MYSQL* handle) {
    std::string text;
    if (mysql_query(handle, "SHOW WARNINGS LIMIT 1") != 0)
        return text;
    if (MYSQL_RES* result = mysql_store_result(handle)) {
        if (MYSQL_ROW row = mysql_fetch_row(result))
            text = fmt::format(": {} ({})", row[2] ? row[2] : "", row[1] ? row[1] : "");
        mysql_free_result(result);
    }
    return text;
}

void check_counters(MYSQL* handle, const Loaded& loaded, const std::string& table,
                    std::int64_t sent) {
    if (loaded.records == sent && loaded.deleted == 0 && loaded.skipped == 0 &&
        loaded.warnings == 0)
        return;
    std::string why = loaded.warnings > 0 ? first_warning(handle) : std::string();
    throw Error("copy.mismatch",
                fmt::format("{}: {} rows sent, the server counted {}, {} replaced, {} skipped, {} "
                            "warnings{}",
                            table, text::grouped(sent), text::grouped(loaded.records),
                            loaded.deleted, loaded.skipped, loaded.warnings, why),
                "the chunk was rolled back; the target would have changed values or rows");
}

} // namespace

std::string load_statement(const std::string& table,
                           const std::vector<schema::TargetColumn>& columns,
                           const std::string& file) {
    std::string list, set;
    int variables = 0;
    for (const schema::TargetColumn& column : columns) {
        list += list.empty() ? "" : ", ";
        if (column.generated) {
            list += "@unused";
            continue;
        }
        if (!column.json) {
            list += schema::mysql_name(column.name);
            continue;
        }
        std::string variable = fmt::format("@v{}", ++variables);
        list += variable;
        set += fmt::format("{}{} = CONVERT({} USING utf8mb4)", set.empty() ? " SET " : ", ",
                           schema::mysql_name(column.name), variable);
    }
    return fmt::format("LOAD DATA LOCAL INFILE {} REPLACE INTO TABLE {} CHARACTER SET binary "
                       "FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' "
                       "({}){}",
                       schema::mysql_string(file), schema::mysql_name(table), list, set);
}

Loaded load_data(db::Connection& connection, const std::string& table,
                 const std::vector<schema::TargetColumn>& columns, Feed& feed) {
    static std::atomic<unsigned> statements{0};
    auto* handle = static_cast<MYSQL*>(connection.native());
    std::vector<schema::Codec> codecs;
    for (const schema::TargetColumn& column : columns)
        codecs.push_back(column.codec);
    RowEncoder encoder(std::move(codecs));
    Transfer transfer;
    transfer.file = fmt::format("runbook-{}", ++statements);
    transfer.feed = &feed;
    transfer.encoder = &encoder;
    std::string sql = load_statement(table, columns, transfer.file);
    int status = 0;
    {
        Armed armed(handle, transfer);
        status = mysql_real_query(handle, sql.data(), sql.size());
    }
    if (transfer.error)
        std::rethrow_exception(transfer.error);
    if (status != 0)
        throw server_error(connection, handle, table);
    Loaded loaded = parse_info(mysql_info(handle));
    check_counters(handle, loaded, table, feed.rows());
    return loaded;
}

} // namespace runbook::copy
