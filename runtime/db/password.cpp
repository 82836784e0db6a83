#include "runtime/db/password.h"

#include "runtime/base/redact.h"

#include <cctype>
#include <cstdlib>

namespace runbook::db {

std::string password_variable(std::string_view name) {
    std::string out = "RUNBOOK_";
    for (const char c : name)
        out += std::isalnum(static_cast<unsigned char>(c))
                   ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                   : '_';
    return out + "_PASSWORD";
}

Url parse_named(std::string_view text, const std::string& name) {
    Url url = Url::parse(text, "url:" + name);
    const std::string variable = password_variable(name);
    if (!url.password && url.engine != Engine::sqlite)
        if (const char* password = std::getenv(variable.c_str()); password && *password)
            url.password = make_secret(password, "env:" + variable);
    return url;
}

} // namespace runbook::db
