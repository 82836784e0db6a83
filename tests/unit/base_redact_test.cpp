// Secrets leave no text, whatever encoder wrote them.
#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "tests/unit/catch.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

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
    CHECK(redact(R"("pass\\ud83d\\ude00word")") == R"("***")");
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
    CHECK(cover_warning(3) ==
          "is shorter than 4 characters: it cannot be hidden where it is shown");
    CHECK(cover_warning(4) == "is shorter than 8 characters: it is hidden only where it stands as "
                              "a word of its own");
    CHECK(cover_warning(8).empty());
}

TEST_CASE("base redact: a short word is hidden where it stands alone", "[base][redact]") {
    make_secret("test", "env:WORD");
    for (const char* text :
         {"latest results", "tested", "test_1", "contest", "x-test2", "protest."})
        CHECK(redact(text) == text);
    CHECK(redact("test") == "***");
    CHECK(redact("pw=test;") == "pw=***;");
    CHECK(redact("mysql -ptest -h db1") == "mysql -p*** -h db1");
    CHECK(redact("x%3Dtest%26y") == "x%3D***%26y");
    CHECK(redact("x%41test") == "x%41test");
    CHECK(redact(R"(a\ntest\n)") == R"(a\n***\n)");
    CHECK(redact("0x" + digest::hex("test")) == "0x***");
}

TEST_CASE("base redact: escaped more than once, and by bash", "[base][redact]") {
    make_secret("quo\"te\\back$lash", "env:TWICE");
    CHECK(redact(R"({"body":"{\"pw\":\"quo\\\"te\\\\back$lash\"}"})") ==
          R"({"body":"{\"pw\":\"***\"}"})");
    CHECK(redact(R"("quo""te\back$lash")") == R"("***")");
    make_secret("pä'ss\tword", "env:BASH");
    CHECK(redact(R"(PW=$'p\303\244\'ss\tword' x)") == "PW=$'***' x");
    make_secret("%25'x#long", "env:AMBIGUOUS"); // %25 here is no escape
    CHECK(redact(R"('%25'\''x#long')") == "'***'");
}

TEST_CASE("base redact: base64 that is wrapped into lines", "[base][redact]") {
    const std::string key = "a long secret, so long that its base64 form takes more than one line";
    make_secret(key, "env:LONG");
    const std::string encoded = digest::base64("user:" + key);
    for (std::size_t width : {64u, 76u})
        for (const char* end : {"\n", "\r\n"}) {
            std::string wrapped;
            for (std::size_t at = 0; at < encoded.size(); at += width)
                wrapped += encoded.substr(at, width) + end;
            CHECK(redact(wrapped) == "dXNlcj***==" + std::string(end));
        }
}

TEST_CASE("base redact: text that arrives in pieces", "[base][redact]") {
    make_secret("first line of it\nab\nlast", "file:/run/lines");
    StreamRedactor stream;
    CHECK(stream.write("plain\nfirst li") == "plain\n");
    CHECK(stream.write("ne of it\n") == "");
    CHECK(stream.write("ab\nla") == "");
    CHECK(stream.write("st\nnext\n") == "***\nnext\n");
    CHECK(stream.write("first line of it\n") == "");
    CHECK(stream.write("other\n") == "***\nother\n"); // the line is a secret of its own
    CHECK(stream.write("no line end") == "");
    CHECK(stream.finish() == "no line end");
    CHECK(stream.finish() == "");
}

TEST_CASE("base redact: a stream without line ends is handed on, and hides what is cut",
          "[base][redact]") {
    make_secret("cut-in-the-middle", "env:CUT");
    const std::string filler(64 * 1024 - 5, '.');
    StreamRedactor stream;
    std::string out = stream.write(filler + "cut-i");
    CHECK(out == filler);
    out = stream.write("n-the-middle" + filler);
    CHECK(out == "***" + filler);
}

