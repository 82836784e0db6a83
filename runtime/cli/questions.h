// What a run asks people, put together from its events: for `approve`, `reject`, `confirm`, `waive`
// and `answer`. Main thread; plain data.
#pragma once

#include "runtime/engine/authority.h"
#include "runtime/journal/journal.h"

#include <string>
#include <vector>

namespace runbook::cli {

enum class QuestionState { not_yet, open, answered, expired };

struct Question {
    std::string subject; ///< name under which it is answered: "go", "ready: reviewed"
    std::string kind;    ///< gate, confirm, probe, manual or decision
    std::string label;   ///< `gate "go"`
    std::string step;
    engine::Asked asked;
    bool ahead = false; ///< may be answered before the run gets there
    double valid_s = 0; ///< how old a confirmation may be; 0: any age
    QuestionState state = QuestionState::not_yet;
    double opened = 0, until = 0; ///< seconds; until 0: no deadline
    std::int64_t floor = 0;       ///< requests up to this one came before it
    std::vector<engine::Answer> answers;
    double answered_at = 0;
    std::string answer, by, why; ///< why: of a decision, what is asked
    Value loses;                 ///< of a decision
};

struct Questions {
    std::vector<Question> all;
    engine::Roster roster;
    engine::Names initiators;
    std::string plan_sha256;
    std::vector<std::int64_t> used; ///< requests that the run has taken

    /// Throws Error{`usage`}: none, or more than one, has `word` in its name. `kinds` are those
    /// that can be meant.
    Question& find(const std::string& run, const std::string& word,
                   const std::vector<std::string>& kinds);
    /// The decision that is open; null where there is none.
    Question* decision();
};

Questions questions_of(const std::vector<journal::Event>& events);

} // namespace runbook::cli
