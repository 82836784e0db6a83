// Rules of a copy on real servers: every conversion that the mapping offers, judged by the target's
// own SQL, then verified with the same rules; and what is refused, word for word.
#include "tests/unit/catch.h"
#include "tests/unit/copy_runs.h"

#include "runtime/base/json.h"
#include "runtime/transfer/copy/copy.h"
#include "runtime/transfer/verify/verify.h"

#include <algorithm>
#include <fmt/format.h>

using namespace runbook;
using test::on_both;
using test::outcome;
using test::refused;
using test::run;

namespace {

copy::Options with(const std::string& rules) {
    copy::Options options;
    options.rules = rules::parse(json::parse(rules));
    return options;
}

std::string malformed(const std::string& rules) {
    try {
        rules::parse(json::parse(rules));
    } catch (const Error& error) {
        return error.kind() + ": " + error.message();
    }
    return "taken";
}

verify::Result verified(const test::LabDatabase& source, const test::LabDatabase& target,
                        const copy::Options& copied) {
    Cancel cancel;
    verify::Options options;
    options.rules = copied.rules;
    options.recheck_rounds = 0;
    return verify::verify_database(source.url(), target.url(), options, nullptr, cancel);
}

/// A column of a type, its values, a rule, and what the target must have then.
struct Case {
    std::string name, type, values; ///< "(1, 'NaN'), (2, 3.5)"
    std::string rule;               ///< without the table
    std::string column_type;        ///< there; MariaDB's after a |
    std::string shown;              ///< expression over x there
    std::string expected;           ///< of row 1 and row 2, with a / between
};

const std::vector<Case> cases = {
    {"nan", "numeric(10,2)", "(1, 'NaN'), (2, 3.5)", R"~("using": "nan-to-null")~", "decimal(10,2)",
     "CAST(x AS CHAR)", "NULL / 3.50"},
    {"infinite", "double precision", "(1, '-Infinity'), (2, 0.1)", R"~("using": "nan-to-null")~",
     "double", "x = 0.1e0", "NULL / 1"},
    {"text_of_number", "numeric", "(1, 'NaN'), (2, 1234567890.0123456789012345678901234567890123)",
     R"~("to": "varchar(80)")~", "varchar(80)", "x",
     "NaN / 1234567890.0123456789012345678901234567890123"},
    {"sized_number", "numeric", "(1, -1), (2, 1e70)", R"~("to": "varchar")~", "varchar(255)", "x",
     "-1 / 1" + std::string(70, '0')},
    {"wide_number", "numeric", "(1, 12.5), (2, -3)", R"~("to": "decimal(40,4)")~", "decimal(40,4)",
     "CAST(x AS CHAR)", "12.5000 / -3.0000"},
    {"as_double", "numeric", "(1, 0.5), (2, 12345)", R"~("to": "double")~", "double",
     "CAST(x AS CHAR)", "0.5 / 12345"},
    {"ever", "timestamp", "(1, 'infinity'), (2, '2024-02-29 12:00:00.5')",
     R"~("using": "infinity-to-null")~", "datetime(6)", "CAST(x AS CHAR)",
     "NULL / 2024-02-29 12:00:00.500000"},
    {"sentinel", "date", "(1, 'infinity'), (2, '-infinity')",
     R"~("using": {"name": "infinity-to", "low": "1000-01-01", "high": "9999-12-31"})~", "date",
     "CAST(x AS CHAR)", "9999-12-31 / 1000-01-01"},
    {"ancient", "timestamptz", "(1, '0044-03-15 BC'), (2, '2024-01-01 00:00+01')",
     R"~("using": "out-of-range-to-null")~", "datetime(6)", "CAST(x AS CHAR)",
     "NULL / 2023-12-31 23:00:00.000000"},
    {"moment", "timestamptz", "(1, '2024-01-01 00:00:01+01'), (2, '2038-01-19 03:14:07+00')",
     R"~("to": "timestamp(0)")~", "timestamp", "UNIX_TIMESTAMP(x)", "1704063601 / 2147483647"},
    {"seconds", "timestamp(6)", "(1, '2024-01-01 00:00:01'), (2, NULL)", R"~("to": "datetime(0)")~",
     "datetime", "CAST(x AS CHAR)", "2024-01-01 00:00:01 / NULL"},
    {"pgloader", "timestamp", "(1, '2024-01-01 00:00:00.25'), (2, NULL)",
     R"~("to": "datetime", "drop_default": true, "drop_not_null": true,
        "using": "zero-dates-to-null")~",
     "datetime(6)", "CAST(x AS CHAR)", "2024-01-01 00:00:00.250000 / NULL"},
    {"octets", "uuid",
     "(1, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), (2, '00000000-0000-0000-0000-00000000005c')",
     R"~("to": "binary(16)")~", "binary(16)", "HEX(x)",
     "A0EEBC999C0B4EF8BB6D6BB9BD380A11 / 0000000000000000000000000000005C"},
    {"document", "jsonb", "(1, '{\"n\": 123456789012345678901234567890}'), (2, '[1.10]')",
     R"~("to": "longtext")~", "longtext", "x", "{\"n\": 123456789012345678901234567890} / [1.10]"},
    {"list", "numeric[]", "(1, '{0.12345678901234567890}'), (2, NULL)", R"~("to": "longtext")~",
     "longtext", "x", "[0.12345678901234567890] / NULL"},
    {"mood", "feeling", "(1, 'a'), (2, 'A ')", R"~("to": "varchar(10)")~", "varchar(10)",
     "CONCAT('<', x, '>')", "<a> / <A >"},
    {"words", "tsvector", "(1, 'cat dog'), (2, NULL)", R"~("to": "longtext")~", "longtext", "x",
     "'cat' 'dog' / NULL"},
    {"markup", "xml", "(1, '<a/>'), (2, NULL)", R"~("to": "mediumtext")~", "mediumtext", "x",
     "<a/> / NULL"},
    {"short", "text", "(1, 'renée'), (2, '')", R"~("to": "varchar(5)")~", "varchar(5)", "HEX(x)",
     "72656EC3A965 / "},
    {"cut", "text", "(1, 'renée'), (2, 'ab')", R"~("using": ["truncate", 4], "to": "varchar(4)")~",
     "varchar(4)", "x", "rené / ab"},
    {"emptied", "text", "(1, ''), (2, ' ')", R"~("using": "empty-to-null")~", "longtext",
     "CONCAT('<', x, '>')", "NULL / < >"},
    {"lowered", "varchar(20)", "(1, 'Ann@X'), (2, 'É')", R"~("using": "lower")~", "varchar(20)",
     "x", "ann@x / é"},
    {"octet_string", "bytea", "(1, '\\x0001ff0a5c'), (2, '')", R"~("to": "varbinary(5)")~",
     "varbinary(5)", "HEX(x)", "0001FF0A5C / "},
    {"flag", "boolean", "(1, true), (2, false)", R"~("to": "bit(1)")~", "bit(1)", "x + 0", "1 / 0"},
    {"small", "bigint", "(1, 4294967295), (2, 0)", R"~("to": "int unsigned")~",
     "int unsigned|int(10) unsigned", "CAST(x AS CHAR)", "4294967295 / 0"},
    {"large", "oid", "(1, lo_from_bytea(0, '\\x0a5c00ff')), (2, NULL)", R"~("to": "longblob")~",
     "longblob", "HEX(x)", "0A5C00FF / NULL"},
    {"place", "point", "(1, '(1.5,-2e-10)'), (2, NULL)", R"~("to": "point")~", "point",
     "CONCAT(ST_X(x) = 1.5, ST_Y(x) = -2e-10)", "11 / NULL"},
    {"place_text", "point", "(1, '(1.5,2)'), (2, NULL)", R"~("to": "varchar(50)")~", "varchar(50)",
     "x", "(1.5,2) / NULL"},
    {"network", "inet", "(1, '10.0.0.1'), (2, '::1/64')", R"~("to": "varchar(60)")~", "varchar(60)",
     "x", "10.0.0.1 / ::1/64"},
};

} // namespace

