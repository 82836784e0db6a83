// Secrets leave no text, whatever encoder wrote them.
#include "runtime/base/digest.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "tests/unit/catch.h"

using namespace runbook;

namespace {
const std::string secret = "p@ss w'rd/\"7\\&é+%";
const SecretPtr kept = make_secret(secret, "env:RUNBOOK_TEST");
} // namespace

TEST_CASE("base redact: plain text", "[base][redact]") {
    CHECK(redact("password=" + secret + "; host=db1") == "password=***; host=db1");
    CHECK(redact("nothing here") == "nothing here");
    CHECK(redact("") == "");
    CHECK(redact(secret + secret) == "******");
}

TEST_CASE("base redact: URL-encoded, whichever characters the encoder escapes", "[base][redact]") {
    CHECK(redact("mysql://app:p%40ss%20w%27rd%2F%227%5C%26%C3%A9%2B%25@db2/x") ==
          "mysql://app:***@db2/x");
    CHECK(redact("mysql://app:p%40ss+w'rd%2f%227%5c%26%c3%a9%2b%25@db2/x") ==
          "mysql://app:***@db2/x");
    CHECK(redact("?password=p@ss%20w'rd/%227%5C&%C3%A9+%25&x=1") == "?password=***&x=1");
}

TEST_CASE("base redact: JSON- and HTML-escaped", "[base][redact]") {
    CHECK(redact(R"({"password":"p@ss w'rd/\"7\\&é+%"})") == R"({"password":"***"})");
    CHECK(redact(R"({"password":"p@ss w\u0027rd\/\u00227\u005c\u0026\u00e9\u002B%"})") ==
          R"({"password":"***"})");
    CHECK(redact("<td>p@ss w&#39;rd/&quot;7\\&amp;é+%</td>") == "<td>***</td>");
}

TEST_CASE("base redact: a surrogate pair", "[base][redact]") {
    make_secret("pass😀word", "env:EMOJI");
    CHECK(redact(R"("pass\ud83d\ude00word")") == R"("***")");
}

TEST_CASE("base redact: shell- and SQL-quoted", "[base][redact]") {
    CHECK(redact("--password=" + text::shell_quote(secret) + " --x") == "--password='***' --x");
    CHECK(redact("--password='p@ss w'\"'\"'rd/\"7\\&é+%'") == "--password='***'");
    CHECK(redact(R"(PW="p@ss w'rd/\"7\\&é+%")") == R"(PW="***")");
    CHECK(redact("IDENTIFIED BY 'p@ss w''rd/\"7\\\\&é+%'") == "IDENTIFIED BY '***'");
}

TEST_CASE("base redact: base64 at all three alignments", "[base][redact]") {
    for (std::string before : {"", "a", "ab", "abc", "user:"})
        for (std::string after : {"", "z", "zy", "zyx"}) {
            const std::string encoded = digest::base64(before + secret + after);
            const std::string shown = redact("Basic " + encoded);
            INFO(before << "|" << after << ": " << encoded << " -> " << shown);
            CHECK(shown.find("***") != std::string::npos);
            // No four characters of the encoded secret may remain: all 24 bits would be its own.
            const std::size_t inside = (before.size() + 2) / 3 * 4;
            CHECK(shown.find(encoded.substr(inside, 4)) == std::string::npos);
            CHECK(shown.size() <= 6 + 3 + (before.size() * 8 + 5) / 6 + (after.size() * 8) / 6 + 3);
        }
}

TEST_CASE("base redact: URL-safe base64", "[base][redact]") {
    const std::string bytes = "\xfb\xff\xfe\xfb\xef\xbe~~";
    make_secret(bytes, "env:BYTES");
    CHECK(digest::base64(bytes) == "+//+++++fn4=");
    CHECK(redact("token=-__-----fn4") == "token=***");
    CHECK(redact("token=%2B%2F%2F%2B%2B%2B%2B%2Bfn4%3D") == "token=***%3D");
}

TEST_CASE("base redact: hex", "[base][redact]") {
    CHECK(redact("0x" + digest::hex(secret) + "!") == "0x***!");
    std::string upper = digest::hex(secret);
    for (char& c : upper)
        c = static_cast<char>(std::toupper(c));
    CHECK(redact("0x" + upper + "!") == "0x***!");
}

TEST_CASE("base redact: overlapping secrets leave nothing of either", "[base][redact]") {
    make_secret("overlap-left-mid", "env:A");
    make_secret("mid-right-end", "env:B");
    make_secret("overlap-left-mid-longer", "env:C");
    CHECK(redact("<overlap-left-mid-right-end>") == "<***>");
    CHECK(redact("<overlap-left-mid-longer>") == "<***>");
}

TEST_CASE("base redact: short secrets are not searched for", "[base][redact]") {
    make_secret("xyz", "env:SHORT");
    make_secret("", "env:EMPTY");
    CHECK(redact("xyz") == "xyz");
}

TEST_CASE("base redact: a password file's newline, and each line of a key", "[base][redact]") {
    make_secret("tail9\n", "file:/run/pw");
    CHECK(redact("pw tail9.") == "pw ***.");
    make_secret("-----BEGIN KEY-----\r\nMIIEvQIBADAN\r\nend\r\n", "file:/run/key");
    CHECK(redact("line: MIIEvQIBADAN; end") == "line: ***; end");
}

TEST_CASE("base redact: values keep their shape", "[base][redact]") {
    const Value value =
        Map{{"url", "x://" + secret + "@h"},
            {"list", List{secret, 7, Bytes{"<" + secret + ">"}, Opaque{"connection " + secret}}},
            {"secret", kept},
            {"n", 1.5}};
    const Value wanted = Map{{"url", "x://***@h"},
                             {"list", List{"***", 7, Bytes{"<***>"}, Opaque{"connection ***"}}},
                             {"secret", "***"},
                             {"n", 1.5}};
    CHECK((redact(value) == wanted));
    CHECK((redact(Value(Map{{secret, 1}})) == Value(Map{{"***", 1}})));
}
