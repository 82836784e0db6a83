// The catalogue of SQLite, from its pragma functions; what only the text of CREATE TABLE knows
// (CHECK, generated expressions) is cut out of that text. Blocks; one thread. Never writes.
#include "runtime/base/text.h"
#include "runtime/transfer/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <unordered_map>

namespace runbook::catalog {
namespace {

bool holds(const std::string& text, std::string_view word) {
    return text.find(word) != std::string::npos;
}

/// The names that people write for richer types first, then SQLite's rules of affinity.
Type type_of(const std::string& declared) {
    if (declared.empty() || declared == "any")
        return Type::dynamic;
    if (holds(declared, "bool"))
        return Type::boolean;
    if (holds(declared, "json"))
        return Type::json;
    if (holds(declared, "uuid"))
        return Type::uuid;
    if (declared.starts_with("datetime") || declared.starts_with("timestamp"))
        return Type::timestamp;
    if (declared == "date")
        return Type::date;
    if (declared.starts_with("time"))
        return Type::time;
    if (holds(declared, "int"))
        return Type::int64;
    if (holds(declared, "char"))
        return Type::varchar;
    if (holds(declared, "clob") || holds(declared, "text"))
        return Type::text;
    if (holds(declared, "blob") || holds(declared, "binary"))
        return Type::bytes;
    if (holds(declared, "real") || holds(declared, "floa") || holds(declared, "doub"))
        return Type::float64;
    return Type::numeric;
}

/// What stands between the outer parentheses behind each `keyword` of a CREATE TABLE, outside
/// strings, names and comments.
std::vector<std::string> clauses(const std::string& sql, std::string_view keyword) {
    std::vector<std::string> found;
    auto skip_quoted = [&](std::size_t at) {
        const char close = sql[at] == '[' ? ']' : sql[at];
        const std::size_t end = sql.find(close, at + 1);
        return end == std::string::npos ? sql.size() : end + 1;
    };
    auto skip = [&](std::size_t at) { // one token that is no code, or nothing
        if (sql.compare(at, 2, "--") == 0)
            return std::min(sql.find('\n', at), sql.size());
        if (sql.compare(at, 2, "/*") == 0) {
            const std::size_t end = sql.find("*/", at + 2);
            return end == std::string::npos ? sql.size() : end + 2;
        }
        return std::string_view("'\"`[").find(sql[at]) != std::string_view::npos ? skip_quoted(at)
                                                                                 : at;
    };
    auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    for (std::size_t at = 0; at < sql.size();) {
        if (const std::size_t next = skip(at); next != at) {
            at = next;
            continue;
        }
        std::size_t end = at;
        while (end < sql.size() && word(sql[end]))
            ++end;
        if (end == at) {
            ++at;
            continue;
        }
        const bool match = text::lower(sql.substr(at, end - at)) == keyword;
        at = end;
        while (at < sql.size() && std::isspace(static_cast<unsigned char>(sql[at])))
            ++at;
        if (!match || at >= sql.size() || sql[at] != '(')
            continue;
        const std::size_t from = ++at;
        for (int depth = 1; at < sql.size() && depth > 0;) {
            if (const std::size_t next = skip(at); next != at) {
                at = next;
                continue;
            }
            depth += sql[at] == '(' ? 1 : sql[at] == ')' ? -1 : 0;
            ++at;
        }
        found.push_back(sql.substr(from, at - from - 1));
    }
    return found;
}

class Reader {
  public:
    Reader(db::Connection& connection, const Filter& filter, Cancel& cancel)
        : connection_(connection), filter_(filter), cancel_(cancel) {
        database_.server = connection.server();
        database_.name = connection.url().name;
        database_.schemas.push_back({"main", {}, {}});
    }

    Database read() {
        database_.encoding =
            fetch_value(connection_, "SELECT encoding FROM pragma_encoding").get<std::string>()
                ? *fetch_value(connection_, "SELECT encoding FROM pragma_encoding")
                       .get<std::string>()
                : "UTF-8";
        read_tables();
        read_columns();
        read_identities();
        read_indexes();
        read_foreign_keys();
        return std::move(database_);
    }