TEST_CASE("copy rules: each conversion arrives as it should, and is verified",
          "[copy][rules][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        std::string rules, sql = "CREATE TYPE feeling AS ENUM ('a', 'A ');";
        for (const Case& one : cases) {
            rules += fmt::format(R"~({}{{"table": "{}", "column": "x", {}}})~",
                                 rules.empty() ? "" : ", ", one.name, one.rule);
            const bool dropped = one.rule.find("drop_not_null") != std::string::npos;
            sql += fmt::format("CREATE TABLE {} (id int PRIMARY KEY, x {}{}); INSERT INTO {} "
                               "VALUES {};",
                               one.name, one.type, dropped ? " DEFAULT now()" : "", one.name,
                               one.values);
        }
        source.script(sql);
        copy::Options options = with("[" + rules + "]");
        copy::CopyResult result = run(source, target, options);
        CHECK(result.rows == static_cast<std::int64_t>(2 * cases.size()));
        for (const Case& one : cases) {
            INFO(one.name);
            const std::size_t bar = one.column_type.find('|');
            const std::string type = bar == std::string::npos ? one.column_type
                                     : mariadb                ? one.column_type.substr(bar + 1)
                                                              : one.column_type.substr(0, bar);
            CHECK(
                target.value("SELECT column_type FROM information_schema.columns WHERE "
                             "table_schema = DATABASE() AND column_name = 'x' AND table_name = '" +
                             one.name + "'") == type);
            auto value = [&](int id) {
                return target.value(
                    fmt::format("SELECT {} FROM {} WHERE id = {}", one.shown, one.name, id));
            };
            CHECK(value(1) + " / " + value(2) == one.expected);
        }
        verify::Result same = verified(source, target, options);
        INFO(same.summary());
        CHECK(same.passed());
        CHECK(same.tables.size() == cases.size());
        // Without the rules it is another database; and a change in the target is seen.
        CHECK_FALSE(verified(source, target, {}).passed());
        target.script("UPDATE octets SET x = REVERSE(x) WHERE id = 1; UPDATE nan SET x = 0 WHERE "
                      "id = 1; UPDATE place SET x = ST_GeomFromText('POINT(1.5 2)') WHERE id = 1");
        CHECK(verified(source, target, options).changed == 3);
        CHECK(target.value("SELECT column_default FROM information_schema.columns WHERE "
                           "table_schema = DATABASE() AND table_name = 'pgloader' AND column_name "
                           "= 'x'") == (mariadb ? "NULL" : "NULL"));
    });
}

