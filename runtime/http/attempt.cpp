// One exchange over libcurl: a multi handle of its own, so that a cancel can wake it.
#include "runtime/http/attempt.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <condition_variable>
#include <cstring>
#include <curl/curl.h>
#include <fmt/format.h>
#include <memory>
#include <mutex>

namespace runbook::http {
namespace {

struct EasyDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiDeleter {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class Exchange {
  public:
    Exchange(const Wire& wire, Cancel& cancel) : wire_(wire), cancel_(cancel) {
        static std::once_flag once;
        std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
        easy_.reset(curl_easy_init());
        multi_.reset(curl_multi_init());
        if (!easy_ || !multi_)
            throw Error("internal", "libcurl could not be started");
        prepare();
    }

    Attempt run() {
        CURLcode code = perform();
        Attempt result;
        long status = 0;
        double elapsed = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(easy_.get(), CURLINFO_TOTAL_TIME, &elapsed);
        if (code != CURLE_OK)
            fail(code);
        char* redirect = nullptr;
        curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_URL, &redirect);
        if (redirect)
            result.redirect = redirect;
        result.response.status = static_cast<int>(status);
        result.response.headers = std::move(headers_);
        result.response.body = std::move(body_);
        result.response.elapsed = elapsed;
        result.response.url = mask_url(wire_.url);
        return result;
    }

  private:
    template <class T>
    void set(CURLoption option, T value) {
        CURLcode code = curl_easy_setopt(easy_.get(), option, value);
        if (code != CURLE_OK)
            throw Error("usage", fmt::format("{}: {}", where(), curl_easy_strerror(code)));
    }

    void prepare() {
        set(CURLOPT_URL, wire_.url.c_str());
        set(CURLOPT_PROTOCOLS_STR, "http,https");
        set(CURLOPT_NOSIGNAL, 1L);
        set(CURLOPT_QUICK_EXIT, 1L); // a cancel does not wait for a name that is being looked up
        set(CURLOPT_USERAGENT, "runbook");
        set(CURLOPT_ACCEPT_ENCODING, "");
        set(CURLOPT_TIMEOUT_MS, static_cast<long>(wire_.timeout.count()));
        set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(wire_.connect_timeout.count()));
        set(CURLOPT_ERRORBUFFER, error_text_);
        set(CURLOPT_WRITEFUNCTION, &Exchange::on_body);
        set(CURLOPT_WRITEDATA, this);
        set(CURLOPT_HEADERFUNCTION, &Exchange::on_header);
        set(CURLOPT_HEADERDATA, this);
        if (wire_.method == "HEAD")
            set(CURLOPT_NOBODY, 1L);
        if (wire_.has_body || wire_.method == "POST") {
            set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(wire_.body.size()));
            set(CURLOPT_POSTFIELDS, wire_.body.c_str());
        }
        set(CURLOPT_CUSTOMREQUEST, wire_.method.c_str());
        curl_slist* list = nullptr;
        for (const auto& header : wire_.headers)
            list = curl_slist_append(list, header.c_str());
        list = curl_slist_append(list, "Expect:"); // no round trip before a body
        list_.reset(list);
        set(CURLOPT_HTTPHEADER, list);
        if (!wire_.user.empty() || !wire_.password.empty()) {
            set(CURLOPT_USERNAME, wire_.user.c_str());
            set(CURLOPT_PASSWORD, wire_.password.c_str());
        }
        prepare_tls();
    }

    void prepare_tls() {
        const Tls& tls = wire_.tls;
        set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
        set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
        if (!tls.ca.empty())
            set(CURLOPT_CAINFO, tls.ca.c_str());
        if (!tls.cert.empty())
            set(CURLOPT_SSLCERT, tls.cert.c_str());
        if (!tls.key.empty())
            set(CURLOPT_SSLKEY, tls.key.c_str());
    }

    CURLcode perform() {
        Cancel::Hook hook(cancel_, [multi = multi_.get()] { curl_multi_wakeup(multi); });
        curl_multi_add_handle(multi_.get(), easy_.get());
        CURLcode code = CURLE_OK;
        int running = 1;
        while (running && !cancel_.requested()) {
            if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) {
                code = CURLE_FAILED_INIT;
                break;
            }
            if (running)
                curl_multi_poll(multi_.get(), nullptr, 0, 60'000, nullptr);
        }
        int left = 0;
        if (CURLMsg* message = curl_multi_info_read(multi_.get(), &left))
            code = message->data.result;
        bool sent = was_sent();
        curl_multi_remove_handle(multi_.get(), easy_.get());
        if (running && cancel_.requested())
            throw_cancelled(sent);
        return code;
    }

