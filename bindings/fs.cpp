// `fs`: the Lua face of runtime/base/files. Loop thread; what moves data runs on a worker.
#include "bindings/fs.h"

#include "bindings/core/declare.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/redact.h"

#include <charconv>
#include <fmt/format.h>

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
    fs.def("lines", "The lines of a file of at most 64 MB, without their ends.")
        .param("path", "file")
        .returns("string[]", "LF and CRLF end a line; a last one without an end counts")
        .raises({"fs", "permission"})
        .reads()
        .example("fs.write('a.txt', 'x\\ny')\nassert(fs.lines('a.txt')[2] == 'y')")
        .native([](bind::Call& call, std::string path) -> bind::Job<std::vector<std::string>> {
            call.permissions().check_file(path);
            return {[path](Cancel&) { return files::lines(files::read(path)); }};
        });
    fs.def("move", "Gives a file or folder another name on the same file system, in one moment; a "
                   "file that has the name is replaced.")
        .param("from", "file or folder")
        .param("to", "its new name")
        .raises({"fs", "permission"})
        .writes()
        .example("fs.write('a.txt', 'x')\nfs.move('a.txt', 'b.txt')\n"
                 "assert(not fs.exists 'a.txt' and fs.read 'b.txt' == 'x')")
        .native([](bind::Call& call, std::string from, std::string to) {
            call.permissions().check_file(from);
            call.permissions().check_file(to);
            files::move(from, to);
        });
    fs.def("stat", "What is known about a file or folder.")
        .param("path", "file or folder; a symbolic link is followed")
        .returns("table",
                 "{type, link, size, modified, mode, owner, group}: type is file, folder or "
                 "other, mode text such as 0640, modified a timestamp")
        .raises({"fs", "permission"})
        .reads()
        .example("fs.write('a.txt', 'xyz')\nlocal s = fs.stat 'a.txt'\n"
                 "assert(s.type == 'file' and s.size == 3 and s.mode == '0644')")
        .native([](bind::Call& call, std::string path) -> Value {
            call.permissions().check_file(path);
            const files::Info found = files::info(path);
            return Map{{"type", found.type},
                       {"link", found.link},
                       {"size", found.size},
                       {"modified", Timestamp{found.modified, 0}},
                       {"mode", fmt::format("{:04o}", found.mode)},
                       {"owner", found.owner},
                       {"group", found.group}};
        });
    fs.def("chmod", "Sets the permissions of a file or folder.")
        .param("path", "file or folder")
        .param("mode", "octal digits as text: 0640")
        .raises({"fs", "permission", "argument"})
        .writes()
        .example("fs.write('a.txt', 'x')\nfs.chmod('a.txt', '0600')\n"
                 "assert(fs.stat('a.txt').mode == '0600')")
        .native([](bind::Call& call, std::string path, std::string mode) {
            int bits = 0;
            const auto [end, error] =
                std::from_chars(mode.data(), mode.data() + mode.size(), bits, 8);
            if (error != std::errc() || end != mode.data() + mode.size() || mode.size() < 3 ||
                bits > 07777)
                throw Error("argument", "fs.chmod: argument 2 'mode': octal digits such as 0640 "
                                        "expected, got '" +
                                            mode + "'");
            call.permissions().check_file(path);
            files::set_mode(path, bits);
        });
    fs.def("disk", "The space of the file system that holds a path.")
        .param("path", "file or folder")
        .returns("table", "{total, free, free_ratio}: bytes; free is what this user may write")
        .raises({"fs", "permission"})
        .reads()
        .example("local d = fs.disk '.'\nassert(d.total > 0 and d.free_ratio <= 1)")
        .native([](bind::Call& call, std::string path) -> Value {
            call.permissions().check_file(path);
            const files::Disk found = files::disk(path);
            return Map{{"total", found.total},
                       {"free", found.free},
                       {"free_ratio", found.total ? static_cast<double>(found.free) /
                                                        static_cast<double>(found.total)
                                                  : 0.0}};
        });
    fs.def("glob", "The paths that a pattern matches.")
        .param("pattern", "as in a shell: backup/*.dump; ? and [a-z] too")
        .returns("string[]", "sorted; folders end in /; empty where nothing matches")
        .raises({"fs", "permission"})
        .reads()
        .example("fs.write('a.txt', 'x')\nassert(fs.glob('*.txt')[1] == 'a.txt')")
        .native([](bind::Call& call, std::string pattern) {
            // What stands before the first wildcard decides where it looks; each find is checked.
            const std::string fixed = pattern.substr(0, pattern.find_first_of("*?["));
            const std::size_t slash = fixed.rfind('/');
            call.permissions().check_file(slash == std::string::npos ? "."
                                                                     : fixed.substr(0, slash + 1));
            std::vector<std::string> paths = files::glob(pattern);
            for (const std::string& path : paths)
                call.permissions().check_file(path);
            return paths;
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
