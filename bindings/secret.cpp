// `secret`: the Lua face of runtime/secret. Loop thread; what asks a program or a server runs on a
// worker.
#include "bindings/secret.h"

#include "bindings/core/declare.h"
#include "runtime/secret/sources.h"

#include <cstdlib>

namespace runbook::bindings {
namespace {

struct FieldOptions {
    std::optional<std::string> field;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {

template <>
struct Describe<bindings::FieldOptions> {
    static const std::vector<Field<bindings::FieldOptions>>& fields() {
        static const std::vector<Field<bindings::FieldOptions>> all = {
            field("field", &bindings::FieldOptions::field,
                  "the one that is wanted; without it, a table of all")};
        return all;
    }
};

} // namespace runbook::bind

namespace runbook::bindings {
namespace {

/// One field as a secret, or all as a table.
bind::Job<Value> open(secret::Reference reference, const FieldOptions& options) {
    if (options.field)
        reference.field = *options.field;
    return {[reference](Cancel& cancel) -> Value {
        if (!reference.field.empty())
            return secret::open(reference, {"", &cancel});
        Map map;
        for (auto& [name, value] : secret::open_all(reference, {"", &cancel}))
            map.set(name, value);
        return map;
    }};
}

} // namespace

void register_secret(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "secret",
                    "Secrets: they print as ***, and only what needs one opens it.");
    area.def("env", "A secret from an environment variable.")
        .param("name", "name of the variable")
        .returns("secret", "its value")
        .raises({"usage"})
        .reads()
        .example("assert(tostring(secret.env 'HOME') == '***')")
        .native([](bind::Call&, std::string name) {
            return secret::open(secret::Reference{"env", name, ""});
        });
    area.def("file", "A secret from a file that nobody else may read.")
        .param("path", "file of at most 1 MB; relative paths count from the working folder")
        .returns("secret", "its text without the last line ends")
        .raises({"usage", "permission"})
        .reads()
        .example("fs.write('pw', secret.env 'HOME')\n"
                 "assert(tostring(secret.file 'pw') == '***')")
        .native([](bind::Call& call, std::string path) -> bind::Job<SecretPtr> {
            call.permissions().check_file(path);
            return {[path](Cancel& cancel) {
                return secret::open(secret::Reference{"file", path, ""}, {"", &cancel});
            }};
        });
    area.def("command", "What a program prints, as a secret. Nothing of it is shown or kept.")
        .param("argv", "program and arguments; it has a minute")
        .returns("secret", "its standard output without the last line ends")
        .raises({"secret.unavailable", "secret.invalid", "shell.not_found", "shell.timeout",
                 "permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("assert(tostring(secret.command { 'echo', 'one-two-three' }) == '***')")
        .native([](bind::Call& call, std::vector<std::string> argv) -> bind::Job<SecretPtr> {
            call.permissions().check_shell(argv);
            return {[argv](Cancel& cancel) { return secret::from_command(argv, cancel); }};
        });
    area.def("vault",
             "Secrets from HashiCorp Vault. Credentials with a lease are renewed while the "
             "run goes on, and revoked at its end.")
        .param("path", "as in Vault's HTTP API: secret/data/app (KV 2), database/creds/app")
        .param("options", "which field")
        .returns("secret", "the field; or a table of secrets by field")
        .raises({"secret.not_found", "secret.denied", "secret.unavailable", "secret.invalid",
                 "permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("local ok, err = pcall(secret.vault, '-x')\n"
                 "assert(err.message == 'vault:-x: that is no path of a secret')")
        .native([](bind::Call&, std::string path, FieldOptions options) {
            return open(secret::parse("vault:" + path), options);
        });
    area.def("aws", "Secrets from AWS Secrets Manager, through the `aws` command and its logins.")
        .param("name", "name or ARN of the secret")
        .param("options", "which field of a secret that is a JSON object")
        .returns("secret", "the field; or a table of secrets by field")
        .raises({"secret.not_found", "secret.denied", "secret.unavailable", "secret.invalid",
                 "shell.not_found", "permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("local ok, err = pcall(secret.aws, 'a b')\n"
                 "assert(err.message == 'aws:a b: a blank or `#` in the path')")
        .native([](bind::Call& call, std::string name, FieldOptions options) {
            const auto reference = secret::parse("aws:" + name);
            call.permissions().check_shell({"aws", "secretsmanager", "get-secret-value"});
            return open(reference, options);
        });
    area.def("open", "The secret that a reference names, as in `from` of a parameter.")
        .param("reference", "env:NAME, file:PATH, vault:PATH#FIELD or aws:NAME#FIELD; aws without "
                            "a field gives the whole text")
        .returns("secret", "what lies there")
        .raises({"secret.not_found", "secret.denied", "secret.unavailable", "secret.invalid",
                 "permission", "usage", "cancelled", "timeout"})
        .reads()
        .example("assert(tostring(secret.open 'env:HOME') == '***')")
        .native([](bind::Call& call, std::string text) -> bind::Job<SecretPtr> {
            const auto reference = secret::parse(text);
            if (reference.scheme == "file")
                call.permissions().check_file(reference.path);
            if (reference.scheme == "aws")
                call.permissions().check_shell({"aws", "secretsmanager", "get-secret-value"});
            if (reference.scheme == "command")
                throw Error("usage", "secret.open: a program is run by secret.command");
            return {[reference](Cancel& cancel) { return secret::open(reference, {"", &cancel}); }};
        });
    area.def("template", "Text with secrets in it, as one secret.")
        .param("text", "each {name} is replaced; {{ and }} stand for braces")
        .param("parts", "name = secret, text or number")
        .returns("secret", "the whole; the journal keeps how it is made, not what it is")
        .raises({"argument"})
        .example("local function url(pw) return secret.template('postgres://u:{pw}@h/d', { pw = pw "
                 "}) end\n"
                 "assert(not pcall(url, 'no secret'))")
        .native([](bind::Call&, std::string text, Map parts) { return secret::fill(text, parts); });
}

} // namespace runbook::bindings
