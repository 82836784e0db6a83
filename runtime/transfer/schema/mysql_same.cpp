// The plan between MySQL and MariaDB, either way, and between two of a kind: the source's own
// CREATE TABLE, with its secondary indexes and foreign keys taken out for the time after the load
// (see plans.h). Pure functions.
#include "runtime/transfer/schema/mysql.h"
#include "runtime/transfer/schema/plans.h"
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace runbook::schema {
namespace {

using catalog::Column;
using catalog::Table;
using catalog::Type;

/// Where the quoted text that begins at `at` ends: behind its last quote.
std::size_t behind_quoted(std::string_view text, std::size_t at) {
    const char quote = text[at];
    for (++at; at < text.size(); ++at) {
        const bool escape = text[at] == '\\' && quote != '`';
        if (escape || (text[at] == quote && at + 1 < text.size() && text[at + 1] == quote))
            ++at;
        else if (text[at] == quote)
            return at + 1;
    }
    return text.size();
}

bool is_quote(char c) {
    return c == '\'' || c == '`' || c == '"';
}

/// "CREATE TABLE `t` (", the parts between the commas, and what follows the last parenthesis.
struct Statement {
    std::vector<std::string> parts;
    std::string tail;
};

Statement split(std::string_view create) {
    Statement out;
    std::size_t at = 0;
    while (at < create.size() && create[at] != '(')
        at = is_quote(create[at]) ? behind_quoted(create, at) : at + 1;
    int depth = 1;
    std::size_t begin = ++at;
    auto take = [&](std::size_t end) {
        out.parts.push_back(text::trim(create.substr(begin, end - begin)));
    };
    while (at < create.size() && depth > 0) {
        const char c = create[at];
        if (is_quote(c)) {
            at = behind_quoted(create, at);
            continue;
        }
        if (c == '(')
            ++depth;
        else if (c == ')')
            --depth;
        else if (c == ',' && depth == 1) {
            take(at);
            begin = at + 1;
        }
        ++at;
    }
    take(at - 1);
    out.tail = text::trim(create.substr(at));
    return out;
}

bool is_word(char c) {
    return isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$';
}

/// `fn(word)` for each bare word outside of quotes; what it returns stands there instead.
template <class Fn>
std::string each_word(std::string_view text, Fn fn) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at + 1;
        if (is_quote(text[at])) {
            end = behind_quoted(text, at);
            out += text.substr(at, end - at);
        } else if (is_word(text[at])) {
            while (end < text.size() && is_word(text[end]))
                ++end;
            out += fn(std::string(text.substr(at, end - at)));
        } else {
            out += text[at];
        }
        at = end;
    }
    return out;
}

/// The collation there that compares alike, or empty.
std::string collation_there(const std::string& name, bool to_mariadb) {
    constexpr std::string_view kinds[] = {"ai_ci", "as_ci", "as_cs"};
    auto ends = [&](std::string_view begin) {
        return std::any_of(std::begin(kinds), std::end(kinds), [&](std::string_view kind) {
            return name == std::string(begin) + std::string(kind);
        });
    };
    const std::string kind = name.size() > 5 ? name.substr(name.size() - 5) : "";
    if (to_mariadb) {
        if (name == "utf8mb4_0900_bin")
            return "utf8mb4_nopad_bin";
        if (ends("utf8mb4_0900_"))
            return "utf8mb4_uca1400_nopad_" + kind;
        return name.find("_0900_") == name.npos ? name : "";
    }
    if (name == "utf8mb4_nopad_bin")
        return "utf8mb4_0900_bin";
    if (ends("utf8mb4_uca1400_") || ends("utf8mb4_uca1400_nopad_"))
        return "utf8mb4_0900_" + kind;
    return name.find("_uca1400_") == name.npos && name.find("_nopad_") == name.npos ? name : "";
}

class Builder {
  public:
    Builder(const catalog::Database& source, const Target& target, Plan& plan)
        : source_(source), plan_(plan), crosses_(source.server.flavour != target.server.flavour),
          to_mariadb_(target.server.flavour == db::Flavour::mariadb) {}

