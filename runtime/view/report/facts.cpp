// What a report answers first (contract in facts.h).
#include "runtime/view/report/facts.h"

#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::report {

using view::Item;
using view::Model;
using view::Status;

namespace {

std::string waited(const view::Question& question) {
    const double seconds = static_cast<double>(question.answered - question.asked) / 1e6;
    return question.asked ? ", after " + text::clock(seconds) : "";
}

void add_decisions(const Model& model, Facts& out) {
    for (const view::Question& one : model.questions) {
        const std::string what =
            one.step.empty() ? one.ask : one.step + (one.item.empty() ? "" : ", " + one.item);
        if (one.answered == 0) {
            out.open.push_back(what + ": no answer yet" +
                               (one.role.empty() ? "" : " from " + one.role) +
                               (one.progress.empty() ? "" : ", " + one.progress));
            continue;
        }
        if (one.expired) {
            out.decided.push_back(what + ": no answer in time, so " + one.otherwise);
            continue;
        }
        out.decided.push_back(what + ": " + answer_words(one) + " by " +
                              view::person(one.by, one.via) + " at " +
                              time::clock_utc(one.answered) + " UTC" + waited(one) +
                              (one.evidence.empty() ? "" : ", evidence " + one.evidence) +
                              (one.why.empty() || one.kind != "gate" ? "" : ", " + one.why));
    }
    for (const Item& item : model.items)
        if (!item.verdict.empty())
            out.decided.push_back(item.name + ": " + item.verdict + " by the playbook" +
                                  (item.why.empty() ? "" : ", " + item.why));
    for (const journal::Event& event : model.resumed)
        out.decided.push_back("resumed by " +
                              view::person(event.data.text("by"), event.data.text("host")) +
                              " at " + time::clock_utc(event.micros) + " UTC");
}

/// What an unfinished run has left in place.
void add_open(const Model& model, Facts& out) {
    std::vector<std::string> applied;
    for (const Item& item : model.items) {
        if (item.status == Status::in_doubt)
            out.open.push_back(item.name + ": in doubt" +
                               (item.why.empty() ? "" : ", " + item.why));
        if (item.undo == view::Undo::failed)
            out.open.push_back(item.name + ": could not be undone, " + item.undo_why);
        const bool effect =
            item.kind != "checkpoint" && item.kind != "gate" && item.kind != "checklist";
        const bool begun = item.status == Status::done || item.status == Status::failed;
        if (effect && begun && item.undo == view::Undo::none &&
            !item.way_back.starts_with("keep") && item.way_back != "none")
            applied.push_back(item.name);
    }
    if (model.outcome != "succeeded" && model.outcome != "rolled_back" && !applied.empty())
        out.open.push_back("still in effect: " + text::join(applied, ", "));
    const auto waiting = view::not_started(model);
    if (model.outcome == "held" && !waiting.empty())
        out.open.push_back("not started: " + view::some_of(waiting, 8));
    for (const view::Notification& one : model.notifications)
        if (!one.error.empty())
            out.open.push_back("not told, " + one.channel + ": " + one.error);
    for (const view::Notification& one : model.queued)
        out.open.push_back("not told yet, " + one.channel + ": " + one.text);
    if (const std::string next = view::next_command(model); !next.empty())
        out.open.push_back("next: " + next);
}

/// Rows that a verify or a comparison of counts gave: one line a table, and whether it is equal.
bool add_verification(const std::string& title,
                      const std::vector<std::pair<std::string, const Map*>>& entries,
                      std::vector<Table>& out) {
    for (const auto& [name, map] : entries)
        if (!map->contains("source_rows") || !map->contains("target_rows"))
            return false;
    struct Column {
        const char *key, *name;
    };
    std::vector<Column> columns = {
        {"table", "table"}, {"source_rows", "source rows"}, {"target_rows", "target rows"}};
    for (const Column& column : {Column{"missing", "missing"}, Column{"extra", "extra"},
                                 Column{"changed", "changed"}, Column{"unsettled", "unsettled"}})
        if (std::any_of(entries.begin(), entries.end(),
                        [&](const auto& one) { return one.second->contains(column.key); }))
            columns.push_back(column);
    Table table;
    table.title = title;
    for (const Column& column : columns)
        table.columns.emplace_back(column.name);
    table.columns.emplace_back("status");
    for (const auto& [name, map] : entries) {
        std::vector<std::string> row;
        for (const Column& column : columns) {
            const Value* value = map->find(column.key);
            row.push_back(value ? view::shown(column.key, *value) : row.empty() ? name : "");
        }
        const std::int64_t differ =
            std::max(map->integer("mismatches"),
                     map->integer("missing") + map->integer("extra") + map->integer("changed"));
        const bool equal =
            differ == 0 && map->integer("source_rows") == map->integer("target_rows");
        row.emplace_back(!equal                      ? "✗ differs"
                         : map->integer("unsettled") ? "? unsettled"
                                                     : "✓ equal");
        table.rows.push_back(std::move(row));
    }
    out.push_back(std::move(table));
    return true;
}

void add_table(const std::string& title,
               const std::vector<std::pair<std::string, const Map*>>& entries,
               std::vector<Table>& out) {
    if (add_verification(title, entries, out))
        return;
    Table table;
    table.title = title;
    const bool named = std::any_of(entries.begin(), entries.end(),
                                   [](const auto& one) { return !one.first.empty(); });
    if (named)
        table.columns.emplace_back("name");
    for (const auto& [name, map] : entries)
        for (const auto& [key, value] : *map)
            if (!value.get<Map>() && !key.starts_with("$") &&
                std::find(table.columns.begin(), table.columns.end(), key) == table.columns.end())
                table.columns.push_back(key);
    for (const auto& [name, map] : entries) {
        std::vector<std::string> row;
        for (const std::string& column : table.columns) {
            const Value* value = map->find(column);
            const List* list = value ? value->get<List>() : nullptr;
            std::string cell = value ? view::shown(column, *value) : "";
            if (list) {
                std::vector<std::string> words;
                for (const Value& item : *list)
                    words.push_back(view::shown("", item));
                cell = view::some_of(words, 5);
            }
            row.push_back(named && column == "name" && !value ? name : cell);
        }
        table.rows.push_back(std::move(row));
    }
    out.push_back(std::move(table));
}

} // namespace

