-- A working copy on this host, through git.
--   local git = require "git"
--   step "code" { capture = function() return git.commit "/srv/app" end,
--     run = function() git.checkout("/srv/app", "v2.1") end, undo = function(ctx) git.checkout("/srv/app", ctx.saved) end }
-- Nothing here throws work away: a checkout over changed files is refused.
local declare = require "declare"
local M, def = declare.module("git", "A working copy on this host, through git.", 'needs = { shell = { "git" } }')

local function git(dir, words, more)
  local command = { "git", "-C", dir }
  for _, word in ipairs(words) do command[#command + 1] = word end
  command.env = { GIT_TERMINAL_PROMPT = "0" } -- a missing password is an error, never a question
  for name, value in pairs(more or {}) do command[name] = value end
  return sh.run(command)
end

local function line(dir, words)
  return (git(dir, words, { reads = true }).out:gsub("%s+$", ""))
end

local dir_of, errors = { "dir", "text", "the working copy" }, { "shell.exit", "shell.not_found", "permission" }

def "commit" { doc = "The commit that is checked out, or that of a tag, branch or other name.", dir_of, { "name", "word?", "HEAD where it is left out" },
  returns = { "string", "40 or 64 hexadecimal digits" }, raises = errors, reads = true, example = [[local now = git.commit "/srv/app"]],
  run = function(dir, name)
    return line(dir, { "rev-parse", "--verify", "--quiet", "--end-of-options", (name or "HEAD") .. "^{commit}" })
  end }

def "branch" { doc = "The branch that is checked out.", dir_of, returns = { "string?", "nil for a commit without one" }, raises = errors, reads = true,
  example = [[local branch = git.branch "/srv/app"]],
  run = function(dir)
    local found = git(dir, { "symbolic-ref", "--quiet", "--short", "HEAD" }, { reads = true, exit = { 0, 1 } })
    return found.exit == 0 and (found.out:gsub("%s+$", "")) or nil
  end }

def "changes" { doc = "What is not committed.", dir_of, returns = { "string[]", "one path an entry; empty where the working copy is clean" }, raises = errors, reads = true,
  example = [[for _, path in ipairs(git.changes "/srv/app") do log.info(path) end]],
  run = function(dir)
    local found = {}
    for entry in git(dir, { "status", "--porcelain", "-z", "--no-renames" }, { reads = true }).out:gmatch "%Z+" do found[#found + 1] = entry:sub(4) end
    return found
  end }

def "clean" { doc = "Whether everything is committed.", dir_of, returns = { "boolean", "true if it is" }, raises = errors, reads = true,
  example = [[local fine = git.clean "/srv/app"]], run = function(dir) return #M.changes(dir) == 0 end }

def "fetch" { doc = "Fetches from a remote, tags too.", dir_of, { "remote", "word?", "its name (origin)" },
  { "options", { timeout = { "duration", "how long it may take", default = "5m" } }, "how long" }, raises = errors, writes = true,
  example = [[git.fetch("/srv/app", "origin", { timeout = "1m" })]],
  run = function(dir, remote, o) git(dir, { "fetch", "--tags", "--prune", remote or "origin" }, { timeout = o.timeout }) end }

def "checkout" { doc = "Checks out a commit, tag or branch. Refused where files are changed: they would go along or be lost.", dir_of, { "name", "word", "commit, tag or branch" },
  returns = { "string", "the commit that is then checked out" }, raises = { "git.dirty", "shell.exit", "shell.not_found", "permission" }, writes = true,
  example = [[git.checkout("/srv/app", "v2.1")]],
  run = function(dir, name)
    local changed = M.changes(dir)
    if #changed > 0 then
      error { kind = "git.dirty", message = ("%s has %d changed files: %s"):format(dir, #changed, table.concat(changed, ", ", 1, math.min(5, #changed))),
        hint = "commit them, or put them away with git stash" }
    end
    git(dir, { "checkout", "--quiet", name, "--" })
    return M.commit(dir)
  end }

return M
