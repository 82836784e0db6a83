// `fs`: the Lua face of runtime/base/files. Loop thread; what moves data runs on a worker.
#include "bindings/fs.h"

#include "bindings/core/declare.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/redact.h"

namespace runbook::bindings {

void register_fs(vm::State& state, vm::Registry& registry) {
    bind::Area fs(state, registry, "fs",
                  "Files, confined to what the playbook declares in needs.files.");
    fs.def("read", "The whole text of a file of at most 64 MB.")
        .param("path", "file; relative paths count from the working folder")
        .returns("string", "its bytes")
        .raises({"fs", "permission"})
        .reads()
        .example("assert(#fs.read '/proc/self/status' > 0)")
        .native([](bind::Call& call, std::string path) -> bind::Job<std::string> {
            call.permissions().check_file(path);
            return {[path](Cancel&) { return files::read(path); }};
        });
    fs.def("write",
           "Replaces a file as a whole: after a crash the old text is there, or the new one.")
        .param("path", "file; made where there is none")
        .param("text", "its new content, text or a secret")
        .raises({"fs", "permission", "argument"})
        .writes()
        .example("fs.write('note.txt', 'back soon\\n')")
        .native([](bind::Call& call, std::string path, Value text) -> bind::Job<void> {
            call.permissions().check_file(path);
            const auto* plain = text.get<std::string>();
            const auto* secret = text.get<SecretPtr>();
            if (!plain && !secret)
                throw Error("argument",
                            "fs.write: argument 2 'text': string or secret expected, got " +
                                std::string(text.type_name()));
            std::string content = plain ? *plain : (*secret)->reveal();
            bind::Job<void> job;
            // What holds a secret is for its owner alone.
            job.work = [path, content, mode = plain ? 0644 : 0600](Cancel&) {
                files::write(path, content, mode);
            };
            return job;
        });
    fs.def("touch", "Makes an empty file, or sets the time of one that exists.")
        .param("path", "file")
        .raises({"fs", "permission"})
        .writes()
        .example("fs.touch 'maintenance.txt'")
        .native([](bind::Call& call, std::string path) {
            call.permissions().check_file(path);
            files::touch(path);
        });
    fs.def("remove", "Removes a file or an empty folder; nothing happens where there is none.")
        .param("path", "file or empty folder")
        .returns("boolean", "true if there was one")
        .raises({"fs", "permission"})
        .writes()
        .example("assert(fs.remove 'absent.txt' == false)")
        .native([](bind::Call& call, std::string path) {
            call.permissions().check_file(path);
            return files::remove(path);
        });
    fs.def("exists", "Whether a file or folder exists.")
        .param("path", "file or folder")
        .returns("boolean", "true if it exists; an error where that cannot be known")
        .raises({"fs", "permission"})
        .reads()
        .example("assert(fs.exists '/')")
        .native([](bind::Call& call, std::string path) {
            call.permissions().check_file(path);
            return files::exists(path);
        });
    fs.def("list", "The names in a folder, sorted; those of folders end in '/'.")
        .param("path", "folder")
        .returns("string[]", "names without the folder's own")
        .raises({"fs", "permission"})
        .reads()
        .example("assert(type(fs.list '.') == 'table')")
        .native([](bind::Call& call, std::string path) {
            call.permissions().check_file(path);
            return files::list(path);
        });
    fs.def("mkdir", "Makes a folder and those above it; nothing happens where it exists.")
        .param("path", "folder")
        .raises({"fs", "permission"})
        .writes()
        .example("fs.mkdir 'made/deep'")
        .native([](bind::Call& call, std::string path) {
            call.permissions().check_file(path);
            files::mkdir(path);
        });
    fs.def("copy", "Copies a file; the target is replaced as a whole and keeps the source's mode.")
        .param("from", "file to read")
        .param("to", "file to make or replace")
        .raises({"fs", "permission"})
        .writes()
        .example(
            "fs.write('a.txt', 'x')\nfs.copy('a.txt', 'b.txt')\nassert(fs.read 'b.txt' == 'x')")
        .native([](bind::Call& call, std::string from, std::string to) -> bind::Job<void> {
            call.permissions().check_file(from);
            call.permissions().check_file(to);
            bind::Job<void> job;
            job.work = [from, to](Cancel& cancel) { files::copy(from, to, cancel); };
            return job;
        });
    fs.def("size", "The bytes of a file.")
        .param("path", "file")
        .returns("integer", "its size in bytes")
        .raises({"fs", "permission"})
        .reads()
        .example("fs.write('a.txt', 'xyz')\nassert(fs.size 'a.txt' == 3)")
        .native([](bind::Call& call, std::string path) {
            call.permissions().check_file(path);
            return files::size(path);
        });
    fs.def("sha256", "The SHA-256 digest of a file.")
        .param("path", "file")
        .returns("string", "64 hexadecimal digits")
        .raises({"fs", "permission"})
        .reads()
        .example("fs.write('a.txt', '')\nassert(fs.sha256('a.txt'):sub(1, 8) == 'e3b0c442')")
        .native([](bind::Call& call, std::string path) -> bind::Job<std::string> {
            call.permissions().check_file(path);
            return {[path](Cancel& cancel) { return digest::sha256_file(path, &cancel); }};
        });
}

} // namespace runbook::bindings
