// Who may answer a question of a run, and when the answers are enough: rules 9 and 10 of
// docs/playbook.md. The run and `runbook approve` both ask here, so that they cannot disagree.
// Owns: plain data. Any thread; never looks who somebody is.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <vector>

namespace runbook::engine {

using Names = std::vector<std::string>;

/// Roles and their people, pinned with the run. A role that it does not know is not checked.
class Roster {
  public:
    Roster() = default;
    /// {"dba": ["anna", "bob"]}; a name that stands twice counts once.
    explicit Roster(const Map& roles);

    bool knows(const std::string& role) const;
    const Names& people(const std::string& role) const;
    bool has(const std::string& role, const std::string& person) const;
    const Map& map() const { return map_; }
    /// "dba (anna, bob)", or "dba" where it does not know the role.
    std::string words(const std::string& role) const;

  private:
    Map map_;
    std::vector<std::pair<std::string, Names>> roles_;
};

/// What a question wants, as `who` of its event and of the plan says it.
struct Asked {
    Names roles;                 ///< empty: anyone
    bool all = false;            ///< each of the roles, not one of them
    bool not_initiator = false;  ///< who started the run may not say yes
    bool critical = false;       ///< of a checklist's item: not waived by its own people
    std::size_t people = 1;      ///< how many different people must say yes
    std::string evidence;        ///< "url", "ticket"…: needed for a yes
    std::string owner;           ///< of the checklist: may waive an item that has no role
    double within_s = 0;         ///< 0: waits without an end
    std::vector<Names> escalate; ///< who is asked too, each after another `within_s`

    static Asked from(const Map& who);
    /// All of the time that an answer may take; 0: no limit.
    double limit_s() const;
    /// How many times it was passed on after this time.
    std::size_t level(double waited_s) const;
    /// Level 0: the roles; above: who it was passed on to.
    Names roles_at(std::size_t level) const;
};

/// An answer that counts.
struct Answer {
    std::string by;
    Names roles;            ///< that it counts for
    bool checked = false;   ///< against the roster
    bool stands_in = false; ///< given by a role it was passed on to, for those that did not answer
};

struct Given {
    std::string by, as, evidence;
    bool yes = true;
    double waited_s = 0; ///< since the question was asked
};

struct Right {
    Answer answer;
    /// Empty, or why not: kind is role, initiator, as, twice or evidence.
    std::string refusal, kind;
};

/// Whether `given` counts, after `before` have. `what` names the question in the refusal.
Right right_of(const Asked& asked, const Roster& roster, const Names& initiators,
               const Given& given, const std::vector<Answer>& before, const std::string& what);

/// Whether `by` may waive the item. A critical one: only who it is escalated to, and nobody who
/// answered it.
Right right_to_waive(const Asked& asked, const Roster& roster, const Given& given,
                     const Names& answered, const std::string& what);

/// Whether `by` may order a run from elsewhere (pause, resume, cancel, retry, rollback): who
/// started it always, else the roles that the playbook asks where nothing else says it, and the
/// roster's `operator`. Without any of them, or where the roster has none of them, anybody:
/// unchecked.
Right right_to_order(const Names& roles, const Roster& roster, const Names& initiators,
                     const std::string& by, const std::string& order);

struct Tally {
    bool enough = false;
    std::size_t have = 0, need = 0;
    std::string waiting; ///< "cto (carl)"; empty where it is enough
    /// "2 of 3: waiting for cto (carl)".
    std::string words() const;
};

Tally tally(const Asked& asked, const Roster& roster, const Names& initiators,
            const std::vector<Answer>& answers);

/// Why nobody can ever say yes, or nothing. `initiator` may be empty: not known yet.
std::string nobody(const Asked& asked, const Roster& roster, const std::string& initiator);

/// The same data in the journal's form.
Answer answer_from(const Map& map);
Names names_at(const Map& map, std::string_view key);

} // namespace runbook::engine
