// One exchange over libcurl, on the hub's thread.
#include "runtime/http/attempt.h"

#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/http/hub.h"

#include <cstdio>
#include <cstring>
#include <curl/curl.h>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>

namespace runbook::http {
namespace {

struct EasyDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MimeDeleter {
    void operator()(curl_mime* mime) const { curl_mime_free(mime); }
};
struct FileDeleter {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
struct ListDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class Exchange {
  public:
    Exchange(const Wire& wire, Cancel& cancel) : wire_(wire), cancel_(cancel) {
        easy_.reset(curl_easy_init());
        if (!easy_)
            throw Error("internal", "libcurl could not be started");
        prepare();
    }

    ~Exchange() { *alive_ = nullptr; }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    // awaited: starts the transfer, and goes on when it has ended or was cancelled
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
        waiter_ = waiter;
        Hub::one().add(easy_.get(), &done_);
        running_ = true;
        hook_.emplace(cancel_, [alive = alive_] {
            Hub::one().post([alive] {
                if (Exchange* self = *alive)
                    self->abort();
            });
        });
    }
    std::unique_ptr<Attempt> await_resume() {
        hook_.reset();
        if (aborted_)
            throw_cancelled();
        return result(code_);
    }

  private:
    /// A cancel, or the end of the transfer, whichever came first.
    void abort() {
        if (!running_)
            return;
        sent_ = was_sent();
        running_ = false;
        aborted_ = true;
        Hub::one().remove(easy_.get());
        waiter_.resume();
    }

    void ended(CURLcode code) {
        running_ = false;
        code_ = code;
        waiter_.resume();
    }

    std::unique_ptr<Attempt> result(CURLcode code) {
        auto made = std::make_unique<Attempt>();
        Attempt& result = *made;
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
        return made;
    }

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
        set(CURLOPT_FRESH_CONNECT, 1L); // on a connection that had died, curl sends a second time
        set(CURLOPT_FORBID_REUSE, 1L);
        if (wire_.sink)
            set(CURLOPT_BUFFERSIZE, 128L * 1024);
        else
            set(CURLOPT_BUFFERSIZE, 1024L); // of each of thousands that wait
        if (!wire_.sink)
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
        if (!wire_.parts.empty()) {
            prepare_parts();
        } else if (!wire_.upload.empty()) {
            prepare_upload();
        } else if (wire_.has_body || wire_.method == "POST") {
            set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(wire_.body.size()));
            set(CURLOPT_POSTFIELDS, wire_.body.c_str());
        }
        const bool sends = wire_.method != "GET" || wire_.has_body || !wire_.upload.empty() ||
                           !wire_.parts.empty();
        if (sends)
            set(CURLOPT_CUSTOMREQUEST, wire_.method.c_str());
        curl_slist* list = nullptr;
        for (const auto& header : wire_.headers)
            list = curl_slist_append(list, header.c_str());
        if (sends)
            list = curl_slist_append(list, "Expect:"); // no round trip before a body
        list_.reset(list);
        if (list)
            set(CURLOPT_HTTPHEADER, list);
        if (!wire_.user.empty() || !wire_.password.empty()) {
            set(CURLOPT_USERNAME, wire_.user.c_str());
            set(CURLOPT_PASSWORD, wire_.password.c_str());
        }
        prepare_proxy();
        prepare_tls();
    }

    void prepare_proxy() {
        if (!wire_.proxy || wire_.proxy->url.empty())
            return;
        if (wire_.proxy->url == "none") {
            set(CURLOPT_PROXY, "");
            return;
        }
        set(CURLOPT_PROXY, wire_.proxy->url.c_str());
        if (!wire_.proxy_user.empty())
            set(CURLOPT_PROXYUSERNAME, wire_.proxy_user.c_str());
        if (!wire_.proxy_password.empty())
            set(CURLOPT_PROXYPASSWORD, wire_.proxy_password.c_str());
    }

    [[noreturn]] void fail_file(const std::string& path) {
        throw Error("fs",
                    fmt::format("{}: {}: {}", where(), path, text::lower(std::strerror(errno))));
    }