TEST_CASE("copy rules: MariaDB's own UUID; MySQL has none", "[copy][rules][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        source.script("CREATE TABLE t (id uuid PRIMARY KEY); INSERT INTO t VALUES "
                      "('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')");
        copy::Options options = with(R"~([{"type": "uuid", "to": "uuid"}])~");
        if (!mariadb) {
            CHECK(refused(source, target, options) ==
                  "copy.refused: the source holds what the target cannot: t.id: 1 row: rule 1: "
                  "MySQL has no type UUID: a uuid becomes CHAR(36), BINARY(16) or a text");
            return;
        }
        CHECK(run(source, target, options).rows == 1);
        CHECK(target.value("SELECT CAST(id AS CHAR) FROM t") ==
              "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        CHECK(target.value("SELECT data_type FROM information_schema.columns WHERE table_schema = "
                           "DATABASE() AND table_name = 't'") == "uuid");
        CHECK(verified(source, target, options).passed());
    });
}

TEST_CASE("copy rules: names, rows, columns and indexes as asked", "[copy][rules][lab]") {
    on_both([](auto& source, auto& target, bool mariadb) {
        source.script(R"~(
            CREATE TABLE users (id serial PRIMARY KEY, mail varchar(50) NOT NULL UNIQUE, secret text,
                age int, born date, CONSTRAINT adult CHECK (age >= 18),
                CONSTRAINT no_two EXCLUDE USING btree (age WITH =),
                label text GENERATED ALWAYS AS ('u-' || mail) STORED);
            CREATE INDEX users_lower ON users (lower(mail));
            CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users (id), at date,
                during int4range);
            CREATE TABLE audit_one (id int); CREATE TABLE audit_two (id int);
            INSERT INTO users (mail, secret, age) VALUES ('a@x', 's', 20), ('b@x', 's', 30), ('c@x', 's', 40);
            INSERT INTO orders VALUES (1, 1, '2024-01-02', '[1,5)'), (2, 2, '2023-01-02', '(,7)'),
                (3, 1, '2024-05-06', NULL);)~");
        copy::Options options = with(R"~([
            {"table": "users", "rename": "accounts"},
            {"table": "users", "column": "mail", "rename": "email"},
            {"table": "users", "column": "secret", "exclude": true},
            {"table": "users", "index": "no_two", "exclude": true},
            {"table": "audit_*", "exclude": true},
            {"table": "orders", "where": "at >= '2024-01-01'"},
            {"column": "during", "split": ["starts", "ends"]}])~");
        copy::CopyResult result = run(source, target, options);
        CHECK(result.rows == 5);
        CHECK(target.value("SELECT GROUP_CONCAT(CONCAT(id, email, age, label) ORDER BY id) FROM "
                           "accounts") == "1a@x20u-a@x,2b@x30u-b@x,3c@x40u-c@x");
        CHECK(target.value("SELECT GROUP_CONCAT(CONCAT(id, ':', COALESCE(starts, '-'), ':', "
                           "COALESCE(ends, '-')) ORDER BY id) FROM orders") == "1:1:5,3:-:-");
        CHECK(target.value("SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM "
                           "information_schema.columns WHERE table_schema = DATABASE() AND "
                           "table_name = 'accounts' AND extra NOT LIKE '%INVISIBLE%'") ==
              "id,email,age,born,label");
        CHECK(target.value("SELECT GROUP_CONCAT(table_name ORDER BY HEX(table_name)) FROM "
                           "information_schema.tables WHERE table_schema = DATABASE()") ==
              "_runbook_copy,accounts,orders");
        CHECK(target.value("SELECT CONCAT(referenced_table_name, '.', referenced_column_name) FROM "
                           "information_schema.key_column_usage WHERE table_schema = DATABASE() "
                           "AND table_name = 'orders' AND referenced_table_name IS NOT NULL") ==
              "accounts.id");
        target.script("INSERT INTO accounts (email, age) VALUES ('d@x', 50)");
        CHECK(target.value("SELECT label FROM accounts WHERE id = 4") == "u-d@x");
        CHECK_THROWS_AS(target.script("INSERT INTO accounts (email, age) VALUES ('e@x', 17)"),
                        Error);
        target.script("DELETE FROM accounts WHERE id = 4");
        const auto& report = result.report;
        CHECK(outcome(report, "users", "table") ==
              "changed: named accounts there by rule 1 (table \"users\")");
        CHECK(outcome(report, "orders", "table") ==
              "changed: only rows where at >= '2024-01-01' by rule 6 (table \"orders\")");
        CHECK(outcome(report, "users.mail", "column") == "changed: named email there by rule 2");
        CHECK(outcome(report, "users.secret", "column") ==
              "left out: by rule 3 (table \"users\", column \"secret\")");
        CHECK(outcome(report, "users.no_two", "index") ==
              "left out: by rule 4 (table \"users\", index \"no_two\")");
        CHECK(outcome(report, "audit_two", "table") == "left out: by rule 5 (table \"audit_*\")");
        CHECK(outcome(report, "users.age", "column") == "converted");
        CHECK(outcome(report, "users.adult", "check") == "converted");
        CHECK(outcome(report, "users.label", "column") ==
              "changed: computed there too, as (CONCAT('u-', (`email`)))");
        CHECK(outcome(report, "users.users_lower", "index") ==
              (mariadb ? "changed: over a generated column that is invisible there"
                       : "changed: over an expression there"));
        verify::Result same = verified(source, target, options);
        INFO(same.summary());
        CHECK(same.passed());
        CHECK(same.rows == 5);
        source.script("UPDATE orders SET at = '2024-02-02' WHERE id = 2");
        CHECK(verified(source, target, options).missing == 1);
    });
}

