// Receiving and applying (see follower.h). Nothing is confirmed to the source that the ledger in
// the target does not say: what the target has lost, the source still has.
#include "runtime/transfer/follow/follower.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace runbook::follow {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t batch_changes = 2000;   ///< sent to the target at once
constexpr std::size_t batch_bytes = 2 << 20;  ///< the same
constexpr std::int64_t commit_changes = 5000; ///< of small transactions, in one of the target
constexpr auto commit_after = 250ms;          ///< what waits longest for others to join it
constexpr auto idle_wait = 20ms;              ///< until the stream counts as idle
constexpr auto confirm_every = 1s, guard_every = 5s;
constexpr auto tell_every = 250ms;
constexpr auto idle_advance = 5s; ///< the ledger follows a log without changes that often
constexpr Lsn idle_bytes = 16 << 20;

} // namespace

void check_wal(db::Connection& source, db::Connection& target, const std::string& slot,
               const Wal& wal, const Options& options, Cancel& cancel) {
    bool gone = !wal.there || wal.status == "lost";
    if (!gone && (options.max_wal <= 0 || wal.kept <= options.max_wal))
        return;
    Ledger ledger(target);
    if (ledger.read(cancel).state != "absent")
        ledger.set_state("lost", cancel);
    if (gone)
        throw Error("follow.lost",
                    fmt::format("{}: the slot {} {}", source.url().masked(), slot,
                                wal.there ? "is lost: it kept more of the log than "
                                            "max_slot_wal_keep_size allows"
                                          : "is not there any more"),
                    "what was written since cannot be had: copy anew");
    drop_all(source, slot, cancel);
    throw Error("follow.wal_limit",
                fmt::format("{}: the slot {} made the server keep {} of its log, more than {}",
                            source.url().masked(), slot, text::bytes(wal.kept),
                            text::bytes(options.max_wal)),
                "slot and publication were dropped before the disk fills; copy anew, with a target "
                "that keeps up, or raise max_wal");
}

Follower::Follower(const db::Url& source, const db::Url& target, const Options& options,
                   const std::function<void(const Status&)>& told, const ProgressPtr& progress,
                   Cancel& cancel)
    : options_(options), told_(told), progress_(progress), cancel_(cancel),
      applier_(target, cancel), source_(open_source(source, cancel)) {
    Ledger ledger(applier_.connection());
    ledger_ = ledger.read(cancel);
    if (ledger_.state != "following")
        throw Error(ledger_.state == "lost" ? "follow.lost" : "follow.refused",
                    fmt::format("{}: nothing is followed into it (state {})", target.masked(),
                                ledger_.state),
                    "copy.follow begins with a copy");
    tables_ = ledger.tables(cancel);
    for (const Table& table : tables_) {
        by_name_[table.full_name()] = &table;
        for (const std::string& leaf : table.leaves)
            by_name_[leaf] = &table;
    }
    wal_ = wal_of(*source_, ledger_.slot, cancel);
    check_wal(*source_, applier_.connection(), ledger_.slot, wal_, options_, cancel);
    if (wal_.confirmed > ledger_.applied)
        throw Error("follow.lost",
                    fmt::format("{}: it stands at {}, but the source was told {}: it has lost what "
                                "it had committed",
                                target.masked(), lsn_text(ledger_.applied),
                                lsn_text(wal_.confirmed)),
                    "copy anew; a target that is followed into must not be restored or lose "
                    "commits");
    received_ = ledger_.applied;
    received_micros_ = ledger_.micros;
    stream_ = std::make_unique<Stream>(source, cancel);
    stream_->start(ledger_.slot, ledger_.slot, ledger_.applied, cancel);
    committed_at_ = confirmed_at_ = guarded_at_ = told_at_ = asked_at_ = Clock::now();
}

Follower::~Follower() {
    applier_.roll_back();
}

std::shared_ptr<const Bound> Follower::bound_of(std::uint32_t relation) const {
    auto found = bound_.find(relation);
    if (found == bound_.end())
        throw Error("internal", "the change stream names a table that it has not described");
    return found->second;
}

