#include "runtime/secret/vault.h"

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/http/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace runbook::secret {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds request_timeout{15'000};
constexpr milliseconds revoke_timeout{5'000};
constexpr seconds longest_revoking{10}; ///< all of them together

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::string either(const std::string& given, const char* name) {
    return given.empty() ? variable(name) : given;
}

SecretPtr opened(const std::string& text, const char* what) {
    if (is_reference(text))
        return open(parse(text));
    throw Error("usage", fmt::format("vault: {}: env:NAME, file:PATH or command:… expected", what));
}

/// A member that is a map, or an empty one.
Map member(const Map& map, std::string_view name) {
    const Value* value = map.find(name);
    const Map* inner = value ? value->get<Map>() : nullptr;
    return inner ? *inner : Map{};
}

std::string first_error(const Map& body) {
    const Value* value = body.find("errors");
    const List* list = value ? value->get<List>() : nullptr;
    std::string all;
    for (const Value& item : list ? *list : List{})
        if (const auto* text = item.get<std::string>())
            all += (all.empty() ? "" : "; ") + text::trim(*text);
    return text::ellipsize(redact(all), 200);
}

std::string clock_text(std::chrono::seconds from_now) {
    return text::duration(static_cast<double>(std::max<std::int64_t>(0, from_now.count())));
}

} // namespace

void Client::configure(const Vault& settings) {
    std::lock_guard lock(mutex_);
    settings_ = settings;
}

std::string Client::address() const {
    std::lock_guard lock(mutex_);
    std::string found = either(settings_.address, "VAULT_ADDR");
    if (found.empty())
        throw Error("usage", "vault: its address is not known",
                    "set VAULT_ADDR, or address in [vault] of runbook.toml");
    while (found.ends_with('/'))
        found.pop_back();
    return found;
}

Client::Answer Client::ask(const std::string& method, const std::string& path, const Value& body,
                           SecretPtr token, Cancel& cancel, bool once) const {
    http::Request request;
    request.method = method;
    request.url = address() + "/v1/" + path;
    request.any_status = true;
    request.timeout = once ? revoke_timeout : request_timeout;
    request.connect_timeout = revoke_timeout;
    if (!once && method == "GET") {
        request.retry.attempts = 3;
        request.retry.statuses = {429, 500, 502, 504}; // 503 is a sealed Vault: it stays that
        request.retry.max_delay = seconds(5);
    }
    request.headers = {{"X-Vault-Request", "true"}};
    if (token)
        request.headers.emplace_back("X-Vault-Token", token);
    {
        std::lock_guard lock(mutex_);
        if (std::string space = either(settings_.name_space, "VAULT_NAMESPACE"); !space.empty())
            request.headers.emplace_back("X-Vault-Namespace", space);
        request.tls.ca = either(settings_.ca, "VAULT_CACERT");
        request.tls.cert = either(settings_.cert, "VAULT_CLIENT_CERT");
        request.tls.key = either(settings_.key, "VAULT_CLIENT_KEY");
        const std::string skip = text::lower(variable("VAULT_SKIP_VERIFY"));
        request.tls.verify = !(skip == "1" || skip == "true");
    }
    if (!body.is_null())
        request.json = body;
    http::Response response;
    try {
        response = http::request(request, cancel);
    } catch (const Error& error) {
        if (!error.kind().starts_with("http."))
            throw;
        throw Error("secret.unavailable", fmt::format("vault:{}: {}", path, error.message()),
                    "is VAULT_ADDR right, and can this host reach it?");
    }
    Answer answer{response.status, {}};
    if (response.body.empty())
        return answer;
    try {
        Value parsed = json::parse(response.body);
        if (Map* map = parsed.get<Map>())
            answer.body = std::move(*map);
    } catch (const Error&) {
        if (response.status >= 200 &&
            response.status < 300) // an error page says enough by its status
            throw Error("secret.invalid", fmt::format("vault:{}: the answer is no JSON", path),
                        fmt::format("is {} a Vault?", address()));
    }
    return answer;
}

void Client::refuse(const std::string& path, const Answer& answer) const {
    const std::string said = first_error(answer.body);
    const std::string what =
        fmt::format("vault:{}: {} ({} from {})", path, said.empty() ? "no reason given" : said,
                    answer.status, address());
    switch (answer.status) {
    case 400:
        throw Error("secret.denied", what,
                    "is the login right, and the path one that can be read?");
    case 401:
    case 403:
        throw Error("secret.denied", what,
                    "the token has ended, or none of its policies allows `read` there");
    case 404:
        throw Error("secret.not_found",
                    fmt::format("vault:{}: nothing is there{}{} (404 from {})", path,
                                said.empty() ? "" : ": ", said, address()),
                    "with KV version 2 the path has `data` after the mount: secret/data/app");
    case 503:
        throw Error("secret.unavailable", what, "unseal Vault, or wait until it is up");
    default:
        throw Error("secret.unavailable", what, "Vault is there but does not serve; try later");
    }
}

SecretPtr Client::log_in(Cancel& cancel) {
    Vault settings;
    {
        std::lock_guard lock(mutex_);
        settings = settings_;
    }
    Value role = settings.role_id;
    if (is_reference(settings.role_id))
        role = open(parse(settings.role_id));
    Map body{{"role_id", role}};
    if (!settings.secret_id.empty())
        body.set("secret_id", opened(settings.secret_id, "secret_id"));
    const std::string path = "auth/" + settings.approle + "/login";
    const Answer answer = ask("POST", path, body, nullptr, cancel);
    if (answer.status != 200)
        refuse(path, answer);
    const Map auth = member(answer.body, "auth");
    const std::string given = auth.text("client_token");
    if (given.empty())
        throw Error("secret.invalid", fmt::format("vault:{}: the answer has no token", path));
    Lease lease;
    lease.renewable = auth.boolean("renewable");
    set_length(lease, auth.integer("lease_duration"));
    SecretPtr secret = make_secret(given, "vault login");
    std::lock_guard lock(mutex_);
    login_ = secret;
    if (lease.length.count() > 0)
        leases_[""] = lease;
    return secret;
}

SecretPtr Client::token(Cancel& cancel) {
    std::string reference;
    {
        std::unique_lock lock(mutex_);
        if (login_) {
            const auto lease = leases_.find("");
            if (lease == leases_.end() || lease->second.ends > Clock::now())
                return login_;
            login_ = nullptr;
        }
        if (!settings_.role_id.empty()) {
            lock.unlock();
            return log_in(cancel);
        }
        reference = settings_.token;
    }
    if (!reference.empty())
        return opened(reference, "token");
    if (!variable("VAULT_TOKEN").empty())
        return open(parse("env:VAULT_TOKEN"));
    const std::string home = variable("HOME") + "/.vault-token";
    std::error_code ignored;
    if (std::filesystem::exists(home, ignored))
        return open(parse("file:" + home));
    throw Error("usage", "vault: no token",
                "set VAULT_TOKEN, run `vault login`, or give token or role_id in [vault] of "
                "runbook.toml");
}

void Client::set_length(Lease& lease, std::int64_t length) {
    lease.length = seconds(length);
    lease.ends = Clock::now() + lease.length;
    lease.renew_at = Clock::now() + milliseconds(length * 1000 * 2 / 3);
}

Fields Client::read(const std::string& path, Cancel& cancel) {
    std::lock_guard one(reading_);
    {
        std::lock_guard lock(mutex_);
        const auto kept = leases_.find(path);
        if (kept != leases_.end() && kept->second.ends > Clock::now() && !path.empty())
            return kept->second.fields;
    }
    const Answer answer = ask("GET", path, {}, token(cancel), cancel);
    if (answer.status != 200)
        refuse(path, answer);
    Map data = member(answer.body, "data");
    if (const Value* inner = data.find("data"); inner && data.contains("metadata")) {
        const Map* fields = inner->get<Map>(); // KV version 2
        if (!fields)
            throw Error("secret.not_found",
                        fmt::format("vault:{}: that version was deleted", path));
        data = Map(*fields);
    }
    if (data.empty())
        throw Error("secret.invalid", fmt::format("vault:{}: the answer has no data", path));
    Fields fields;
    for (const auto& [name, value] : data) {
        const auto* text = value.get<std::string>();
        fields.emplace_back(name, text ? *text : json::dump(value));
    }
    if (const std::string id = answer.body.text("lease_id"); !id.empty()) {
        Lease lease;
        lease.id = id;
        lease.path = path;
        lease.renewable = answer.body.boolean("renewable");
        lease.fields = fields;
        set_length(lease, answer.body.integer("lease_duration"));
        keep(std::move(lease));
    }
    return fields;
}

void Client::keep(Lease lease) {
    std::lock_guard lock(mutex_);
    taken_.push_back({lease.id, lease.path});
    leases_[lease.path] = std::move(lease);
    wake_.notify_all();
    start_renewing();
}

/// The thread is there from the first lease on. Holding the mutex.
void Client::start_renewing() {
    if (users_ > 0 && !leases_.empty() && !thread_.joinable())
        thread_ = std::thread([this] { renew_all(); });
}

void Client::begin_use(std::function<void(const std::string&)> warn) {
    std::lock_guard lock(mutex_);
    warn_ = std::move(warn);
    if (users_++ > 0)
        return;
    stop_ = false;
    start_renewing();
}

void Client::end_use() {
    std::map<std::string, Lease> leases;
    SecretPtr login;
    std::thread ending;
    {
        std::lock_guard lock(mutex_);
        if (--users_ > 0)
            return;
        stop_ = true;
        warn_ = nullptr;
        leases.swap(leases_);
        login.swap(login_);
        ending.swap(thread_);
        wake_.notify_all();
    }
    if (ending.joinable())
        ending.join();
    revoke_all(std::move(leases), std::move(login));
}

void Client::renew_all() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        auto next = Clock::now() + seconds(3600);
        for (const auto& [path, lease] : leases_)
            next = std::min(next, lease.renew_at);
        if (wake_.wait_until(lock, next, [this, next] {
                return stop_ ||
                       std::any_of(leases_.begin(), leases_.end(), [next](const auto& entry) {
                           return entry.second.renew_at < next;
                       });
            }))
            continue;
        for (const auto& [path, kept] : std::map<std::string, Lease>(leases_)) {
            if (stop_ || kept.renew_at > Clock::now())
                continue;
            Lease lease = kept;
            const auto warn = warn_;
            lock.unlock();
            const bool fine = renew(lease);
            const auto left = std::chrono::duration_cast<seconds>(lease.ends - Clock::now());
            if (!fine && !lease.warned && warn)
                warn(fmt::format("vault: {} was not renewed; it ends in {}",
                                 path.empty() ? "the login" : "the lease of " + path,
                                 clock_text(left)));
            lock.lock();
            lease.warned = lease.warned || !fine;
            if (const auto place = leases_.find(path); place != leases_.end() && !stop_)
                place->second = lease;
        }
    }
}

