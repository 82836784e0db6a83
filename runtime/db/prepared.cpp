// Which statements a session has prepared, whatever its engine. Runs on the connection's thread.
#include "runtime/db/prepared.h"

#include "runtime/db/detail.h"

#include <algorithm>

namespace runbook::db {
namespace {

PreparingConnection& preparing(Connection& connection) {
    return dynamic_cast<PreparingConnection&>(connection);
}

} // namespace

Prepared& prepare(Connection& connection, std::string_view sql, Cancel& cancel) {
    return preparing(connection).prepare(sql, cancel);
}

void unprepare(Connection& connection, Prepared& prepared) noexcept {
    preparing(connection).unprepare(prepared);
}

Prepared& PreparingConnection::prepare(std::string_view sql, Cancel& cancel) {
    std::unique_ptr<Prepared> made = make_prepared(sql, cancel);
    closing_.clear();
    return *prepared_.emplace_back(std::move(made));
}

void PreparingConnection::unprepare(Prepared& prepared) noexcept {
    auto at = std::find_if(prepared_.begin(), prepared_.end(),
                           [&](const auto& one) { return one.get() == &prepared; });
    if (at == prepared_.end())
        return;
    closing_.push_back(std::move(*at));
    prepared_.erase(at);
    if (can_unprepare())
        closing_.clear();
}

void PreparingConnection::forget_prepared() noexcept {
    prepared_.clear();
    closing_.clear();
}

} // namespace runbook::db
