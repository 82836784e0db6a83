// `crypto`: the Lua face of runtime/base/digest. Loop thread; files are read on a worker.
#include "bindings/crypto.h"

#include "bindings/core/declare.h"
#include "bindings/core/text_argument.h"
#include "runtime/base/digest.h"

namespace runbook::bindings {
namespace {

constexpr const char* text_doc = "text, or a secret";

void register_digest(bind::Area& crypto, const std::string& name, const std::string& title,
                     const std::string& example) {
    crypto.def(name, "The " + title + " digest of a text.")
        .param("text", text_doc)
        .returns("string", "hexadecimal digits in lower case")
        .raises({"argument"})
        .example(example)
        .native([name](bind::Call&, bind::Text text) {
            digest::Hash hash(name);
            hash.update(text.data);
            return hash.hex();
        });
}

void register_code(bind::Area& crypto, const std::string& name, const std::string& doc,
                   std::string (*code)(std::string_view), const std::string& example) {
    crypto.def(name, doc + " Of a secret it is a secret.")
        .param("text", text_doc)
        .returns("string", "text, or a secret")
        .raises({"argument"})
        .example(example)
        .native([name, code](bind::Call&, bind::Text text) -> Value {
            return text.like(code(text.data), name);
        });
}

} // namespace

void register_crypto(vm::State& state, vm::Registry& registry) {
    bind::Area crypto(state, registry, "crypto", "Digests, encodings and random values.");
    register_digest(crypto, "sha256", "SHA-256",
                    "assert(crypto.sha256 'abc':sub(1, 8) == 'ba7816bf')");
    register_digest(crypto, "sha512", "SHA-512",
                    "assert(crypto.sha512 'abc':sub(1, 8) == 'ddaf35a1')");
    crypto.def("file", "The digest of a file, read in blocks.")
        .param("path", "file")
        .param("algorithm", "sha256, sha512, sha1 or md5; sha256 where it is left out")
        .returns("string", "hexadecimal digits in lower case")
        .raises({"fs", "permission", "usage"})
        .reads()
        .example("fs.write('a.txt', 'abc')\n"
                 "assert(crypto.file('a.txt', 'sha512') == crypto.sha512 'abc')")
        .native([](bind::Call& call, std::string path,
                   std::optional<std::string> algorithm) -> bind::Job<std::string> {
            call.permissions().check_file(path);
            return {[path, name = algorithm.value_or("sha256")](Cancel& cancel) {
                return digest::file_hex(path, name, &cancel);
            }};
        });
    crypto.def("hmac", "The keyed digest of a text (RFC 2104), for signed requests.")
        .param("key", "text, best a secret")
        .param("text", text_doc)
        .param("algorithm", "sha256, sha512, sha1 or md5; sha256 where it is left out")
        .returns("string", "hexadecimal digits in lower case")
        .raises({"argument", "usage"})
        .example("assert(crypto.hmac('key', 'The quick brown fox jumps over the lazy dog')\n"
                 "  :sub(1, 8) == 'f7bc83f4')")
        .native(
            [](bind::Call&, bind::Text key, bind::Text text, std::optional<std::string> algorithm) {
                return digest::hmac_hex(algorithm.value_or("sha256"), key.data, text.data);
            });
    register_code(crypto, "base64", "A text in base64 (RFC 4648).", digest::base64,
                  "assert(crypto.base64 'runbook' == 'cnVuYm9vaw==')");
    register_code(crypto, "unbase64",
                  "The text that base64 stands for; both alphabets, with or without padding.",
                  digest::unbase64, "assert(crypto.unbase64 'cnVuYm9vaw' == 'runbook')");
    register_code(crypto, "hex", "A text in hexadecimal digits.", digest::hex,
                  "assert(crypto.hex 'az' == '617a')");
    register_code(crypto, "unhex", "The text that hexadecimal digits stand for.", digest::unhex,
                  "assert(crypto.unhex '617A' == 'az')");
    crypto
        .def("random", "Random bytes of the system, in hexadecimal digits. A step that needs them "
                       "again after a resume stores them in its result.")
        .param("bytes", "how many, 1 to 1024; 16 where it is left out")
        .returns("string", "twice as many hexadecimal digits")
        .raises({"argument"})
        .reads()
        .example("assert(#crypto.random(8) == 16 and crypto.random() ~= crypto.random())")
        .native([](bind::Call&, std::optional<std::int64_t> bytes) {
            const std::int64_t count = bytes.value_or(16);
            if (count < 1 || count > 1024)
                throw Error("argument",
                            "crypto.random: argument 1 'bytes': 1 to 1024 expected, got " +
                                std::to_string(count));
            return digest::hex(digest::random(static_cast<std::size_t>(count)));
        });
    crypto.def("uuid", "A random UUID (version 4).")
        .returns("string", "36 characters in lower case")
        .reads()
        .example("assert(crypto.uuid():match '^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$')")
        .native([](bind::Call&) { return digest::uuid(); });
    crypto
        .def("equal", "Whether two texts are the same, in a time that does not tell where they "
                      "differ; also for secrets.")
        .param("a", text_doc)
        .param("b", text_doc)
        .returns("boolean", "true if they are")
        .raises({"argument"})
        .example("assert(crypto.equal('a', 'a') and not crypto.equal('a', 'b'))")
        .native(
            [](bind::Call&, bind::Text a, bind::Text b) { return digest::equal(a.data, b.data); });
}

} // namespace runbook::bindings
