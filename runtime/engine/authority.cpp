// Who may answer (contract in authority.h).
#include "runtime/engine/authority.h"

#include "runtime/base/text.h"
#include "runtime/engine/lists.h"

#include <fmt/format.h>

#include <algorithm>

namespace runbook::engine {

namespace {

bool in(const Names& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

void add(Names& names, const std::string& name) {
    if (!in(names, name))
        names.push_back(name);
}

std::string role_words(const Roster& roster, const Names& roles, const char* between) {
    Names words;
    for (const std::string& role : roles)
        words.push_back(roster.words(role));
    return text::join(words, between);
}

/// People of the roles without those that `barred` names; `whole` is false where the roster does
/// not know one of the roles.
Names people_of(const Roster& roster, const Names& roles, const Names& barred, bool& whole) {
    Names people;
    whole = true;
    for (const std::string& role : roles) {
        whole = whole && roster.knows(role);
        for (const std::string& person : roster.people(role))
            if (!in(barred, person))
                add(people, person);
    }
    return people;
}

/// Roles that were asked up to `level`, and how they are named to somebody who has none of them.
std::string not_in_role(const Asked& asked, const Roster& roster, std::size_t level,
                        const Given& given, const std::string& what) {
    Names open = asked.roles;
    for (std::size_t i = 1; i <= level; ++i)
        for (const std::string& role : asked.roles_at(i))
            add(open, role);
    return fmt::format("{} is for {}: {} may not answer it", what,
                       role_words(roster, open, asked.all && level == 0 ? " and " : " or "),
                       given.by);
}

Right refused(const char* kind, std::string why) {
    return {{}, std::move(why), kind};
}

/// Nothing, or what is wrong with the evidence.
std::string evidence_problem(const Asked& asked, const Given& given, const std::string& what) {
    if (asked.evidence.empty())
        return {};
    if (text::trim(given.evidence).empty())
        return fmt::format("{} needs evidence: give its {} with --evidence", what, asked.evidence);
    if (asked.evidence == "url" && !given.evidence.starts_with("https://") &&
        !given.evidence.starts_with("http://"))
        return fmt::format("{} needs a url as evidence, got '{}'", what, given.evidence);
    return {};
}

/// The roles for which the answer counts; a refusal where there are none.
Right counted(const Asked& asked, const Roster& roster, const Given& given,
              const std::string& what) {
    const std::size_t level = asked.level(given.waited_s);
    Names later;
    for (std::size_t i = 1; i <= level; ++i)
        for (const std::string& role : asked.roles_at(i))
            add(later, role);
    Right right;
    right.answer.by = given.by;
    if (!given.as.empty()) {
        const bool first = in(asked.roles, given.as);
        if (!first && !in(later, given.as))
            return refused("as", fmt::format("{} does not ask the role '{}'{}", what, given.as,
                                             asked.roles.empty()
                                                 ? ""
                                                 : ": it asks " + text::join(asked.roles, ", ")));
        if (roster.knows(given.as) && !roster.has(given.as, given.by))
            return refused("role", fmt::format("{} is not {}", given.by, roster.words(given.as)));
        right.answer.checked = roster.knows(given.as);
        right.answer.stands_in = !first;
        right.answer.roles = {given.as};
        return right;
    }
    Names open;
    for (const std::string& role : asked.roles)
        if (!roster.knows(role))
            open.push_back(role);
        else if (roster.has(role, given.by))
            right.answer.roles.push_back(role);
    right.answer.checked = !right.answer.roles.empty();
    if (right.answer.checked || asked.roles.empty())
        return right;
    for (const std::string& role : later)
        if (roster.has(role, given.by)) {
            right.answer.roles.push_back(role);
            right.answer.checked = right.answer.stands_in = true;
        }
    if (right.answer.checked)
        return right;
    if (asked.all && open.size() > 1)
        return refused("as", fmt::format("{} wants all of {}, and the roster does not say which of "
                                         "them {} is: --as ROLE",
                                         what, text::join(asked.roles, ", "), given.by));
    if (open.size() == 1)
        right.answer.roles = open;
    if (!open.empty())
        return right;
    for (const std::string& role : later)
        if (!roster.knows(role)) {
            right.answer.roles = {role};
            right.answer.stands_in = true;
            return right;
        }
    return refused("role", not_in_role(asked, roster, level, given, what));
}

} // namespace

Roster::Roster(const Map& roles) {
    for (const auto& [role, unused] : roles) {
        Names people;
        for (const std::string& person : names_at(roles, role))
            add(people, person);
        List list;
        for (const std::string& person : people)
            list.push_back(person);
        map_.set(role, list);
        roles_.emplace_back(role, std::move(people));
    }
}

bool Roster::knows(const std::string& role) const {
    return map_.contains(role);
}

const Names& Roster::people(const std::string& role) const {
    static const Names none;
    for (const auto& [name, people] : roles_)
        if (name == role)
            return people;
    return none;
}

bool Roster::has(const std::string& role, const std::string& person) const {
    return in(people(role), person);
}

std::string Roster::words(const std::string& role) const {
    if (!knows(role))
        return role;
    const Names& names = people(role);
    return role + " (" + (names.empty() ? "nobody" : text::join(names, ", ")) + ")";
}

Asked Asked::from(const Map& who) {
    Asked asked;
    asked.roles = names_at(who, "roles");
    asked.all = who.boolean("all");
    asked.not_initiator = who.boolean("not_initiator");
    asked.critical = who.boolean("critical");
    asked.people = static_cast<std::size_t>(std::max<std::int64_t>(1, who.integer("people", 1)));
    asked.evidence = who.text("evidence");
    asked.owner = who.text("owner");
    asked.within_s = who.number("within_s");
    for (const Value& entry : list_at(who, "escalate")) {
        Names roles;
        if (const List* list = entry.get<List>())
            for (const Value& role : *list)
                if (const auto* name = role.get<std::string>())
                    roles.push_back(*name);
        asked.escalate.push_back(std::move(roles));
    }
    return asked;
}

double Asked::limit_s() const {
    return within_s * static_cast<double>(1 + escalate.size());
}

std::size_t Asked::level(double waited_s) const {
    if (within_s <= 0 || waited_s < within_s)
        return 0;
    return std::min(escalate.size(), static_cast<std::size_t>(waited_s / within_s));
}

Names Asked::roles_at(std::size_t level) const {
    if (level == 0)
        return roles;
    return level <= escalate.size() ? escalate[level - 1] : Names{};
}

Right right_of(const Asked& asked, const Roster& roster, const Names& initiators,
               const Given& given, const std::vector<Answer>& before, const std::string& what) {
    Right right = counted(asked, roster, given, what);
    if (!right.refusal.empty() || !given.yes)
        return right;
    if (asked.not_initiator && in(initiators, given.by)) {
        bool whole = true;
        const Names others = people_of(roster, asked.roles, initiators, whole);
        return refused("initiator",
                       fmt::format("{} may not be approved by {}, who started the run{}", what,
                                   given.by,
                                   others.empty() ? "" : ": " + text::join(others, ", ") + " may"));
    }
    if (std::string problem = evidence_problem(asked, given, what); !problem.empty())
        return refused("evidence", std::move(problem));
    Names done;
    bool known = false, stood_in = false;
    for (const Answer& one : before) {
        stood_in = stood_in || one.stands_in;
        if (one.by != given.by && asked.people > 1)
            continue;
        known = known || one.by == given.by;
        for (const std::string& role : one.roles)
            add(done, role);
    }
    const bool adds = std::any_of(right.answer.roles.begin(), right.answer.roles.end(),
                                  [&](const std::string& role) { return !in(done, role); });
    if (known && !(asked.all && adds) && !(right.answer.stands_in && !stood_in))
        return refused("twice", fmt::format("{} has approved {} already: {}", given.by, what,
                                            tally(asked, roster, initiators, before).words()));
    return right;
}

Right right_to_waive(const Asked& asked, const Roster& roster, const Given& given,
                     const Names& answered, const std::string& what) {
    Asked by = asked;
    by.all = by.not_initiator = false;
    by.evidence.clear();
    by.within_s = 0;
    if (asked.critical) {
        by.roles.clear();
        for (const Names& roles : asked.escalate)
            for (const std::string& role : roles)
                add(by.roles, role);
        if (by.roles.empty())
            return refused("role", what + " is critical, and nobody is named who may waive it: "
                                          "declare escalate, or ask.escalate in the header");
        if (in(answered, given.by))
            return refused("role", fmt::format("{} is critical, and {} answered it: somebody else "
                                               "of {} may waive it",
                                               what, given.by, role_words(roster, by.roles, ", ")));
    } else if (by.roles.empty() && !asked.owner.empty()) {
        by.roles = {asked.owner};
    }
    by.escalate.clear();
    Right right = counted(by, roster, given, what);
    if (asked.critical && right.kind == "role")
        right.refusal = fmt::format("{} is critical: only {} may waive it, not {}", what,
                                    role_words(roster, by.roles, " or "), given.by);
    return right;
}

Right right_to_order(const Names& roles, const Roster& roster, const Names& initiators,
                     const std::string& by, const std::string& order) {
    Right right;
    right.answer.by = by;
    Names known;
    for (const std::string& role : roles)
        if (roster.knows(role))
            add(known, role);
    if (roster.knows("operator"))
        add(known, "operator");
    for (const std::string& role : known)
        if (roster.has(role, by))
            right.answer.roles.push_back(role);
    right.answer.checked = in(initiators, by) || !right.answer.roles.empty();
    if (right.answer.checked || known.empty())
        return right;
    Names own;
    for (const std::string& person : initiators)
        add(own, person);
    return refused("role",
                   fmt::format("{} is for {}, who started the run, and {}: {} may not order it",
                               order, text::join(own, ", "), role_words(roster, known, ", "), by));
}

std::string Tally::words() const {
    return fmt::format("{} of {}{}", have, need, waiting.empty() ? "" : ": waiting for " + waiting);
}

Tally tally(const Asked& asked, const Roster& roster, const Names& initiators,
            const std::vector<Answer>& answers) {
    Names covered, people;
    bool stands_in = false;
    for (const Answer& one : answers) {
        add(people, one.by);
        stands_in = stands_in || one.stands_in;
        for (const std::string& role : one.roles)
            add(covered, role);
    }
    Tally out;
    if (asked.all && !stands_in) {
        Names missing;
        for (const std::string& role : asked.roles)
            if (!in(covered, role))
                missing.push_back(role);
        if (!missing.empty()) {
            out.need = asked.roles.size();
            out.have = out.need - missing.size();
            out.waiting = role_words(roster, missing, ", ");
            return out;
        }
    }
    out.need = asked.people;
    out.have = std::min(people.size(), asked.people);
    out.enough = out.have == out.need;
    if (out.enough)
        return out;
    Names barred = people;
    if (asked.not_initiator)
        for (const std::string& one : initiators)
            add(barred, one);
    bool whole = true;
    const Names left = people_of(roster, asked.roles, barred, whole);
    const std::string roles = asked.roles.empty() ? "" : " of " + text::join(asked.roles, ", ");
    out.waiting = fmt::format("{} more{}{}", out.need - out.have, roles,
                              whole && !left.empty() ? " (" + text::join(left, ", ") + ")" : "");
    return out;
}

std::string nobody(const Asked& asked, const Roster& roster, const std::string& initiator) {
    const Names barred = asked.not_initiator && !initiator.empty() ? Names{initiator} : Names{};
    for (const std::string& role : asked.roles) {
        if (!roster.knows(role) || (!asked.all && asked.roles.size() > 1))
            continue;
        if (roster.people(role).empty())
            return fmt::format("nobody can approve it: the roster lists nobody for role '{}'",
                               role);
        bool whole = true;
        if (people_of(roster, {role}, barred, whole).empty())
            return fmt::format("nobody can approve it: not_initiator bars {}, who starts the run, "
                               "and the roster has nobody else for role '{}'",
                               initiator, role);
    }
    for (const Names& roles : asked.escalate)
        for (const std::string& role : roles)
            if (roster.knows(role) && roster.people(role).empty())
                return fmt::format("it is escalated to nobody: the roster lists nobody for role "
                                   "'{}'",
                                   role);
    bool whole = true;
    const Names people = people_of(roster, asked.roles, barred, whole);
    if (asked.roles.empty() || !whole || people.size() >= asked.people)
        return {};
    return fmt::format("nobody can approve it: it asks for {} different people of {}, and the "
                       "roster has {}{}{}",
                       asked.people, text::join(asked.roles, ", "), people.size(),
                       people.empty() ? "" : " (" + text::join(people, ", ") + ")",
                       barred.empty() ? ""
                                      : " without " + initiator +
                                            ", who starts the run "
                                            "(not_initiator)");
}

Answer answer_from(const Map& map) {
    return {map.text("by"), names_at(map, "roles"), map.boolean("checked"),
            map.boolean("stands_in")};
}

Names names_at(const Map& map, std::string_view key) {
    Names names;
    for (const Value& item : list_at(map, key))
        if (const auto* name = item.get<std::string>())
            names.push_back(*name);
    return names;
}

} // namespace runbook::engine
