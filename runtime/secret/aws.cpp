#include "runtime/secret/aws.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/process/process.h"

#include <fmt/format.h>

#include <map>

namespace runbook::secret {
namespace {

constexpr std::chrono::seconds command_timeout{60};

/// `An error occurred (ResourceNotFoundException) when calling …`: the code.
std::string error_code(const std::string& said) {
    const std::string_view begin = "An error occurred (";
    const std::size_t at = said.find(begin);
    const std::size_t end = at == std::string::npos ? at : said.find(')', at);
    return end == std::string::npos ? "" : said.substr(at + begin.size(), end - at - begin.size());
}

[[noreturn]] void refuse(const Reference& reference, int exit, const std::string& error) {
    static const std::map<std::string, std::pair<const char*, const char*>> known = {
        {"ResourceNotFoundException",
         {"secret.not_found", "is the name right, and the region (AWS_REGION)?"}},
        {"AccessDeniedException",
         {"secret.denied", "the login may not call secretsmanager:GetSecretValue on it"}},
        {"ExpiredTokenException", {"secret.denied", "the login has ended: log in again"}},
        {"UnrecognizedClientException", {"secret.denied", "the access key is not known there"}},
        {"InvalidSignatureException", {"secret.denied", "the secret access key is wrong"}},
        {"DecryptionFailure", {"secret.denied", "the login may not use the key that encrypts it"}},
        {"InvalidRequestException",
         {"secret.not_found", "it may be scheduled for deletion, or have no value yet"}},
        {"InvalidParameterException", {"usage", "is the name right?"}},
        {"ThrottlingException", {"secret.unavailable", "too many requests: try later"}},
        {"TooManyRequestsException", {"secret.unavailable", "too many requests: try later"}}};
    const std::string said = text::trim(redact(error));
    const std::string line = text::ellipsize(said.substr(said.rfind('\n') + 1), 240);
    const auto found = known.find(error_code(said));
    throw Error(found != known.end() ? found->second.first : "secret.unavailable",
                fmt::format("{}: {}", reference.whole(),
                            line.empty() ? fmt::format("`aws` exited with status {}", exit) : line),
                found != known.end() ? found->second.second
                                     : "try `aws sts get-caller-identity` on this host");
}

} // namespace

std::string read_aws_whole(const Reference& reference, Cancel& cancel) {
    process::Command command;
    command.argv = {"aws",         "secretsmanager", "get-secret-value",
                    "--secret-id", reference.path,   "--output",
                    "json"};
    command.env = {{"AWS_PAGER", ""}};
    command.reads = true;
    command.timeout = command_timeout;
    command.expected = {}; // its output is the secret: no message may quote it
    const process::Result result = process::run(command, cancel);
    if (result.exit != 0)
        refuse(reference, result.exit, result.err);
    Value answer;
    try {
        answer = json::parse(result.out);
    } catch (const Error&) { // its message would quote the answer
        answer = {};
    }
    const Map* map = answer.get<Map>();
    if (!map)
        throw Error("secret.invalid",
                    fmt::format("{}: the answer of `aws` is no JSON object", reference.whole()));
    if (std::string text = map->text("SecretString"); !text.empty())
        return text;
    if (const std::string bytes = map->text("SecretBinary"); !bytes.empty())
        return digest::unbase64(bytes);
    throw Error("secret.invalid", fmt::format("{}: it has no value", reference.whole()));
}

Fields read_aws(const Reference& reference, Cancel& cancel) {
    const std::string whole = read_aws_whole(reference, cancel);
    Value parsed;
    try {
        parsed = json::parse(whole);
    } catch (const Error&) {
        parsed = {};
    }
    const Map* map = parsed.get<Map>();
    if (!map)
        throw Error(
            "secret.invalid",
            fmt::format("{}: its text is no JSON object, so it has no fields", reference.whole()),
            "leave `#field` out to get the whole text");
    Fields fields;
    for (const auto& [name, value] : *map) {
        const auto* text = value.get<std::string>();
        fields.emplace_back(name, text ? *text : json::dump(value));
    }
    return fields;
}

} // namespace runbook::secret
