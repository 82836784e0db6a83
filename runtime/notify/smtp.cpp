// Mail over SMTP, through libcurl: text and HTML, STARTTLS unless something else is said. The
// Message-ID comes from the message's key, so that a mail that was sent twice is one for whoever
// looks at it; what follows the first mail of a run answers it.
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/markup.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/notify/post.h"

#include <curl/curl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace runbook::notify {
namespace {

/// A list of libcurl's; freed with it.
class Lines {
  public:
    Lines() = default;
    ~Lines() { curl_slist_free_all(list_); }
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;
    void add(const std::string& line) { list_ = curl_slist_append(list_, line.c_str()); }
    curl_slist* get() const { return list_; }
    curl_slist* release() { return std::exchange(list_, nullptr); }

  private:
    curl_slist* list_ = nullptr;
};

bool is_plain(const std::string& text) {
    for (char c : text)
        if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~')
            return false;
    return true;
}

/// A header's text, as encoded words of RFC 2047 where it needs them.
std::string header_text(std::string text) {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    if (is_plain(text) && text.size() <= 200 && text.find("=?") == std::string::npos)
        return text;
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = std::min(at + 42, text.size());
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
            --end;
        out += fmt::format("{}=?UTF-8?B?{}?=", out.empty() ? "" : "\r\n ",
                           digest::base64(text.substr(at, end - at)));
        at = end;
    }
    return out;
}

std::string html(const Message& message) {
    const char* colour = message.level == Level::info      ? "#2e7d32"
                         : message.level == Level::warning ? "#b26a00"
                                                           : "#c62828";
    std::string body;
    for (const std::string& line : text::split(message.text, '\n'))
        body += markup::escaped(line, ' ') + "<br>\r\n";
    return fmt::format(
        "<!DOCTYPE html>\r\n<html><body style=\"font-family: sans-serif\">\r\n{}"
        "<p style=\"border-left: 4px solid {}; padding-left: 12px\">\r\n{}</p>\r\n"
        "{}</body></html>\r\n",
        message.title.empty() ? "" : "<h2>" + markup::escaped(message.title, ' ') + "</h2>\r\n",
        colour, body,
        message.run.empty()
            ? ""
            : "<p style=\"color: #777\">run " + markup::escaped(message.run, ' ') + "</p>\r\n");
}

std::string with_crlf(const std::string& text) {
    std::string out;
    for (char c : text)
        if (c != '\r')
            out += c == '\n' ? std::string("\r\n") : std::string(1, c);
    return out + "\r\n";
}

class Mail {
  public:
    Mail(const Channel& channel, const Message& message, Cancel& cancel)
        : channel_(channel), cancel_(cancel), easy_(curl_easy_init()),
          text_(with_crlf(message.text)), html_(html(message)) {
        if (!easy_)
            throw Error("internal", "libcurl could not be started");
        const std::string at = channel.from.substr(channel.from.rfind('@') + 1);
        id_ = fmt::format("<{}.runbook@{}>",
                          digest::sha256_hex(message.key + '\0' + channel.name).substr(0, 32),
                          at.substr(0, at.find('>')));
        headers(message);
        connection();
        body();
    }
    ~Mail() {
        curl_mime_free(mime_);
        curl_easy_cleanup(easy_);
    }
    Mail(const Mail&) = delete;
    Mail& operator=(const Mail&) = delete;

    const std::string& id() const { return id_; }

    /// Returns what the server said to it.
    std::string send() {
        const CURLcode code = curl_easy_perform(easy_);
        cancel_.check("notify");
        if (code != CURLE_OK)
            fail(code);
        return accepted_;
    }

  private:
    template <class T>
    void set(CURLoption option, T value) {
        if (curl_easy_setopt(easy_, option, value) != CURLE_OK)
            throw Error("notify.refused", "libcurl cannot send mail here");
    }

    static std::string address(const std::string& text) {
        const std::size_t open = text.rfind('<');
        return open == std::string::npos ? text
                                         : text.substr(open + 1, text.find('>', open) - open - 1);
    }

    void headers(const Message& message) {
        const std::time_t now = time::now_micros() / 1'000'000;
        std::tm parts{};
        ::gmtime_r(&now, &parts);
        headers_.add(fmt::format("Date: {:%a, %d %b %Y %H:%M:%S +0000}", parts));
        const std::size_t open = channel_.from.rfind('<');
        headers_.add("From: " + (open == std::string::npos
                                     ? channel_.from
                                     : header_text(text::trim(channel_.from.substr(0, open))) +
                                           " <" + address(channel_.from) + ">"));
        headers_.add("To: " + text::join(channel_.to, ",\r\n "));
        const std::string subject =
            message.title.empty() ? message.text.substr(0, message.text.find('\n')) : message.title;
        headers_.add("Subject: " + header_text(cut(subject, 250)));
        headers_.add("Message-ID: " + id_);
        if (channel_.threads && !message.thread.empty()) {
            headers_.add("In-Reply-To: " + message.thread);
            headers_.add("References: " + message.thread);
        }
        headers_.add("Auto-Submitted: auto-generated");
        headers_.add(fmt::format("X-Runbook-Level: {}", name_of(message.level)));
        set(CURLOPT_HTTPHEADER, headers_.get());
        set(CURLOPT_MAIL_FROM, address(channel_.from).c_str());
        for (const std::string& to : channel_.to)
            recipients_.add(to);
        set(CURLOPT_MAIL_RCPT, recipients_.get());
    }

