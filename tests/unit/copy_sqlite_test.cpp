// SQLite as a source and a target, in files of its own.
#include "tests/unit/catch.h"
#include "tests/unit/copy_support.h"

#include "runtime/transfer/copy/copy.h"

#include <filesystem>

using namespace runbook;

namespace {

class File {
  public:
    File() {
        auto folder = std::filesystem::temp_directory_path() / test::unique_name("copy_sqlite");
        std::filesystem::create_directory(folder);
        folder_ = folder.string();
        url_ = db::Url::parse("sqlite:" + folder_ + "/data.db");
    }
    ~File() { std::filesystem::remove_all(folder_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    const db::Url& url() const { return url_; }
    std::unique_ptr<db::Connection> open() const {
        Cancel cancel;
        db::ConnectOptions options;
        options.access = db::Access::write;
        return db::connect(url_, options, cancel);
    }
    void script(const std::string& sql) const {
        Cancel cancel;
        open()->script(sql, cancel);
    }
    std::string value(const std::string& sql) const {
        auto connection = open();
        Value value = db::fetch_value(*connection, sql);
        if (const auto* text = value.get<std::string>())
            return *text;
        if (const auto* number = value.get<std::int64_t>())
            return std::to_string(*number);
        return value.is_null() ? "NULL" : std::string(value.type_name());
    }

  private:
    std::string folder_;
    db::Url url_;
};

std::string refused(const db::Url& source, const db::Url& target) {
    Cancel cancel;
    try {
        copy::copy_database(source, target, {}, nullptr, cancel);
    } catch (const Error& error) {
        return error.kind() + ": " + error.message();
    }
    return "copied";
}

} // namespace

TEST_CASE("copy: SQLite to SQLite keeps storage classes, keys and code", "[copy]") {
    File source, target;
    source.script(R"(
        CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, any_thing, n NUMERIC, t TEXT UNIQUE,
                        twice AS (id * 2), CHECK (id < 1000000));
        INSERT INTO a VALUES (5, 1, 1.5, 'x'), (7, '1', '1e3', 'y'), (9, x'00ff', NULL, char(0, 65)),
                             (11, 0.1, -9223372036854775808, ''), (500, x'', 9e99, 'z');
        DELETE FROM a WHERE id = 500;
        CREATE TABLE b (k TEXT, a_id INT REFERENCES a, PRIMARY KEY (k, a_id)) WITHOUT ROWID;
        INSERT INTO b VALUES ('one', 5), ('two', 7);
        CREATE INDEX b_a ON b (a_id) WHERE a_id > 5;
        CREATE VIEW v AS SELECT k FROM b;
        CREATE TRIGGER guard AFTER INSERT ON a BEGIN SELECT raise(abort, 'fired'); END;)");
    Cancel cancel;
    copy::CopyResult result = copy::copy_database(source.url(), target.url(), {}, nullptr, cancel);
    CHECK(result.tables.size() == 2);
    CHECK(result.rows == 6);
    const char* all = "SELECT group_concat(id || typeof(any_thing) || quote(any_thing) || "
                      "typeof(n) || quote(n) || hex(t) || twice, '|') FROM a";
    CHECK(target.value(all) == source.value(all));
    CHECK(target.value("SELECT group_concat(k || a_id) FROM b") == "one5,two7");
    CHECK(target.value("SELECT seq FROM sqlite_sequence WHERE name = 'a'") == "500");
    CHECK(
        target.value("SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type <> "
                     "'table' AND name NOT LIKE 'sqlite%' ORDER BY name)") == "b_a,guard,v");
    CHECK(copy::state(target.url(), cancel).state == "done");
    CHECK(copy::state(target.url(), cancel).rows == 6);
    CHECK(refused(source.url(), target.url()) ==
          "db.not_empty: " + target.url().masked() + " is not empty: it holds a, b, v");
    target.script("CREATE TABLE mine (x)");
    CHECK(copy::discard(target.url(), cancel) == std::vector<std::string>{"a", "b"});
    CHECK(target.value("SELECT group_concat(name) FROM sqlite_schema WHERE name NOT LIKE "
                       "'sqlite%'") == "mine");
    CHECK(refused(source.url(), source.url()) ==
          "copy.refused: " + source.url().masked() + ": source and target are the same file");
}

TEST_CASE("copy: an unfinished copy of the same source is dropped and begun anew", "[copy]") {
    File source, target;
    source.script("CREATE TABLE a (x); INSERT INTO a VALUES (1), (2)");
    Cancel cancel;
    copy::CopyResult first = copy::copy_database(source.url(), target.url(), {}, nullptr, cancel);
    // As a kill before the first chunk leaves it.
    target.script("UPDATE _runbook_copy SET state = 'begun' WHERE kind IN ('run', 'part'); DELETE "
                  "FROM _runbook_copy WHERE kind = 'chunk'; DELETE FROM a");
    CHECK(copy::state(target.url(), cancel).state == "partial");
    copy::CopyResult second = copy::copy_database(source.url(), target.url(), {}, nullptr, cancel);
    CHECK(second.restarted == first.run);
    CHECK(target.value("SELECT count(*) FROM a") == "2");
    CHECK(target.value("SELECT count(DISTINCT run) FROM _runbook_copy") == "1");
}

TEST_CASE("copy: SQLite to MySQL; what does not fit its declared type is refused by name",
          "[copy][lab]") {
    for (bool mariadb : {false, true}) {
        INFO((mariadb ? "MariaDB" : "MySQL"));
        test::MysqlDatabase target(mariadb);
        if (!target.there())
            continue;
        File source;
        source.script(R"(
            CREATE TABLE album (AlbumId INTEGER NOT NULL PRIMARY KEY, Title NVARCHAR(160) NOT NULL,
                                price NUMERIC(10,2), made DATETIME, cover BLOB, hit BOOLEAN, f REAL);
            CREATE INDEX album_title ON album (Title);
            CREATE TABLE track (id INTEGER PRIMARY KEY, album_id INTEGER REFERENCES album (AlbumId));
            INSERT INTO album VALUES (1, 'a' || char(9, 10, 11, 12, 92) || 'é', 0.99,
                                      '2009-01-01 00:00:00', x'00095c0a', 1, 0.1),
                                     (0, '', NULL, NULL, x'', 0, NULL);
            INSERT INTO track VALUES (1, 1), (2, NULL);)");
        Cancel cancel;
        copy::CopyResult result =
            copy::copy_database(source.url(), target.url(), {}, nullptr, cancel);
        CHECK(result.rows == 4);
        CHECK(target.value("SELECT HEX(Title) FROM album WHERE AlbumId = 1") == "61090A0B0C5CC3A9");
        CHECK(target.value("SELECT CAST(price AS CHAR) FROM album WHERE AlbumId = 1") == "0.99");
        CHECK(target.value("SELECT HEX(cover) FROM album WHERE AlbumId = 1") == "00095C0A");
        CHECK(target.value("SELECT CAST(hit AS CHAR) FROM album WHERE AlbumId = 0") == "0");
        CHECK(target.value("SELECT f = 0.1e0 FROM album WHERE AlbumId = 1") == "1");
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.referential_constraints WHERE "
                           "constraint_schema = DATABASE()") == "1");
        copy::discard(target.url(), cancel);
        source.script("INSERT INTO album VALUES (2, x'41', 'much', '2023-02-30', 'text', 2, 'x')");
        CHECK(refused(source.url(), target.url()) ==
              "copy.refused: the source holds what the target cannot: album.Title: 1 row: no text, "
              "or "
              "longer than 160 characters (2 (X'41')); album.price: 1 row: no value of "
              "NUMERIC(10,2) (2 ('much')); album.made: 1 row: not a timestamp as YYYY-MM-DD "
              "HH:MM:SS (2 ('2023-02-30')); and 3 more");
        CHECK(target.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                           "DATABASE()") == "0");
    }
}