TEST_CASE("copy rules: values that a rule cannot carry are refused with their keys",
          "[copy][rules][lab]") {
    on_both([](auto& source, auto& target, bool) {
        source.script(R"~(
            CREATE TABLE t (id int PRIMARY KEY, n numeric, s text, at timestamp, big bigint,
                            r numrange, must numeric NOT NULL, d bytea);
            INSERT INTO t VALUES (1, 1.5, 'abcdef', '2024-01-01 00:00:00.5', 256, '(1,2]', 'NaN', '\x00'),
                                 (2, 1e20, 'abc', '2024-01-01', 255, 'empty', 1, '\x0000');
            CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent);
            INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1, 1), (2, 2);)~");
        Cancel cancel;
        copy::Options options = with(R"~([
            {"table": "t", "column": "n", "to": "int"}, {"table": "t", "column": "s", "to": "varchar(5)"},
            {"table": "t", "column": "at", "to": "datetime(0)"},
            {"table": "t", "column": "big", "to": "tinyint unsigned"},
            {"table": "t", "column": "r", "split": ["low", "high"]},
            {"table": "t", "column": "must", "using": "nan-to-null"},
            {"table": "t", "column": "d", "to": "binary(1)"},
            {"table": "parent", "where": "id = 1"}])~");
        std::vector<std::string> texts;
        for (const copy::Finding& finding :
             copy::preflight(source.url(), target.url(), options, nullptr, cancel).findings)
            texts.push_back(finding.text());
        CHECK(
            texts ==
            std::vector<std::string>{
                "t.n: 1 row: no whole number (1)", "t.n: 1 row: outside of INT (2)",
                "t.s: 1 row: longer than 5 characters (1)", "t.at: 1 row: rounded by DATETIME (1)",
                "t.big: 1 row: outside of TINYINT UNSIGNED (1)",
                "t.low: 2 rows: a range that two columns cannot tell: empty, without bounds, or "
                "with bounds other than [ ) (1; 2)",
                "t.must: 1 row: NULL by rule 6, and the column is NOT NULL: drop_not_null lets "
                "it be (1)",
                "t.d: 1 row: of another length than BINARY(1) (2)",
                "child.p: 1 row: points to rows of parent that its filter leaves out (foreign key "
                "child_p_fkey)"});
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                           "DATABASE()") == "0");
    });
}