Model model_of(const std::vector<journal::Event>& events, const Options& options) {
    Model model;
    for (const journal::Event& event : events) {
        journal::Event clean = event;
        clean.step = redact(event.step);
        if (Value data = redact(Value(event.data)); Map* map = data.get<Map>())
            clean.data = std::move(*map);
        model.apply(clean);
    }
    if (options.source)
        for (Item& item : model.items)
            if (item.error.source.empty() && item.error.line > 0)
                item.error.source = options.source(item.error.file, item.error.line);
    return model;
}

Facts facts_of(const Model& model) {
    Facts out;
    add_decisions(model, out);
    for (const journal::Event& event : model.waived)
        out.waived.push_back(
            event.step + (event.data.text("item").empty() ? "" : ", " + event.data.text("item")) +
            ": waived by " + view::person(event.data.text("by"), event.data.text("via")) +
            (event.data.text("why").empty() ? "" : ", " + event.data.text("why")));
    for (const view::Kept& one : model.rollback.kept)
        out.kept.push_back(one.step + (one.why.empty() ? "" : ": " + one.why));
    if (!model.went_back())
        for (const Item& item : model.items)
            if (item.way_back.starts_with("keep") && item.status == Status::done)
                out.kept.push_back(
                    item.name + (item.way_back.size() > 6 ? ": " + item.way_back.substr(6) : ""));
    add_open(model, out);
    return out;
}

