// Conversions of followed rows (see rows.h).
#include "runtime/transfer/follow/rows.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/transfer/copy/encode.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>

namespace runbook::follow {
namespace {

using schema::mysql_name;
using schema::standard_name;
using schema::standard_string;

/// A field of LOAD DATA text as its octets.
std::string load_data_octets(std::string_view field) {
    std::string out;
    out.reserve(field.size());
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (field[i] != '\\' || i + 1 == field.size()) {
            out += field[i];
            continue;
        }
        switch (char c = field[++i]) {
        case '0':
            out += '\0';
            break;
        case 'b':
            out += '\b';
            break;
        case 'n':
            out += '\n';
            break;
        case 'r':
            out += '\r';
            break;
        case 't':
            out += '\t';
            break;
        case 'Z':
            out += '\x1a';
            break;
        default:
            out += c;
        }
    }
    return out;
}

void append_string(std::string_view text, std::string& out) {
    out += '\'';
    while (!text.empty()) {
        std::size_t at = text.find_first_of(std::string_view("'\\\0", 3));
        if (at == std::string_view::npos) {
            out.append(text);
            break;
        }
        out.append(text.substr(0, at));
        out += '\\';
        out += text[at] == '\0' ? '0' : text[at];
        text.remove_prefix(at + 1);
    }
    out += '\'';
}

bool is_numeral(std::string_view text) {
    return !text.empty() && text.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
}

std::uint64_t number_of_bits(std::string_view octets) {
    std::uint64_t out = 0;
    for (char c : octets)
        out = out << 8 | static_cast<unsigned char>(c);
    return out;
}

std::string_view without_blanks(std::string_view text) {
    std::size_t end = text.find_last_not_of(' ');
    return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

/// Whether an expression can name the column: quoted or not. Rather once too often.
bool mentions(const std::string& expression, const std::string& column) {
    auto in_a_word = [&](std::size_t at) {
        return at < expression.size() &&
               (isalnum(static_cast<unsigned char>(expression[at])) || expression[at] == '_');
    };
    for (std::size_t at = expression.find(column); at != std::string::npos;
         at = expression.find(column, at + 1))
        if ((at == 0 || !in_a_word(at - 1)) && !in_a_word(at + column.size()))
            return true;
    return expression.find(standard_name(column)) != std::string::npos;
}

struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};

using Result = std::unique_ptr<PGresult, ResultDeleter>;

Result ask(db::Connection& source, const std::string& sql) {
    auto* raw = static_cast<PGconn*>(source.native());
    Result result(PQexec(raw, sql.c_str()));
    if (PQresultStatus(result.get()) == PGRES_TUPLES_OK)
        return result;
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    const char* text = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
    if (PQstatus(raw) != CONNECTION_OK || !state)
        throw Error("db.connection",
                    source.url().masked() + ": the connection was lost while values were computed");
    throw Error("db.error",
                fmt::format("{}: computing values as the copy does: {} ({})", source.url().masked(),
                            text ? text : "", state),
                {}, state);
}

/// The columns whose values an evaluation sends to the source.
std::vector<int> inputs_of(const Table& table) {
    std::vector<int> out;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const Column& input = table.columns[i];
        if (input.generated)
            continue;
        bool wanted = std::any_of(table.columns.begin(), table.columns.end(), [&](const Column& c) {
            return !c.expression.empty() && mentions(c.expression, input.source);
        });
        if (wanted)
            out.push_back(static_cast<int>(i));
    }
    return out;
}

[[noreturn]] void left_out(const Table& table, const Column& column, const Column& input) {
    throw Error("follow.refused",
                fmt::format("{}: {} is computed from {}, a long value that an UPDATE did not "
                            "change and the change stream therefore left out",
                            table.full_name(), column.source, input.source),
                fmt::format("ALTER TABLE {} REPLICA IDENTITY FULL has it sent, or leave the table "
                            "out with exclude",
                            table.full_name()));
}

} // namespace

std::size_t Change::bytes() const {
    std::size_t out = 64;
    for (const Row* side : {&old, &row})
        for (const Datum& datum : *side)
            out += datum.text.size() + 8;
    return out;
}

Row take_row(const Bound& bound, const pgoutput::Tuple& tuple) {
    if (tuple.size() != bound.places.size())
        throw Error("internal", bound.table->full_name() +
                                    ": a row of the change stream has another number of fields");
    Row out(bound.table->columns.size());
    for (std::size_t i = 0; i < tuple.size(); ++i) {
        if (bound.places[i] < 0)
            continue;
        Datum& datum = out[static_cast<std::size_t>(bound.places[i])];
        switch (tuple[i].kind) {
        case pgoutput::Field::Kind::null:
            datum.kind = Datum::Kind::null;
            break;
        case pgoutput::Field::Kind::unchanged:
            break;
        case pgoutput::Field::Kind::text:
            datum.kind = Datum::Kind::text;
            datum.text = tuple[i].text;
            break;
        }
    }
    return out;
}

