// `runbook test`: one test of a playbook. The real engine runs it, on a journal of its own, in
// virtual time; what would leave the process is answered by the test's fakes. Owns: the Lua state
// that the test file and the runs it starts share (a crash ends the run, not the state, so that the
// world a test keeps in its variables survives it). Loop thread.
#pragma once

#include "runtime/engine/session.h"
#include "runtime/view/view.h"

#include <optional>

namespace runbook::engine {

/// One `test("name", function() … end)` of a file.
struct TestCase {
    std::string name, file;
    int line = 0;
};

/// How a test ended.
struct TestResult {
    bool passed = false;
    std::string message, hint; ///< of a failure; "file:12: …" where its place is known
    std::string traceback;     ///< the playbook's and the test's own frames, one a line
    double seconds = 0;        ///< on the real clock
};

struct Rehearsal final : view::EventSink {
    /// Loads the test file: it declares. Throws Error{`load`} or {`usage`}.
    Rehearsal(RegisterBindings register_bindings, const std::string& file);
    ~Rehearsal() override;

    /// In the order of the file.
    std::vector<TestCase> tests();
    /// Runs the test of that index, from zero; once for each Rehearsal. `journal` is a file that
    /// does not exist yet.
    TestResult run(std::size_t index, const std::string& journal);

    /// For a run: puts the test's hooks into the host library at `host_index`, before the playbook
    /// is loaded.
    void prepare(Session& session, int host_index);
    /// For a run: until its main task has ended. Throws Error{`test.crash`} where the test ends it
    /// as a crash would, and Error{`test.stuck`} where nothing can happen any more. Whatever else
    /// the run has going is over afterwards.
    void drive(const vm::TaskPtr& task);

    void on_event(const journal::Event&) override {}

    std::shared_ptr<vm::State> state;
    /// What the test's Lua asks the host to do meanwhile (start a run, continue one); set by its
    /// host library.
    std::optional<Map> request;
    vm::OperationPtr waiting; ///< completed when the request is done
    bool crashed = false;

  private:
    void load();
    Map perform(const Map& asked);
    void take_back();

    std::unique_ptr<Session> base_; ///< the test file; keeps what the bindings need
    std::string journal_;
    Value roster_;
    vm::TaskPtr test_;
};

} // namespace runbook::engine
