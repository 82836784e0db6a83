// What is written, as text, and how one event is chained to the one before: the same bytes in every
// backend, so that an audit gives the same answer. Any thread, no state.
#pragma once

#include "runtime/journal/journal.h"

namespace runbook::journal {

/// The text that the journal keeps of data: redacted, with secrets as their origin.
std::string stored(const Map& data);
Map restored(const std::string& text);

/// What the first event is chained to: the run's own record.
std::string genesis(const std::string& run, const std::string& playbook, const std::string& file,
                    std::int64_t started, const std::string& pinned);
/// Hash of an event whose data are stored as `data`, after one with the hash `previous`.
std::string link(const std::string& previous, const Event& event, const std::string& data);

} // namespace runbook::journal