  private:
    std::vector<Map> rows(const std::string& sql) {
        cancel_.check("reading the catalogue");
        return fetch_all(connection_, sql);
    }
    Schema& schema() { return database_.schemas.front(); }
    Table* table(const std::string& name) {
        auto it = at_.find(name);
        return it == at_.end() ? nullptr : &schema().tables[it->second];
    }

    void read_tables() {
        for (const Map& row : rows(R"(
                SELECT s.type AS kind, s.name AS name, s.tbl_name AS tab, coalesce(s.sql, '') AS sql,
                       coalesce(l.wr, 0) AS without_rowid, coalesce(l.strict, 0) AS strict, coalesce(l.type, '') AS flavour
                FROM sqlite_schema s LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name
                WHERE s.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND s.type <> 'index' ORDER BY s.name)")) {
            const std::string name = row.text("name"), kind = row.text("kind");
            if (kind != "table") {
                schema().others.push_back(
                    {kind, "main", name, kind == "trigger" ? "on " + row.text("tab") : ""});
            } else if (row.text("flavour") == "virtual" || row.text("flavour") == "shadow") {
                schema().others.push_back({row.text("flavour") + " table", "main", name, ""});
            } else if (filter_.takes(name)) {
                Table table;
                table.schema = "main";
                table.name = name;
                table.without_rowid = row.integer("without_rowid") != 0;
                table.strict = row.integer("strict") != 0;
                for (const std::string& expression : clauses(row.text("sql"), "check"))
                    table.checks.push_back({"", expression, true});
                generated_[name] = clauses(row.text("sql"), "as");
                autoincrement_[name] = holds(text::lower(row.text("sql")), "autoincrement");
                at_[name] = schema().tables.size();
                schema().tables.push_back(std::move(table));
            }
        }
    }

    void read_columns() {
        for (const Map& row : rows(R"(
                SELECT t.name AS tab, c.name AS name, c.type AS type, c."notnull" AS required, c.dflt_value AS def,
                       c.pk AS pk, c.hidden AS hidden
                FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c
                WHERE t.type = 'table' AND c.hidden <> 1 ORDER BY t.name, c.cid)")) {
            Table* owner = table(row.text("tab"));
            if (!owner)
                continue;
            Column column;
            column.name = row.text("name");
            column.engine_type = row.text("type");
            column.type = type_of(text::lower(column.engine_type));
            column.nullable =
                row.integer("required") == 0 && !(row.integer("pk") > 0 && owner->without_rowid);
            if (const Value* value = row.find("def"); value && value->get<std::string>())
                column.default_expression = *value->get<std::string>();
            const std::size_t open = column.engine_type.find('(');
            if (open != std::string::npos) {
                char* end = nullptr;
                const long first = std::strtol(column.engine_type.c_str() + open + 1, &end, 10);
                if (column.type == Type::numeric) {
                    column.precision = static_cast<int>(first);
                    column.scale = *end == ',' ? std::atoi(end + 1) : 0;
                } else if (first > 0) {
                    column.length = first;
                }
            }
            column.generated = row.integer("hidden") != 0;
            column.generation_stored = row.integer("hidden") == 3;
            std::vector<std::string>& expressions = generated_[owner->name];
            if (column.generated && !expressions.empty()) { // in the order of the columns
                column.generation_expression = expressions.front();
                expressions.erase(expressions.begin());
            }
            owner->columns.push_back(std::move(column));
        }
        read_primary_keys();
    }

