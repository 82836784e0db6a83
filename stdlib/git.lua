-- A working copy on this host, through git.
--   local git = require "git"
--   step "code" { capture = function() return git.commit "/srv/app" end,
--     run = function() git.checkout("/srv/app", "v2.1") end, undo = function(ctx) git.checkout("/srv/app", ctx.saved) end }
-- needs.shell: "git". Nothing here throws work away: a checkout over changed files is refused.
local arguments = require "arguments"
local M = {}

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

-- The commit that is checked out, 40 or 64 hexadecimal digits; or that of a tag, branch or other name.
function M.commit(dir, name)
  arguments.text("git.commit", 1, "dir", dir)
  if name ~= nil then arguments.word("git.commit", 2, "name", name) end
  return line(dir, { "rev-parse", "--verify", "--quiet", "--end-of-options", (name or "HEAD") .. "^{commit}" })
end

-- The branch that is checked out, or nil for a commit without one.
function M.branch(dir)
  arguments.text("git.branch", 1, "dir", dir)
  local found = git(dir, { "symbolic-ref", "--quiet", "--short", "HEAD" }, { reads = true, exit = { 0, 1 } })
  return found.exit == 0 and (found.out:gsub("%s+$", "")) or nil
end

-- What is not committed, one path an entry; empty where the working copy is clean.
function M.changes(dir)
  arguments.text("git.changes", 1, "dir", dir)
  local found = {}
  for entry in git(dir, { "status", "--porcelain", "-z", "--no-renames" }, { reads = true }).out:gmatch "%Z+" do found[#found + 1] = entry:sub(4) end
  return found
end

function M.clean(dir) return #M.changes(dir) == 0 end

-- Fetches from a remote ("origin"), tags too.
function M.fetch(dir, remote, options)
  arguments.text("git.fetch", 1, "dir", dir)
  if remote ~= nil then arguments.word("git.fetch", 2, "remote", remote) end
  local o = arguments.options("git.fetch", 3, options, { timeout = { "duration", "5m" } })
  git(dir, { "fetch", "--tags", "--prune", remote or "origin" }, { timeout = o.timeout })
end

-- Checks out a commit, tag or branch. Raises git.dirty where files are changed: they would go along or be lost.
function M.checkout(dir, name)
  arguments.text("git.checkout", 1, "dir", dir)
  arguments.word("git.checkout", 2, "name", name)
  local changed = M.changes(dir)
  if #changed > 0 then
    error { kind = "git.dirty", message = ("%s has %d changed files: %s"):format(dir, #changed, table.concat(changed, ", ", 1, math.min(5, #changed))),
      hint = "commit them, or put them away with git stash" }
  end
  git(dir, { "checkout", "--quiet", name, "--" })
  return M.commit(dir)
end

return M