    void prepare_parts() {
        mime_.reset(curl_mime_init(easy_.get()));
        for (const Part& part : wire_.parts) {
            curl_mimepart* one = curl_mime_addpart(mime_.get());
            curl_mime_name(one, part.name.c_str());
            if (part.file.empty()) {
                const std::string& text = *part.value.get<std::string>();
                curl_mime_data(one, text.data(), text.size());
            } else {
                if (std::unique_ptr<std::FILE, FileDeleter> file{
                        std::fopen(part.file.c_str(), "rbe")};
                    !file || curl_mime_filedata(one, part.file.c_str()) != CURLE_OK)
                    fail_file(part.file);
                if (!part.filename.empty())
                    curl_mime_filename(one, part.filename.c_str());
            }
            if (!part.type.empty())
                curl_mime_type(one, part.type.c_str());
        }
        set(CURLOPT_MIMEPOST, mime_.get());
    }

    void prepare_upload() {
        upload_.reset(std::fopen(wire_.upload.c_str(), "rbe"));
        struct stat about {};
        if (!upload_ || ::fstat(::fileno(upload_.get()), &about) != 0)
            fail_file(wire_.upload);
        if (!S_ISREG(about.st_mode)) {
            errno = EISDIR;
            fail_file(wire_.upload);
        }
        set(CURLOPT_UPLOAD, 1L);
        set(CURLOPT_READDATA, upload_.get());
        set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(about.st_size));
    }

    void prepare_tls() {
        const Tls& tls = *wire_.tls;
        set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
        set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
        if (!tls.ca.empty())
            set(CURLOPT_CAINFO, tls.ca.c_str());
        if (!tls.cert.empty())
            set(CURLOPT_SSLCERT, tls.cert.c_str());
        if (!tls.key.empty())
            set(CURLOPT_SSLKEY, tls.key.c_str());
    }

    [[noreturn]] void throw_cancelled() {
        try {
            cancel_.check(where().c_str());
        } catch (Error& error) {
            error.set_in_doubt(sent_ && !idempotent(wire_.method));
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
        if (self->wire_.sink) {
            long status = 0;
            curl_easy_getinfo(self->easy_.get(), CURLINFO_RESPONSE_CODE, &status);
            if (status >= 200 && status < 300)
                return self->wire_.sink(static_cast<int>(status), {data, size}) ? size : 0;
        }
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
    std::coroutine_handle<> waiter_;
    std::function<void(int)> done_ = [this](int code) { ended(static_cast<CURLcode>(code)); };
    std::shared_ptr<Exchange*> alive_ = std::make_shared<Exchange*>(this);
    std::optional<Cancel::Hook> hook_;
    CURLcode code_ = CURLE_OK;
    bool running_ = false, aborted_ = false, sent_ = false;
    std::unique_ptr<std::FILE, FileDeleter> upload_;
    std::unique_ptr<CURL, EasyDeleter> easy_;
    std::unique_ptr<curl_mime, MimeDeleter> mime_; ///< before the handle it belongs to
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

Task<std::unique_ptr<Attempt>> attempt(const Wire& wire, Cancel& cancel) {
    cancel.check((wire.method + " " + mask_url(wire.url)).c_str());
    Exchange exchange(wire, cancel);
    co_return co_await exchange;
}

namespace {

/// Awaited: goes on when the time is over or at a cancel.
class Pause {
  public:
    Pause(std::chrono::milliseconds duration, Cancel& cancel)
        : duration_(duration), cancel_(cancel) {}
    ~Pause() { *alive_ = nullptr; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
        waiter_ = waiter;
        timer_ = Hub::one().after(duration_, [this] {
            timer_ = 0;
            waiter_.resume();
        });
        hook_.emplace(cancel_, [alive = alive_] {
            Hub::one().post([alive] {
                Pause* self = *alive;
                if (!self || self->timer_ == 0)
                    return;
                Hub::one().drop(std::exchange(self->timer_, 0));
                self->waiter_.resume();
            });
        });
    }
    void await_resume() { hook_.reset(); }

  private:
    std::chrono::milliseconds duration_;
    Cancel& cancel_;
    std::coroutine_handle<> waiter_;
    std::uint64_t timer_ = 0;
    std::shared_ptr<Pause*> alive_ = std::make_shared<Pause*>(this);
    std::optional<Cancel::Hook> hook_;
};

} // namespace

Task<> pause(std::chrono::milliseconds duration, Cancel& cancel, std::string what) {
    Pause wait(duration, cancel);
    co_await wait;
    cancel.check(what.c_str());
    co_return Nothing{};
}

} // namespace runbook::http
