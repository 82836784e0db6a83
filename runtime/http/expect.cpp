// Waiting for an answer: asked again until it is as expected, with an error that says what came
// instead.
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/http/attempt.h"
#include "runtime/http/http.h"
#include "runtime/http/hub.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::http {
namespace {

using std::chrono::milliseconds;

/// Member by dotted path; a number picks from a list, the first being 1. Null pointer where it is
/// not there.
const Value* member(const Value& root, std::string_view path) {
    const Value* value = &root;
    for (const auto& part : text::split(path, '.')) {
        if (auto* map = value->get<Map>()) {
            value = map->find(part);
        } else if (auto* list = value->get<List>()) {
            bool number = !part.empty() && part.size() < 9 &&
                          part.find_first_not_of("0123456789") == std::string::npos;
            std::size_t index = number ? std::stoul(part) : 0;
            value = index >= 1 && index <= list->size() ? &(*list)[index - 1] : nullptr;
        } else {
            return nullptr;
        }
        if (!value)
            return nullptr;
    }
    return value;
}

bool equal(const Value& a, const Value& b) {
    auto number = [](const Value& v) -> std::optional<double> {
        if (auto* i = v.get<std::int64_t>())
            return static_cast<double>(*i);
        if (auto* d = v.get<double>())
            return *d;
        return std::nullopt;
    };
    auto x = number(a), y = number(b);
    return x && y ? *x == *y : a == b;
}

std::string shown(const Value& value) {
    return text::ellipsize(redact(json::dump(value)), 100);
}

/// What is wrong with the answer, or nothing: "expected …, got …".
std::string mismatch(const Expectation& expectation, const Response& response) {
    if (!expectation.body.empty() && response.body.find(expectation.body) == std::string::npos)
        return fmt::format("expected a body with {}, got {}", shown(expectation.body),
                           response.body.empty() ? "an empty one"
                                                 : shown(response.body.substr(0, 400)));
    if (expectation.json.empty())
        return {};
    Value body;
    try {
        body = json::parse(response.body);
    } catch (const Error&) {
        return fmt::format("expected JSON, got {}", response.body.empty()
                                                        ? "an empty body"
                                                        : shown(response.body.substr(0, 400)));
    }
    for (const auto& [path, wanted] : expectation.json) {
        const Value* got = member(body, path);
        if (!got || !equal(*got, wanted))
            return fmt::format("expected {} = {}, got {}", path, shown(wanted),
                               got ? shown(*got) : "nothing");
    }
    return {};
}

} // namespace

Task<Response> expect_task(const Request& given, const Expectation& expectation, Cancel& cancel) {
    Request request = given;
    request.expected = expectation.statuses;
    request.any_status = false;
    request.retry = {};
    const std::string where = request.method + " " + mask_url(request.url);
    const double begun = time::monotonic();
    const double within = static_cast<double>(expectation.within.count()) / 1000;
    for (int attempts = 1;; ++attempts) {
        std::string kind, message, hint;
        double retry_after = -1;
        double left = within - (time::monotonic() - begun);
        if (within > 0)
            request.timeout = std::min(
                given.timeout,
                milliseconds(std::max<std::int64_t>(100, static_cast<std::int64_t>(left * 1000))));
        try {
            Response response = co_await request_task(request, cancel);
            std::string wrong = mismatch(expectation, response);
            if (wrong.empty()) {
                response.attempts = attempts;
                co_return response;
            }
            kind = "http.status";
            message = where + ": " + wrong;
        } catch (const Error& error) {
            kind = error.kind();
            if (kind != "http.status" && kind != "http.connection" && kind != "http.timeout")
                throw;
            message = error.message();
            hint = error.hint();
            retry_after = error.retry_after();
        }
        double elapsed = time::monotonic() - begun;
        double pause_s = static_cast<double>(expectation.every.count()) / 1000;
        if (elapsed + pause_s >= within) {
            if (within > 0)
                message += fmt::format(" (after {:.{}f} s, {} attempt{})", elapsed,
                                       elapsed < 10 ? 1 : 0, attempts, attempts == 1 ? "" : "s");
            throw Error(kind, message, hint).set_retry_after(retry_after);
        }
        co_await pause(expectation.every, cancel, where);
    }
}

Response expect(const Request& request, const Expectation& expectation, Cancel& cancel) {
    return wait_for([&] { return expect_task(request, expectation, cancel); });
}

void start_expect(Request request, Expectation expectation, CancelPtr cancel, Answered done) {
    struct Kept {
        Request request;
        Expectation expectation;
        CancelPtr cancel;
    };
    auto kept =
        std::make_shared<Kept>(Kept{std::move(request), std::move(expectation), std::move(cancel)});
    Hub::one().post([kept, done = std::move(done)] {
        drive<Response>(expect_task(kept->request, kept->expectation, *kept->cancel),
                        [kept, done](std::optional<Response> response, std::exception_ptr error) {
                            done(std::move(response), error);
                        });
    });
}

} // namespace runbook::http
