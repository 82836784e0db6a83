// Reading a catalogue query row by row, by the names of its columns. One thread; plain helper of
// the catalogue readers.
#pragma once

#include "runtime/base/error.h"
#include "runtime/db/connection.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace runbook::catalog {

/// A row being read; valid only inside the callback.
class Row {
  public:
    Row(const db::Batch& batch, std::size_t row) : batch_(batch), row_(row) {}
    bool is_null(std::string_view name) const { return cell(name).kind == db::Kind::null; }
    std::string text(std::string_view name) const;
    std::optional<std::string> optional_text(std::string_view name) const;
    std::int64_t integer(std::string_view name) const;
    std::optional<std::int64_t> optional_integer(std::string_view name) const;
    bool boolean(std::string_view name) const { return integer(name) != 0; }
    /// Items joined by U+0001 in the query.
    std::vector<std::string> list(std::string_view name) const;

  private:
    db::Cell cell(std::string_view name) const;
    const db::Batch& batch_;
    std::size_t row_;
};

void each_row(db::Connection& connection, std::string_view sql, std::span<const Value> params,
              Cancel& cancel, const std::function<void(const Row&)>& fn);

} // namespace runbook::catalog
