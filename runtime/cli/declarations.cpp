#include "runtime/cli/declarations.h"

#include "runtime/base/error.h"
#include "runtime/cli/output.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace runbook::cli {

struct Declarations::Impl {
    explicit Impl(const Context& context) : engine(context.register_bindings, silent()) {}
    engine::Engine engine;
    std::unique_ptr<vm::Registry> libraries;
};

Declarations::Declarations(const Context& context) : impl_(std::make_unique<Impl>(context)) {}

Declarations::~Declarations() = default;

const vm::Registry& Declarations::registry() const {
    return impl_->engine.registry();
}

const vm::Registry& Declarations::libraries() const {
    if (!impl_->libraries) {
        impl_->libraries = std::make_unique<vm::Registry>();
        impl_->engine.declare_libraries(*impl_->libraries);
    }
    return *impl_->libraries;
}

void write_file(const std::string& path, const std::string& text) {
    const std::filesystem::path file(path);
    std::error_code problem;
    if (file.has_parent_path())
        std::filesystem::create_directories(file.parent_path(), problem);
    errno = 0;
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    if (!out)
        throw Error("fs", fmt::format("{}: cannot be written: {}", path,
                                      problem ? problem.message() : std::strerror(errno)));
}

} // namespace runbook::cli