namespace {

std::string percent(const std::string& text, bool all, bool lower, bool plus = false) {
    std::string out;
    for (const char c : text)
        if (plus && c == ' ')
            out += '+';
        else if (!all && std::isalnum(static_cast<unsigned char>(c)))
            out += c;
        else
            out += fmt::format(fmt::runtime(lower ? "%{:02x}" : "%{:02X}"),
                               static_cast<unsigned>(static_cast<unsigned char>(c)));
    return out;
}

std::string replaced(const std::string& text, const std::vector<std::pair<char, std::string>>& by) {
    std::string out;
    for (const char c : text) {
        const auto found =
            std::find_if(by.begin(), by.end(), [c](const auto& pair) { return pair.first == c; });
        found == by.end() ? out += c : out += found->second;
    }
    return out;
}

/// Every encoding that a sink may meet, written here once more.
std::vector<std::string> encodings(const std::string& secret) {
    const std::string dumped = json::dump(Value(secret)),
                      inner = dumped.substr(1, dumped.size() - 2);
    const std::string again = json::dump(Value(inner));
    std::string upper = digest::hex(secret);
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    const std::string quoted = text::shell_quote(secret);
    return {
        secret,
        percent(secret, false, false),
        percent(secret, false, true),
        percent(secret, true, false),
        percent(secret, false, false, true),
        digest::hex(secret),
        upper,
        inner,
        again.substr(1, again.size() - 2),
        quoted.front() == '\'' ? quoted.substr(1, quoted.size() - 2) : quoted,
        replaced(secret, {{'\'', "''"}}),
        replaced(secret, {{'"', "\"\""}}),
        replaced(secret, {{'\'', "\\'"}, {'\\', "\\\\"}, {'\n', "\\n"}}),
        replaced(secret,
                 {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}})};
}

} // namespace

TEST_CASE("base redact: 5,000 random secrets in every encoding, in random pieces",
          "[base][redact][proof]") {
    std::mt19937 random(20261121);
    const auto below = [&](unsigned limit) { return random() % limit; };
    const std::vector<std::string> rare = {"é", "😀", "\n", "\"", "'", "\\",
                                           "%", "&", "+",  " ",  "\t"};
    std::vector<std::string> secrets;
    while (secrets.size() < 5000) {
        std::string secret(1, static_cast<char>('A' + below(26)));
        for (unsigned i = 11 + below(30); i > 0; --i)
            secret += below(5) ? std::string(1, static_cast<char>(33 + below(94)))
                               : rare[below(static_cast<unsigned>(rare.size()))];
        secret += static_cast<char>('a' + below(26));
        secrets.push_back(secret);
        make_secret(secret, "random");
    }
    std::size_t leaks = 0, checked = 0;
    const auto hidden = [&](const std::string& text, const std::string& wanted) {
        ++checked;
        if (redact(text) == wanted)
            return true;
        if (++leaks < 5)
            UNSCOPED_INFO(text << " -> " << redact(text));
        return false;
    };
    std::string pieces, pieces_wanted, pieces_got;
    StreamRedactor stream;
    for (const std::string& secret : secrets) {
        for (const std::string& encoded : encodings(secret)) {
            hidden("x " + encoded + ";y", "x ***;y");
            pieces += "<" + encoded + ">\n";
            pieces_wanted += "<***>\n";
        }
        for (const std::string before : {"", "u", "us", "user:"}) {
            std::string encoded = digest::base64(before + secret + "!");
            const std::string masked = redact("<" + encoded + ">");
            ++checked;
            // what is left belongs to what stands before and after
            leaks += masked.size() > 2 + 3 + 6 + 4 || masked.find("***") == std::string::npos;
            std::replace(encoded.begin(), encoded.end(), '+', '-');
            std::replace(encoded.begin(), encoded.end(), '/', '_');
            ++checked;
            leaks += redact("<" + encoded + ">").size() != masked.size();
        }
    }
    for (std::size_t at = 0; at < pieces.size();) {
        const std::size_t size = 1 + below(below(10) ? 40 : 4000);
        pieces_got += stream.write(std::string_view(pieces).substr(at, size));
        at += size;
    }
    pieces_got += stream.finish();
    CHECK((pieces_got == pieces_wanted)); // too long to be shown
    CHECK(checked == 5000 * (14 + 8));
    CHECK(leaks == 0);
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
