// The mapping of followed tables (see tables.h). Pure functions.
#include "runtime/transfer/follow/tables.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/transfer/schema/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::follow {
namespace {

constexpr std::uint32_t oid_jsonb = 3802;

Form form_of(const schema::TargetColumn& column) {
    if (column.json)
        return Form::json;
    const std::string& type = column.type;
    auto begins = [&](std::initializer_list<const char*> words) {
        return std::any_of(words.begin(), words.end(),
                           [&](const char* word) { return type.starts_with(word); });
    };
    if (begins({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE"}))
        return Form::number;
    if (begins({"BIT"}))
        return Form::bits;
    if (begins({"BINARY", "VARBINARY", "LONGBLOB", "BLOB", "MEDIUMBLOB", "TINYBLOB", "POINT"}))
        return Form::binary;
    if (begins({"CHAR("}))
        return Form::character;
    if (begins({"DATE", "TIME", "ENUM", "YEAR", "UUID", "INET"}))
        return Form::plain;
    return Form::text;
}

std::vector<std::string> texts(const Map& map, const char* key) {
    std::vector<std::string> out;
    if (const Value* value = map.find(key))
        if (const List* list = value->get<List>())
            for (const Value& item : *list)
                if (const auto* text = item.get<std::string>())
                    out.push_back(*text);
    return out;
}

List list_of(const std::vector<std::string>& items) {
    return {items.begin(), items.end()};
}

Table make_table(const schema::TargetTable& from, const std::vector<Attribute>& attributes) {
    const catalog::Table& source = *from.source;
    Table out;
    out.schema = source.schema;
    out.name = source.name;
    out.target = from.name;
    for (const catalog::Partition& leaf : source.partitions)
        out.leaves.push_back(leaf.schema + "." + leaf.name);
    if (source.primary_key)
        for (const catalog::IndexPart& part : source.primary_key->parts)
            out.key.push_back(part.column);
    for (const Attribute& attribute : attributes)
        out.published.push_back(attribute.column);
    if (!from.filter.empty())
        throw Error("follow.refused", out.full_name() + ": a rule copies some of its rows only",
                    "the change stream has all of them: leave the table out with exclude");
    for (const schema::TargetColumn& column : from.columns) {
        if (column.generated) // the target computes it
            continue;
        Column to;
        to.source = column.source;
        to.target = column.name;
        to.codec = column.codec;
        to.form = form_of(column);
        if (column.auto_increment)
            out.numbers = column.name;
        const catalog::Column* origin = source.column(column.source);
        to.generated = origin && origin->generated;
        if (column.select != schema::standard_name(column.source))
            to.expression = column.select;
        if (to.generated) {
            // What the copy does to the value is done to what the table would compute.
            std::string value = "(" + origin->generation_expression + ")";
            if (!to.expression.empty())
                throw Error("follow.refused",
                            fmt::format("{}.{}: a generated column of type {} cannot be followed",
                                        out.full_name(), column.source, origin->engine_type),
                            "leave the table out with exclude");
            to.expression = value;
        }
        auto attribute = std::find_if(attributes.begin(), attributes.end(), [&](const auto& each) {
            return each.column.name == column.source;
        });
        if (attribute != attributes.end()) {
            to.cast = attribute->cast;
            to.jsonb = attribute->column.type == oid_jsonb;
        } else if (!to.generated) {
            throw Error("follow.schema",
                        fmt::format("{}: the column {} appeared while following began",
                                    out.full_name(), column.source),
                        "begin again, when nothing changes the schema");
        }
        out.columns.push_back(std::move(to));
    }
    return out;
}

std::string type_text(const pgoutput::RelationColumn& column) {
    return column.modifier < 0 ? fmt::format("type {}", column.type)
                               : fmt::format("type {}, modifier {}", column.type, column.modifier);
}

[[noreturn]] void changed(const Table& table, const std::string& what) {
    throw Error("follow.schema",
                fmt::format("{} is not what was copied any more: {}", table.full_name(), what),
                "a change of the schema is not followed: stop following and copy anew");
}

} // namespace

int Table::find(std::string_view source) const {
    for (std::size_t i = 0; i < columns.size(); ++i)
        if (columns[i].source == source)
            return static_cast<int>(i);
    return -1;
}

bool Table::has_expressions() const {
    return std::any_of(columns.begin(), columns.end(),
                       [](const Column& column) { return !column.expression.empty(); });
}

std::vector<Table> make_tables(const schema::Plan& plan, const Attributes& attributes) {
    std::vector<Table> out;
    for (const schema::TargetTable& table : plan.tables) {
        auto found = attributes.find(table.source->schema + "." + table.source->name);
        if (found == attributes.end())
            throw Error("follow.schema",
                        fmt::format("{}.{} appeared while following began", table.source->schema,
                                    table.source->name),
                        "begin again, when nothing changes the schema");
        out.push_back(make_table(table, found->second));
    }
    return out;
}

Map to_map(const Table& table) {
    List columns, published;
    for (const Column& column : table.columns)
        columns.emplace_back(Map{{"source", column.source},
                                 {"target", column.target},
                                 {"cast", column.cast},
                                 {"expression", column.expression},
                                 {"generated", column.generated},
                                 {"jsonb", column.jsonb},
                                 {"codec", static_cast<int>(column.codec)},
                                 {"form", static_cast<int>(column.form)}});
    for (const pgoutput::RelationColumn& column : table.published)
        published.emplace_back(Map{{"name", column.name},
                                   {"type", static_cast<std::int64_t>(column.type)},
                                   {"modifier", column.modifier}});
    return Map{{"schema", table.schema},
               {"name", table.name},
               {"target", table.target},
               {"columns", std::move(columns)},
               {"published", std::move(published)},
               {"leaves", list_of(table.leaves)},
               {"key", list_of(table.key)},
               {"numbers", table.numbers}};
}

Table from_map(const Map& map) {
    Table out;
    out.schema = map.text("schema");
    out.name = map.text("name");
    out.target = map.text("target");
    out.leaves = texts(map, "leaves");
    out.key = texts(map, "key");
    out.numbers = map.text("numbers");
    auto each = [&](const char* key, auto take) {
        if (const Value* value = map.find(key))
            if (const List* list = value->get<List>())
                for (const Value& item : *list)
                    if (const Map* entry = item.get<Map>())
                        take(*entry);
    };
    each("columns", [&](const Map& entry) {
        Column column;
        column.source = entry.text("source");
        column.target = entry.text("target");
        column.cast = entry.text("cast");
        column.expression = entry.text("expression");
        column.generated = entry.boolean("generated");
        column.jsonb = entry.boolean("jsonb");
        column.codec = static_cast<schema::Codec>(entry.integer("codec"));
        column.form = static_cast<Form>(entry.integer("form"));
        out.columns.push_back(std::move(column));
    });
    each("published", [&](const Map& entry) {
        out.published.push_back({false, entry.text("name"),
                                 static_cast<std::uint32_t>(entry.integer("type")),
                                 static_cast<std::int32_t>(entry.integer("modifier", -1))});
    });
    return out;
}

Bound bind(const Table& table, const pgoutput::Relation& relation) {
    for (const pgoutput::RelationColumn& was : table.published) {
        auto now = std::find_if(relation.columns.begin(), relation.columns.end(),
                                [&](const auto& column) { return column.name == was.name; });
        if (now == relation.columns.end())
            changed(table, fmt::format("the column {} is gone", was.name));
        if (now->type != was.type || now->modifier != was.modifier)
            changed(table, fmt::format("the column {} was of {} and is of {}", was.name,
                                       type_text(was), type_text(*now)));
    }
    Bound out;
    out.table = &table;
    out.identity = relation.identity;
    std::string name = relation.schema + "." + relation.name;
    if (name != table.full_name())
        out.leaf = name;
    for (const pgoutput::RelationColumn& column : relation.columns) {
        if (std::none_of(table.published.begin(), table.published.end(),
                         [&](const auto& was) { return was.name == column.name; }))
            changed(table, fmt::format("it has a new column {}", column.name));
        int place = table.find(column.name);
        if (column.key && place < 0 && relation.identity != 'f')
            changed(table, fmt::format("the column {} of its replica identity was not copied",
                                       column.name));
        out.places.push_back(place);
        out.key.push_back(column.key);
    }
    return out;
}

} // namespace runbook::follow