    void connection() {
        const bool tls = channel_.security == "tls";
        const int port = channel_.port ? channel_.port : tls ? 465 : 587;
        set(CURLOPT_URL,
            fmt::format("{}://{}:{}", tls ? "smtps" : "smtp", channel_.place, port).c_str());
        set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
        set(CURLOPT_PROXY, "");
        set(CURLOPT_NOSIGNAL, 1L);
        set(CURLOPT_FRESH_CONNECT, 1L);
        set(CURLOPT_TIMEOUT_MS, static_cast<long>(channel_.timeout.count()));
        set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(channel_.timeout.count()));
        set(CURLOPT_USE_SSL,
            static_cast<long>(channel_.security == "none" ? CURLUSESSL_NONE : CURLUSESSL_ALL));
        set(CURLOPT_SSL_VERIFYPEER, 1L);
        set(CURLOPT_SSL_VERIFYHOST, 2L);
        if (!channel_.tls.ca.empty())
            set(CURLOPT_CAINFO, channel_.tls.ca.c_str());
        if (!channel_.user.empty()) {
            set(CURLOPT_USERNAME, channel_.user.c_str());
            set(CURLOPT_PASSWORD, open_value(channel_.password).c_str());
        }
        set(CURLOPT_ERRORBUFFER, error_text_);
        set(CURLOPT_HEADERFUNCTION, &Mail::on_answer);
        set(CURLOPT_HEADERDATA, this);
        set(CURLOPT_NOPROGRESS, 0L);
        set(CURLOPT_XFERINFOFUNCTION, &Mail::on_progress);
        set(CURLOPT_XFERINFODATA, this);
    }

    void body() {
        mime_ = curl_mime_init(easy_);
        curl_mime* both = curl_mime_init(easy_);
        for (const auto& [text, type] : {std::pair{&text_, "text/plain; charset=utf-8"},
                                         std::pair{&html_, "text/html; charset=utf-8"}}) {
            curl_mimepart* part = curl_mime_addpart(both);
            curl_mime_data(part, text->data(), text->size());
            curl_mime_type(part, type);
            curl_mime_encoder(part, "quoted-printable");
        }
        curl_mimepart* part = curl_mime_addpart(mime_);
        curl_mime_subparts(part, both);
        curl_mime_type(part, "multipart/alternative");
        Lines shown;
        shown.add("Content-Disposition: inline");
        curl_mime_headers(part, shown.release(), 1);
        set(CURLOPT_MIMEPOST, mime_);
    }

    [[noreturn]] void fail(CURLcode code) {
        const std::string where = fmt::format("mail server {}", channel_.place);
        const std::string entry = fmt::format("channels.{} in runbook.toml", channel_.name);
        long status = 0;
        curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
        const std::string detail =
            redact(std::string(error_text_[0] ? error_text_ : curl_easy_strerror(code)));
        const std::string said = cut(redact(last_), 200);
        switch (code) {
        case CURLE_LOGIN_DENIED:
            throw Error(status / 100 == 4 ? "notify.unavailable" : "notify.refused",
                        fmt::format("{} does not accept the login ({})", where, said),
                        "check user and password of " + entry);
        case CURLE_USE_SSL_FAILED:
            throw Error("notify.refused", where + " offers no STARTTLS: nothing was sent",
                        "security = \"tls\" is for port 465; \"none\" sends it unencrypted");
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
            throw Error("notify.refused", where + ": " + detail, "check host and ca of " + entry);
        case CURLE_OPERATION_TIMEDOUT:
            throw Error(
                "notify.unavailable",
                fmt::format("{}: no complete answer within {}", where,
                            text::duration(static_cast<double>(channel_.timeout.count()) / 1000)));
        default:
            break;
        }
        if (status >= 500)
            throw Error("notify.refused", fmt::format("{} answered {}", where, said),
                        "check from and to of " + entry);
        throw Error("notify.unavailable", status >= 400 ? fmt::format("{} answered {}", where, said)
                                                        : where + ": " + detail);
    }

    static std::size_t on_answer(char* data, std::size_t, std::size_t size, void* self) {
        auto* mail = static_cast<Mail*>(self);
        const std::string line = text::trim(std::string_view(data, size));
        if (!line.starts_with("221")) // its good-bye
            mail->last_ = line;
        if (line.starts_with("250"))
            mail->accepted_ = line;
        return size;
    }

    static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
        return static_cast<Mail*>(self)->cancel_.requested() ? 1 : 0;
    }

    const Channel& channel_;
    Cancel& cancel_;
    CURL* easy_;
    curl_mime* mime_ = nullptr;
    Lines headers_, recipients_;
    std::string text_, html_, id_, last_, accepted_;
    char error_text_[CURL_ERROR_SIZE] = {};
};

class Smtp final : public Sender {
  public:
    explicit Smtp(Channel channel) : channel_(std::move(channel)) {}

    Receipt send(const Message& message, Cancel& cancel) override {
        cancel.check("notify");
        Mail mail(channel_, message, cancel);
        const std::string answer = mail.send();
        return {.text = answer.empty() ? mail.id() : cut(answer, 200),
                .thread = message.thread.empty() ? mail.id() : message.thread};
    }

  private:
    Channel channel_;
};

} // namespace

std::unique_ptr<Sender> make_smtp(const Channel& channel) {
    return std::make_unique<Smtp>(channel);
}

} // namespace runbook::notify
