// References, and the sources that need no server (contract in sources.h).
#include "runtime/secret/sources.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/process/process.h"
#include "runtime/secret/aws.h"
#include "runtime/secret/vault.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace runbook::secret {
namespace {

constexpr std::array<std::string_view, 5> schemes = {"env", "file", "command", "vault", "aws"};
constexpr std::size_t largest_file = 1 << 20;
constexpr std::chrono::seconds command_timeout{60};

void strip_line_ends(std::string& text) {
    while (text.ends_with('\n') || text.ends_with('\r'))
        text.pop_back();
}

std::string from_environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (!value)
        throw Error("usage", fmt::format("environment variable {} is not set", name));
    if (!*value)
        throw Error("usage", fmt::format("environment variable {} is empty", name));
    return value;
}

struct File {
    int fd;
    ~File() {
        if (fd >= 0)
            ::close(fd);
    }
};

/// What is checked is what is read: the open file, not its name.
std::string from_file(const std::string& path) {
    const File file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    struct stat info {};
    if (file.fd < 0 || ::fstat(file.fd, &info) != 0)
        throw Error("usage", fmt::format("file {} cannot be read: {}", path,
                                         text::lower(std::strerror(errno))));
    if (S_ISDIR(info.st_mode))
        throw Error("usage", fmt::format("file {} cannot be read: it is a folder", path));
    if ((info.st_mode & 077) != 0)
        throw Error("usage", fmt::format("file {} can be read by others: chmod 600 it", path));
    if (info.st_uid != ::geteuid() && info.st_uid != 0)
        throw Error("usage",
                    fmt::format("file {} belongs to somebody else, who could change it", path));
    std::string text;
    std::array<char, 4096> block{};
    for (;;) {
        const ssize_t n = ::read(file.fd, block.data(), block.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            throw Error("usage", fmt::format("file {} cannot be read: {}", path,
                                             text::lower(std::strerror(errno))));
        if (n == 0)
            break;
        text.append(block.data(), static_cast<std::size_t>(n));
        if (text.size() > largest_file)
            throw Error("usage", fmt::format("file {} is larger than 1 MB: no secret", path));
    }
    strip_line_ends(text);
    if (text.empty())
        throw Error("usage", fmt::format("file {} is empty", path));
    return text;
}

std::string output_of(const std::vector<std::string>& argv, Cancel& cancel) {
    process::Command command;
    command.argv = argv;
    command.reads = true;
    command.timeout = command_timeout;
    command.expected = {}; // its output is the secret: no message may quote it
    const process::Result result = process::run(command, cancel);
    if (result.exit != 0) {
        const std::string said = text::trim(redact(result.err));
        throw Error("secret.unavailable",
                    fmt::format("`{}` exited with status {}{}{}", process::describe(command),
                                result.exit, said.empty() ? "" : ": ",
                                text::ellipsize(said.substr(said.rfind('\n') + 1), 200)));
    }
    std::string text = result.out;
    strip_line_ends(text);
    if (text.empty())
        throw Error("secret.invalid",
                    fmt::format("`{}` printed nothing", process::describe(command)));
    return text;
}

/// Words between blanks, or a JSON list of them where one has a blank in it.
std::vector<std::string> words_of(const std::string& line) {
    std::vector<std::string> words;
    if (line.starts_with('[')) {
        const Value parsed = json::parse(line);
        for (const Value& word : *parsed.get<List>())
            words.push_back(word.get<std::string>() ? *word.get<std::string>() : "");
        return words;
    }
    for (const std::string& word : text::split(line, ' '))
        if (!word.empty())
            words.push_back(word);
    return words;
}

SecretPtr choose(const Fields& fields, const Reference& reference) {
    std::vector<std::string> names;
    for (const auto& [name, text] : fields) {
        if (name == reference.field || (reference.field.empty() && fields.size() == 1))
            return make_secret(text, reference.text());
        names.push_back(name);
    }
    throw Error("secret.invalid",
                reference.field.empty()
                    ? fmt::format("{} has several fields and none is named", reference.text())
                    : fmt::format("{}: no field '{}'{}", reference.whole(), reference.field,
                                  text::did_you_mean(reference.field, names)),
                "its fields: " + text::join(names, ", "));
}

} // namespace

std::string Reference::whole() const {
    return scheme + ":" + path;
}

std::string Reference::text() const {
    return field.empty() ? whole() : whole() + "#" + field;
}

bool is_reference(std::string_view text) {
    const std::size_t colon = text.find(':');
    return colon != std::string_view::npos && colon + 1 < text.size() &&
           std::find(schemes.begin(), schemes.end(), text.substr(0, colon)) != schemes.end();
}