void evaluate(db::Connection& source, const Table& table, const std::vector<Row*>& rows,
              Cancel& cancel) {
    if (rows.empty() || !table.has_expressions())
        return;
    cancel.check("following");
    std::vector<int> inputs = inputs_of(table), outputs;
    std::string list, names;
    for (std::size_t i = 0; i < table.columns.size(); ++i)
        if (!table.columns[i].expression.empty()) {
            outputs.push_back(static_cast<int>(i));
            list += (list.empty() ? "" : ", ") + table.columns[i].expression;
        }
    for (int i : inputs)
        names += ", " + standard_name(table.columns[static_cast<std::size_t>(i)].source);
    std::string sql = "SELECT " + list + " FROM (VALUES ";
    for (std::size_t n = 0; n < rows.size(); ++n) {
        sql += fmt::format("{}({}", n ? ", " : "", n);
        for (int i : inputs) {
            const Column& column = table.columns[static_cast<std::size_t>(i)];
            const Datum& datum = (*rows[n])[static_cast<std::size_t>(i)];
            sql += datum.kind == Datum::Kind::text ? ", " + standard_string(datum.text) : ", NULL";
            sql += "::" + column.cast;
        }
        sql += ")";
    }
    sql += fmt::format(") AS t(_runbook_n{}) ORDER BY _runbook_n", names);
    Result result = ask(source, sql);
    if (static_cast<std::size_t>(PQntuples(result.get())) != rows.size())
        throw Error("internal", "the source computed another number of rows than it was given");
    for (std::size_t n = 0; n < rows.size(); ++n)
        for (std::size_t k = 0; k < outputs.size(); ++k) {
            const Column& column = table.columns[static_cast<std::size_t>(outputs[k])];
            Datum& datum = (*rows[n])[static_cast<std::size_t>(outputs[k])];
            if (!column.generated && datum.kind == Datum::Kind::absent)
                continue;
            for (int i : inputs) {
                const Column& input = table.columns[static_cast<std::size_t>(i)];
                if ((*rows[n])[static_cast<std::size_t>(i)].kind == Datum::Kind::absent &&
                    mentions(column.expression, input.source))
                    left_out(table, column, input);
            }
            int row = static_cast<int>(n), field = static_cast<int>(k);
            bool null = PQgetisnull(result.get(), row, field) != 0;
            datum.kind = null ? Datum::Kind::null : Datum::Kind::text;
            datum.text.assign(PQgetvalue(result.get(), row, field),
                              static_cast<std::size_t>(PQgetlength(result.get(), row, field)));
        }
}

Datum encoded(schema::Codec codec, const Datum& value) {
    if (value.kind != Datum::Kind::text || codec == schema::Codec::as_is)
        return value;
    std::string field, line;
    copy::escape(value.text, field);
    copy::RowEncoder({codec}).encode(field, line);
    line.pop_back(); // the newline
    if (line == "\\N")
        return {Datum::Kind::null, {}};
    return {Datum::Kind::text, load_data_octets(line)};
}

void append_literal(const Column& column, const Datum& value, std::string& out) {
    Datum datum = encoded(column.codec, value);
    if (datum.kind != Datum::Kind::text) {
        out += "NULL";
        return;
    }
    if (column.form == Form::binary || column.form == Form::bits)
        out += "_binary";
    append_string(datum.text, out);
}

void append_condition(const Column& column, const Datum& value, bool exact, std::string& out) {
    Datum datum = encoded(column.codec, value);
    std::string name = mysql_name(column.target);
    if (datum.kind != Datum::Kind::text) {
        out += name + " IS NULL";
        return;
    }
    std::string_view text = datum.text;
    if (column.form == Form::character)
        text = without_blanks(text);
    out += name + " = ";
    switch (column.form) {
    case Form::number:
        if (is_numeral(text))
            out.append(text);
        else
            append_string(text, out);
        return;
    case Form::bits:
        out += std::to_string(number_of_bits(text));
        return;
    case Form::binary:
        out += "_binary";
        append_string(text, out);
        return;
    case Form::json:
        out += "CAST(";
        append_string(text, out);
        out += " AS JSON)";
        return;
    case Form::plain:
        append_string(text, out);
        return;
    case Form::text:
    case Form::character:
        append_string(text, out);
        if (exact) {
            out += " AND CAST(" + name + " AS BINARY) = _binary";
            append_string(text, out);
        }
        return;
    }
}

std::vector<int> identity_of(const Change& change) {
    const Bound& bound = *change.bound;
    const Table& table = *bound.table;
    std::vector<int> out;
    bool full = bound.identity == 'f';
    if (full && !table.key.empty()) {
        // The whole old row is there: the primary key alone tells the row.
        for (const std::string& name : table.key)
            if (int place = table.find(name); place >= 0)
                out.push_back(place);
        if (out.size() == table.key.size())
            return out;
        out.clear();
    }
    for (std::size_t i = 0; i < bound.places.size(); ++i)
        if (bound.places[i] >= 0 && (full || bound.key[i]))
            out.push_back(bound.places[i]);
    return out;
}

std::string describe_key(const Change& change) {
    const Table& table = *change.bound->table;
    const Row& row = change.has_old ? change.old : change.row;
    std::vector<int> places = change.kind == Change::Kind::insert && !table.key.empty()
                                  ? std::vector<int>()
                                  : identity_of(change);
    if (places.empty())
        for (const std::string& name : table.key)
            if (int place = table.find(name); place >= 0)
                places.push_back(place);
    std::vector<std::string> parts;
    for (int place : places) {
        if (parts.size() == 4) {
            parts.emplace_back("…");
            break;
        }
        const auto i = static_cast<std::size_t>(place);
        const Datum& datum = row[i];
        std::string value =
            datum.kind == Datum::Kind::text ? text::ellipsize(datum.text, 40) : std::string("NULL");
        if (datum.kind == Datum::Kind::text && table.columns[i].form != Form::number)
            value = "'" + value + "'";
        parts.push_back(table.columns[i].source + " = " + value);
    }
    return redact(text::join(parts, ", "));
}

} // namespace runbook::follow