TEST_CASE("copy: SQLite to PostgreSQL", "[copy][lab]") {
    test::PostgresDatabase target;
    if (!target.there())
        return;
    File source;
    source.script(R"(
        CREATE TABLE album (AlbumId INTEGER NOT NULL PRIMARY KEY, Title NVARCHAR(160) NOT NULL
                            DEFAULT 'none', price NUMERIC(10,2) UNIQUE, made DATETIME, cover BLOB,
                            hit BOOLEAN DEFAULT 0, f REAL);
        CREATE INDEX album_title ON album (Title DESC);
        CREATE TABLE track (id INTEGER PRIMARY KEY AUTOINCREMENT,
                            album_id INTEGER REFERENCES album (AlbumId) ON DELETE CASCADE);
        CREATE VIEW v AS SELECT 1;
        INSERT INTO album VALUES (1, 'a' || char(9, 10, 11, 12, 92) || 'é', 0.99,
                                  '2009-01-01 00:00:00', x'00095c0a', 1, 0.1),
                                 (0, '\N', NULL, NULL, x'', 0, NULL);
        INSERT INTO track VALUES (1, 1), (2, NULL), (9, 1);
        DELETE FROM track WHERE id = 9;)");
    Cancel cancel;
    copy::CopyResult result = copy::copy_database(source.url(), target.url(), {}, nullptr, cancel);
    CHECK(result.rows == 4);
    CHECK(target.value("SELECT encode(convert_to(\"Title\", 'UTF8'), 'hex') FROM album WHERE "
                       "\"AlbumId\" = 1") == "61090a0b0c5cc3a9");
    CHECK(target.value("SELECT \"Title\" FROM album WHERE \"AlbumId\" = 0") == "\\N");
    CHECK(target.value("SELECT price::text || made::text || encode(cover, 'hex') || hit::text || "
                       "f::text FROM album WHERE \"AlbumId\" = 1") ==
          "0.992009-01-01 00:00:0000095c0atrue0.1");
    target.script("INSERT INTO track (album_id) VALUES (1)");
    CHECK(target.value("SELECT max(id) FROM track") == "10");
    CHECK_THROWS_AS(target.script("INSERT INTO track (album_id) VALUES (77)"), Error);
    CHECK_THROWS_AS(target.script("INSERT INTO album (\"AlbumId\", price) VALUES (7, 0.99)"),
                    Error);
    CHECK(copy::state(target.url(), cancel).state == "done");
    CHECK(copy::discard(target.url(), cancel) == std::vector<std::string>{"album", "track"});
    source.script("PRAGMA foreign_keys = off; INSERT INTO track VALUES (3, 4711); INSERT INTO "
                  "album (AlbumId, Title) VALUES "
                  "(2, 'nul' || char(0))");
    CHECK(refused(source.url(), target.url()) ==
          "copy.refused: the source holds what the target cannot: album.Title: 1 row: no text, or "
          "longer than 160 characters (2 ('nul')); track: 1 row: point to no row by a foreign key "
          "(row 3 to album)");
}
