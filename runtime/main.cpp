// The entry: the only place that knows both the command line and the bindings.
#include "bindings/register_all.h"
#include "runtime/cli/cli.h"

int main(int argc, char** argv) {
    return runbook::cli::run(argc, argv, runbook::bindings::register_all);
}
