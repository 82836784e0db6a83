// pgoutput's messages and what becomes of their values, without a server.
#include "tests/unit/catch.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/transfer/follow/rows.h"

using namespace runbook;
using namespace runbook::follow;
using namespace std::string_literals;

namespace {

template <class Fn>
std::string error_of(Fn fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error.kind() + ": " + error.message();
    }
    return "none";
}

std::string u16(unsigned number) {
    return {static_cast<char>(number >> 8), static_cast<char>(number & 0xff)};
}
std::string u32(std::uint32_t number) {
    return u16(number >> 16) + u16(number & 0xffff);
}
std::string u64(std::uint64_t number) {
    std::string out;
    pgoutput::append_u64(number, out);
    return out;
}
std::string text(const std::string& value) {
    return "t" + u32(static_cast<std::uint32_t>(value.size())) + value;
}

Table orders() {
    Table table;
    table.schema = "public";
    table.name = table.target = "orders";
    table.key = {"id"};
    auto add = [&](const char* name, Form form, schema::Codec codec, std::uint32_t type) {
        Column column;
        column.source = column.target = name;
        column.form = form;
        column.codec = codec;
        table.columns.push_back(column);
        table.published.push_back({false, name, type, -1});
    };
    add("id", Form::number, schema::Codec::as_is, 23);
    add("note", Form::text, schema::Codec::as_is, 25);
    add("paid", Form::number, schema::Codec::boolean, 16);
    add("data", Form::binary, schema::Codec::bytea, 17);
    add("flags", Form::bits, schema::Codec::bits, 1560);
    add("at", Form::plain, schema::Codec::zone, 1184);
    return table;
}

pgoutput::Relation relation_of(const Table& table) {
    pgoutput::Relation out{7, table.schema, table.name, 'd', {}};
    for (const auto& column : table.published) {
        out.columns.push_back(column);
        out.columns.back().key = column.name == "id";
    }
    return out;
}

std::string literal(const Table& table, int column, const std::string& value) {
    std::string out;
    append_literal(table.columns[static_cast<std::size_t>(column)], {Datum::Kind::text, value},
                   out);
    return out;
}

std::string condition(const Column& column, const Datum& value, bool exact) {
    std::string out;
    append_condition(column, value, exact, out);
    return out;
}

} // namespace

TEST_CASE("follow: places in the log", "[follow]") {
    CHECK(lsn_text(0x16B374D848ULL) == "16/B374D848");
    CHECK(parse_lsn("16/B374D848") == 0x16B374D848ULL);
    CHECK(parse_lsn(lsn_text(1)) == 1);
    for (const char* bad : {"", "/", "1", "1/", "/1", "x/1", "1/2/3", "123456789/0"})
        CHECK(error_of([&] { parse_lsn(bad); }) ==
              "internal: '"s + bad + "' is no place in the write-ahead log");
}

TEST_CASE("follow: every message of protocol version 1", "[follow]") {
    using namespace pgoutput;
    auto begin = std::get<Begin>(parse("B" + u64(0x100) + u64(1'000'000) + u32(99)));
    CHECK((begin.final_lsn == 0x100 && begin.xid == 99));
    CHECK(begin.micros == epoch_micros + 1'000'000);
    auto commit = std::get<Commit>(parse("C"s + '\0' + u64(0x100) + u64(0x130) + u64(5)));
    CHECK((commit.commit == 0x100 && commit.end == 0x130 && commit.micros == epoch_micros + 5));
    auto relation = std::get<Relation>(
        parse("R" + u32(7) + "public"s + '\0' + "t" + '\0' + "f" + u16(2) + '\1' + "id" + '\0' +
              u32(23) + u32(0xffffffff) + '\0' + "v" + '\0' + u32(1043) + u32(24)));
    CHECK((relation.id == 7 && relation.schema == "public" && relation.name == "t"));
    CHECK(relation.identity == 'f');
    REQUIRE(relation.columns.size() == 2);
    CHECK(relation.columns[0] == RelationColumn{true, "id", 23, -1});
    CHECK(relation.columns[1] == RelationColumn{false, "v", 1043, 24});
    std::string message = "I" + u32(7) + "N" + u16(3) + text("5") + "n" + text("");
    auto insert = std::get<Insert>(parse(message));
    REQUIRE(insert.row.size() == 3);
    CHECK((insert.row[0].text == "5" && insert.row[1].kind == Field::Kind::null));
    CHECK((insert.row[2].kind == Field::Kind::text && insert.row[2].text.empty()));
    message = "U" + u32(7) + "K" + u16(1) + text("4") + "N" + u16(2) + text("5") + "u";
    auto update = std::get<Update>(parse(message));
    CHECK((update.old_kind == 'K' && update.old[0].text == "4" && update.row[0].text == "5"));
    CHECK(update.row[1].kind == Field::Kind::unchanged);
    message = "U" + u32(7) + "N" + u16(1) + "n";
    CHECK(std::get<Update>(parse(message)).old_kind == 0);
    message = "D" + u32(7) + "O" + u16(1) + text("4");
    auto gone = std::get<pgoutput::Delete>(parse(message));
    CHECK((gone.old_kind == 'O' && gone.old[0].text == "4"));
    auto truncate = std::get<Truncate>(parse("T" + u32(2) + '\3' + u32(7) + u32(8)));
    CHECK(truncate.relations == std::vector<std::uint32_t>{7, 8});
    CHECK(std::get<Other>(parse("Yx")).kind == 'Y');
    CHECK(error_of([] { parse("S"); }) == "internal: a message of kind 'S' in the change stream");
    CHECK(error_of([&] { parse("I" + u32(7) + "N" + u16(1) + "b"); }) ==
          "internal: a field of kind 'b' in the change stream");
}