    void read_primary_keys() {
        for (const Map& row : rows(R"(
                SELECT t.name AS tab, c.name AS name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                WHERE t.type = 'table' AND c.pk > 0 ORDER BY t.name, c.pk)"))
            if (Table* owner = table(row.text("tab"))) {
                if (!owner->primary_key) {
                    owner->primary_key.emplace();
                    owner->primary_key->name = "PRIMARY";
                    owner->primary_key->method = "btree";
                    owner->primary_key->unique = owner->primary_key->primary = true;
                    owner->primary_key->constraint = true;
                }
                owner->primary_key->parts.emplace_back();
                owner->primary_key->parts.back().column = row.text("name");
            }
    }

    /// A single INTEGER PRIMARY KEY of a rowid table numbers itself.
    void read_identities() {
        std::unordered_map<std::string, std::int64_t> last;
        if (!fetch_value(connection_, "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'")
                 .is_null())
            for (const Map& row : rows("SELECT name AS tab, seq AS seq FROM sqlite_sequence"))
                last[row.text("tab")] = row.integer("seq");
        for (Table& table : schema().tables) {
            if (table.without_rowid || !table.primary_key || table.primary_key->parts.size() != 1)
                continue;
            for (Column& column : table.columns)
                if (column.name == table.primary_key->parts[0].column &&
                    text::lower(column.engine_type) == "integer") {
                    column.nullable = false;
                    column.identity.emplace();
                    if (auto it = last.find(table.name);
                        autoincrement_[table.name] && it != last.end())
                        column.identity->last_value = it->second;
                }
        }
    }

    void read_indexes() {
        std::string last;
        for (const Map& row : rows(R"(
                SELECT t.name AS tab, i.name AS name, i."unique" AS uniq, i.origin AS origin, c.name AS col,
                       c.desc AS backwards, c.coll AS coll, coalesce(s.sql, '') AS sql
                FROM sqlite_schema t JOIN pragma_index_list(t.name) i JOIN pragma_index_xinfo(i.name) c
                LEFT JOIN sqlite_schema s ON s.type = 'index' AND s.name = i.name
                WHERE t.type = 'table' AND i.origin <> 'pk' AND c.key = 1 ORDER BY t.name, i.seq DESC, c.seqno)")) {
            Table* owner = table(row.text("tab"));
            if (!owner)
                continue;
            const std::string full = owner->name + '\0' + row.text("name");
            if (full != last) {
                Index index;
                index.name = row.text("name");
                index.method = "btree";
                index.unique = row.integer("uniq") != 0;
                index.constraint = row.text("origin") == "u";
                index.definition = row.text("sql");
                const std::string lower = text::lower(index.definition);
                if (const std::size_t where = lower.rfind(" where "); where != std::string::npos)
                    index.predicate = index.definition.substr(where + 7);
                owner->indexes.push_back(std::move(index));
                last = full;
            }
            Index& index = owner->indexes.back();
            IndexPart part;
            part.column = row.text("col");
            if (part.column.empty()) // an expression: only the statement has it
                part.expression = index.definition;
            part.descending = row.integer("backwards") != 0;
            if (row.text("coll") != "BINARY")
                part.collation = row.text("coll");
            index.parts.push_back(std::move(part));
        }
    }

    void read_foreign_keys() {
        std::string last;
        for (const Map& row : rows(R"(
                SELECT t.name AS tab, f.id AS id, f."table" AS to_table, f."from" AS col, f."to" AS to_col,
                       f.on_update AS on_update, f.on_delete AS on_delete
                FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f
                WHERE t.type = 'table' ORDER BY t.name, f.id, f.seq)")) {
            Table* owner = table(row.text("tab"));
            if (!owner)
                continue;
            const std::string full = fmt::format("{}/{}", owner->name, row.integer("id"));
            if (full != last) {
                ForeignKey key;
                key.name = fmt::format("{}_fk{}", owner->name, row.integer("id") + 1);
                key.to_schema = "main";
                key.to_table = row.text("to_table");
                key.on_update = row.text("on_update");
                key.on_delete = row.text("on_delete");
                owner->foreign_keys.push_back(std::move(key));
                last = full;
            }
            ForeignKey& key = owner->foreign_keys.back();
            key.columns.push_back(row.text("col"));
            std::string to = row.text("to_col");
            const Table* other = table(key.to_table);
            if (to.empty() && other && other->primary_key &&
                key.to_columns.size() < other->primary_key->parts.size())
                to = other->primary_key->parts[key.to_columns.size()].column;
            key.to_columns.push_back(std::move(to));
        }
    }

    db::Connection& connection_;
    const Filter& filter_;
    Cancel& cancel_;
    Database database_;
    std::unordered_map<std::string, std::size_t> at_;
    std::unordered_map<std::string, std::vector<std::string>> generated_;
    std::unordered_map<std::string, bool> autoincrement_;
};

} // namespace

Database read_sqlite(db::Connection& connection, const Filter& filter, Cancel& cancel) {
    return Reader(connection, filter, cancel).read();
}

} // namespace runbook::catalog