    [[noreturn]] void throw_cancelled(bool sent) {
        try {
            cancel_.check(where().c_str());
        } catch (Error& error) {
            error.set_in_doubt(sent && !idempotent(wire_.method));
            throw;
        }
        throw Error("internal", where());
    }

    /// Whether the server may have seen the request.
    bool was_sent() {
        long bytes = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_REQUEST_SIZE, &bytes);
        return bytes > 0;
    }

    std::string where() const { return wire_.method + " " + mask_url(wire_.url); }

    [[noreturn]] void fail(CURLcode code) {
        auto raise = [&](const char* kind, const std::string& what, const char* hint = "") {
            Error error(kind, where() + ": " + what, hint);
            throw error.set_in_doubt(was_sent() && !idempotent(wire_.method));
        };
        long os = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &os);
        std::string detail = error_text_[0] ? error_text_ : curl_easy_strerror(code);
        detail = redact(detail);
        switch (code) {
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
            raise("usage", "not an http or https URL");
            break;
        case CURLE_COULDNT_RESOLVE_HOST:
            raise("http.connection", "the host name does not resolve");
            break;
        case CURLE_COULDNT_CONNECT:
            raise("http.connection",
                  os ? text::lower(std::strerror(static_cast<int>(os))) : detail);
            break;
        case CURLE_GOT_NOTHING:
            raise("http.connection", "the server closed the connection without an answer");
            break;
        case CURLE_PARTIAL_FILE:
            raise("http.connection", "the connection ended in the middle of the body");
            break;
        case CURLE_OPERATION_TIMEDOUT:
            raise("http.timeout", timeout_text());
            break;
        case CURLE_WRITE_ERROR:
            if (too_large_)
                raise("http.status",
                      fmt::format("the body is larger than {}", text::bytes(wire_.max_bytes)),
                      "raise max_bytes");
            break;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_CRL_BADFILE:
        case CURLE_USE_SSL_FAILED:
            raise("http.tls", detail, "check tls.ca, tls.cert and the name in the certificate");
            break;
        default:
            break;
        }
        raise("http.connection", detail);
        throw Error("internal", where());
    }

    std::string timeout_text() {
        double connected = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_CONNECT_TIME, &connected);
        auto limit = wire_.timeout;
        if (connected <= 0 && wire_.connect_timeout.count() > 0)
            limit =
                std::min(limit.count() > 0 ? limit : wire_.connect_timeout, wire_.connect_timeout);
        return fmt::format("no {} within {}", connected > 0 ? "complete answer" : "connection",
                           text::duration(static_cast<double>(limit.count()) / 1000));
    }

    static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self_pointer) {
        auto* self = static_cast<Exchange*>(self_pointer);
        if (self->body_.size() + size > static_cast<std::size_t>(self->wire_.max_bytes)) {
            self->too_large_ = true;
            return 0;
        }
        self->body_.append(data, size);
        return size;
    }

    static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self_pointer) {
        auto* self = static_cast<Exchange*>(self_pointer);
        std::string_view line(data, size);
        if (line.starts_with("HTTP/")) {
            self->headers_.clear(); // an interim 1xx answer came before
            return size;
        }
        std::size_t colon = line.find(':');
        if (colon != std::string_view::npos)
            self->headers_.emplace_back(text::lower(line.substr(0, colon)),
                                        text::trim(line.substr(colon + 1)));
        return size;
    }

    const Wire& wire_;
    Cancel& cancel_;
    std::unique_ptr<CURLM, MultiDeleter> multi_;
    std::unique_ptr<CURL, EasyDeleter> easy_;
    std::unique_ptr<curl_slist, ListDeleter> list_;
    char error_text_[CURL_ERROR_SIZE] = {};
    std::string body_;
    std::vector<std::pair<std::string, std::string>> headers_;
    bool too_large_ = false;
};

} // namespace

bool idempotent(std::string_view method) {
    return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
           method == "OPTIONS";
}

Attempt attempt(const Wire& wire, Cancel& cancel) {
    cancel.check((wire.method + " " + mask_url(wire.url)).c_str());
    return Exchange(wire, cancel).run();
}

void pause(std::chrono::milliseconds duration, Cancel& cancel, const std::string& what) {
    std::mutex mutex;
    std::condition_variable woken;
    bool cancelled = false;
    {
        Cancel::Hook hook(cancel, [&] {
            std::lock_guard lock(mutex);
            cancelled = true;
            woken.notify_all();
        });
        std::unique_lock lock(mutex);
        woken.wait_for(lock, duration, [&] { return cancelled; });
    }
    cancel.check(what.c_str());
}

} // namespace runbook::http
