// copy.follow: internal to bindings/copy*.cpp.
#pragma once

#include "bindings/core/declare.h"

namespace runbook::bindings {

void register_copy_follow(bind::Area& area);

} // namespace runbook::bindings
