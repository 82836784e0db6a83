// The merge of two key-ordered streams (see compare.h).
#include "runtime/transfer/verify/compare.h"

#include "runtime/base/redact.h"
#include "runtime/transfer/verify/stream.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace runbook::verify {
namespace {

constexpr std::size_t shown = 80;

/// Both values shown so that the place where they differ is in sight.
void show_both(const ColumnPair& pair, CellView a, CellView b, ColumnDifference& out) {
    const bool dynamic = pair.form == Form::dynamic; // the first octet is the storage class
    const bool long_text = a.tag == b.tag && a.tag == Tag::var &&
                           (pair.form == Form::text || pair.form == Form::bytes ||
                            pair.form == Form::json || dynamic) &&
                           std::max(a.var.size(), b.var.size()) > shown;
    std::size_t skip = 0;
    if (long_text && !(dynamic && a.var[0] != b.var[0])) {
        while (skip < a.var.size() && skip < b.var.size() && a.var[skip] == b.var[skip])
            ++skip;
        skip = skip > shown / 2 ? skip - shown / 4 : 0;
        while (skip > 0 && skip < a.var.size() &&
               (static_cast<unsigned char>(a.var[skip]) & 0xC0) == 0x80)
            --skip;
    }
    auto part = [&](CellView cell) {
        if (skip == 0 || holds_secret(cell.var)) // half a secret would not be known as one
            return show(pair, cell, shown);
        std::string rest(dynamic ? cell.var.substr(0, 1) : "");
        rest += cell.var.substr(std::min(skip, cell.var.size()));
        cell.var = rest;
        return fmt::format("from byte {}: {}", skip + (dynamic ? 0 : 1), show(pair, cell, shown));
    };
    out.source = part(a);
    out.target = part(b);
}

std::string show_key(const TablePlan& plan, std::string_view payload) {
    const char* at = payload.data();
    std::string text;
    for (std::size_t i = 0; i < plan.key_columns; ++i)
        text += (i ? ", " : "") + show(plan.columns[i], next_cell(at));
    return redact(text);
}

class Merge {
  public:
    Merge(const TablePlan& plan, const Options& options, Comparison& comparison)
        : plan_(plan), options_(options), comparison_(comparison) {}

    void differ(const char* kind, std::string_view key, std::string_view source,
                std::string_view target) {
        TableResult& result = comparison_.result;
        std::int64_t& counter = kind[0] == 'm'   ? result.missing
                                : kind[0] == 'e' ? result.extra
                                                 : result.changed;
        ++counter;
        if (comparison_.suspects.size() >= max_suspects)
            return;
        Suspect suspect;
        suspect.key = key;
        suspect.key_payload = key_payload(plan_, source.empty() ? target : source);
        suspect.kind = kind;
        suspect.source = hash_of(source);
        suspect.target = hash_of(target);
        if (comparison_.suspects.size() < options_.samples)
            suspect.sample = describe(plan_, source, target, options_);
        comparison_.suspects.push_back(std::move(suspect));
    }

  private:
    const TablePlan& plan_;
    const Options& options_;
    Comparison& comparison_;
};

} // namespace

Hash128 hash_of(std::string_view data) {
    if (data.empty())
        return {};
    XXH128_hash_t hash = XXH3_128bits(data.data(), data.size());
    return {hash.low64, hash.high64};
}

std::string Sample::text() const {
    std::string out = key.empty() ? fmt::format("{}: {} row", table, kind)
                                  : fmt::format("{} {}: {}", table, key, kind);
    if (kind == "missing")
        out += " in the target";
    if (kind == "extra")
        out += " (only in the target)";
    for (std::size_t i = 0; i < columns.size(); ++i)
        out += fmt::format("{} {}: source {}, target {}", i ? ";" : ":", columns[i].name,
                           columns[i].source, columns[i].target);
    return out;
}

bool same_row(const TablePlan& plan, std::string_view source, std::string_view target) {
    if (source == target)
        return true;
    const char* a = source.data();
    const char* b = target.data();
    for (const ColumnPair& pair : plan.columns) {
        CellView left = next_cell(a), right = next_cell(b);
        if (!same(pair, left, right))
            return false;
    }
    return true;
}

std::string key_payload(const TablePlan& plan, std::string_view payload) {
    const char* at = payload.data();
    for (std::size_t i = 0; i < plan.key_columns; ++i)
        next_cell(at);
    return std::string(payload.data(), at);
}

Sample describe(const TablePlan& plan, std::string_view source, std::string_view target,
                const Options& options) {
    Sample sample;
    sample.table = plan.name;
    sample.kind = source.empty() ? "extra" : target.empty() ? "missing" : "changed";
    sample.key = show_key(plan, source.empty() ? target : source);
    if (sample.kind != "changed")
        return sample;
    const char* a = source.data();
    const char* b = target.data();
    for (const ColumnPair& pair : plan.columns) {
        CellView left = next_cell(a), right = next_cell(b);
        if (same(pair, left, right))
            continue;
        ColumnDifference difference;
        difference.name = pair.source.name;
        if (options.show_values) {
            show_both(pair, left, right, difference);
            difference.source = redact(difference.source);
            difference.target = redact(difference.target);
        } else {
            difference.source = difference.target = "(hidden)";
        }
        sample.columns.push_back(std::move(difference));
    }
    return sample;
}

void compare_by_key(const TablePlan& plan, RowSource& source, RowSource& target,
                    const Options& options, const RowsSeen& seen, Cancel& cancel,
                    Comparison& comparison) {
    Merge merge(plan, options, comparison);
    Stream left(source, plan, cancel), right(target, plan, cancel);
    std::int64_t told = 0;
    while (true) {
        const bool has_left = left.has_row(), has_right = right.has_row();
        if (!has_left && !has_right)
            break;
        const int order = !has_right ? -1 : !has_left ? 1 : left.key().compare(right.key());
        if (order < 0) {
            merge.differ("missing", left.key(), left.payload(), {});
            left.advance();
        } else if (order > 0) {
            merge.differ("extra", right.key(), {}, right.payload());
            right.advance();
        } else {
            if (!same_row(plan, left.payload(), right.payload()))
                merge.differ("changed", left.key(), left.payload(), right.payload());
            left.advance();
            right.advance();
        }
        if (left.count() - told >= 20'000) {
            told = left.count();
            seen(told);
        }
    }
    comparison.result.source_rows = left.count();
    comparison.result.target_rows = right.count();
    comparison.result.compared = std::max(left.count(), right.count());
    comparison.result.method = "key";
}

} // namespace runbook::verify