std::vector<Table> tables_of(const Value& result) {
    std::vector<Table> out;
    const Map* map = result.get<Map>();
    if (!map) {
        if (result.get<List>())
            return tables_of(Map{{"rows", result}});
        return out;
    }
    for (const auto& [key, value] : *map) {
        std::vector<std::pair<std::string, const Map*>> entries;
        bool fits = true;
        if (const List* list = value.get<List>())
            for (const Value& item : *list) {
                fits &= item.get<Map>() != nullptr;
                entries.emplace_back("", item.get<Map>());
            }
        if (const Map* inner = value.get<Map>())
            for (const auto& [name, item] : *inner) {
                fits &= item.get<Map>() != nullptr;
                entries.emplace_back(name, item.get<Map>());
            }
        if (fits && !entries.empty())
            add_table(key, entries, out);
    }
    return out;
}

std::vector<std::pair<std::string, std::string>> values_of(const Value& result) {
    std::vector<std::pair<std::string, std::string>> out;
    const Map* map = result.get<Map>();
    if (!map) {
        if (!result.is_null() && !result.get<List>())
            out.emplace_back("result", view::shown("", result));
        return out;
    }
    for (const auto& [key, value] : *map) {
        if (key.starts_with("$"))
            continue;
        if (const List* list = value.get<List>()) {
            std::vector<std::string> words;
            for (const Value& item : *list)
                if (!item.get<Map>() && !item.get<List>())
                    words.push_back(view::shown("", item));
            if (words.size() == list->size())
                out.emplace_back(key, words.empty() ? "none" : view::some_of(words, 12));
            continue;
        }
        if (const Map* inner = value.get<Map>()) {
            for (const auto& [name, item] : *inner)
                if (!item.get<Map>() && !item.get<List>() && !name.starts_with("$"))
                    out.emplace_back(key + "." + name, view::shown(name, item));
            continue;
        }
        out.emplace_back(key, view::shown(key, value));
    }
    return out;
}

std::string answer_words(const view::Question& question) {
    if (question.answer == "approve" || question.answer == "reject")
        return question.answer == "approve" ? "approved" : "rejected";
    if (question.kind == "decision" && question.answer == "go_on")
        return "go on";
    return question.kind == "decision" ? question.answer : "\"" + question.answer + "\"";
}

std::string status_word(const Item& item) {
    switch (item.status) {
    case Status::waiting:
        return item.on == "rollback" ? "not needed" : "not started";
    case Status::running:
        return "running";
    case Status::done:
        return item.kind == "checkpoint" ? "passed" : item.kind == "gate" ? "approved" : "done";
    case Status::failed:
        return item.kind == "checkpoint" ? "did not pass"
               : item.kind == "gate"     ? "not approved"
                                         : "failed";
    case Status::skipped:
        return "skipped";
    case Status::in_doubt:
        return "in doubt";
    }
    return {};
}

std::string undo_words(const Item& item) {
    switch (item.undo) {
    case view::Undo::none:
        return {};
    case view::Undo::running:
        return "undo not finished";
    case view::Undo::done:
        return "undone in " + text::clock(item.undo_s);
    case view::Undo::kept:
        return "kept" + (item.undo_why.empty() ? "" : ": " + item.undo_why);
    case view::Undo::failed:
        return "undo failed: " + item.undo_why;
    }
    return {};
}

std::string way_words(const Item& item) {
    const std::string undo = undo_words(item);
    const bool effect = item.kind == "step" || item.kind == "toggle";
    return !undo.empty() ? undo : effect && item.way_back != "none" ? item.way_back : "";
}

std::string headline(const Model& model) {
    std::string out = view::outcome_words(model);
    out.front() = static_cast<char>(
        out.front() >= 'a' && out.front() <= 'z' ? out.front() - 'a' + 'A' : out.front());
    if (!model.why.empty() && model.outcome != "succeeded")
        out += ": " + model.why;
    return out;
}

std::string audit_words(const std::vector<journal::Event>& events, const Options& options) {
    if (events.empty())
        return "no events";
    std::string range = fmt::format("events {} to {}", events.front().seq, events.back().seq);
    if (!options.audited)
        return range;
    return range + (options.altered
                        ? fmt::format(", hash chain broken at event {}", *options.altered)
                        : ", hash chain whole");
}

} // namespace runbook::report
