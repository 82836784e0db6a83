// An HTTP/1.1 server over libmicrohttpd: a thread for each connection, because an answer may wait
// for a database. Owns: the listening socket, the connections and their threads. What is answered
// is the handler's affair, which any of these threads calls.
#pragma once

#include "runtime/serve/listen.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace runbook::serve {

struct Request {
    std::string method, path; ///< the path decoded, without its query
    std::string authorization;
    std::function<std::string(const char*)> query; ///< of a name; empty where there is none
};

struct Answer {
    int status = 200;
    std::string type = "text/plain; charset=utf-8", body;
    std::vector<std::pair<std::string, std::string>> headers{};
};

class Server {
  public:
    using Handler = std::function<Answer(const Request&)>;

    /// Answers from here on. Throws Error{`internal`} where the library cannot start.
    Server(Listener& listener, Handler handler);
    /// Takes no more, closes all connections and waits for the answers under way.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace runbook::serve