/// Any failure is tried again until the lease ends, each time after a tenth of its length.
bool Client::renew(Lease& lease) {
    Cancel cancel;
    const auto again = std::max<Clock::duration>(lease.length / 10, seconds(1));
    bool fine = false;
    try {
        if (lease.renewable && lease.ends > Clock::now()) {
            const bool login = lease.path.empty();
            const Answer answer =
                login ? ask("POST", "auth/token/renew-self", Map{}, token(cancel), cancel, true)
                      : ask("PUT", "sys/leases/renew",
                            Map{{"lease_id", lease.id}, {"increment", lease.length.count()}},
                            token(cancel), cancel, true);
            const Map& body = answer.body;
            const std::int64_t length = login ? member(body, "auth").integer("lease_duration")
                                              : body.integer("lease_duration");
            if (answer.status == 200 && length > 0) {
                const auto wanted = lease.length;
                set_length(lease, length);
                // near its longest life the server gives less each time: nothing more is to come
                fine = lease.length >= wanted / 2;
                if (fine)
                    return true;
            }
        }
    } catch (const Error&) {
        fine = false;
    }
    lease.renew_at =
        lease.ends > Clock::now() ? Clock::now() + again : Clock::now() + seconds(3600);
    return fine;
}

std::string Client::revoke_one(const std::string& id, SecretPtr login, Clock::time_point give_up,
                               Cancel& cancel) {
    try {
        if (Clock::now() > give_up)
            throw Error("secret.unavailable", "Vault answers too slowly");
        const std::string path = id.empty() ? "auth/token/revoke-self" : "sys/leases/revoke";
        const Answer answer = id.empty() ? ask("POST", path, Map{}, login, cancel, true)
                                         : ask("PUT", path, Map{{"lease_id", id}},
                                               login ? login : token(cancel), cancel, true);
        if (answer.status >= 300)
            refuse(path, answer);
    } catch (const Error& error) {
        return error.message();
    }
    return "";
}