TEST_CASE("follow: a message that is cut off is an error at every length", "[follow]") {
    const std::string message =
        "U" + u32(7) + "O" + u16(2) + text("4") + "n" + "N" + u16(2) + text("hello") + "u";
    CHECK_NOTHROW(pgoutput::parse(message));
    for (std::size_t size = 0; size < message.size(); ++size)
        CHECK(error_of([&] { pgoutput::parse(std::string_view(message).substr(0, size)); }) !=
              "none");
}

TEST_CASE("follow: values as SQL", "[follow]") {
    const Table table = orders();
    CHECK(literal(table, 1, "it's \\ \n there") == "'it\\'s \\\\ \n there'");
    CHECK(literal(table, 1, "\\N") == "'\\\\N'");
    CHECK(literal(table, 2, "t") == "'1'");
    CHECK(literal(table, 3, "\\x00270a5cff") == "_binary'\\0\\'\n\\\\\xff'");
    CHECK(literal(table, 3, "\\x") == "_binary''");
    CHECK(literal(table, 4, "1000000001") == "_binary'\2\1'");
    CHECK(literal(table, 5, "2024-01-01 00:00:00.5+00") == "'2024-01-01 00:00:00.5'");
    CHECK(error_of([&] { literal(table, 2, "x"); }).starts_with("internal: "));
    std::string null;
    append_literal(table.columns[0], {Datum::Kind::null, {}}, null);
    CHECK(null == "NULL");
}

TEST_CASE("follow: conditions that find a row", "[follow]") {
    const Table table = orders();
    auto by = [&](int column, const std::string& value, bool exact = false) {
        return condition(table.columns[static_cast<std::size_t>(column)],
                         {Datum::Kind::text, value}, exact);
    };
    CHECK(by(0, "-5") == "`id` = -5");
    CHECK(by(0, "5 OR 1=1") == "`id` = '5 OR 1=1'");
    CHECK(by(1, "a'b") == "`note` = 'a\\'b'");
    CHECK(by(1, "a", true) == "`note` = 'a' AND CAST(`note` AS BINARY) = _binary'a'");
    CHECK(by(4, "1000000001", true) == "`flags` = 513");
    CHECK(condition(table.columns[1], {Datum::Kind::null, {}}, true) == "`note` IS NULL");
    Column code = table.columns[1];
    code.form = Form::character;
    CHECK(condition(code, {Datum::Kind::text, "ab  "}, false) == "`note` = 'ab'");
    code.form = Form::json;
    CHECK(condition(code, {Datum::Kind::text, "{}"}, true) == "`note` = CAST('{}' AS JSON)");
}

TEST_CASE("follow: the mapping outlives the process", "[follow]") {
    Table table = orders();
    table.leaves = {"public.orders_1"};
    table.numbers = "id";
    table.columns[1].expression = "to_json(\"note\")";
    table.columns[1].cast = "pg_catalog._int4";
    table.columns[1].generated = true;
    const Value read = json::parse(json::dump(to_map(table)));
    const Table again = from_map(*read.get<Map>());
    CHECK(to_map(again) == to_map(table));
    CHECK(again.published == table.published);
    CHECK(again.columns[3].codec == schema::Codec::bytea);
}

TEST_CASE("follow: a table that is not what was copied is refused", "[follow]") {
    const Table table = orders();
    const pgoutput::Relation same = relation_of(table);
    const Bound bound = follow::bind(table, same);
    CHECK(bound.places == std::vector<int>{0, 1, 2, 3, 4, 5});
    CHECK(bound.leaf.empty());
    auto refused = [&](auto change) {
        pgoutput::Relation relation = same;
        change(relation);
        return error_of([&] { follow::bind(table, relation); });
    };
    const std::string begin = "follow.schema: public.orders is not what was copied any more: ";
    CHECK(refused([](auto& r) { r.columns.pop_back(); }) == begin + "the column at is gone");
    CHECK(refused([](auto& r) { r.columns[1].type = 1043; }) ==
          begin + "the column note was of type 25 and is of type 1043");
    CHECK(refused([](auto& r) { r.columns[1].modifier = 14; }) ==
          begin + "the column note was of type 25 and is of type 25, modifier 14");
    CHECK(refused([](auto& r) {
              r.columns.push_back({false, "new", 23, -1});
          }) == begin + "it has a new column new");
    CHECK(refused([](auto& r) { std::swap(r.columns[0], r.columns[5]); }) == "none");
    Table smaller = table;
    smaller.columns.erase(smaller.columns.begin());
    CHECK(error_of([&] { follow::bind(smaller, same); }) ==
          begin + "the column id of its replica identity was not copied");
}
