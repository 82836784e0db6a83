// The text protocol of MySQL as COPY text (see mysql_rows.h). Runs on the stream's thread.
#include "runtime/transfer/copy/mysql_rows.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/transfer/copy/encode.h"
#include "runtime/transfer/copy/mysql_killer.h"

#include <fmt/format.h>
#include <mysql.h>

namespace runbook::copy {
namespace {

using Kind = MysqlForm::Kind;

Error failure(db::Connection& connection) {
    auto* handle = static_cast<MYSQL*>(connection.native());
    const unsigned code = mysql_errno(handle);
    const std::string where = connection.url().masked() + ": ";
    switch (code) {
    case 0: // nothing said, and no row
    case 1053:
    case 1927:
    case 2006:
    case 2013:
    case 2055:
    case 3169:
        return {"db.connection",
                fmt::format("{}the connection was lost while rows were read: {} ({})", where,
                            code ? mysql_error(handle) : "no answer", code),
                "the copy can be started again: what it had written is dropped first",
                mysql_sqlstate(handle)};
    case 1412:
        return {"copy.refused",
                where + "a table was altered while it was copied: " + mysql_error(handle),
                "stop what changes the schema during the copy", mysql_sqlstate(handle)};
    default:
        return {code == 1317                   ? "db.cancelled"
                : code == 1142 || code == 1143 ? "db.permission"
                                               : "db.error",
                fmt::format("{}{} ({})", where, mysql_error(handle), code),
                {},
                mysql_sqlstate(handle)};
    }
}

void append_bits(std::string_view octets, std::int64_t bits, std::string& out) {
    const auto all = static_cast<std::int64_t>(octets.size()) * 8;
    for (std::int64_t i = all - bits; i < all; ++i) {
        const auto octet = static_cast<unsigned char>(octets[static_cast<std::size_t>(i / 8)]);
        out += (octet >> (7 - i % 8) & 1) != 0 ? '1' : '0';
    }
}

/// As LOAD DATA takes it.
void append_load(std::string_view text, std::string& out) {
    const std::size_t nul = text.find('\0');
    escape(text.substr(0, nul), out);
    for (std::size_t at = nul; at < text.size();) {
        out += "\\0";
        const std::size_t next = text.find('\0', ++at);
        escape(text.substr(at, next == std::string_view::npos ? next : next - at), out);
        at = next;
    }
}

class MysqlRows final : public RowSource {
  public:
    MysqlRows(db::Connection& connection, const std::string& select, std::vector<MysqlForm> forms)
        : connection_(connection), handle_(static_cast<MYSQL*>(connection.native())),
          forms_(std::move(forms)) {
        if (mysql_real_query(handle_, select.data(), select.size()) != 0)
            throw failure(connection_);
        result_ = mysql_use_result(handle_);
        if (!result_)
            throw failure(connection_);
    }
    ~MysqlRows() override {
        if (!result_)
            return;
        MysqlKiller(connection_.url(), connection_).kill(); // the rest would be sent otherwise
        mysql_free_result(result_);
    }

    bool next(std::string_view& row) override {
        if (!result_)
            return false;
        MYSQL_ROW cells = mysql_fetch_row(result_);
        if (!cells) {
            const bool failed = mysql_errno(handle_) != 0;
            const Error error = failed ? failure(connection_) : Error("", "");
            mysql_free_result(result_);
            result_ = nullptr;
            if (failed)
                throw error;
            return false;
        }
        const unsigned long* lengths = mysql_fetch_lengths(result_);
        row_.clear();
        for (std::size_t i = 0; i < forms_.size(); ++i) {
            if (i > 0)
                row_ += '\t';
            if (cells[i])
                add(forms_[i], {cells[i], lengths[i]});
            else
                row_ += "\\N";
        }
        row_ += '\n';
        row = row_;
        return true;
    }

  private:
    void add(const MysqlForm& form, std::string_view cell) {
        switch (form.kind) {
        case Kind::text:
            escape(cell, row_);
            return;
        case Kind::load:
            append_load(cell, row_);
            return;
        case Kind::octets:
            row_ += "\\\\x";
            row_ += digest::hex(cell);
            return;
        case Kind::moment:
            row_.append(cell);
            row_ += "+00";
            return;
        case Kind::bits:
            append_bits(cell, form.bits, row_);
            return;
        }
    }

    db::Connection& connection_;
    MYSQL* handle_;
    MYSQL_RES* result_ = nullptr;
    std::vector<MysqlForm> forms_;
    std::string row_;
};

} // namespace

std::vector<MysqlForm> mysql_forms(const catalog::Table& table,
                                   const std::vector<schema::TargetColumn>& columns,
                                   db::Flavour target) {
    std::vector<MysqlForm> forms(columns.size());
    if (target == db::Flavour::mysql || target == db::Flavour::mariadb) {
        for (MysqlForm& form : forms)
            form.kind = Kind::load;
        return forms;
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const catalog::Column* source = table.column(columns[i].source);
        if (!source)
            continue;
        switch (source->type) {
        case catalog::Type::binary:
        case catalog::Type::bytes:
            forms[i].kind = Kind::octets;
            break;
        case catalog::Type::timestamptz:
            forms[i].kind = Kind::moment;
            break;
        case catalog::Type::bit:
            forms[i] = {Kind::bits, source->length.value_or(1)};
            break;
        default:
            break;
        }
    }
    return forms;
}

std::unique_ptr<RowSource> mysql_rows(db::Connection& connection, const std::string& select,
                                      std::vector<MysqlForm> forms) {
    return std::make_unique<MysqlRows>(connection, select, std::move(forms));
}

} // namespace runbook::copy