TEST_CASE("copy rules: mistakes are named before anything runs", "[copy][rules][lab]") {
    test::PostgresDatabase source;
    test::MysqlDatabase target(false);
    if (!source.there() || !target.there())
        return;
    source.script("CREATE TABLE orders (id int PRIMARY KEY, price numeric(10,2), at timestamp "
                  "DEFAULT '2024-01-01', code uuid UNIQUE); INSERT INTO orders VALUES (1, 2)");
    const std::pair<std::string, std::string> wrong[] = {
        {R"~([{"type": "uuuid", "to": "binary(16)"}])~",
         R"~(argument: rule 1 (type "uuuid"): there is no type 'uuuid' (did you mean 'uuid'?))~"},
        {R"~([{"table": "ordres", "exclude": true}])~",
         R"~(argument: rule 1 (table "ordres"): there is no table 'ordres' (did you mean 'orders'?))~"},
        {R"~([{"column": "prize", "to": "double"}])~",
         R"~(argument: rule 1 (column "prize"): there is no column 'prize' (did you mean 'price'?))~"},
        {R"~([{"type": "jsonb", "to": "longtext"}])~",
         R"~(copy.refused: rule 1 (type "jsonb") matches nothing: no such column is of this type)~"},
        {R"~([{"column": "price", "type": "uuid", "to": "double"}])~",
         R"~(copy.refused: rule 1 (type "uuid", column "price") matches nothing: no such column is of this type)~"},
        {R"~([{"type": "numeric", "when": {"precision": "> 20"}, "to": "double"}])~",
         R"~(copy.refused: rule 1 (type "numeric") matches nothing: no such column meets its conditions)~"},
        {R"~([{"column": "price", "to": "double"}, {"column": "price", "to": "varchar(20)"}])~",
         R"~(copy.refused: rule 1 (column "price") and rule 2 (column "price") contradict each other: the type of orders.price is double or varchar(20))~"},
        {R"~([{"column": "price", "using": "lower"}])~",
         R"~(copy.refused: rule 1 (column "price"): orders.price: 'lower' changes texts, not numeric(10,2))~"},
        {R"~([{"column": "price", "to": "date"}])~",
         "copy.refused: the source holds what the target cannot: orders.price: 1 row: rule 1: "
         "numeric(10,2) cannot become DATE: it becomes DECIMAL, an integer, DOUBLE or a text"},
        {R"~([{"column": "price", "to": "varchr(20)"}])~",
         "copy.refused: the source holds what the target cannot: orders.price: 1 row: rule 1: "
         "there is no type 'varchr(20)' (did you mean 'varchar'?)"},
        {R"~([{"column": "code", "rename": "PRICE"}])~",
         "copy.refused: the source holds what the target cannot: orders.code: 1 row: its name "
         "differs from price only in case"},
        {R"~([{"column": "id", "drop_not_null": true}])~",
         R"~(copy.refused: rule 1 (column "id"): orders.id is part of the primary key and stays NOT NULL)~"},
    };
    for (const auto& [rules, message] : wrong) {
        INFO(rules);
        CHECK(refused(source, target, with(rules)) == message);
    }
    const std::string filter =
        refused(source, target, with(R"~([{"table": "orders", "where": "prize > 1"}])~"));
    CHECK(filter.starts_with(R"~(copy.refused: rule 1 (table "orders"): where = "prize > 1": )~"));
    // The same list, where each rule may match nothing or names more than another.
    CHECK(run(source, target, with(R"~([{"type": "jsonb", "to": "longtext", "optional": true},
            {"type": "numeric", "to": "double"}, {"column": "price", "to": "varchar(20)"},
            {"type": "timestamp", "when": {"default": "2024-01-01 00:00:00", "nullable": true},
             "drop_default": true}])~"))
              .rows == 1);
    CHECK(target.value("SELECT CONCAT(price, column_default IS NULL) FROM orders, "
                       "information_schema.columns WHERE table_schema = DATABASE() AND table_name "
                       "= 'orders' AND column_name "
                       "= 'at'") == "2.001");
}

