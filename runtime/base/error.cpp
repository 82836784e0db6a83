// Error and its text. Any thread; see error.h.
#include "runtime/base/error.h"

#include <utility>

namespace runbook {

Error::Error(std::string kind, std::string message, std::string hint, std::string sqlstate)
    : kind_(std::move(kind)), message_(std::move(message)), hint_(std::move(hint)),
      sqlstate_(std::move(sqlstate)) {}

} // namespace runbook