    TargetTable build(const Table& source, const std::string& create) {
        TargetTable out;
        out.source = &source;
        out.name = source.name;
        report(source, "", "table", "converted", "");
        for (const Column& column : source.columns)
            if (!column.generated)
                out.columns.push_back(column_of(source, column));
        Statement statement = split(create);
        std::vector<std::string> inside, later;
        for (const std::string& part : statement.parts)
            sort(source, part, inside, later);
        out.create = fmt::format("CREATE TABLE {} (\n  {}\n) {}", mysql_name(source.name),
                                 text::join(inside, ",\n  "), adapted(source, statement.tail));
        const std::string alter = "ALTER TABLE " + mysql_name(source.name) + " ADD ";
        if (!later.empty())
            out.indexes.push_back(alter + text::join(later, ", ADD "));
        add_keys(source, out);
        for (const catalog::ForeignKey& key : source.foreign_keys)
            if (source_.table(key.to_schema, key.to_table))
                out.proofs.push_back(
                    {key.name, "SELECT COUNT(*) " + mysql::orphans(source.name, key)});
        if (!foreign_keys_.empty())
            out.foreign_keys.push_back(alter + text::join(foreign_keys_, ", ADD "));
        foreign_keys_.clear();
        return out;
    }

  private:
    void report(const Table& table, const std::string& what, const std::string& kind,
                const std::string& outcome, const std::string& reason) {
        plan_.report.push_back(
            {what.empty() ? table.name : table.name + "." + what, kind, outcome, reason});
    }

    TargetColumn column_of(const Table& table, const Column& column) {
        TargetColumn out;
        out.source = out.name = column.name;
        out.select = mysql_name(column.name);
        out.type = adapted_type(column);
        out.nullable = column.nullable;
        out.auto_increment = column.identity.has_value();
        out.json = column.type == Type::jsonb && !to_mariadb_;
        if (column.type == Type::float32) // printed in six digits otherwise
            out.select += " * 1e0";
        const bool as_utf8 = column.charset.empty() || column.charset == "utf8mb4" ||
                             column.charset == "utf8mb3" || column.charset == "utf8" ||
                             column.charset == "ascii";
        if (!as_utf8) // loaded as they stand there: octets of the column's own character set
            out.select = "CAST(" + out.select + " AS BINARY)";
        if (crosses_ && !column.collation.empty()) {
            out.collation = collation_there(column.collation, to_mariadb_);
            out.is_text = out.collation != column.collation;
            if (out.collation.empty())
                plan_.refusals.push_back(
                    {table.name, column.name,
                     "the collation " + column.collation + " has no counterpart there"});
            else if (out.is_text)
                out.type += " CHARACTER SET " + column.charset + " COLLATE " + out.collation;
        }
        return out;
    }

    std::string adapted_type(const Column& column) const {
        if (crosses_ && column.type == Type::uuid)
            return "char(36) CHARACTER SET ascii COLLATE ascii_bin";
        if (crosses_ && column.type == Type::inet)
            return "varchar(39) CHARACTER SET ascii COLLATE ascii_bin";
        return column.engine_type;
    }

    /// The text in the target's words.
    std::string adapted(const Table& table, const std::string& text) {
        if (!crosses_)
            return text;
        bool names_collation = false;
        return each_word(text, [&](const std::string& word) {
            const bool now = std::exchange(names_collation, word == "COLLATE");
            if (!now)
                return word;
            const std::string there = collation_there(word, to_mariadb_);
            if (there != word)
                report(table, "", "collation", "changed",
                       word + " becomes " + (there.empty() ? "nothing" : there));
            return there.empty() ? word : there;
        });
    }

    std::string column_part(const Table& table, const Column& column, std::string part) {
        if (!crosses_)
            return part;
        const std::string begin = mysql_name(column.name) + " " + column.engine_type;
        if (column.type == Type::uuid || column.type == Type::inet) {
            if (part.starts_with(begin))
                part = mysql_name(column.name) + " " + adapted_type(column) +
                       part.substr(begin.size());
            report(table, column.name, "column", "changed",
                   column.engine_type + " becomes " + adapted_type(column));
        }
        // MySQL takes an expression in parentheses only.
        if (!to_mariadb_ && column.default_expression && !column.generated) {
            const std::string& value = *column.default_expression;
            const bool plain = value.starts_with('\'') || value.starts_with("b'") ||
                               value.find_first_not_of("-.0123456789") == value.npos ||
                               text::lower(value).starts_with("current_timestamp");
            const std::size_t at = plain ? part.npos : part.find(" DEFAULT " + value);
            if (at != part.npos)
                part = part.substr(0, at) + " DEFAULT (" + value + ")" +
                       part.substr(at + 9 + value.size());
        }
        return adapted(table, part);
    }

