// What lives behind the prompt: one Lua state, the connections, what was done.
// Owns: State, Registry and the database handles. Loop thread; statements run on each connection's
// worker. Never writes to the terminal: text goes through `output`.
#pragma once

#include "runtime/db/handle.h"
#include "runtime/engine/engine.h"
#include "runtime/repl/table.h"
#include "runtime/vm/registry.h"
#include "runtime/vm/state.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runbook::repl {

struct Connection {
    std::string name, url; ///< the URL as given, password included: never shown
    std::shared_ptr<db::Handle> handle;
    db::ServerInfo server;
    bool read_write = false;
    std::vector<std::string> names; ///< tables and columns, for completion; read on first use
    bool names_read = false;
};

/// What a statement gave.
struct Outcome {
    bool has_rows = false;
    Grid grid;
    bool more = false; ///< rows were left out
    db::Executed executed;
    double seconds = 0;
};

/// A line that succeeded, for :export.
struct Done {
    bool sql = false;
    std::string connection, text;
    bool rows = false;
};

class Session {
  public:
    static constexpr std::size_t most_rows = 1000;
    using Output = std::function<void(std::string_view)>;

    Session(engine::RegisterBindings register_bindings, Output output);
    ~Session();

    /// Opens a session under `name`, a Lua global from then on, and makes it current. Throws
    /// Error{`usage`} for a name that is no Lua name or that means something else, and what
    /// db.connect raises.
    void connect(const std::string& name, const std::string& url, bool read_write);
    /// Throws Error{`usage`} where there is none; the nearest is named.
    void use(const std::string& name);
    /// Reopens the current connection with other rights. What was open in it is gone.
    void set_read_write(bool read_write);
    /// Null while there is none.
    Connection* current();
    const std::vector<std::unique_ptr<Connection>>& connections() const { return connections_; }

    /// One statement on the current connection; throws Error{`usage`} without one.
    Outcome sql(const std::string& statement, const std::vector<Value>& params = {});
    /// Whether `text` is the beginning of something longer.
    bool lua_incomplete(const std::string& text) const;
    /// Whether `text` can stand in a function as it is (an expression alone cannot).
    bool is_statement(const std::string& text) const;
    /// Runs a line: an expression's values, or nothing for a statement. Throws Error.
    std::vector<Value> lua(const std::string& text, const std::string& name = "prompt");
    /// Cancels what runs now, in the server too. Loop thread.
    void interrupt();
    bool interrupted() const { return interrupted_; }
    /// The stack of the last error in Lua, once: empty where it had none.
    std::string take_trace() { return std::exchange(trace_, {}); }

    /// Tables and columns of the current connection.
    const std::vector<std::string>& database_names();
    const vm::Registry& registry() const { return registry_; }
    /// Globals made at the prompt.
    std::vector<std::string> globals() const;
    std::vector<Done>& done() { return done_; }

  private:
    struct Running;
    void run_task(const vm::TaskPtr& task);
    vm::TaskPtr spawn(int arguments);
    void on_worker(const std::shared_ptr<db::Handle>& handle, const std::string& name,
                   std::function<void(Cancel&)> work);
    void publish(const Connection& connection);
    bool compile(const std::string& text, const std::string& name) const;

    vm::Registry registry_; // outlives the state: its functions point into it
    std::unique_ptr<vm::State> state_;
    std::vector<std::unique_ptr<Connection>> connections_;
    Connection* current_ = nullptr;
    vm::TaskPtr running_;
    bool interrupted_ = false;
    std::string trace_;
    std::vector<Done> done_;
};

} // namespace runbook::repl