void Follower::take_relation(const pgoutput::Relation& relation) {
    std::string name = relation.schema + "." + relation.name;
    auto found = by_name_.find(name);
    if (found == by_name_.end()) {
        // A partition that was made since.
        auto root = root_of(*source_, relation.id, cancel_);
        found = root ? by_name_.find(*root) : by_name_.end();
        if (found == by_name_.end())
            throw Error("follow.schema",
                        fmt::format("{} was not copied: it was made, or renamed, since", name),
                        "a change of the schema is not followed: stop following and copy anew");
    }
    auto bound = std::make_shared<Bound>(bind(*found->second, relation));
    bound_[relation.id] = bound;
}

void Follower::take_truncate(const pgoutput::Truncate& truncate) {
    std::map<const Table*, std::set<std::string>> leaves;
    std::vector<std::shared_ptr<const Bound>> whole;
    for (std::uint32_t relation : truncate.relations) {
        auto bound = bound_of(relation);
        std::set<std::string>& emptied = leaves[bound->table];
        const bool once = bound->leaf.empty() || emptied.empty();
        if (!bound->leaf.empty())
            emptied.insert(bound->leaf);
        if (once)
            whole.push_back(bound);
    }
    for (const auto& bound : whole) {
        const Table& table = *bound->table;
        if (!bound->leaf.empty() &&
            !std::all_of(table.leaves.begin(), table.leaves.end(),
                         [&](const std::string& leaf) { return leaves[&table].contains(leaf); }))
            throw Error("follow.schema",
                        fmt::format("{}: TRUNCATE of its partition {} alone, committed at {}",
                                    table.full_name(), bound->leaf, lsn_text(committing_)),
                        "the partitions are one table in the target, which cannot tell their rows "
                        "apart: stop following and copy anew");
        Change change;
        change.kind = Change::Kind::empty;
        change.bound = bound;
        add(std::move(change));
    }
}

void Follower::add(Change change) {
    if (committing_ == 0)
        throw Error("internal", "a change outside of a transaction in the change stream");
    if (changes_.empty() && changed_ == 0)
        first_ = Clock::now();
    change.lsn = committing_;
    ++inside_;
    bytes_ += change.bytes();
    changes_.push_back(std::move(change));
    if (changes_.size() >= batch_changes || bytes_ >= batch_bytes)
        flush();
}

void Follower::flush() {
    changed_ += static_cast<std::int64_t>(changes_.size());
    bytes_ = 0;
    applier_.apply(changes_, *source_, cancel_);
}

void Follower::take(const pgoutput::Message& message) {
    using namespace pgoutput;
    if (const auto* begin = std::get_if<Begin>(&message)) {
        committing_ = begin->final_lsn;
    } else if (const auto* commit = std::get_if<Commit>(&message)) {
        committing_ = 0;
        transactions_ += inside_ > 0 ? 1 : 0;
        inside_ = 0;
        received_ = commit->end;
        received_micros_ = commit->micros;
    } else if (const auto* relation = std::get_if<Relation>(&message)) {
        take_relation(*relation);
    } else if (const auto* insert = std::get_if<Insert>(&message)) {
        Change change;
        change.bound = bound_of(insert->relation);
        change.row = take_row(*change.bound, insert->row);
        add(std::move(change));
    } else if (const auto* update = std::get_if<Update>(&message)) {
        Change change;
        change.kind = Change::Kind::update;
        change.bound = bound_of(update->relation);
        change.row = take_row(*change.bound, update->row);
        change.has_old = update->old_kind != 0;
        if (change.has_old)
            change.old = take_row(*change.bound, update->old);
        // A value that was left out is in the whole old row; only what computes with it needs it.
        if (update->old_kind == 'O' && change.bound->table->has_expressions())
            for (std::size_t i = 0; i < change.row.size(); ++i)
                if (change.row[i].kind == Datum::Kind::absent)
                    change.row[i] = change.old[i];
        add(std::move(change));
    } else if (const auto* gone = std::get_if<pgoutput::Delete>(&message)) {
        Change change;
        change.kind = Change::Kind::remove;
        change.bound = bound_of(gone->relation);
        change.has_old = true;
        change.old = take_row(*change.bound, gone->old);
        add(std::move(change));
    } else if (const auto* truncate = std::get_if<Truncate>(&message)) {
        take_truncate(*truncate);
    }
}

