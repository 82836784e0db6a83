// The output of a command on its way to who shows it: by the block, redacted, at its receiver's
// pace.
#include "catch.h"
#include "runtime/base/error.h"
#include "runtime/base/output_sink.h"
#include "runtime/base/redact.h"
#include "runtime/process/process.h"

using namespace runbook;
using process::Command;

namespace {

/// Takes blocks; is behind for as many questions after each of them as `patience`, -1: for ever.
struct Blocks : OutputSink {
    explicit Blocks(int patience = 0) : patience_(patience) {}
    std::string text;
    std::size_t blocks = 0, asked_while_full = 0, unasked = 0, unfinished = 0;

    void report(const ProgressReport&) override {}
    void line(std::string_view, std::string_view) override { ++unasked; }
    void lines(std::string_view, std::string block) override {
        unasked += left_ != 0 ? 1 : 0;
        unfinished += block.ends_with('\n') ? 0 : 1;
        text += block;
        ++blocks;
        left_ = patience_;
    }
    bool full() const override {
        if (left_ == 0)
            return false;
        ++const_cast<Blocks*>(this)->asked_while_full;
        if (left_ > 0)
            --left_;
        return true;
    }

  private:
    int patience_;
    mutable int left_ = 0;
};

process::Result run(Command command, const std::shared_ptr<Blocks>& sink) {
    Cancel cancel;
    command.sink = sink;
    return process::run(command, cancel);
}

} // namespace

TEST_CASE("process output: whole lines by the block, a secret cut by a write is hidden",
          "[process]") {
    make_secret("block-hush-hush", "env:BLOCK");
    auto sink = std::make_shared<Blocks>();
    Command command = process::shell("seq 1 20000; printf 'a block-hu'; sleep 0.05; "
                                     "printf 'sh-hush z\\nlast without end'");
    command.keep_bytes = 100;
    const auto result = run(command, sink);
    std::string expected;
    for (int i = 1; i <= 20000; ++i)
        expected += std::to_string(i) + "\n";
    CHECK(sink->text == expected + "a *** z\nlast without end\n");
    CHECK(sink->unfinished == 0);
    CHECK(sink->unasked == 0);
    CHECK(sink->blocks < 2000);
    CHECK(result.out_bytes == static_cast<std::int64_t>(expected.size() + 36));
}

TEST_CASE("process output: a line without end comes in pieces of whole blocks", "[process]") {
    auto sink = std::make_shared<Blocks>();
    run(process::shell("head -c 300000 /dev/zero | tr '\\0' x"), sink);
    CHECK(sink->unfinished == 0);
    std::size_t letters = 0, longest = 0;
    each_line(sink->text, [&](std::string_view line) {
        letters += line.size();
        longest = std::max(longest, line.size());
    });
    CHECK(letters == 300000);
    CHECK(longest <= 3 * 65536);
}

TEST_CASE("process output: nothing is read while its receiver is behind, and nothing is lost",
          "[process]") {
    auto sink = std::make_shared<Blocks>(2);
    const auto result = run(process::shell("seq 1 60000; seq 1 60000 >&2"), sink);
    CHECK(result.out_bytes + result.err_bytes == static_cast<std::int64_t>(sink->text.size()));
    CHECK(sink->asked_while_full > 0);
}

TEST_CASE("process output: a receiver that is always behind does not keep a command alive",
          "[process]") {
    auto sink = std::make_shared<Blocks>(-1);
    Command command = process::shell("yes");
    command.timeout = std::chrono::seconds(2); // the first block comes long before
    command.grace = std::chrono::milliseconds(200);
    try {
        run(command, sink);
        FAIL("no error was raised");
    } catch (const Error& error) {
        CHECK(error.kind() == "shell.timeout");
    }
    CHECK(sink->asked_while_full > 0);
    CHECK(sink->text.size() < std::size_t{1} << 20);
}
