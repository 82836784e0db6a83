#include "runtime/process/ssh_script.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/process/command.h"

#include <algorithm>
#include <fmt/format.h>

namespace runbook::process {
namespace {

/// `m` is the mark, `g` the grace in tenths of a second, `k` whether leftovers are ended, `n` the
/// size of the input. `run` becomes the command, in a subshell.
constexpr char frame[] = R"SH(
say() { printf '%s %s\n' "$m" "$*" >&2; }
# What the command started, by number: what has the mark in its environment.
ours() { grep -lsF -e "RUNBOOK_REMOTE=$m" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
lives() {
  [ -d /proc/self ] || { kill -0 $$ 2>/dev/null; return; }
  for p in $(ours); do kill -0 "$p" 2>/dev/null && return 0; done
  return 1
}
signal() {
  if [ "$1" != KILL ] || [ ! -d /proc/self ]; then kill "-$1" -- "-$$" 2>/dev/null; fi
  for p in $(ours); do kill "-$1" "$p" 2>/dev/null; done
}
pause() { sleep 0.1 2>/dev/null || sleep 1; }
end_all() {
  signal TERM; signal CONT
  i=0
  while [ "$i" -lt "$g" ] && lives; do pause; i=$((i + 1)); done
  i=0
  while [ "$i" -lt 50 ] && lives; do signal KILL; pause; i=$((i + 1)); done
}
# Ends everything when the other host is no longer heard; nothing where the command ended by itself.
watch() {
  trap : TERM
  cat >/dev/null
  kill -0 $$ 2>/dev/null || exit 0
  kill -USR1 $$
  end_all
}
t=
trap t=1 USR1
trap : TERM
exec 3<&0
say begun
if [ "$n" -gt 0 ]; then
  { head -c "$n" <&3; exec >/dev/null 2>&1; watch <&3 3<&- & } | ( exec 3<&-; run )
else
  watch <&3 >/dev/null 2>&1 3<&- &
  ( exec 3<&-; run ) </dev/null
fi
rc=$?
if [ -n "$t" ]; then
  i=0
  while [ "$i" -lt $((g + 60)) ] && [ -n "$(ours)" ]; do pause; i=$((i + 1)); done
  [ -n "$(ours)" ] || say ended
elif [ "$k" = 1 ] && [ -d /proc/self ]; then
  end_all
fi
[ -n "$t" ] || for p in $(ours); do
  { read -r name <"/proc/$p/comm"; } 2>/dev/null && say left "$p" "$name"
done
[ "$rc" != 255 ] || say exit 255
exit "$rc"
)SH";

std::string quoted(const std::string& word) {
    std::string out = "'";
    for (char c : word)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

bool is_variable(const std::string& name) {
    return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
           std::all_of(name.begin(), name.end(),
                       [](unsigned char c) { return c == '_' || (c < 128 && std::isalnum(c)); });
}

/// The function that becomes the command.
std::string runner(const Command& command, const std::string& mark) {
    std::string text = "run() {\n";
    if (!command.cwd.empty())
        text += fmt::format("  e=$(cd -- {0} 2>&1) && cd -- {0} || {{ say cwd \"$e\"; exit 1; }}\n",
                            quoted(command.cwd));
    for (const auto& [name, value] : command.env) {
        if (!is_variable(name))
            throw Error("usage",
                        fmt::format("'{}' is not a name for an environment variable of a remote "
                                    "command: letters, digits and _",
                                    name));
        const std::string text_of = value.is_null() ? "" : env_text(name, value);
        if (text_of.find('\0') != std::string::npos)
            throw Error("usage", fmt::format("`{}`: an environment variable contains a NUL byte",
                                             describe(command)));
        text += value.is_null() ? fmt::format("  unset {}\n", name)
                                : fmt::format("  {0}={1}; export {0}\n", name, quoted(text_of));
    }
    text += fmt::format("  RUNBOOK_REMOTE={}; export RUNBOOK_REMOTE\n  set --", mark);
    for (const auto& word : command.argv)
        text += " " + quoted(word);
    return text + "\n  command -v \"$1\" >/dev/null 2>&1 || { say missing; exit 127; }\n"
                  "  exec \"$@\"\n}\n";
}

} // namespace

std::string remote_stream(const Command& command, const std::string& mark,
                          const std::string& input) {
    std::string script = fmt::format("m={}; g={}; k={}; n={}\n", mark,
                                     std::max<std::int64_t>(1, command.grace.count() / 100),
                                     command.kill_leftovers ? 1 : 0, input.size());
    script += runner(command, mark) + frame;
    return std::to_string(script.size()) + "\n" + script + input;
}

} // namespace runbook::process
