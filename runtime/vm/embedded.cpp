#include "runtime/vm/embedded.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace runbook {

std::optional<std::string> embedded_text(std::string_view path) {
    if (const char* root = std::getenv("RUNBOOK_LUA_ROOT"); root && *root) {
        std::ifstream file(std::string(root) + "/" + std::string(path), std::ios::binary);
        if (file) {
            std::ostringstream text;
            text << file.rdbuf();
            return text.str();
        }
    }
    for (const EmbeddedFile& file : embedded_files())
        if (file.path == path)
            return std::string(file.text);
    return std::nullopt;
}

} // namespace runbook