void Client::revoke_all(std::map<std::string, Lease> leases, SecretPtr login) {
    Cancel cancel;
    const auto complain = [](const std::string& what, const std::string& why, const Lease& lease) {
        if (why.empty())
            return;
        const auto left = std::chrono::duration_cast<seconds>(lease.ends - Clock::now());
        fmt::print(stderr, "warning: vault: {} was not revoked: {}; it ends by itself in {}\n",
                   what, redact(why), clock_text(left));
    };
    const auto give_up = Clock::now() + longest_revoking;
    for (const auto& [path, lease] : leases)
        if (!lease.id.empty() && lease.ends >= Clock::now())
            complain("the lease of " + path, revoke_one(lease.id, login, give_up, cancel), lease);
    if (login)
        complain("the login", revoke_one("", login, give_up, cancel), leases[""]);
}

std::vector<Taken> Client::taken() {
    std::lock_guard lock(mutex_);
    return std::exchange(taken_, {});
}

std::vector<std::pair<std::string, std::string>> Client::revoke(const std::vector<std::string>& ids,
                                                                Cancel& cancel) {
    std::vector<std::pair<std::string, std::string>> problems;
    const auto give_up = Clock::now() + longest_revoking;
    for (const std::string& id : ids)
        if (std::string why = revoke_one(id, nullptr, give_up, cancel); !why.empty())
            problems.emplace_back(id, std::move(why));
    return problems;
}

std::vector<Taken> taken_leases() {
    return client().taken();
}

std::vector<std::pair<std::string, std::string>> revoke_leases(const std::vector<std::string>& ids,
                                                               Cancel& cancel) {
    return client().revoke(ids, cancel);
}

Client& client() {
    static auto* const one = new Client;
    return *one;
}

} // namespace runbook::secret
