// What is known of a run, put together from its events: the views and the report both read this.
// Owns: no file, no clock. Loop thread (views) or any one thread (report). Unknown events are kept,
// never an error.
#pragma once

#include "runtime/journal/journal.h"

#include <cstdint>
#include <string>
#include <vector>

namespace runbook::view {

/// The error map of an event, read leniently.
struct ErrorInfo {
    std::string kind, message, hint, sqlstate, file, source, traceback;
    int line = 0;
    bool empty() const { return message.empty() && kind.empty(); }
    /// "playbooks/x.lua:41", or empty.
    std::string where() const;
};

ErrorInfo error_info(const Map& error);

enum class Status { waiting, running, done, failed, skipped, in_doubt };
enum class Undo { none, running, done, kept, failed };

/// A step, toggle, checkpoint, gate… of the plan, or a sub-step that the run added.
struct Item {
    std::string name, kind, owner, owner_title, way_back, on, beside;
    double takes_s = 0;
    bool planned = true;
    Status status = Status::waiting;
    std::int64_t started = 0, ended = 0; ///< micros
    double elapsed_s = 0;
    std::int64_t attempts = 0;
    std::string detail;
    Value result;
    std::string verdict, why; ///< of a checkpoint that did not pass
    ErrorInfo error;
    Undo undo = Undo::none;
    std::int64_t undo_started = 0, undo_ended = 0; ///< micros
    double undo_s = 0;
    std::string undo_why;
    std::vector<std::int64_t> retries; ///< micros at which an attempt failed and another followed
};

/// A question to people: a gate, or a decision that a verdict or a failure asked for.
struct Question {
    std::string step, kind, ask, role, title, deadline, otherwise, answer, by, via;
    std::int64_t asked = 0, answered = 0;
    bool expired = false;
    bool confirm = false; ///< one entry of a checklist, not the whole item
    std::string item;     ///< text of that entry
    std::string evidence, from, why;
    std::string progress;            ///< "2 of 3: waiting for cto", while more must answer
    std::vector<std::string> people; ///< who said yes, where it were several
};

struct Notification {
    std::int64_t micros = 0;
    std::string channel, text, error, key;
};

struct Kept {
    std::string step, why;
};

struct Rollback {
    std::int64_t started = 0, ended = 0;
    std::string why, way;
    std::vector<std::string> steps;
    std::vector<Kept> kept;
    double elapsed_s = 0, within_s = 0;
    bool met = true;
};

/// A target of the playbook with its Actual; never a verdict.
struct Goal {
    std::string name;
    Value target, actual;
    bool known = false, met = false;
    /// "met", "missed" or "unknown".
    std::string word() const { return !known ? "unknown" : met ? "met" : "missed"; }
};

struct Breach {
    std::int64_t micros = 0;
    std::string metric, why, verdict;
};

/// A level that a rule compares with: a number that is drawn. `severity`: warning, critical or
/// empty.
struct Limit {
    double value = 0;
    std::string severity;
};

/// What a monitor saw of one measure.
struct Series {
    std::string metric, unit; ///< unit: as in runtime/base/quantity.h; empty where it is not known
    std::vector<std::pair<std::int64_t, double>> samples;
    std::vector<std::int64_t> gaps; ///< when a look gave no data
    std::vector<Limit> limits;
    /// A value with the unit; its limits as "200ms (warning), 500ms (critical)"; how many looks
    /// gave data and how many did not: "57, 3 without data".
    std::string shown(double value) const;
    std::string limits_text() const;
    std::string count_text() const;
};

struct Monitor {
    std::string name;
    std::vector<Series> series;
    std::vector<Breach> breaches;
    std::size_t looks = 0, gaps = 0; ///< gaps: looks that gave no data
};

class Model {
  public:
    void apply(const journal::Event& event);

    std::string run, playbook, summary, file, env, initiator, host, version, journal;
    Map params;
    std::vector<Item> items;
    std::string window_from, window_to;
    double window_target_s = 0, window_max_s = 0, rollback_within_s = 0;
    std::int64_t started = 0, ended = 0, last = 0;
    std::string outcome, why, resume;
    int exit = -1;
    double elapsed_s = 0, window_s = -1, rollback_s = -1; ///< -1: unknown
    std::vector<Question> questions;
    std::vector<Notification> notifications;
    std::vector<Notification> queued; ///< on their way: neither sent nor failed yet
    Rollback rollback;
    std::vector<journal::Event> waived, resumed, logs, failed_attempts;
    std::vector<Goal> goals;
    std::string paused; ///< why it waits for `runbook resume`; empty where it does not
    std::vector<Monitor> monitors;

    Item* find(const std::string& name);
    const Item* find(const std::string& name) const;
    /// Micros at which the window opened and closed; 0: not yet.
    std::int64_t window_opened() const;
    std::int64_t window_closed() const;
    /// Seconds of the window as they were observed: from the end of the step that closes traffic to
    /// the end of the one that opens it again, or of its undo; so far, while it is closed. -1:
    /// never closed.
    double downtime_s() const;
    std::size_t count(Status status) const;
    std::size_t retried() const;
    /// Of kind `checkpoint`, and how many of them passed.
    std::size_t checkpoints(bool passed_only) const;
    bool went_back() const { return rollback.started != 0; }

  private:
    Item& item(const journal::Event& event);
    void apply_run(const journal::Event& event);
    void apply_message(const journal::Event& event);
    void apply_plan(const Map& data);
    void apply_step(const journal::Event& event);
    void apply_question(const journal::Event& event);
    void apply_approval(const journal::Event& event);
    void apply_rollback(const journal::Event& event);
    /// Goals and monitors; false where the event is neither.
    bool apply_measure(const journal::Event& event);

    mutable std::size_t last_found_ = 0; ///< place in `items` of what find() found last
};

} // namespace runbook::view
