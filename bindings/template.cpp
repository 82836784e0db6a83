// `template`: the Lua face of runtime/formats/template. Loop thread, pure but for the file.
#include "bindings/template.h"

#include "bindings/core/declare.h"
#include "bindings/core/text_argument.h"
#include "runtime/base/files.h"
#include "runtime/formats/template.h"

namespace runbook::bindings {
namespace {

struct TemplateOptions {
    std::string escape;
};

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct Describe<bindings::TemplateOptions> {
    static const std::vector<Field<bindings::TemplateOptions>>& fields() {
        static const std::vector<Field<bindings::TemplateOptions>> all = {
            field("escape", &bindings::TemplateOptions::escape,
                  "how values are written: html, shell (one word each), json, url, or systemd (in "
                  "quotes of a unit file); as they are where "
                  "it is left out")};
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

Value rendered(std::string_view text, const Map& values, const std::string& escape) {
    templates::Rendered result = templates::render(text, values, templates::parse_escape(escape));
    if (result.has_secret)
        return make_secret(std::move(result.text), "template");
    return std::move(result.text);
}

} // namespace

void register_template(vm::State& state, vm::Registry& registry) {
    bind::Area area(state, registry, "template",
                    "Texts with places to fill in: {name}, {server.port}; {{ and }} are braces.");
    area.def("render", "A text with its places filled in. Where one of the values is a secret, so "
                       "is the result.")
        .param("text", "text with {name}")
        .param("values", "name = text, number, boolean, timestamp or secret, or a table of them")
        .param("options", "how values are written")
        .returns("string", "text, or a secret")
        .raises({"template", "usage"})
        .example("assert(template.render('{a.b} {{x}}', { a = { b = 5 } }) == '5 {x}')\n"
                 "assert(template.render('rm {f}', { f = 'a b' }, { escape = 'shell' })\n"
                 "  == \"rm 'a b'\")")
        .native([](bind::Call&, std::string text, Map values, TemplateOptions options) {
            return rendered(text, values, options.escape);
        });
    area.def("file", "The text of a file with its places filled in, as template.render does.")
        .param("path", "file with {name}")
        .param("values", "as for template.render")
        .param("options", "how values are written")
        .returns("string", "text, or a secret")
        .raises({"fs", "permission", "template", "usage"})
        .reads()
        .example("fs.write('hello.txt', 'Hello {name}')\n"
                 "assert(template.file('hello.txt', { name = 'Anna' }) == 'Hello Anna')")
        .native([](bind::Call& call, std::string path, Map values,
                   TemplateOptions options) -> bind::Job<Value> {
            call.permissions().check_file(path);
            return {[path, values, options](Cancel&) -> Value {
                try {
                    return rendered(files::read(path), values, options.escape);
                } catch (const Error& error) {
                    if (error.kind() != "template")
                        throw;
                    throw Error(error.kind(), path + ": " + error.message(), error.hint());
                }
            }};
        });
}

} // namespace runbook::bindings