Reference parse(std::string_view text) {
    if (!is_reference(text))
        throw Error("usage",
                    "env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD or aws:NAME#FIELD "
                    "expected");
    const std::size_t colon = text.find(':');
    Reference reference{
        std::string(text.substr(0, colon)), std::string(text.substr(colon + 1)), {}};
    if (reference.scheme == "vault" || reference.scheme == "aws") {
        if (const std::size_t mark = reference.path.rfind('#'); mark != std::string::npos) {
            reference.field = reference.path.substr(mark + 1);
            reference.path.resize(mark);
        }
        if (reference.scheme == "vault")
            while (reference.path.starts_with('/'))
                reference.path.erase(0, 1);
        for (const char c : reference.path)
            if (static_cast<unsigned char>(c) <= ' ' || c == '#')
                throw Error("usage", fmt::format("{}: a blank or `#` in the path", text));
        if (reference.path.empty() || reference.path.find("..") != std::string::npos ||
            reference.path.starts_with('-'))
            throw Error("usage", fmt::format("{}: that is no path of a secret", text));
    }
    return reference;
}

std::vector<std::pair<std::string, SecretPtr>> open_all(const Reference& reference,
                                                        const Opening& opening) {
    Cancel own;
    Cancel& cancel = opening.cancel ? *opening.cancel : own;
    if (reference.scheme != "vault" && reference.scheme != "aws")
        return {{"value", open(reference, opening)}};
    std::vector<std::pair<std::string, SecretPtr>> secrets;
    for (const auto& [name, text] : reference.scheme == "vault"
                                        ? client().read(reference.path, cancel)
                                        : read_aws(reference, cancel))
        secrets.emplace_back(name, make_secret(text, reference.whole() + "#" + name));
    return secrets;
}

SecretPtr open(const Reference& reference, const Opening& opening) {
    Cancel own;
    Cancel& cancel = opening.cancel ? *opening.cancel : own;
    const std::string origin = reference.text();
    if (reference.scheme == "env")
        return make_secret(from_environment(reference.path), origin);
    if (reference.scheme == "file") {
        const std::string path =
            reference.path.starts_with('/') ? reference.path : opening.folder + reference.path;
        return make_secret(from_file(path), "file:" + path);
    }
    if (reference.scheme == "command")
        return make_secret(output_of(words_of(reference.path), cancel), origin);
    if (reference.scheme == "vault")
        return choose(client().read(reference.path, cancel), reference);
    if (reference.field.empty())
        return make_secret(read_aws_whole(reference, cancel), origin);
    return choose(read_aws(reference, cancel), reference);
}

SecretPtr from_command(const std::vector<std::string>& argv, Cancel& cancel) {
    std::string line = text::join(argv, " ");
    if (line.starts_with('[') || words_of(line) != argv)
        line = json::dump(List(argv.begin(), argv.end()));
    return make_secret(output_of(argv, cancel), "command:" + line);
}

SecretPtr fill(const std::string& text, const Map& parts) {
    List pieces;
    std::string plain;
    std::vector<std::string> used;
    const auto flush = [&] {
        if (!plain.empty())
            pieces.push_back(plain);
        plain.clear();
    };
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char here = text[at];
        if ((here == '{' || here == '}') && at + 1 < text.size() && text[at + 1] == here) {
            plain += here;
            ++at;
            continue;
        }
        const std::size_t end = here == '{' ? text.find('}', at) : std::string::npos;
        if (here == '{' && end == std::string::npos)
            throw Error("argument",
                        "secret.template: a `{` without its `}`; `{{` stands for a brace");
        if (here != '{') {
            plain += here;
            continue;
        }
        const std::string name = text.substr(at + 1, end - at - 1);
        const Value* part = parts.find(name);
        if (!part)
            throw Error("argument", fmt::format("secret.template: no part '{}' is given", name));
        used.push_back(name);
        at = end;
        if (part->get<SecretPtr>()) {
            flush();
            pieces.push_back(*part);
        } else if (const auto* word = part->get<std::string>()) {
            plain += *word;
        } else if (const auto* number = part->get<std::int64_t>()) {
            plain += std::to_string(*number);
        } else if (const auto* fraction = part->get<double>()) {
            plain += fmt::format("{}", *fraction);
        } else {
            throw Error("argument",
                        fmt::format("secret.template: part '{}': text, number or secret expected, "
                                    "got {}",
                                    name, part->type_name()));
        }
    }
    flush();
    if (std::none_of(pieces.begin(), pieces.end(),
                     [](const Value& piece) { return piece.get<SecretPtr>() != nullptr; }))
        throw Error("argument", "secret.template: none of its parts is a secret");
    for (const auto& [name, part] : parts)
        if (std::find(used.begin(), used.end(), name) == used.end())
            throw Error("argument", fmt::format("secret.template: the text has no {{{}}}{}", name,
                                                text::did_you_mean(name, used)));
    return join_secret(pieces);
}

void configure(const Vault& settings) {
    client().configure(settings);
}

Use::Use(std::function<void(const std::string&)> warn) {
    // What a result of an earlier process holds is fetched when somebody opens it.
    set_secret_source([](const std::string& origin) { return open(parse(origin))->reveal(); });
    client().begin_use(std::move(warn));
}

Use::~Use() {
    client().end_use();
}

} // namespace runbook::secret