void Follower::commit(Lsn to, std::int64_t micros) {
    flush();
    applier_.commit(ledger_.applied, to, transactions_, changed_, micros, cancel_);
    ledger_.applied = to;
    ledger_.micros = micros;
    ledger_.transactions += transactions_;
    ledger_.changes += changed_;
    transactions_ = changed_ = 0;
    committed_at_ = Clock::now();
}

void Follower::commit_if_due(bool idle) {
    if (committing_ != 0)
        return;
    bool work = changed_ > 0 || !changes_.empty();
    if (work) {
        if (idle || Clock::now() - first_ >= commit_after ||
            changed_ + static_cast<std::int64_t>(changes_.size()) >= commit_changes)
            commit(received_, received_micros_);
        return;
    }
    // Nothing for the target in all this: the ledger follows now and then, so that the source can
    // throw its log away.
    if (received_ > ledger_.applied &&
        (received_ - ledger_.applied >= idle_bytes || Clock::now() - committed_at_ >= idle_advance))
        commit(received_, received_micros_);
}

void Follower::guard_wal() {
    guarded_at_ = Clock::now();
    wal_ = wal_of(*source_, ledger_.slot, cancel_);
    if (options_.max_wal > 0 && wal_.kept > options_.max_wal)
        stream_.reset();
    check_wal(*source_, applier_.connection(), ledger_.slot, wal_, options_, cancel_);
}

Status Follower::status() {
    Status out;
    out.state = ledger_.state;
    out.slot = ledger_.slot;
    out.applied = ledger_.applied;
    out.source = std::max(stream_ ? stream_->server_lsn() : 0, wal_.now);
    bool all = committing_ == 0 && changed_ == 0 && changes_.empty() && stream_ &&
               stream_->server_lsn() <= received_;
    out.lag_bytes =
        all || out.source <= out.applied ? 0 : static_cast<std::int64_t>(out.source - out.applied);
    std::int64_t now = stream_ ? stream_->server_micros() : wal_.micros;
    if (!all && ledger_.micros > 0 && now > ledger_.micros)
        out.lag_seconds = static_cast<double>(now - ledger_.micros) / 1e6;
    out.pending = transactions_ + (committing_ != 0 ? 1 : 0);
    out.transactions = ledger_.transactions;
    out.changes = ledger_.changes;
    out.wal_kept = wal_.kept;
    out.wal_limit = options_.max_wal;
    out.wal_bound = wal_.bound;
    out.active = true;
    return out;
}

void Follower::look_after() {
    auto now = Clock::now();
    if (now - confirmed_at_ >= confirm_every || stream_->asked()) {
        confirmed_at_ = now;
        stream_->confirm(ledger_.applied, true);
    }
    if (now - guarded_at_ >= guard_every)
        guard_wal();
    if (now - told_at_ < tell_every)
        return;
    told_at_ = now;
    Status now_status = status();
    if (told_)
        told_(now_status);
    if (progress_)
        progress_->report({fmt::format("following, {:.1f} s and {} behind, the source keeps {}",
                                       now_status.lag_seconds, text::bytes(now_status.lag_bytes),
                                       text::bytes(now_status.wal_kept)),
                           ledger_.changes, 0, 0, 0});
}

void Follower::follow_to(std::optional<Lsn> place) {
    while (true) {
        Stream::Got got = stream_->next(committing_ != 0 ? 100ms : idle_wait, cancel_);
        if (got == Stream::Got::data)
            take(pgoutput::parse(stream_->data()));
        else if (got == Stream::Got::keepalive && committing_ == 0 &&
                 stream_->server_lsn() > received_) {
            // Everything before it has been sent.
            received_ = stream_->server_lsn();
            received_micros_ = stream_->server_micros();
        }
        commit_if_due(got == Stream::Got::nothing);
        if (place && committing_ == 0 && received_ >= *place) {
            if (received_ > ledger_.applied)
                commit(received_, received_micros_);
            stream_->confirm(ledger_.applied, false);
            return;
        }
        if (place && got == Stream::Got::nothing && Clock::now() - asked_at_ >= 50ms) {
            asked_at_ = Clock::now();
            stream_->confirm(ledger_.applied, true);
        }
        look_after();
    }
}

} // namespace runbook::follow