TEST_CASE("copy rules: the form is checked", "[copy][rules]") {
    const std::pair<std::string, std::string> wrong[] = {
        {R"~({"type": "uuid"})~",
         "option 'rules': a list of rules expected, as { { type = \"uuid\", "
         "to = \"binary(16)\" } }, got one table"},
        {R"~([{"tpye": "uuid"}])~",
         "option 'rules': rule 1: unknown option 'tpye' (did you mean 'type'?)"},
        {R"~([{"type": "uuid", "to": "x"}, {"to": "double"}])~",
         "option 'rules': rule 2: it names no table, column, type or index"},
        {R"~([{"table": "t"}])~",
         "option 'rules': rule 1: it says nothing to do: one of to, using, rename, where, exclude, "
         "include, drop_default, drop_not_null, split is needed"},
        {R"~([{"type": "uuid", "using": "nan-to-nul"}])~",
         "option 'rules': rule 1: using: unknown change 'nan-to-nul' (did you mean "
         "'nan-to-null'?)"},
        {R"~([{"type": "date", "using": "infinity-to"}])~",
         "option 'rules': rule 1: using: 'infinity-to' needs low and high, as { name = "
         "\"infinity-to\", low = \"1000-01-01\", high = \"9999-12-31\" }"},
        {R"~([{"type": "date", "to": "date", "when": {"nulable": true}}])~",
         "option 'rules': rule 1: when: unknown condition 'nulable' (did you mean 'nullable'?)"},
        {R"~([{"type": "text", "to": "varchar(9)", "when": {"length": "big"}}])~",
         "option 'rules': rule 1: when.length: a number or a comparison as \"> 255\" expected, got "
         "\"big\""},
        {R"~([{"type": "text", "where": "x = 1"}])~",
         "option 'rules': rule 1: 'where' is for tables: name a table and no column or type"},
        {R"~([{"table": "a*", "rename": "b"}])~",
         "option 'rules': rule 1: 'rename': several things cannot get one name; name one"},
        {R"~([{"table": "a", "exclude": true, "rename": "b"}])~",
         "option 'rules': rule 1: what is excluded cannot be changed too"},
        {R"~([{"column": "r", "split": ["a"]}])~",
         "option 'rules': rule 1: 'split': two names expected, as { \"starts\", \"ends\" }"},
    };
    for (const auto& [rules, message] : wrong) {
        INFO(rules);
        CHECK(malformed(rules) == "argument: " + message);
    }
    CHECK(malformed("[]") == "taken");
}

TEST_CASE("copy: MySQL's zero dates become NULL where that is asked", "[copy][rules][lab]") {
    test::MysqlDatabase source(false);
    test::PostgresDatabase target;
    if (!source.there() || !target.there())
        return;
    source.script(
        "SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, d date, at datetime, must "
        "date NOT NULL); INSERT INTO t VALUES (1, '0000-00-00', '2024-01-00 00:00:00', "
        "'2024-01-01'), (2, '2024-02-29', '2024-01-02 03:04:05', '2024-01-01')");
    copy::Options options;
    options.zero_dates_to_null = true;
    CHECK(
        refused(source, target, {}).find("t.d: 1 row: no day of the calendar (a zero date) (1)") !=
        std::string::npos);
    CHECK(run(source, target, options).rows == 2);
    CHECK(target.value("SELECT string_agg(concat_ws(' ', id, coalesce(d::text, '-'), "
                       "coalesce(at::text, '-')), ',' ORDER BY id) FROM t") ==
          "1 - -,2 2024-02-29 2024-01-02 03:04:05");
    Cancel cancel;
    verify::Options same;
    same.zero_date_is_null = true;
    same.recheck_rounds = 0;
    same.omit_columns = {};
    CHECK(verify::verify_database(source.url(), target.url(), same, nullptr, cancel).missing == 0);
    source.script("SET sql_mode = ''; UPDATE t SET must = '0000-00-00' WHERE id = 2");
    copy::discard(target.url(), cancel);
    CHECK(refused(source, target, options) ==
          "copy.refused: the source holds what the target cannot: t.must: 1 row: no day of the "
          "calendar (a zero date) (2)");
}