    void sort(const Table& table, const std::string& part, std::vector<std::string>& inside,
              std::vector<std::string>& later) {
        auto is = [&](std::string_view word) { return part.starts_with(word); };
        if (is("`")) {
            const std::size_t end = behind_quoted(part, 0);
            const Column* column = table.column(unquoted(part.substr(0, end)));
            inside.push_back(column ? column_part(table, *column, part) : part);
        } else if (is("FULLTEXT ") || is("SPATIAL ")) { // one ALTER of InnoDB builds one of these
            const bool first = std::none_of(later.begin(), later.end(), [](const std::string& one) {
                return one.starts_with("FULLTEXT ") || one.starts_with("SPATIAL ");
            });
            (first ? later : inside).push_back(part);
            report(table, name_in(part), "index", "converted", "");
        } else if (is("KEY ") || is("UNIQUE ")) {
            const std::string name = name_in(part);
            (numbers(table, name) ? inside : later).push_back(part);
            report(table, name, is("UNIQUE ") ? "unique index" : "index", "converted", "");
        } else if (is("CONSTRAINT ") && part.find(" FOREIGN KEY ") != part.npos) {
            foreign_key(table, part);
        } else if (is("CONSTRAINT ") || is("CHECK ")) {
            check(table, part, inside);
        } else {
            inside.push_back(part); // PRIMARY KEY, PERIOD
        }
    }

    static std::string unquoted(const std::string& name) {
        std::string out;
        for (std::size_t i = 1; i + 1 < name.size(); ++i) {
            if (name[i] == '`' && name[i + 1] == '`')
                ++i;
            out += name[i];
        }
        return out;
    }
    static std::string name_in(const std::string& part) {
        const std::size_t at = part.find('`');
        return at == part.npos ? "" : unquoted(part.substr(at, behind_quoted(part, at) - at));
    }

    /// The key that an AUTO_INCREMENT column needs from the start.
    static bool numbers(const Table& table, const std::string& name) {
        for (const catalog::Index& index : table.indexes)
            if (index.name == name && !index.parts.empty()) {
                const Column* first = table.column(index.parts.front().column);
                const bool leads_primary = first && table.primary_key &&
                                           table.primary_key->parts.front().column == first->name;
                return first && first->identity && !leads_primary;
            }
        return false;
    }

    void foreign_key(const Table& table, const std::string& part) {
        const std::string name = name_in(part);
        for (const catalog::ForeignKey& key : table.foreign_keys)
            if (key.name == name && source_.table(key.to_schema, key.to_table)) {
                foreign_keys_.push_back(part);
                report(table, name, "foreign key", "converted", "");
                return;
            }
        report(table, name, "foreign key", "omitted", "the table it points to is not copied");
    }

    void check(const Table& table, const std::string& part, std::vector<std::string>& inside) {
        const std::string name = name_in(part);
        for (const catalog::Check& check : table.checks)
            if (crosses_ && to_mariadb_ && check.name == name && !check.validated) {
                report(table, name, "check", "omitted",
                       "it is not enforced here, it would be there");
                return;
            }
        inside.push_back(adapted(table, part));
        report(table, name, "check", "converted", "");
    }

    /// Unique keys whose collation changes: equal there may be different here.
    static void add_keys(const Table& source, TargetTable& out) {
        auto add = [&](const catalog::Index& index) {
            TargetIndex key{index.name, "", true, {}};
            for (const catalog::IndexPart& part : index.parts)
                key.columns.push_back(part.column);
            out.keys.push_back(std::move(key));
        };
        if (source.primary_key)
            add(*source.primary_key);
        for (const catalog::Index& index : source.indexes)
            if (index.unique)
                add(index);
    }

    const catalog::Database& source_;
    Plan& plan_;
    bool crosses_, to_mariadb_;
    std::vector<std::string> foreign_keys_;
};

} // namespace

Plan plan_mysql_to_mysql(const catalog::Database& source,
                         const std::map<std::string, std::string>& definitions,
                         const Target& target) {
    Plan plan;
    plan.charset = "utf8mb4";
    plan.collation =
        target.server.flavour == db::Flavour::mariadb ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin";
    Builder builder(source, target, plan);
    for (const catalog::Schema& schema : source.schemas)
        for (const Table& table : schema.tables)
            plan.tables.push_back(builder.build(table, definitions.at(table.name)));
    report_others(source, plan, true);
    return plan;
}

} // namespace runbook::schema
